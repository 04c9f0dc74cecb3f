"""The floor that two cameras both see: a homography from where people stand in one picture to where in the other.

People stand on a plane, so that the middle of the lower edge of a box in one camera determines where the same person
stands in another that sees the same piece of floor (Khan and Shah, 2006, link people so). The homography is learned
from tracklets that are surely one person: at each instant at which both cameras see the person, there is a pair of
points. Four pairs suffice, many are at hand, and a robust fit (RANSAC; Fischler and Bolles, 1981) forgives wrong ones.

Whether two cameras see the same floor at all is decided on links that the fit has not seen: walkers on different floors
can be brought into line by some homography as long as they are few, but it does not predict the next one.

The same points tell how far the clocks are apart. At the right shift the prediction is sharp; at a wrong one it runs
ahead of or behind everybody who walks, each in a direction of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.config import CameraPlace
from app.errors import InputError
from app.frames import Tracklet

Points = NDArray[np.float64]

STEP_S = 0.4
"""Two points of one person closer in time tell the same thing twice."""

LONGEST_HOLE_S = 1.0
"""Over a longer hole between a tracklet's rows nothing is interpolated."""

MOST_POINTS_OF_LINK = 24
HYPOTHESES = 80
FOLDS = 4
GOOD_LINKS = 0.65
"""A floor must be right for so many of the links; the rest may be wrong links."""

SAME_DIRECTION = 0.9
"""Length of the mean direction of all walks from which everybody goes the same way."""

WORST_CONDITION = 1e12
LEAST_AREA = 1e-3
"""Twice the smallest triangle of three calibration points, where the typical distance from their middle is 1.4."""

INLIER_HEIGHTS = 0.25
"""A point that lands within a quarter of the person's height of where it should is right."""


@dataclass(frozen=True, slots=True)
class FootPath:
    """Where somebody stands over time: (T,) float64 seconds, (T, 2) float64 pixels, (T,) float64 box heights."""

    times: NDArray[np.float64]
    feet: Points
    heights: NDArray[np.float64]

    @classmethod
    def of(cls, tracklet: Tracklet) -> FootPath:
        boxes = tracklet.boxes.astype(np.float64)
        return cls(tracklet.times, foot_points(boxes), np.maximum(boxes[:, 3] - boxes[:, 1], 1.0))

    def at(self, times: NDArray[np.float64]) -> tuple[Points, NDArray[np.float64], NDArray[np.bool_]]:
        """Return (N, 2) feet, (N,) heights and (N,) whether they are known at these instants."""
        return positions([self], np.array([len(times)]), times)


def positions(
    paths: Sequence[FootPath], counts: NDArray[np.int64], times: NDArray[np.float64]
) -> tuple[Points, NDArray[np.float64], NDArray[np.bool_]]:
    """Return (N, 2) feet, (N,) heights and (N,) whether they are known, of many paths at once.

    counts: (P,) how many of the (N,) times are asked of each path, one path after another.
    """
    if not len(times):
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.bool_)
    rows = np.array([len(path.times) for path in paths])
    bounds = np.append(0, np.cumsum(counts)).tolist()
    parts = zip(paths, bounds[:-1], bounds[1:], strict=True)
    after = np.concatenate([path.times.searchsorted(times[begin:end]) for path, begin, end in parts])
    last = np.repeat(rows - 1, counts)
    first = np.repeat(np.cumsum(rows) - rows, counts)
    after = first + np.minimum(np.maximum(after, 1), last)
    before = np.maximum(after - 1, first)
    own_times, feet, heights = (
        np.concatenate([getattr(path, name) for path in paths]) for name in ("times", "feet", "heights")
    )
    span = own_times[after] - own_times[before]
    inside = (times >= own_times[first] - 1e-6) & (times <= own_times[first + last] + 1e-6)
    share = np.minimum(np.maximum((times - own_times[before]) / np.where(span > 0, span, 1), 0), 1)
    there = feet[before] * (1 - share)[:, None] + feet[after] * share[:, None]
    return there, heights[before] * (1 - share) + heights[after] * share, inside & (span <= LONGEST_HOLE_S)


