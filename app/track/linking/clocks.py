"""How far apart the cameras' clocks are, from people who walk to and fro between their views.

Where views do not overlap, a walk from camera a to camera b seems to last T + d and the walk back T - d, when b's clock
is d ahead of a's: d is half the difference. T itself varies, and most of that can be explained: who walks (some are
faster) and where they cross the edges of the two pictures (the unseen way is longer on one side of the street than on
the other). So d is a coefficient of a robust linear fit with both as explanations. In simulated streets that takes the
error after two and a half minutes from 0.43 s (half the difference of medians) to 0.10 s. Traffic in one direction
only cannot tell a late clock from a long way, and then nothing is said.

That needs people who are surely recognised. Where too many look alike, all pairs that may be one person are laid
beside each other: wrong ones spread over all times, right ones crowd where a walk takes them, at T + d one way and at
T - d the other (Makris et al., 2004, find ways between cameras so). A crowd that stands out clearly in both directions
gives d to half a second or so, which is enough to begin with.

Where views overlap, `app.track.linking.floors` aligns the paths of people seen by both. All pairs together give each
camera one offset by weighted least squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.track.linking.topology import Clock

MODE_WIDTH_S = 1.2
"""Width of the kernel with which the commonest walking time is looked for."""

WINDOW_S = 5.0
"""Walks further from the commonest time went by another way or made a stop."""

MIN_WALKS = 4
"""Walks in each direction without which a pair of cameras says nothing about its clocks."""

MOST_WALKS = 200
"""Walks in each direction that are looked at, spread over the recording: time goes with their square, and more tell no
more than where people cross the edges of the pictures allows."""

MOST_CANDIDATES = 2000
CROWD_GRID_S = 0.25
LONGEST_WALK_S = 25.0
AROUND_WIDTH_S = 8.0
"""Width of the kernel that says how many candidates there would be without a crowd."""

CLEAR_CROWD, LEAST_CROWD = 3.0, 1.5
"""By how many standard deviations of chance a crowd must stand out, in both directions together and in each."""

CROWD_UNCERTAINTY_S = 0.6
"""Standard deviation of a shift that was read from a crowd; measured on simulated streets."""

LARGEST_UNCERTAINTY_S = 1.5
LEAST_SPREAD_S = 0.1
ROUNDS = 20
TUKEY = 4.685
"""Residuals beyond so many standard deviations count nothing (Tukey's biweight at 95 % efficiency)."""


@dataclass(frozen=True, slots=True)
class Walks:
    """Pairs of sightings of one person in camera a and in camera b, whichever came first.

    gaps_s: (W,) from the end of the first to the start of the second, by the cameras' own clocks.
    forward: (W,) True from a to b.
    people: (W,) number of the person.
    feet_a, feet_b: (W, 2) where the person left or entered the picture of a, and of b, pixels.
    """

    gaps_s: NDArray[np.float64]
    forward: NDArray[np.bool_]
    people: NDArray[np.int64]
    feet_a: NDArray[np.float64]
    feet_b: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.bool_]) -> Walks:
        return Walks(self.gaps_s[rows], self.forward[rows], self.people[rows], self.feet_a[rows], self.feet_b[rows])


@dataclass(frozen=True, slots=True)
class Shift:
    """Camera b's clock is `shift_s` ahead of camera a's, with a standard deviation of `uncertainty_s`."""

    a: str
    b: str
    shift_s: float
    uncertainty_s: float


def shift_of_walks(walks: Walks, largest_s: float) -> tuple[float, float] | None:
    """Return (shift of b's clock, uncertainty) in seconds, None where the walks do not tell.

    largest_s: a larger shift is not considered.
    """
    walks = walks[_spread_out(walks.forward)]
    modes = _commonest(walks.gaps_s[walks.forward], walks.gaps_s[~walks.forward], largest_s)
    if modes is None:
        return None
    near = walks[np.abs(walks.gaps_s - np.where(walks.forward, *modes)) < WINDOW_S]
    if min(near.forward.sum(), (~near.forward).sum()) < MIN_WALKS:
        return None
    same_person = near.people[:, None] == np.unique(near.people)
    columns = np.column_stack(
        [np.where(near.forward, 1.0, -1.0), np.ones(len(near.gaps_s))]
        + [_standard(feet) for feet in (near.feet_a, near.feet_b)]
        + [same_person]
    )
    # Explanations are drawn to 0 as if by one walk that knows nothing of them; the shift and the way are not.
    shift, uncertainty = _robust_coefficient(columns, np.repeat([0.0, 1.0], [2, columns.shape[1] - 2]), near.gaps_s)
    return None if uncertainty > LARGEST_UNCERTAINTY_S else (shift, uncertainty)


def shift_of_crowds(
    forward: tuple[NDArray[np.float64], NDArray[np.float64]],
    backward: tuple[NDArray[np.float64], NDArray[np.float64]],
    largest_s: float,
) -> tuple[float, float] | None:
    """Return (shift of b's clock, uncertainty) in seconds, None where no crowd of walks stands out.

    forward, backward: of pairs of visits that may be one person's, from camera a to b and from b to a: (F,) and (B,)
    seconds from the end of the one to the start of the other, and the weight of each pair.
    """
    steps = int(np.floor(largest_s / CROWD_GRID_S))
    walks = int(LONGEST_WALK_S / CROWD_GRID_S)
    gaps = np.asarray(np.arange(-steps, walks + steps + 1) * CROWD_GRID_S, np.float64)
    out, back = (_crowding_beyond_chance(*candidates, gaps) for candidates in (forward, backward))
    shift, walk = np.meshgrid(np.arange(-steps, steps + 1), np.arange(walks + 1), indexing="ij")
    one, other = out[steps + walk + shift], back[steps + walk - shift]
    score = np.where(np.minimum(one, other) >= LEAST_CROWD, (one + other) / np.sqrt(2), 0.0)
    best = np.unravel_index(int(np.argmax(score)), score.shape)
    return (float(shift[best] * CROWD_GRID_S), CROWD_UNCERTAINTY_S) if score[best] >= CLEAR_CROWD else None


