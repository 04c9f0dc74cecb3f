"""YOLOX networks exported to ONNX by their makers, run by OpenVINO on the CPU.

Z. Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430. The export takes BGR values from 0 to 255 of a
fixed size, with the picture in the upper left corner, and gives (1, A, 5 + classes): for each cell of three grids the
centre of a box relative to the cell, the logarithm of its size, how sure it is that something is there, and what.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.config import DetectSettings
from app.detect.network import MAX_OVERLAP_IOU, Letterbox
from app.detect.openvino_network import OpenVinoNetwork, read_network, sides
from app.errors import InputError

STRIDES = (8, 16, 32)
PERSON = 0
"""Class of people among COCO's, and in networks that know nothing else."""
COCO_CLASSES = 80


def has_yolox_layout(path: Path) -> bool:
    """Return whether a `.onnx` file has one row for each cell of three grids, not one column as Ultralytics' have."""
    model = read_network(path)
    _, _, height, width = sides(model.input(0).get_partial_shape())
    output = sides(model.output(0).get_partial_shape())
    return None not in (height, width) and len(output) == 3 and output[1] == len(_cells(height or 0, width or 0))


class YoloxNetwork:
    """Implements `app.detect.network.Network` for the weight file in `settings`."""

    max_overlap_iou = MAX_OVERLAP_IOU

    def __init__(self, settings: DetectSettings) -> None:
        path = Path(settings.weights)
        if settings.backend == "torch" or settings.device.startswith("cuda"):
            raise InputError(
                f"{path}: YOLOX networks run on the CPU, by OpenVINO; leave detect.device and detect.backend at auto"
            )
        self.name = f"{path.name} (openvino, cpu)"
        self.weights = path
        self._run = OpenVinoNetwork(path, rgb=False, divisor=1)
        if self._run.fixed_size is None:
            raise InputError(f"{path}: the input of a YOLOX network has a fixed size")
        classes = (self._run.output_shape[2] or 0) - 5
        if classes not in (1, COCO_CLASSES) or settings.person_names:
            raise InputError(
                f"{path}: does not name its {classes} classes, so which of them are people is not known; of YOLOX "
                f"networks those of COCO's {COCO_CLASSES} classes or of one can be used, without detect.person_names"
            )
        self._size = self._run.fixed_size
        self._cells = _cells(*self._size)

    def letterbox(self, height: int, width: int) -> Letterbox:
        return Letterbox.fixed(height, width, self._size, centered=False)

    def find(
        self, images: NDArray[np.uint8], min_score: float
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return [self._read(rows, min_score) for rows in self._run(images)]

    def _read(self, rows: NDArray[np.float32], min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read (A, 5 + classes)."""
        scores = rows[:, 4] * rows[:, 5 + PERSON]
        chosen = np.flatnonzero(scores >= min_score)
        stride = self._cells[chosen, 2:]
        centers = (rows[chosen, :2] + self._cells[chosen, :2]) * stride
        sizes = np.exp(rows[chosen, 2:4]) * stride
        return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1), scores[chosen]


def _cells(height: int, width: int) -> NDArray[np.float32]:
    """Return (A, 3) column, row and stride of every cell of the grids over an input of `height` × `width`."""
    grids = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        grids.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(grids).astype(np.float32)