@dataclass(frozen=True, slots=True)
class Resampled:
    """Many paths at the instants 0, `STEP_S`, 2 `STEP_S`, … of the true time, one path after another.

    first: (P,) number of the first instant of each path. counts: (P,) how many it has; may be 0.
    feet: (sum of counts, 2) pixels. heights: (sum of counts,) pixels; NaN in holes.
    """

    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    feet: Points
    heights: NDArray[np.float64]

    @classmethod
    def of(cls, paths: Sequence[FootPath], offsets: NDArray[np.float64]) -> Resampled:
        """offsets: (P,) how far the clock of each path's camera is ahead, seconds."""
        starts = np.array([path.times[0] for path in paths]) - offsets
        ends = np.array([path.times[-1] for path in paths]) - offsets
        first = np.ceil(starts / STEP_S - 1e-9).astype(np.int64)
        counts = np.maximum(np.floor(ends / STEP_S + 1e-9).astype(np.int64) - first + 1, 0)
        instants = (np.repeat(first, counts) + _numbers_within(counts)) * STEP_S + np.repeat(offsets, counts)
        feet, heights, known = positions(paths, counts, np.asarray(instants, np.float64))
        return cls(first, counts, feet, np.where(known, heights, np.nan))

    def together(
        self, a: NDArray[np.int64], b: NDArray[np.int64], most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (N, most) rows of `feet` of paths a (N,) and b (N,) at the same instants, -1 where they share none."""
        begin = np.maximum(self.first[a], self.first[b])
        shared = np.minimum(self.first[a] + self.counts[a], self.first[b] + self.counts[b]) - begin
        chosen = (np.maximum(shared, 1)[:, None] - 1) * np.linspace(0, 1, most)
        instants = begin[:, None] + np.rint(chosen).astype(np.int64)
        offsets = np.cumsum(self.counts) - self.counts - self.first
        rows_a, rows_b = instants + offsets[a][:, None], instants + offsets[b][:, None]
        none = (shared <= 0)[:, None]
        return np.where(none, -1, rows_a), np.where(none, -1, rows_b)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Instants at which two cameras see the same people: (N, 2) feet in each, (N,) heights in b, (N,) link numbers."""

    a: Points
    b: Points
    heights: NDArray[np.float64]
    links: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: NDArray[np.bool_]) -> Sightings:
        return Sightings(self.a[rows], self.b[rows], self.heights[rows], self.links[rows])


def foot_points(boxes: NDArray[np.floating]) -> Points:
    """Return (N, 2) the middle of the lower edge of (N, 4) boxes."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).astype(np.float64)


def sightings(links: Sequence[tuple[FootPath, FootPath]], shift_s: float, most: int = MOST_POINTS_OF_LINK) -> Sightings:
    """Return up to `most` instants that both paths of each link know; the second camera's clock is `shift_s` ahead."""
    if not links:
        return Sightings(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    starts = np.array([max(a.times[0], b.times[0] - shift_s) for a, b in links])
    ends = np.array([min(a.times[-1], b.times[-1] - shift_s) for a, b in links])
    counts = np.where(ends < starts, 0, np.minimum(most, ((ends - starts) / STEP_S).astype(np.int64) + 1))
    steps = (ends - starts) / np.maximum(counts - 1, 1)
    times = np.repeat(starts, counts) + _numbers_within(counts) * np.repeat(steps, counts)
    feet_a, _, known = positions([a for a, _ in links], counts, times)
    feet_b, heights, seen = positions([b for _, b in links], counts, times + shift_s)
    known &= seen
    return Sightings(feet_a[known], feet_b[known], heights[known], np.repeat(np.arange(len(links)), counts)[known])


def _numbers_within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, … up to each of the counts, one after another."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def mapped(homography: Points, points: Points) -> Points:
    """Return (N, 2) points under a (3, 3) homography; those on its horizon land very far away."""
    found = np.column_stack([points, np.ones(len(points))]) @ homography.T
    scale = np.where(np.abs(found[:, 2:]) < 1e-9, 1e-9, found[:, 2:])
    return np.asarray(found[:, :2] / scale, np.float64)


def errors(homography: Points, seen: Sightings) -> NDArray[np.float64]:
    """Return (N,) distances in heights between where a's people should stand in b and where they do."""
    return np.asarray(np.linalg.norm(mapped(homography, seen.a) - seen.b, axis=1) / seen.heights, np.float64)


def fit_homography(a: Points, b: Points, weights: NDArray[np.float64] | None = None) -> Points:
    """Return the (3, 3) homography that takes (N, 2) points a to b best, N >= 4 (normalised DLT; Hartley, 1997)."""
    to_a, to_b = _normaliser(a), _normaliser(b)
    rows = _equations(mapped(to_a, a), mapped(to_b, b))
    if weights is not None:
        rows = rows * weights[:, None, None]
    rows = rows.reshape(-1, 9)
    solution = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, 3)  # eigenvalues rise
    result = np.linalg.inv(to_b) @ solution @ to_a
    return np.asarray(result / _scale(result), np.float64)