def _crowding_beyond_chance(
    found: NDArray[np.float64], weights: NDArray[np.float64], gaps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (G,) by how many standard deviations more candidates (N,) lie near `gaps` (G,) than around them."""
    step = -(-len(found) // MOST_CANDIDATES) or 1
    apart, weights = gaps[:, None] - found[::step], weights[::step]
    near = np.exp(-0.5 * (apart / MODE_WIDTH_S) ** 2) @ weights
    around = np.exp(-0.5 * (apart / AROUND_WIDTH_S) ** 2) * (MODE_WIDTH_S / AROUND_WIDTH_S)
    # The mean square of the narrow kernel is its mean over the root of 2; a third of a sighting is always unsure.
    variance = around @ weights**2 / np.sqrt(2) + 1 / 3
    return np.asarray((near - around @ weights) / np.sqrt(variance), np.float64)


def _spread_out(forward: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (W,) which walks to look at: every n-th of each direction, so that at most `MOST_WALKS` remain of it."""
    chosen = np.zeros(len(forward), np.bool_)
    for own in (np.flatnonzero(forward), np.flatnonzero(~forward)):
        chosen[own[:: -(-len(own) // MOST_WALKS) or 1]] = True
    return chosen


def solve_clocks(cameras: Sequence[str], shifts: Sequence[Shift], locked: Mapping[str, float]) -> dict[str, Clock]:
    """Return the clock of each camera from the shifts of pairs; known clocks are `locked`, else the first is right.

    A camera that no chain of shifts joins to a known clock stays "unknown".
    """
    clocks = {camera: Clock(locked[camera], 0.0, "locked") for camera in cameras if camera in locked}
    if not clocks and cameras:
        clocks[cameras[0]] = Clock(0.0, 0.0, "reference")
    known = set(clocks)
    while True:
        joined = {s.b for s in shifts if s.a in known} | {s.a for s in shifts if s.b in known}
        if joined <= known:
            break
        known |= joined
    wanted = [camera for camera in cameras if camera in known and camera not in clocks]
    number = {camera: column for column, camera in enumerate(wanted)}
    rows, values = [], []
    for shift in shifts:
        if shift.a not in known or not ({shift.a, shift.b} & set(wanted)):
            continue
        row, value = np.zeros(len(wanted)), shift.shift_s
        for camera, factor in ((shift.b, 1.0), (shift.a, -1.0)):
            if camera in number:
                row[number[camera]] = factor
            else:
                value -= factor * clocks[camera].offset_s
        rows.append(row / shift.uncertainty_s)
        values.append(value / shift.uncertainty_s)
    if wanted:
        matrix = np.array(rows)
        covariance = np.linalg.pinv(matrix.T @ matrix)
        offsets = covariance @ matrix.T @ np.array(values)
        for camera, column in number.items():
            clocks[camera] = Clock(float(offsets[column]), float(np.sqrt(covariance[column, column])), "estimated")
    return {camera: clocks.get(camera, Clock()) for camera in cameras}


def _commonest(
    forward: NDArray[np.float64], backward: NDArray[np.float64], largest_s: float
) -> tuple[float, float] | None:
    """Return the commonest time of each direction, such that the way takes no negative time."""
    if min(len(forward), len(backward)) < MIN_WALKS:
        return None

    def crowding(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(-0.5 * ((gaps[:, None] - gaps) / MODE_WIDTH_S) ** 2).sum(axis=1))

    shift = (forward[:, None] - backward) / 2
    way = (forward[:, None] + backward) / 2
    score = np.minimum(crowding(forward)[:, None], crowding(backward)[None, :])
    score = np.where((np.abs(shift) <= largest_s) & (way >= 0), score, 0)
    best = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[best] < MIN_WALKS / 2:
        return None
    return float(forward[best[0]]), float(backward[best[1]])


def _standard(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 2) points relative to their median, in standard deviations; 0 where they do not differ."""
    return np.asarray((points - np.median(points, axis=0)) / np.maximum(points.std(axis=0), 1.0), np.float64)


def _robust_coefficient(
    columns: NDArray[np.float64], ridge: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the first coefficient of a linear fit that outliers do not move (iterated biweight), and its deviation."""
    weights = np.ones(len(values))
    solution, deviation = np.zeros(columns.shape[1]), float("inf")
    for _ in range(ROUNDS):
        weighted = weights[:, None] * columns
        inverse = np.linalg.inv(columns.T @ weighted + np.diag(ridge))
        solution = inverse @ (weighted.T @ values)
        residuals = values - columns @ solution
        freedom = len(values) - float(np.trace(inverse @ (columns.T @ weighted)))
        spread = 1.4826 * float(np.median(np.abs(residuals))) * np.sqrt(len(values) / max(freedom, 2.0))
        spread = max(spread, LEAST_SPREAD_S)
        deviation = float(np.sqrt(inverse[0, 0])) * spread
        weights = np.clip(1 - (residuals / (TUKEY * spread)) ** 2, 0, None) ** 2
    return float(solution[0]), deviation
