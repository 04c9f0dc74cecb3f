"""What speaks for and against a track and a detection being the same person: one named function for each cue.

T tracks and N detections give a new (T, N) float64 array. Boxes are x1 y1 x2 y2 in pixels. In a cost, 0 is a perfect
fit and +inf forbids the pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import coverage

Array = NDArray[np.float64]
Boxes = NDArray[np.floating[Any]]


def box_similarity(overlap: Array, tracks: Boxes, detections: Boxes, height_power: float) -> Array:
    """Return the `overlap` (IoU) times the `height_power`-th power of the vertical overlap, in [0, 1]."""
    if height_power == 0:
        return overlap
    return np.asarray(overlap * height_overlap(tracks, detections) ** height_power, np.float64)


def height_overlap(tracks: Boxes, detections: Boxes) -> Array:
    """Return the overlap of the vertical extents over their union, in [0, 1].

    People at different distances from the camera differ in where they stand and in how tall they look, also when their
    boxes overlap. The height cue of Hybrid-SORT (Yang et al. 2024).
    """
    shared = np.minimum(tracks[:, None, 3], detections[None, :, 3]) - np.maximum(
        tracks[:, None, 1], detections[None, :, 1]
    )
    extent = np.maximum(tracks[:, None, 3], detections[None, :, 3]) - np.minimum(
        tracks[:, None, 1], detections[None, :, 1]
    )
    return np.asarray(np.maximum(shared, 0) / np.maximum(extent, 1e-9), np.float64)


def association_cost(similarity: Array, appearance: Array, min_similarity: float) -> Array:
    """Return 1 - similarity - appearance; +inf where the similarity alone is below `min_similarity`.

    similarity: (T, N) in [0, 1], of where the boxes are.  appearance: (T, N), above 0 where it speaks for the
    pair, below where against, 0 where unknown. It decides between boxes in the right place; it does not move the place.
    """
    return np.where(similarity >= min_similarity, 1.0 - similarity - appearance, np.inf)


def reach_heights(centers: Array, heights: Array, detections: Boxes) -> Array:
    """Return distances from (T, 2) centres to the detections' centres, in (T,) own heights."""
    found = (detections[:, :2].astype(np.float64) + detections[:, 2:]) / 2
    offsets = found[None] - centers[:, None]
    return np.asarray(np.hypot(offsets[..., 0], offsets[..., 1]) / np.maximum(heights, 1.0)[:, None], np.float64)


def crop_qualities(boxes: Boxes, scores: NDArray[np.floating[Any]]) -> Array:
    """Return (N,) qualities in [0, 1]: confidence times the squared share of the box that no nearer person may hide.

    On level ground the person whose feet are lower in the picture stands nearer.
    """
    if len(boxes) == 0:
        return np.zeros(0)
    hidden = np.where(boxes[None, :, 3] > boxes[:, None, 3], coverage(boxes, boxes), 0.0)
    return np.asarray(scores * (1.0 - hidden.max(axis=1)) ** 2, np.float64)
