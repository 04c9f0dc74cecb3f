"""Small networks made on the spot: an Ultralytics one with random weights, and ONNX files with a given answer."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.detect.yolo_weights import load_ultralytics
from app.footage.camera import SourceInfo
from app.frames import Frame

DESCRIPTION: dict[str, Any] = {
    "nc": 2,
    "scales": {"n": [1.0, 1.0, 64]},
    "scale": "n",
    "backbone": [[-1, 1, "Conv", [c, 3, 2]] for c in (8, 8, 16, 16, 16)],
    "head": [[[2, 3, 4], 1, "Detect", ["nc"]]],
}


def make_info(camera: str, folder: Path | None = None, has_pixels: bool = True) -> SourceInfo:
    return SourceInfo(camera, 96, 64, 10.0, 5, 0.0, False, has_pixels, f"{camera}.mp4", folder, ())


def make_frame(camera: str = "a", index: int = 0, height: int = 64, width: int = 96) -> Frame:
    """A frame of noise, the same each time."""
    image = np.random.default_rng(index).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return Frame(camera, index, index / 10, image)


def small_yolo(end2end: bool) -> Any:
    """An ultralytics DetectionModel of two classes, cat and person, whose scores are spread over the whole range."""
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel({**DESCRIPTION, "end2end": end2end, "reg_max": 4}, ch=3, verbose=False)
    model.names = {0: "cat", 1: "person"}
    head = model.model[-1]
    for branch in [*head.cv3, *(head.one2one_cv3 if end2end else [])]:
        torch.nn.init.normal_(branch[-1].weight, std=1.0)
        torch.nn.init.zeros_(branch[-1].bias)
    return model.eval()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer: a number, or anything that has a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _tensor_info(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))


def _node(operation: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operation) + attributes


def write_onnx(
    path: Path, answer: NDArray[np.float32], size: tuple[int, int], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a network that answers pictures of `size` (height, width) with `answer` (1, …), whatever they show."""
    axes = _field(1, "axes") + b"".join(_field(8, axis) for axis in (1, 2, 3)) + _field(20, 7)
    keep = _field(1, "keepdims") + _field(3, 0) + _field(20, 2)
    constant = b"".join(_field(1, side) for side in answer.shape) + _field(2, 1) + _field(8, "answer")
    zero = _field(1, 1) + _field(2, 1) + _field(8, "zero") + _field(9, struct.pack("<f", 0))
    graph = (
        _field(1, _node("ReduceMean", ["images"], "mean", _field(5, axes) + _field(5, keep)))
        + _field(1, _node("Mul", ["mean", "zero"], "nothing"))
        + _field(1, _node("Add", ["nothing", "answer"], "output"))
        + _field(2, "graph")
        + _field(5, constant + _field(9, answer.astype("<f4").tobytes()))
        + _field(5, zero)
        + _field(11, _tensor_info("images", (1, 3, *size)))
        + _field(12, _tensor_info("output", answer.shape))
    )
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))
    for key, value in (metadata or {}).items():
        model += _field(14, _field(1, key) + _field(2, value))
    path.write_bytes(model)
    return path
