"""Finding people in pictures.

`Detector` is the seam; `build_detector` picks an implementation from the settings:

    file:PATH                  `file.py`     detections made elsewhere, in MOTChallenge text
    .onnx in YOLOX's layout    `yolox.py`    run by OpenVINO on the CPU
    anything else              `yolo.py`     Ultralytics networks: .pt, .safetensors, .onnx, OpenVINO folder, .engine

`network.py` is what the networks share: letterboxing, one batch over all cameras, removal of overlaps. `train/` makes
the weights of `weights/`, `evaluate.py` scores detectors. This package is, with `app.reid`, the only place where torch
may be imported; ultralytics is imported in `yolo.py`, `yolo_weights.py` and `train/` alone.
Importing `app.detect` itself loads neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.config import DetectSettings
from app.frames import Detections, Frame

if TYPE_CHECKING:
    from app.footage.camera import SourceInfo

FILE_PREFIX = "file:"


class Detector(Protocol):
    """Finds people in a batch of frames, which may come from different cameras and differ in size."""

    name: str
    """What the detector is, for the closing table and `run.json`: for example `yolo26n.pt (openvino, cpu)`."""

    weights_sha256: str
    """sha256 of the weight or detection files: a run must not mix two of them."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the people of each frame, in the order of the frames; boxes in pixels of that frame.

        The caller's images are not modified. One call at a time: a detector may reuse its buffers.
        """
        ...


def build_detector(settings: DetectSettings, sources: Sequence[SourceInfo]) -> Detector:
    """Return the detector that `settings.weights` asks for.

    Raises InputError that says what to do: a file that is missing, damaged, of unknown kind or not trusted; a device
    that is not there; a network that cannot tell people from other things.

    sources: of the cameras, which matter to `file:PATH` alone.

    >>> detector = build_detector(settings.detect, [])
    >>> [found] = detector.detect([Frame("door", 0, 0.0, np.zeros((240, 320, 3), np.uint8))])
    >>> len(found)
    0
    """
    return BUILDERS[_kind(settings.weights)](settings, sources)


def _kind(weights: str) -> str:
    """Return the key in `BUILDERS` for a value of the setting `detect.weights`."""
    if weights.startswith(FILE_PREFIX):
        return "file"
    if weights.lower().endswith(".onnx") and Path(weights).is_file():
        from app.detect.yolox import has_yolox_layout

        return "yolox" if has_yolox_layout(Path(weights)) else "yolo"
    return "yolo"


def _build_file(settings: DetectSettings, sources: Sequence[SourceInfo]) -> Detector:
    from app.detect.file import FileDetector

    return FileDetector(settings.weights.removeprefix(FILE_PREFIX), sources, settings.min_score)


def _build_yolo(settings: DetectSettings, sources: Sequence[SourceInfo]) -> Detector:
    from app.detect.network import NetworkDetector
    from app.detect.yolo import close_ups, open_yolo

    network = open_yolo(settings)
    return NetworkDetector(network, settings.min_score, settings.max_overlap_iou, close_ups(network, settings))


def _build_yolox(settings: DetectSettings, sources: Sequence[SourceInfo]) -> Detector:
    from app.detect.network import NetworkDetector
    from app.detect.yolox import YoloxNetwork

    return NetworkDetector(YoloxNetwork(settings), settings.min_score, settings.max_overlap_iou)


BUILDERS: dict[str, Callable[[DetectSettings, Sequence[SourceInfo]], Detector]] = {
    "file": _build_file,
    "yolo": _build_yolo,
    "yolox": _build_yolox,
}
"""Every implementation of the seam; a test holds each of them to the contract."""
