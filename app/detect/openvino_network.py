"""Running a detection network on the CPU with OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.system.openvino_cache import compile_on_cpu, core, load_openvino


def read_network(path: Path) -> Any:
    """Return the `openvino.Model` of a `.xml` or `.onnx` file. Raises InputError for anything else."""
    try:
        model = core().read_model(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: not a network that OpenVINO can read; is the file whole? ({reason})") from error
    if len(model.inputs) != 1 or model.input(0).get_partial_shape().rank.get_length() != 4:
        raise InputError(f"{path}: a detector takes one input of four sides (pictures, colours, height, width)")
    return model


def sides(shape: Any) -> list[int | None]:
    """Return the lengths of an `openvino.PartialShape`, None for open ones."""
    return [side.get_length() if side.is_static else None for side in shape]


class OpenVinoNetwork:
    """A network file that takes uint8 BGR pictures and gives its first output.

    rgb: whether the network wants RGB instead of BGR.
    divisor: what it wants pixel values divided by.

    These changes of the input are compiled into the network. It is compiled anew for each input size, with the number
    of pictures left open: an open size costs time in every picture, an open number does not.
    """

    def __init__(self, path: Path, rgb: bool, divisor: float) -> None:
        self._path = path
        self._rgb = rgb
        self._divisor = divisor
        self._requests: dict[tuple[int, int], Any] = {}
        model = read_network(path)
        self._batch, _, height, width = sides(model.input(0).get_partial_shape())
        self.fixed_size = None if height is None or width is None else (height, width)
        """Height and width of the only input that the network takes; None if it takes any."""
        self.output_shape = sides(model.output(0).get_partial_shape())
        """Sides of the output; None where open."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run (B, H, W, 3) uint8 BGR images; return the output (B, …) float32.

        The result may be overwritten by the next call.
        """
        size = (images.shape[1], images.shape[2])
        if size not in self._requests:
            self._requests[size] = self._compile(size).create_infer_request()
        request = self._requests[size]
        if self._batch is None or self._batch == len(images):
            return _run(request, images)
        # A network made for a fixed number of pictures: in pieces, the last one filled up with anything.
        pieces = [images[start : start + self._batch] for start in range(0, len(images), self._batch)]
        outputs = [_run(request, np.resize(piece, (self._batch, *piece.shape[1:]))).copy() for piece in pieces]
        return np.concatenate(outputs)[: len(images)]

    def _compile(self, size: tuple[int, int]) -> Any:
        openvino = load_openvino()
        builder = openvino.preprocess.PrePostProcessor(read_network(self._path))
        pictures = builder.input(0)
        pictures.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        pictures.tensor().set_color_format(openvino.preprocess.ColorFormat.BGR)
        pictures.model().set_layout(openvino.Layout("NCHW"))
        steps = pictures.preprocess().convert_element_type(openvino.Type.f32)
        if self._rgb:
            steps.convert_color(openvino.preprocess.ColorFormat.RGB)
        if self._divisor != 1:
            steps.scale(self._divisor)
        builder.output(0).tensor().set_element_type(openvino.Type.f32)
        model = builder.build()
        if self.fixed_size is None:
            model.reshape([self._batch or -1, *size, 3])
        return compile_on_cpu(model)


def _run(request: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    request.infer({0: images}, share_inputs=True)
    return request.get_output_tensor(0).data
