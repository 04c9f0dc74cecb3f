"""Box geometry on (N, 4) arrays of x1 y1 x2 y2, in pixels. Every function returns a new array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating[Any]]


def areas(boxes: Boxes) -> Boxes:
    """Return the (N,) areas; a box with its corners the wrong way round has area 0."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersections(a: Boxes, b: Boxes) -> Boxes:
    """Return the (N, M) areas shared by each row of `a` (N, 4) and each row of `b` (M, 4)."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def iou(a: Boxes, b: Boxes) -> Boxes:
    """Return the (N, M) intersection over union in [0, 1]; 0 where both boxes are empty."""
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def coverage(a: Boxes, b: Boxes) -> Boxes:
    """Return the (N, M) share in [0, 1] of each row of `a` that lies inside each row of `b`."""
    shared = intersections(a, b)
    own = areas(a)[:, None]
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def to_center_size(boxes: Boxes) -> Boxes:
    """Return (N, 4) centre x, centre y, width, height."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def from_center_size(boxes: Boxes) -> Boxes:
    """Return (N, 4) x1 y1 x2 y2 of boxes given as centre x, centre y, width, height."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """Return the boxes cut off at the edges of a `width` × `height` picture."""
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def feet_of(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return where people stand, (R, 2) x y, for (R, 4) boxes x1 y1 x2 y2."""
    return np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]]).astype(np.float64)


def to_file_pixels(boxes: NDArray[np.float32], file_scale: tuple[float, float]) -> NDArray[np.float32]:
    """Return (N, 4) boxes in square pixels as boxes in a file's own, of which `file_scale` make a square one."""
    return np.asarray(boxes * np.array(file_scale * 2), np.float32)


def to_square_pixels(boxes: NDArray[np.float32], file_scale: tuple[float, float]) -> NDArray[np.float32]:
    """Return (N, 4) boxes in a file's own pixels as boxes in square ones: what `to_file_pixels` undoes."""
    return np.asarray(boxes / np.array(file_scale * 2), np.float32)
