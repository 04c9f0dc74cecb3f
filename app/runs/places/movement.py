"""How people move: from camera to camera with the time it takes, and how many are in sight over the hours."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.runs.people.visits import Person

logger = logging.getLogger(__name__)

MOST_STRETCHES = 10_000
"""A week in minutes."""


@dataclass(frozen=True, slots=True)
class Transition:
    """People who were seen by one camera and next by another, or by the same one again.

    count: how often; people: how many different ones.  median_s, p10_s, p90_s: seconds from going out of the one sight
    to coming into the other, by clocks that agree; negative where both cameras see a person at once.
    """

    start: str
    end: str
    count: int
    people: int
    median_s: float
    p10_s: float
    p90_s: float


def transitions(people: Iterable[Person], clock_offsets_s: Mapping[str, float] | None = None) -> list[Transition]:
    """Return the ways that people took, the most frequent first.

    clock_offsets_s: how far the clocks of cameras are ahead; those that are not named are right.
    """
    ahead = clock_offsets_s or {}
    gaps: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for person in people:
        seen = sorted(
            (visit.start_s - ahead.get(visit.camera, 0.0), visit.end_s - ahead.get(visit.camera, 0.0), visit.camera)
            for visit in person.visits
        )
        for (_, end, before), (start, _, after) in itertools.pairwise(seen):
            gaps.setdefault((before, after), []).append((person.id, start - end))
    found = []
    for (start_camera, end_camera), own in gaps.items():
        p10, median, p90 = np.quantile([gap for _, gap in own], [0.1, 0.5, 0.9]).tolist()
        who = len({person for person, _ in own})
        found.append(Transition(start_camera, end_camera, len(own), who, median, p10, p90))
    return sorted(found, key=lambda way: (-way.count, way.start, way.end))


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many people were there.  edges: (B + 1,) float64 seconds on the shared clock.

    mean: (B,) float64, averaged over each stretch.  peak: (B,) int64, the most at one moment of it.
    """

    edges: NDArray[np.float64]
    mean: NDArray[np.float64]
    peak: NDArray[np.int64]


def occupancy(spans: Sequence[tuple[float, float]], edges: NDArray[np.float64]) -> Occupancy:
    """Return how many of the spans (start, end), in seconds, cover each stretch between two edges."""
    # Counted from the first edge: sums of moments that count from 1970 would lose the fractions of seconds.
    starts = np.sort(np.array([start for start, _ in spans], np.float64)) - edges[0]
    ends = np.sort(np.array([end for _, end in spans], np.float64)) - edges[0]
    whole, edges = edges, edges - edges[0]
    # The time that spans had spent before a moment, added up: a sum over starts less the same over ends.
    spent = _time_since(starts, edges) - _time_since(ends, edges)
    mean = np.diff(spent) / np.diff(edges)
    moments = np.concatenate([edges[:-1], starts])  # only there the number can be highest in a stretch
    there = np.searchsorted(starts, moments, side="right") - np.searchsorted(ends, moments, side="left")
    stretch = np.searchsorted(edges, moments, side="right") - 1
    peak = np.zeros(len(edges) - 1, np.int64)
    inside = (stretch >= 0) & (stretch < len(peak))
    np.maximum.at(peak, stretch[inside], there[inside])
    return Occupancy(whole, np.maximum(mean, 0.0), peak)


def even_edges(start_s: float, end_s: float, stretch_s: float) -> NDArray[np.float64]:
    """Return edges from `start_s` to `end_s` in steps of `stretch_s`, the last one shorter: at least two of them.

    Over a time so long that there would be more than `MOST_STRETCHES` the steps are longer, and the log says so.
    """
    longest_s = (end_s - start_s) / MOST_STRETCHES
    if stretch_s < longest_s:
        logger.warning(
            "%.0f s are too long for stretches of %g s; they are %.0f s", end_s - start_s, stretch_s, longest_s
        )
        stretch_s = longest_s
    inner = np.arange(start_s, max(end_s, start_s + 1e-3), stretch_s)
    return np.append(inner, max(end_s, inner[-1] + 1e-3))


def _time_since(moments: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each edge the sum of the times since those moments (sorted) that are past."""
    past = np.searchsorted(moments, edges, side="right")
    total = np.concatenate([[0.0], np.cumsum(moments)])
    return np.asarray(past * edges - total[past])
