"""What place and time say about two tracklets being one person, as log-odds to add to those of their appearance.

* **Who is where at once.** Two cameras that see different places do not see one person at one time; two that overlap
  do. How much more often surely linked pairs are seen at one time (or one before the other) than others is counted.
* **A shared floor.** Seen at one time by cameras of which the common floor is known, one person stands in one place.
* **Walking times.** Who leaves camera a at one of its exits and is expected at an entry of camera b after a walk of
  known length: pairs that fit are more probable by how much denser the learned walking times are there than the times
  of any two tracklets. People also go elsewhere first, so that a pair which does not fit loses nothing.

Every part is bounded and drawn to 0 while little has been seen. What the user has locked is the exception: a walk
faster than `shortest_s`, or places far apart on a calibrated floor, make a link impossible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from app.track.linking.floors import Resampled, mapped
from app.track.linking.pair_evidence import ABSENT_LOG_ODDS, PairEvidence
from app.track.linking.topology import EntryExitZone, Topology, Transit
from app.track.linking.topology_learning import Learned
from app.track.linking.visits import Visits, by_camera_pair
from app.track.linking.zones import NO_ZONE, nearest_zones

Floats = NDArray[np.float64]

LOWEST, HIGHEST = -2.0, 3.0
"""Bounds of what time and zones may say; looks say between -2.4 and about 4."""

TOGETHER_S = 0.5
"""Two sightings overlap in time when by more than this."""

ASSUMED_PAIRS = 10.0
"""Counts are drawn to "says nothing" as if by so many pairs."""

ASSUMED_STEPS = 5.0
DIRECT_SHARE = 0.3
"""Before anything was seen: which share of ordered pairs of one person follow each other directly."""

STEP_S = 0.25
GRID_S = np.arange(-30.0, 180.0 + STEP_S, STEP_S)
"""Gaps at which densities of walking times are tabulated; between, they are interpolated, beyond, they say nothing."""

MOST_DIRECT = 0.5
"""... and never more than this: the pairs that were not linked yet are those that do not follow directly."""

BACKGROUND_WIDTH_S = 8.0
LEAST_WIDTH_S = 0.5
ASSUMED_SPREAD_S = 4.0
MOST_STEPS = 500

FLOOR_HIGHEST, FLOOR_LOWEST = 4.0, -3.0
LEAST_FLOOR_ERROR = 0.08
FLOOR_SPREAD_HEIGHTS2 = 30.0
"""Area over which strangers are spread in a picture, in squared heights of a person."""

WRONG_SHARE = 0.05
"""How often the point of a person is wrong altogether: feet hidden, tracks mixed up."""

PERSON_M = 1.7
IMPOSSIBLE_M = 3.0
"""On a floor that the user calibrated, people this far apart all the time are two."""

SAMPLES = 8


def close_in_time(visits: Visits, topology: Topology) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs (rows < columns) of visits that place and time must judge however they look.

    These are visits to cameras with a shared floor that overlap in true time, since where somebody stands says more
    than looks, and visits that follow each other faster than a way of known length allows.
    """
    offsets = visits.offsets(topology.clocks)
    starts, ends = visits.starts - offsets, visits.ends - offsets
    reach_s = {way: -TOGETHER_S for a, b in topology.floors for way in ((a, b), (b, a))}
    reach_s |= {way: transit.shortest_s for way, transit in topology.transits.items() if transit.shortest_s}
    found = [np.zeros((0, 2), np.int64)]
    for (before, after), seconds in reach_s.items():
        one, other = (np.flatnonzero(visits.cameras == visits.names.index(name)) for name in (before, after))
        other = other[np.argsort(starts[other], kind="stable")]
        first = np.searchsorted(starts[other], starts[one])
        counts = np.maximum(np.searchsorted(starts[other], ends[one] + seconds) - first, 0)
        inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found.append(np.stack([np.repeat(one, counts), other[np.repeat(first, counts) + inside]], axis=1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def with_candidates(
    appearance: PairEvidence, rows: NDArray[np.int64], columns: NDArray[np.int64], seen: NDArray[np.bool_]
) -> tuple[PairEvidence, NDArray[np.bool_]]:
    """Return the evidence of appearance with further pairs, and which pairs are further ones.

    seen: (n,) which tracklets have vectors; two that have were not found alike, of others nothing is known.
    """
    count = len(seen)
    codes, known = rows * count + columns, appearance.rows * count + appearance.columns
    new = ~np.isin(codes, known)
    base = np.where(seen[rows[new]] & seen[columns[new]], ABSENT_LOG_ODDS, 0.0).astype(np.float32)
    order = np.argsort(np.concatenate([known, codes[new]]), kind="stable")
    both = [np.concatenate(pair)[order] for pair in ((appearance.rows, rows[new]), (appearance.columns, columns[new]))]
    value = np.concatenate([appearance.log_odds, base])[order]
    return PairEvidence(both[0], both[1], value), order >= len(known)


@dataclass(frozen=True, slots=True)
class PlaceEvidence:
    """Aligned with (E,) pairs: log-odds, and which pairs are impossible by what the user said.

    walks, floors: what of the log-odds comes from time and zones, and from a shared floor.
    """

    walks: NDArray[np.float32]
    floors: NDArray[np.float32]
    impossible: NDArray[np.bool_]

    @property
    def log_odds(self) -> NDArray[np.float32]:
        return self.walks + self.floors


def place_evidence(
    visits: Visits,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    people: NDArray[np.int64],
    learned: Learned,
) -> PlaceEvidence:
    """Return what place and time say of pairs of visits.

    rows, columns: (E,) pairs. people: (n,) who they are by the answer that `learned` was learned from.
    """
    topology = learned.topology
    offsets = visits.offsets(topology.clocks)
    starts, ends = visits.starts - offsets, visits.ends - offsets
    earlier = starts[rows] + ends[rows] <= starts[columns] + ends[columns]
    before, after = np.where(earlier, rows, columns), np.where(earlier, columns, rows)
    gaps = starts[after] - ends[before]
    together = (gaps < -TOGETHER_S) & (visits.cameras[rows] != visits.cameras[columns])
    same = people[rows] == people[columns]
    walks = np.zeros(len(rows))
    exits = _zone_numbers(visits, visits.exit_feet, topology.exits)
    entries = _zone_numbers(visits, visits.entry_feet, topology.entries)
    direct = {way: learned.steps[own] for way, own in by_camera_pair(visits.cameras, learned.steps).items()}
    count = len(visits.names)
    low = np.minimum(visits.cameras[rows], visits.cameras[columns])
    high = np.maximum(visits.cameras[rows], visits.cameras[columns])
    for code in np.unique(low * count + high):
        pair = np.flatnonzero(low * count + high == code)
        a, b = int(code) // count, int(code) % count
        forward = visits.cameras[before[pair]] == a
        kind = np.where(together[pair], 2, np.where(forward, 0, 1))
        if a != b:
            walks[pair] += _class_log_odds(kind, same[pair])
        for number, (start, end) in enumerate([(a, b), (b, a)][: 1 if a == b else 2]):
            chosen = pair[kind == number]
            steps = direct.get((start, end))
            way = topology.transits.get((visits.names[start], visits.names[end]), Transit())
            if (steps is None and not way.locked) or not len(chosen):
                continue
            observed, itself = np.zeros(0), np.zeros(len(chosen), np.bool_)
            if steps is not None:
                observed, itself = steps.gaps(visits, offsets), steps.contain(before[chosen], after[chosen])
            ratio = _walking_ratio(gaps[chosen], same[chosen], observed, itself, way)
            if steps is not None:
                ratio *= _zone_ratio(
                    exits[before[chosen]], entries[after[chosen]], exits[steps.before], entries[steps.after]
                )
            share = (len(observed) + ASSUMED_STEPS * DIRECT_SHARE) / (same[chosen].sum() + ASSUMED_STEPS)
            share = min(share, MOST_DIRECT)
            walks[chosen] += np.log1p(share * ratio)
    impossible = _too_fast(visits, before, after, gaps, topology.transits)
    floors, apart = _floor_log_odds(visits, rows, columns, together, topology)
    return PlaceEvidence(
        np.clip(walks, LOWEST, HIGHEST).astype(np.float32), floors.astype(np.float32), impossible | apart
    )


def _class_log_odds(kind: NDArray[np.int64], same: NDArray[np.bool_]) -> Floats:
    """Return (N,) log of how much more often pairs of one person are of this kind (a first, b first, together)."""
    others = np.bincount(kind[~same], minlength=3) + 1.0
    expected = others / others.sum()
    own = np.bincount(kind[same], minlength=3)
    found = (own + ASSUMED_PAIRS * expected) / (own.sum() + ASSUMED_PAIRS)
    return np.asarray(np.log(found / expected)[kind], np.float64)


def _walking_ratio(
    gaps: Floats, same: NDArray[np.bool_], observed: Floats, itself: NDArray[np.bool_], way: Transit
) -> Floats:
    """Return (N,) how much denser walking times are at these gaps than the gaps of any two tracklets.

    observed: (S,) walking times of confident steps. itself: (N,) which pairs are such steps: what one says is left out
    where it is judged, else every link would be confirmed by its own time. A few steps tell little: the density is
    drawn to what the user said of the way, or to none, as if by `ASSUMED_STEPS`.
    """
    background = _table(gaps[~same], BACKGROUND_WIDTH_S) + 1.0 / (len(gaps) + 1.0) / (GRID_S[-1] - GRID_S[0])
    inside = np.ones(len(GRID_S), np.bool_)
    assumed = np.zeros(len(GRID_S))
    if way.locked:
        inside = ((way.shortest_s or 0.0) <= GRID_S) & ((way.longest_s or np.inf) >= GRID_S)
        assumed = np.where(inside, 1.0 / max(inside.sum() * STEP_S, STEP_S), 0.0)
    found, own = np.zeros(len(GRID_S)), 0.0
    if len(observed):
        density, width_s = _walking_table(observed)
        found, own = np.where(inside, len(observed) * density, 0.0), 1 / (width_s * np.sqrt(2 * np.pi))

    def at_gaps(table: Floats) -> Floats:
        return np.asarray(np.interp(gaps, GRID_S, table, left=0.0, right=0.0), np.float64)

    others = np.maximum(at_gaps(found) - itself * own, 0.0)
    walking = (others + ASSUMED_STEPS * at_gaps(assumed)) / (len(observed) - itself + ASSUMED_STEPS)
    return np.asarray(walking / np.interp(gaps, GRID_S, background), np.float64)


def _walking_table(observed: Floats) -> tuple[Floats, float]:
    """Return the density of walking times on the grid, and the width of its kernel (by Silverman's rule on the core; of
    how much few times vary nothing is known, so that it is drawn to `ASSUMED_SPREAD_S`)."""
    core = 1.4826 * float(np.median(np.abs(observed - np.median(observed))))
    core = (len(observed) * core + ASSUMED_STEPS * ASSUMED_SPREAD_S) / (len(observed) + ASSUMED_STEPS)
    observed = observed[:: max(1, len(observed) // MOST_STEPS)]
    width_s = max(LEAST_WIDTH_S, 1.06 * core * len(observed) ** -0.2)
    return _table(observed, width_s), width_s


def _table(values: Floats, width_s: float) -> Floats:
    """Return the density of values on the grid, 1/s, smoothed with a Gaussian; what lies beyond the grid is missing."""
    counts = np.histogram(values, np.append(GRID_S, GRID_S[-1] + STEP_S) - STEP_S / 2)[0]
    smooth = gaussian_filter1d(counts.astype(np.float64), width_s / STEP_S, mode="constant")
    return np.asarray(smooth / max(1, len(values)) / STEP_S, np.float64)


def _zone_ratio(
    exits: NDArray[np.int64], entries: NDArray[np.int64], step_exits: NDArray[np.int64], step_entries: NDArray[np.int64]
) -> Floats:
    """Return (N,) how much more often walkers take this exit and then this entry than tracklets do in general."""
    exit_count = max(int(exits.max()), int(step_exits.max())) + 2
    entry_count = max(int(entries.max()), int(step_entries.max())) + 2
    expected = np.ones((exit_count, entry_count))
    np.add.at(expected, (exits - NO_ZONE, entries - NO_ZONE), 1.0)
    expected = expected.sum(axis=1, keepdims=True) * expected.sum(axis=0) / expected.sum() ** 2
    found = np.zeros_like(expected)
    np.add.at(found, (step_exits - NO_ZONE, step_entries - NO_ZONE), 1.0)
    found = (found + ASSUMED_PAIRS * expected) / (found.sum() + ASSUMED_PAIRS)
    return np.asarray((found / expected)[exits - NO_ZONE, entries - NO_ZONE], np.float64)


def _zone_numbers(visits: Visits, feet: Floats, zones: Mapping[str, tuple[EntryExitZone, ...]]) -> NDArray[np.int64]:
    numbers = np.full(len(feet), NO_ZONE, np.int64)
    for camera, name in enumerate(visits.names):
        own = visits.cameras == camera
        numbers[own] = nearest_zones(feet[own], zones.get(name, ()))
    return numbers


def _too_fast(
    visits: Visits,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    gaps: Floats,
    transits: Mapping[tuple[str, str], Transit],
) -> NDArray[np.bool_]:
    count = len(visits.names)
    shortest = np.full((count, count), -np.inf)
    for a, start in enumerate(visits.names):
        for b, end in enumerate(visits.names):
            way = transits.get((start, end))
            if way is not None and way.shortest_s:
                shortest[a, b] = way.shortest_s
    return np.asarray(gaps < shortest[visits.cameras[before], visits.cameras[after]])


def _floor_log_odds(
    visits: Visits,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    together: NDArray[np.bool_],
    topology: Topology,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (E,) log-odds from where people stand at one time, and (E,) which are impossible on a given floor."""
    log_odds = np.zeros(len(rows))
    impossible = np.zeros(len(rows), np.bool_)
    if not topology.floors or not together.any():
        return log_odds, impossible
    involved = np.unique(np.concatenate([rows[together], columns[together]]))
    paths = Resampled.of([visits.path(int(index)) for index in involved], visits.offsets(topology.clocks)[involved])
    for (name_a, name_b), floor in topology.floors.items():
        a, b = visits.names.index(name_a), visits.names.index(name_b)
        swapped = visits.cameras[rows] == b
        here, there = np.where(swapped, columns, rows), np.where(swapped, rows, columns)
        chosen = np.flatnonzero(together & (visits.cameras[here] == a) & (visits.cameras[there] == b))
        one, other = paths.together(
            np.searchsorted(involved, here[chosen]), np.searchsorted(involved, there[chosen]), SAMPLES
        )
        feet, target, heights = paths.feet[one], paths.feet[other], paths.heights[other]
        if floor.given:
            apart = _moved(topology.calibrations[name_a], feet) - _moved(topology.calibrations[name_b], target)
            off = np.linalg.norm(apart, axis=2) / PERSON_M
        else:
            off = np.linalg.norm(_moved(floor.a_to_b, feet) - target, axis=2) / heights
        off[(one < 0) | np.isnan(heights) | np.isnan(paths.heights[one])] = np.nan
        known = ~np.all(np.isnan(off), axis=1)
        log_odds[chosen[known]] = floor_log_odds(
            np.nanmedian(off[known], axis=1), max(LEAST_FLOOR_ERROR, floor.error_heights or 0.0)
        )
        if floor.given:
            impossible[chosen[known]] = np.nanmin(off[known], axis=1) * PERSON_M > IMPOSSIBLE_M
    return log_odds, impossible


def _moved(homography: Floats, points: Floats) -> Floats:
    """Return (N, S, 2) points under a homography."""
    return mapped(homography, points.reshape(-1, 2)).reshape(points.shape)


def floor_log_odds(off_heights: Floats, scale_heights: float) -> Floats:
    """Return (N,) log-odds of one person from distances, in heights, between where one stands and the other should.

    One person's error has heavy tails (Student's t with 3 degrees of freedom in the plane), strangers are anywhere.
    """
    spread = scale_heights**2
    density = (1 + off_heights**2 / (3 * spread)) ** -2.5 / (2 * np.pi * spread)
    ratio = (1 - WRONG_SHARE) * density * FLOOR_SPREAD_HEIGHTS2 + WRONG_SHARE
    return np.asarray(np.clip(np.log(ratio), FLOOR_LOWEST, FLOOR_HIGHEST), np.float64)
