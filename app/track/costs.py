"""What it costs to say that a track and a detection are the same person: one named function for each cue.

Every function takes T tracks and N detections and returns a new (T, N) float64 array. A cost of 0 is a perfect fit;
+inf forbids the pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import iou

Array = NDArray[np.float64]
Boxes = NDArray[np.floating[Any]]


def iou_cost(tracks: Boxes, detections: Boxes) -> Array:
    """Return 1 - IoU of (T, 4) and (N, 4) boxes x1 y1 x2 y2."""
    return np.asarray(1.0 - iou(tracks, detections), np.float64)


def height_overlap(tracks: Boxes, detections: Boxes) -> Array:
    """Return the overlap of the vertical extents over their union, in [0, 1].

    People at different distances from the camera differ in where they stand and how tall they look, also when their
    boxes overlap. The height cue of Hybrid-SORT (Yang et al. 2024).
    """
    shared = np.minimum(tracks[:, None, 3], detections[None, :, 3]) - np.maximum(
        tracks[:, None, 1], detections[None, :, 1]
    )
    extent = np.maximum(tracks[:, None, 3], detections[None, :, 3]) - np.minimum(
        tracks[:, None, 1], detections[None, :, 1]
    )
    return np.asarray(np.clip(shared, 0, None) / np.maximum(extent, 1e-9), np.float64)


def expanded(boxes: Boxes, margins: NDArray[np.floating[Any]]) -> Boxes:
    """Return (N, 4) boxes with `margins` (N,) times their width and height added on every side.

    Comparing expanded boxes is the buffered IoU of C-BIoU (Yang et al. 2023): it lets a fast or long unseen person
    match boxes that no longer touch.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]) * margins[:, None]
    return np.concatenate([boxes[:, :2] - sides, boxes[:, 2:] + sides], axis=1)


def gated(costs: Array, forbidden: NDArray[np.bool_]) -> Array:
    """Return the costs with +inf where `forbidden` (T, N)."""
    return np.where(forbidden, np.inf, costs)