def calibrations(cameras: Mapping[str, CameraPlace]) -> dict[str, Points]:
    """Return the (3, 3) homography from pixels to metres of the floor of each camera of which the user gave one.

    Raises InputError when points do not determine one: they must not lie on a line, three of four included.
    """
    found = {}
    for name, place in cameras.items():
        if place.image_to_floor:
            homography, determined = np.array(place.image_to_floor, np.float64), True
        elif place.floor_points:
            points = np.array(place.floor_points, np.float64)
            homography = fit_homography(points[:, :2], points[:, 2:])
            determined = _determine_homography(points[:, :2]) and _determine_homography(points[:, 2:])
        else:
            continue
        if not determined or not np.all(np.isfinite(homography)) or np.linalg.cond(homography) > WORST_CONDITION:
            raise InputError(
                f"link.cameras.{name}: this calibration does not make a floor of the picture; take four points of the "
                "floor of which no three lie on a line"
            )
        found[name] = homography
    return found


def _determine_homography(points: Points) -> bool:
    """Return whether four of (N, 2) points are such that no three of them lie nearly on a line."""
    there = mapped(_normaliser(points), points)
    for four in itertools.combinations(there, 4):
        areas = [abs(np.linalg.det(np.array([b - a, c - a]))) for a, b, c in itertools.combinations(four, 3)]
        if min(areas) > LEAST_AREA:
            return True
    return False


