"""Tracklets that show one person first and another one later: where to cut them.

When two people meet, a tracker may follow the wrong one afterwards. The tracklet's own crops tell: those before and
those after are each alike, and both sides are unlike, judged as the linker judges two tracklets
(`app.track.linking.pair_evidence`).
The cut is a proposal: the linker gets both parts, and joins them again if everything else it knows speaks for one
person.

Measured by `tests/bench/bench_splitting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from app.boxes import iou
from app.frames import Tracklet, TrackletKey
from app.reid.calibrate import Calibration, unit_rows
from app.track.likeness import log_odds
from app.track.linking.pair_evidence import Footage, Scale, Sets, set_similarity
from app.track.linking.presence import Presence

MIN_CROPS = 2
"""Each side of a cut must show itself at least twice: a single crop may just be a bad one."""

CHANGED_PROBABILITY = 0.2
"""Two sides are two people only below this P(same)."""

STEADY_PROBABILITY = 0.5
"""And only if the crops within each side are of one person at least this probably."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a tracklet that the linker sees under a key of its own.

    key: of the tracklet.  at_s: where the part begins, the time of its first row.
    """

    key: TrackletKey
    at_s: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Reads how alike two groups of crops of one tracklet are. Fields as in `app.track.linking.pair_evidence.Footage`.

    centers: the (D,) centre of each camera.
    """

    centers: Mapping[str, NDArray[np.float32]]
    share: float
    scale: Scale
    calibration: Calibration

    @classmethod
    def of(cls, tracklets: Sequence[Tracklet], calibration: Calibration) -> Judge:
        """Return how to judge crops in the footage of these tracklets."""
        seen = [tracklet for tracklet in tracklets if tracklet.vectors.size]
        if not seen:
            return cls({}, 0.0, Scale(), calibration)
        sets = Sets.of([tracklet.vectors for tracklet in seen])
        footage = Footage.of(sets, seen, [Presence.of(tracklet) for tracklet in seen], calibration)
        sets.subtract(footage.centers)
        centers = {tracklet.camera: center for tracklet, center in zip(seen, footage.centers, strict=True)}
        return cls(centers, footage.share, footage.scale(sets), calibration)

    def log_odds(self, plain: NDArray[np.float32], centered: NDArray[np.float32]) -> float:
        """Return the log-odds of one person from the (A, B) cosines of two groups of crops, plain and centred."""
        own = self.share * float(self.scale.log_odds(np.array(set_similarity(centered))))
        distance = np.array([1 - set_similarity(plain)], np.float32)
        return own + (1 - self.share) * float(log_odds(self.calibration.probability(distance))[0])


def change_time(tracklet: Tracklet, crop_times: NDArray[np.float64], judge: Judge) -> float | None:
    """Return the time of the first row that shows somebody else, or None where nothing speaks for a change.

    crop_times: (K,) seconds at which the tracklet's crops were taken, aligned with its `vectors`.
    """
    order = np.argsort(crop_times, kind="stable")
    times, vectors = crop_times[order], tracklet.vectors[order]
    count = len(times)
    if count < 2 * MIN_CROPS:
        return None
    own = unit_rows(vectors - judge.centers[tracklet.camera])
    plain, centered = vectors @ vectors.T, own @ own.T
    best: tuple[float, int] | None = None
    for first in range(MIN_CROPS, count - MIN_CROPS + 1):
        if times[first] == times[first - 1]:
            continue
        across = judge.log_odds(plain[:first, first:], centered[:first, first:])
        # A side is judged like a tracklet's own halves: every other crop beside the ones between.
        sides = (slice(0, first, 2), slice(1, first, 2)), (slice(first, None, 2), slice(first + 1, None, 2))
        within = min(judge.log_odds(plain[even, odd], centered[even, odd]) for even, odd in sides)
        changed = across < logit(CHANGED_PROBABILITY) and within >= logit(STEADY_PROBABILITY)
        if changed and (best is None or within - across > best[0]):
            best = (within - across, first)
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
) -> tuple[list[Tracklet], dict[TrackletKey, Cut]]:
    """Return the tracklets with each mixed one in two parts, and what the later parts are.

    crop_times: for each tracklet the (K,) seconds of its crops.
    free_ids: for each camera the first track id that it does not use. The earlier part keeps the tracklet's key, the
    later one gets such an id.
    """
    free = dict(free_ids)
    parts: list[Tracklet] = []
    cuts: dict[TrackletKey, Cut] = {}
    judge = Judge.of(tracklets, calibration)
    for tracklet, taken in zip(tracklets, crop_times, strict=True):
        at_s = change_time(tracklet, taken, judge)
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
