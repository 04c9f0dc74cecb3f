"""From boxes in full frames to the pictures that the network sees. Embedding, evaluation and training all use this.

A box is cut out at whole pixels and scaled, without keeping its proportions, to the network's input size: bilinear
between pixel centres, never reading outside the box. Where a side shrinks to less than two thirds, several samples per
output pixel are averaged, so that fine patterns do not alias. Results are rounded to 0..255 as in a picture file.

`crop_on_cpu` and `crop_on_device` compute the same thing, the second as gathers over all boxes at once on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app import boxes as box_geometry


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network was trained to see. Ours take RGB in [0, 1] less mean over std; others may differ.

    height, width: of its input, pixels. mean, std: in the order of `colours`, of values divided by `scale`.
    channels_last: whether it takes (N, H, W, 3) instead of (N, 3, H, W).
    """

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    colours: Literal["RGB", "BGR"] = "RGB"
    scale: float = 255.0
    channels_last: bool = False

    def normalise(self, crops: Tensor) -> Tensor:
        """Return what the network takes, float, by default (N, 3, H, W), from (N, H, W, 3) BGR crops in 0..255, uint8
        or float."""
        colours = crops.flip(-1) if self.colours == "RGB" else crops
        values = (colours if self.channels_last else colours.permute(0, 3, 1, 2)).float()
        shape = (1, 1, 1, 3) if self.channels_last else (1, 3, 1, 1)
        mean = torch.tensor(self.mean, device=crops.device).view(shape) * self.scale
        std = torch.tensor(self.std, device=crops.device).view(shape) * self.scale
        return (values - mean) / std


def whole_pixels(boxes: NDArray[np.floating[Any]], width: int, height: int) -> NDArray[np.int64]:
    """Return (N, 4) x1 y1 x2 y2 rounded to whole pixels and cut off at the edges of a `width` × `height` picture.

    Every box keeps at least one pixel: one that is degenerate, or outside the picture, becomes the pixel nearest to it.
    """
    finite = np.nan_to_num(np.asarray(boxes, np.float64).reshape(-1, 4))
    rounded = np.rint(box_geometry.clip(finite, width, height)).astype(np.int64)
    rounded[:, 0] = np.minimum(rounded[:, 0], width - 1)
    rounded[:, 1] = np.minimum(rounded[:, 1], height - 1)
    rounded[:, 2:] = np.maximum(rounded[:, 2:], rounded[:, :2] + 1)
    return rounded


def crop_on_cpu(
    images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating[Any]]], height: int, width: int
) -> NDArray[np.uint8]:
    """Cut (Ni, 4) x1 y1 x2 y2 pixel boxes out of each (H, W, 3) BGR picture, scaled to `height` × `width`.

    Returns (sum of Ni, height, width, 3) uint8 BGR, picture after picture.
    """
    crops = np.empty((sum(len(rows) for rows in boxes), height, width, 3), np.uint8)
    row = 0
    for image, rows in zip(images, boxes, strict=True):
        for x1, y1, x2, y2 in whole_pixels(rows, image.shape[1], image.shape[0]).tolist():
            crops[row] = scale(image[y1:y2, x1:x2], height, width)
            row += 1
    return crops


def scale(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a (H, W, 3) uint8 picture scaled to (height, width, 3)."""
    rows, columns = _samples(picture.shape[0], height), _samples(picture.shape[1], width)
    scaled = cv2.resize(picture, (width * columns, height * rows), interpolation=cv2.INTER_LINEAR)
    if rows > 1 or columns > 1:
        scaled = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_AREA)
    return scaled


def crop_on_device(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[NDArray[np.floating[Any]]],
    height: int,
    width: int,
    device: torch.device,
) -> Tensor:
    """Do as `crop_on_cpu`, on `device`: each picture is sent there once, and all boxes are sampled together.

    Returns (sum of Ni, height, width, 3) uint8 BGR on `device`.
    """
    corners = [whole_pixels(rows, image.shape[1], image.shape[0]) for image, rows in zip(images, boxes, strict=True)]
    counts = [len(rows) for rows in corners]
    used = [number for number, count in enumerate(counts) if count]
    if not used:
        return torch.empty((0, height, width, 3), dtype=torch.uint8, device=device)
    # The pictures may differ in size, so their pixels lie one after another: (all pixels, 3).
    pixels = torch.cat(
        [torch.from_numpy(np.ascontiguousarray(images[number])).to(device).view(-1, 3) for number in used]
    )
    sizes = np.array([images[number].shape[0] * images[number].shape[1] for number in used])
    starts = np.repeat(np.cumsum(sizes) - sizes, [counts[number] for number in used])
    strides = np.repeat([images[number].shape[1] for number in used], [counts[number] for number in used])
    x1, y1, x2, y2 = np.concatenate([corners[number] for number in used]).T

    crops = torch.empty((len(x1), height, width, 3), dtype=torch.uint8, device=device)
    row_samples = np.array([_samples(side, height) for side in (y2 - y1).tolist()])
    column_samples = np.array([_samples(side, width) for side in (x2 - x1).tolist()])
    for rows, columns in np.unique(np.stack([row_samples, column_samples], axis=1), axis=0).tolist():
        chosen = np.flatnonzero((row_samples == rows) & (column_samples == columns))
        top, bottom, row_weight = _taps(y1[chosen], y2[chosen], height * rows, device)
        left, right, column_weight = _taps(x1[chosen], x2[chosen], width * columns, device)
        base = torch.from_numpy(starts[chosen]).to(device).view(-1, 1)
        stride = torch.from_numpy(strides[chosen]).to(device).view(-1, 1)
        top, bottom = (base + top * stride)[:, :, None], (base + bottom * stride)[:, :, None]  # (n, H, 1)
        left, right = left[:, None, :], right[:, None, :]  # (n, 1, W)
        down, across = row_weight[:, :, None, None], column_weight[:, None, :, None]
        upper = torch.lerp(pixels[top + left].float(), pixels[top + right].float(), across)
        lower = torch.lerp(pixels[bottom + left].float(), pixels[bottom + right].float(), across)
        sampled = torch.lerp(upper, lower, down)  # (n, H * rows, W * columns, 3)
        averaged = sampled.view(len(chosen), height, rows, width, columns, 3).mean((2, 4))
        crops[torch.from_numpy(chosen).to(device)] = averaged.round().to(torch.uint8)
    return crops


def _samples(side: int, target: int) -> int:
    """How many samples to average along a side of `side` pixels that becomes `target` pixels."""
    return max(1, round(side / target))


def _taps(
    first: NDArray[np.int64], end: NDArray[np.int64], count: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Where `count` samples fall on each of n sides [first, end): two neighbours and the weight of the second.

    Returns (n, count) int64, int64 and float32.
    """
    start = torch.from_numpy(first).to(device).view(-1, 1)
    last = torch.from_numpy(end - first - 1).to(device).view(-1, 1)
    centres = (torch.arange(count, device=device) + 0.5) * ((last + 1) / count) - 0.5
    centres = centres.clamp(min=0).minimum(last)
    lower = centres.floor().long()
    return start + lower, start + (lower + 1).minimum(last), centres - lower
