"""The shapes in which Ultralytics networks write boxes, and how each is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.detect.network import MAX_OVERLAP_IOU, Letterbox

STRIDE = 32
"""Sides of the input are multiples of this; the coarsest stride of every Ultralytics detector."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Takes (B, H, W, 3) uint8 BGR images; returns the network's output (B, …)."""

Reader = Callable[[NDArray[np.float32], float], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Takes the network's output for one picture and the least score; returns (K, 4) x1 y1 x2 y2 and (K,) scores."""


@dataclass(frozen=True, slots=True)
class YoloNetwork:
    """A network with what is needed to run it and to read its output; implements `app.detect.network.Network`.

    largest_person_px: people taller than this in the input were not learned; None if it does not say.
    max_overlap_iou: boxes that overlap more are taken for one person; weights that place boxes loosely ask for less.
    """

    name: str
    weights: Path
    run: Run
    read: Reader
    longer_side: int
    fixed_size: tuple[int, int] | None = None
    largest_person_px: int | None = None
    max_overlap_iou: float = MAX_OVERLAP_IOU

    def letterbox(self, height: int, width: int) -> Letterbox:
        if self.fixed_size is not None:
            return Letterbox.fixed(height, width, self.fixed_size, centered=True)
        return Letterbox.rectangular(height, width, self.longer_side, STRIDE)

    def find(
        self, images: NDArray[np.uint8], min_score: float
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return [self.read(output, min_score) for output in self.run(images)]


def read_people(columns: NDArray[np.float32], min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (5, A) x1 y1 x2 y2 score of a network from `trim_to_people`."""
    chosen = np.flatnonzero(columns[4] >= min_score)
    return columns[:4, chosen].T, columns[4, chosen]


def read_rows(
    person: int, rows: NDArray[np.float32], min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (K, 6) x1 y1 x2 y2 score class."""
    chosen = np.flatnonzero((rows[:, 4] >= min_score) & (rows[:, 5].round() == person))
    return rows[chosen, :4], rows[chosen, 4]


def read_columns(
    person: int, columns: NDArray[np.float32], min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (4 + classes, A) centre x, centre y, width, height, scores."""
    chosen = np.flatnonzero(columns[4 + person] >= min_score)
    centers, sizes = columns[:2, chosen].T, columns[2:4, chosen].T
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1), columns[4 + person, chosen]
