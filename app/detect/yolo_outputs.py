"""Which of a network's classes are people, and the shapes in which Ultralytics networks write boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.detect.network import MAX_OVERLAP_IOU, Letterbox
from app.errors import InputError

STRIDE = 32
"""Sides of the input are multiples of this; the coarsest stride of every Ultralytics detector."""

PERSON_NAMES = ("person", "persons", "people", "pedestrian", "pedestrians", "human")
"""What data sets call people. A network may have several, such as VisDrone's pedestrian and people."""

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
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
    run: Infer
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


def person_classes(names: Mapping[int, str], wanted: Sequence[str], path: Path) -> list[int]:
    """Return the numbers of the classes that are people, by their names.

    names: of all classes of the network. wanted: what the user calls people, in capitals or not; empty for the usual
    names, and for a network with one class that one. Raises InputError that lists the names if there is none.
    """
    listed = ", ".join(str(name) for name in list(names.values())[:100]) + (", …" if len(names) > 100 else "")
    if wanted:
        numbers = [[n for n, name in names.items() if str(name).lower() == one.lower()] for one in wanted]
        missing = [one for one, found in zip(wanted, numbers, strict=True) if not found]
        if missing:
            raise InputError(
                f"detect.person_names: {path.name} has no class {', '.join(missing)}; its {len(names)} are: {listed}"
            )
        return sorted({number for found in numbers for number in found})
    if len(names) == 1:
        return list(names)
    people = [number for number, name in names.items() if str(name).lower().strip() in PERSON_NAMES]
    if not people:
        raise InputError(
            f"{path}: none of the network's {len(names)} classes is called {', '.join(PERSON_NAMES[:-1])} or "
            f"{PERSON_NAMES[-1]}; say which are people with --set detect.person_names='[NAME]'. They are: {listed}"
        )
    return people


def read_people(columns: NDArray[np.float32], min_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (4 + P, A) x1 y1 x2 y2 and scores of a network from `trim_to_people`."""
    scores = columns[4:].max(axis=0)
    chosen = np.flatnonzero(scores >= min_score)
    return columns[:4, chosen].T, scores[chosen]


def read_rows(
    people: Sequence[int], rows: NDArray[np.float32], min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (K, 6) x1 y1 x2 y2 score class."""
    chosen = np.flatnonzero((rows[:, 4] >= min_score) & np.isin(rows[:, 5].round(), people))
    return rows[chosen, :4], rows[chosen, 4]


def read_columns(
    people: Sequence[int], columns: NDArray[np.float32], min_score: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read (4 + classes, A) centre x, centre y, width, height, scores."""
    scores = columns[[4 + number for number in people]].max(axis=0)
    chosen = np.flatnonzero(scores >= min_score)
    centers, sizes = columns[:2, chosen].T, columns[2:4, chosen].T
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1), scores[chosen]