def fit_shared_floor(seen: Sightings, rng: np.random.Generator) -> Points | None:
    """Return the homography from camera a's floor to camera b's that most sightings agree with, None if none does."""
    several = np.unique(seen.links)
    if len(seen) < 8 or len(several) < 2:
        return None
    to_a, to_b = _normaliser(seen.a), _normaliser(seen.b)
    a, b = mapped(to_a, seen.a), mapped(to_b, seen.b)
    # Every link has the same say, however long it lasted.
    share = 1 / np.bincount(seen.links)[seen.links]
    draws = np.log(share) + rng.gumbel(
        size=(HYPOTHESES, len(seen))
    )  # the four largest are a draw of four without return
    chosen = np.argpartition(-draws, 4, axis=1)[:, :4]
    rows = _equations(a, b)[chosen].reshape(HYPOTHESES, 8, 9)
    candidates = np.linalg.eigh(rows.transpose(0, 2, 1) @ rows)[1][:, :, 0].reshape(-1, 3, 3)
    found = np.column_stack([a, np.ones(len(a))]) @ candidates.transpose(0, 2, 1)
    depth = found[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.linalg.norm(found[..., :2] / depth - b, axis=2) / (seen.heights * to_b[0, 0])
    same_side = np.sign(depth[..., 0]) == np.sign(np.median(depth[..., 0], axis=1))[:, None]
    close = np.where(same_side & (distances < INLIER_HEIGHTS), 1 - distances / INLIER_HEIGHTS, 0)
    best = int(np.argmax(close @ share))
    inliers = close[best] > 0
    homography = np.linalg.inv(to_b) @ candidates[best] @ to_a
    for _ in range(3):
        if inliers.sum() < 8 or len(np.unique(seen.links[inliers])) < 2:
            return None
        kept = seen[inliers]
        homography = fit_homography(kept.a, kept.b, np.sqrt(share[inliers]) / kept.heights)
        inliers = errors(homography, seen) < INLIER_HEIGHTS
    return homography


def error_of_links(off: NDArray[np.float64], links: NDArray[np.int64]) -> float:
    """Return the error that `GOOD_LINKS` of the links do not exceed, each one's being the median of its sightings.

    More than a median is asked for: of two directions of traffic, one alone fits at a wrong shift of the clocks.
    links: (N,) in rising order.
    """
    parts = np.split(off, np.flatnonzero(np.diff(links)) + 1)
    return float(np.quantile([np.median(part) for part in parts], GOOD_LINKS, method="higher"))


def one_direction(seen: Sightings) -> bool:
    """Return whether everybody goes the same way in camera b, so that a late clock and another place look the same."""
    turns = np.flatnonzero(np.diff(seen.links)) + 1
    ways = np.array([part[-1] - part[0] for part in np.split(seen.b, turns)])
    sizes = np.array([part[0] for part in np.split(seen.heights, turns)])
    lengths = np.linalg.norm(ways, axis=1)
    walked = lengths > 0.5 * sizes
    if walked.sum() < 2:
        return True
    return float(np.linalg.norm((ways[walked] / lengths[walked, None]).mean(axis=0))) > SAME_DIRECTION


def held_out_error(seen: Sightings, rng: np.random.Generator) -> float:
    """Return the same as `error_of_links`, where each link is predicted from the others."""
    several = np.unique(seen.links)
    found = []
    for fold in range(min(FOLDS, len(several))):
        held = np.isin(seen.links, several[fold::FOLDS])
        homography = fit_shared_floor(seen[~held], rng)
        off = np.full(int(held.sum()), np.inf) if homography is None else errors(homography, seen[held])
        parts = np.split(off, np.flatnonzero(np.diff(seen.links[held])) + 1)
        found += [float(np.median(part)) for part in parts]
    return float(np.quantile(found, GOOD_LINKS, method="higher")) if found else float("inf")


def refined_shift(
    homography: Points, links: Sequence[tuple[FootPath, FootPath]], shift_s: float
) -> tuple[float, float]:
    """Return (how much later camera b's clock is than `shift_s` says, standard deviation), seconds.

    Each link says how far its person is ahead of where it should be, along its own way in camera b: people who stand
    say little, walkers much. The median over links is taken.
    """
    ahead, trust = [], []
    for a, b in links:
        start, end = max(a.times[0], b.times[0] - shift_s), min(a.times[-1], b.times[-1] - shift_s)
        if end < start + STEP_S:
            continue
        times = np.linspace(start, end, min(MOST_POINTS_OF_LINK, int((end - start) / STEP_S) + 1))
        (here, _, known), (there, heights, seen) = a.at(times), b.at(times + shift_s)
        known &= seen
        if known.sum() < 3:
            continue
        size = heights[known, None]
        pace = np.gradient(there, times, axis=0)[known] / size
        off = (mapped(homography, here[known]) - there[known]) / size
        right = np.linalg.norm(off, axis=1) < 4 * INLIER_HEIGHTS
        weight = float((pace[right] ** 2).sum())
        if weight > 0.1:
            ahead.append(float((pace[right] * off[right]).sum()) / weight)
            trust.append(weight)
    if len(ahead) < 3:
        return 0.0, float("inf")
    order = np.argsort(ahead)
    middle = np.cumsum(np.array(trust)[order]) >= sum(trust) / 2
    change = float(np.array(ahead)[order][np.argmax(middle)])
    spread = 1.4826 * float(np.median(np.abs(np.array(ahead) - change)))
    return change, max(1.2533 * spread / np.sqrt(len(ahead)), 0.01)


def _equations(a: Points, b: Points) -> Points:
    """Return (N, 2, 9) rows whose product with the homography's entries is 0."""
    point = np.column_stack([a, np.ones(len(a))])
    rows = np.zeros((len(a), 2, 9))
    rows[:, 0, :3] = rows[:, 1, 3:6] = point
    rows[:, :, 6:] = -b[:, :, None] * point[:, None, :]
    return rows


def _normaliser(points: Points) -> Points:
    """Return the (3, 3) shift and scale that bring points around the origin, at a mean distance of sqrt(2)."""
    center = points.mean(axis=0)
    spread = max(float(np.linalg.norm(points - center, axis=1).mean()), 1e-9)
    scale = np.sqrt(2) / spread
    return np.array([[scale, 0, -scale * center[0]], [0, scale, -scale * center[1]], [0, 0, 1]])


def _scale(homography: Points) -> float:
    return float(homography[2, 2]) if abs(homography[2, 2]) > 1e-12 else float(np.linalg.norm(homography))
