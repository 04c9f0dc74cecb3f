"""Tracklets that show one person first and another one later: where to cut them.

When two people meet, a tracker may follow the wrong one afterwards. The tracklet's own crops tell: those before and
those after are each alike, and both sides are unlike. The cut is a proposal: the linker gets both parts, and joins them
again if everything else it knows speaks for one person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.boxes import iou
from app.frames import Tracklet
from app.reid.calibrate import Calibration

Key = tuple[str, int]

MIN_CROPS = 2
"""Each side of a cut must show itself at least twice: a single crop may just be a bad one."""

CHANGED_PROBABILITY = 0.05
"""Two sides are two people only below this P(same)."""

STEADY_PROBABILITY = 0.5
"""And only if the crops within each side are of one person at least this probably."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a tracklet that the linker sees under a key of its own.

    key: of the tracklet.  at_s: where the part begins, the time of its first row.
    """

    key: Key
    at_s: float


def change_time(tracklet: Tracklet, crop_times: NDArray[np.float64], calibration: Calibration) -> float | None:
    """Return the time of the first row that shows somebody else, or None where nothing speaks for a change.

    crop_times: (K,) seconds at which the tracklet's crops were taken, aligned with its `vectors`.
    """
    order = np.argsort(crop_times, kind="stable")
    times, vectors = crop_times[order], tracklet.vectors[order]
    count = len(times)
    best: tuple[float, int] | None = None
    distances = 1.0 - vectors @ vectors.T
    for first in range(MIN_CROPS, count - MIN_CROPS + 1):
        across = float(distances[:first, first:].mean())
        within = max(_mean_pair(distances[:first, :first]), _mean_pair(distances[first:, first:]))
        p_across, p_within = calibration.probability(np.array([across, within], np.float32)).tolist()
        changed = p_across < CHANGED_PROBABILITY and p_within >= STEADY_PROBABILITY and times[first] > times[first - 1]
        if changed and (best is None or across - within > best[0]):
            best = (across - within, first)
    if best is None:
        return None
    # Between the last crop of the one and the first of the other, where the boxes follow each other worst.
    rows = np.flatnonzero((tracklet.times > times[best[1] - 1]) & (tracklet.times <= times[best[1]]))
    overlaps = np.array([iou(tracklet.boxes[row - 1 : row], tracklet.boxes[row : row + 1])[0, 0] for row in rows])
    return float(tracklet.times[rows[int(overlaps.argmin())]])


def cut_mixed(
    tracklets: Sequence[Tracklet],
    crop_times: Sequence[NDArray[np.float64]],
    calibration: Calibration,
    free_ids: Mapping[str, int],
) -> tuple[list[Tracklet], dict[Key, Cut]]:
    """Return the tracklets with each mixed one in two parts, and what the later parts are.

    crop_times: for each tracklet the (K,) seconds of its crops.
    free_ids: for each camera the first track id that it does not use. The earlier part keeps the tracklet's key, the
    later one gets such an id.
    """
    free = dict(free_ids)
    parts: list[Tracklet] = []
    cuts: dict[Key, Cut] = {}
    for tracklet, taken in zip(tracklets, crop_times, strict=True):
        at_s = change_time(tracklet, taken, calibration)
        if at_s is None:
            parts.append(tracklet)
            continue
        later = replace(_part(tracklet, taken, at_s, np.inf), track_id=free[tracklet.camera])
        free[tracklet.camera] += 1
        parts += [_part(tracklet, taken, -np.inf, at_s), later]
        cuts[later.key] = Cut(tracklet.key, at_s)
    return parts, cuts


def _part(tracklet: Tracklet, crop_times: NDArray[np.float64], start_s: float, end_s: float) -> Tracklet:
    """Return the rows and crops with start_s <= time < end_s."""
    rows = (tracklet.times >= start_s) & (tracklet.times < end_s)
    crops = (crop_times >= start_s) & (crop_times < end_s)
    return replace(
        tracklet,
        times=tracklet.times[rows],
        boxes=tracklet.boxes[rows],
        scores=tracklet.scores[rows],
        crops=tuple(crop for crop, inside in zip(tracklet.crops, crops, strict=True) if inside),
        vectors=tracklet.vectors[crops],
        qualities=tracklet.qualities[crops],
    )


def _mean_pair(distances: NDArray[np.float32]) -> float:
    """Return the mean over pairs of different rows of a symmetric (n, n) matrix, n ≥ 2."""
    count = len(distances)
    return float((distances.sum() - np.trace(distances)) / (count * (count - 1)))
