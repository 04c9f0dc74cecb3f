"""Learning the cameras' places from a first answer of who is who: `learn_topology` is the page to read.

Everything is learned from confident links only: pairs of tracklets that the linker put into one person, that look alike
by themselves, and of which neither looks nearly as much like a tracklet of anybody else in the other's camera. Nothing
is needed from the user; what the user said (`LinkSettings.cameras`, `LinkSettings.ways`) is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.config import LinkSettings
from app.track.likeness import probability
from app.track.linking.clocks import Shift, Walks, shift_of_crowds, shift_of_walks, solve_clocks
from app.track.linking.floors import (
    MOST_POINTS_OF_LINK,
    FootPath,
    Sightings,
    calibrations,
    error_of_links,
    errors,
    fit_shared_floor,
    held_out_error,
    one_direction,
    refined_shift,
    sightings,
)
from app.track.linking.pair_evidence import PairEvidence
from app.track.linking.topology import Clock, EntryExitZone, SharedFloor, Topology, Transit
from app.track.linking.visits import Steps, Visits, by_camera_pair
from app.track.linking.zones import find_zones

CONFIDENT_LOG_ODDS = 0.0
"""A confident link looks alike with at least this log-odds (P = 0.62), the company of other tracklets aside."""

CONFIDENT_LEAD = 0.0
"""... and by so much more than the best of either with anybody else in the other's camera."""

CANDIDATE_LOG_ODDS = -0.8
"""Pairs that may be one person: P(same) from 0.3 on. Only the clocks are read from them, and only from crowds."""

LONGEST_GAP_S = 90.0


MIN_FLOOR_LINKS = 5
LARGEST_FLOOR_ERROR = 0.25
"""Two cameras share a floor when links that the fit has not seen land within a quarter of a height of where they
should, in the median, and much closer than a guess that ignores the other camera."""

MOST_FLOOR_LINKS = 24
CLOCK_ROUNDS = 4

SHIFT_STEP_S = 0.5
SEARCH_POINTS = 6
"""The shift is looked for in such steps with so few points of each link; then it is refined with more."""


@dataclass(frozen=True, slots=True)
class FoundFloor:
    """A shared floor, and (how far the second camera's clock is ahead, uncertainty) in seconds, None if unknown."""

    floor: SharedFloor
    shift: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned, the confident steps that show how people go about, and the shared floors by cameras."""

    topology: Topology
    steps: Steps
    floors: Mapping[tuple[str, str], FoundFloor]


def learn_topology(
    visits: Visits,
    evidence: PairEvidence,
    people: NDArray[np.int64],
    settings: LinkSettings,
    before: Learned | None = None,
) -> Learned:
    """Learn clocks, shared floors, zones and transit times.

    evidence: what the appearance say of pairs of visits. people: (n,) who each visit is, by the linker.
    before: what was learned from an earlier answer; its shared floors stay as they are.
    """
    sure = confident_links(visits.cameras, evidence, people)
    rows, columns = evidence.rows[sure], evidence.columns[sure]
    floors = _floors(visits, rows, columns, settings, before.floors if before else {})
    shifts = [Shift(*names, *found.shift) for names, found in floors.items() if found.shift is not None]
    locked = {
        name: camera.clock_offset_s
        for name, camera in settings.cameras.items()
        if camera.clock_offset_s is not None and name in visits.names
    }
    crowds = _crowds(visits, evidence, floors, settings.max_clock_offset_s)
    clocks, steps = _clocks(visits, rows, columns, people, shifts, crowds, locked, settings.max_clock_offset_s)
    across = visits.cameras[rows] != visits.cameras[columns]
    topology = Topology(
        clocks=clocks,
        entries=_zones(visits, visits.entry_feet),
        exits=_zones(visits, visits.exit_feet),
        transits=_transits(visits, steps, clocks, settings),
        floors={names: found.floor for names, found in floors.items()},
        calibrations=calibrations(settings.cameras),
        links=int(across.sum()),
        rounds=before.topology.rounds + 1 if before else 1,
    )
    return Learned(topology, steps, floors)


def confident_links(cameras: NDArray[np.int64], evidence: PairEvidence, people: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (E,) which pairs of the evidence are surely one person."""
    rows, columns, value = evidence.rows, evidence.columns, evidence.log_odds
    same = people[rows] == people[columns]
    rival = np.full((len(cameras), int(cameras.max(initial=-1)) + 1), -np.inf)
    np.maximum.at(rival, (rows[~same], cameras[columns[~same]]), value[~same])
    np.maximum.at(rival, (columns[~same], cameras[rows[~same]]), value[~same])
    lead = value - np.maximum(rival[rows, cameras[columns]], rival[columns, cameras[rows]])
    return np.asarray(same & (value >= CONFIDENT_LOG_ODDS) & (lead >= CONFIDENT_LEAD))


def _clocks(
    visits: Visits,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    people: NDArray[np.int64],
    known: Sequence[Shift],
    crowds: Mapping[tuple[int, int], Shift],
    locked: Mapping[str, float],
    largest_s: float,
) -> tuple[dict[str, Clock], Steps]:
    """Return the clocks, and the steps from each visit of a person to the next by them.

    known: shifts of cameras that share a floor. crowds: for pairs of cameras, what is believed of them where confident
    steps do not tell.

    Which visit is the next depends on the clocks. So the first round takes every confident pair both ways, finds the
    commonest walking times among them, and the later ones take consecutive visits only.
    """
    every = Steps(np.concatenate([rows, columns]), np.concatenate([columns, rows]), np.concatenate([people[rows]] * 2))
    clocks = solve_clocks(visits.names, known, locked)
    steps = _consecutive(visits, rows, columns, people, clocks)
    for round_number in range(CLOCK_ROUNDS):
        walked = every if round_number == 0 else steps
        found = list(known)
        of_pair = by_camera_pair(visits.cameras, walked)
        overlapping = {(shift.a, shift.b) for shift in known}
        for a, b in sorted({(min(pair), max(pair)) for pair in of_pair if pair[0] != pair[1]} | set(crowds)):
            if (visits.names[a], visits.names[b]) in overlapping:
                continue  # nobody walks unseen from one to the other
            chosen = [of_pair[pair] for pair in ((a, b), (b, a)) if pair in of_pair]
            own = walked[np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))]
            shift = shift_of_walks(_walks(visits, own, a), 2 * largest_s)
            if shift is not None:
                found.append(Shift(visits.names[a], visits.names[b], *shift))
            elif (a, b) in crowds:
                found.append(crowds[a, b])
        before, clocks = clocks, solve_clocks(visits.names, found, locked)
        clocks = {name: clock if abs(clock.offset_s) <= largest_s else Clock() for name, clock in clocks.items()}
        steps = _consecutive(visits, rows, columns, people, clocks)
        if round_number and all(abs(before[name].offset_s - clocks[name].offset_s) < 0.01 for name in clocks):
            break
    return clocks, steps


def _crowds(
    visits: Visits, evidence: PairEvidence, floors: Mapping[tuple[str, str], FoundFloor], largest_s: float
) -> dict[tuple[int, int], Shift]:
    """Return what all pairs that may be one person say of the clocks of cameras without a shared floor."""
    likely = (evidence.log_odds > CANDIDATE_LOG_ODDS) & (
        visits.cameras[evidence.rows] != visits.cameras[evidence.columns]
    )
    rows, columns = evidence.rows[likely], evidence.columns[likely]
    weights = np.tile(probability(evidence.log_odds[likely]) ** 2, 2)
    nobody = np.full(2 * len(rows), -1)
    every = Steps(np.concatenate([rows, columns]), np.concatenate([columns, rows]), nobody)
    gaps = every.gaps(visits, np.zeros(len(visits.starts)))
    of_pair = by_camera_pair(visits.cameras, every)
    found = {}
    for (a, b), out in of_pair.items():
        names = visits.names[a], visits.names[b]
        if a > b or names in floors:
            continue
        forward, backward = (own[np.abs(gaps[own]) < LONGEST_GAP_S] for own in (out, of_pair[b, a]))
        shift = shift_of_crowds(
            (gaps[forward], weights[forward]),
            (gaps[backward], weights[backward]),
            2 * largest_s,
        )
        if shift is not None:
            found[a, b] = Shift(*names, *shift)
    return found


def _walks(visits: Visits, steps: Steps, a: int) -> Walks:
    forward = visits.cameras[steps.before] == a
    left, came = visits.exit_feet[steps.before], visits.entry_feet[steps.after]
    gaps = visits.starts[steps.after] - visits.ends[steps.before]
    at_a, at_b = np.where(forward[:, None], left, came), np.where(forward[:, None], came, left)
    return Walks(gaps, forward, steps.people, at_a, at_b)


def _consecutive(
    visits: Visits,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    people: NDArray[np.int64],
    clocks: Mapping[str, Clock],
) -> Steps:
    """Return the steps from each visit of a person to the next one, of which the link is confident."""
    middles = visits.starts + visits.ends - 2 * visits.offsets(clocks)
    order = np.lexsort((np.arange(len(middles)), middles, people))
    before, after = order[:-1], order[1:]
    codes = np.sort(rows * len(people) + columns)
    wanted = np.minimum(before, after) * len(people) + np.maximum(before, after)
    place = np.minimum(np.searchsorted(codes, wanted), max(0, len(codes) - 1))
    sure = (codes[place] == wanted) if len(codes) else np.zeros(len(wanted), np.bool_)
    kept = sure & (people[before] == people[after])
    return Steps(before[kept], after[kept], people[before[kept]])


def _transits(
    visits: Visits, steps: Steps, clocks: Mapping[str, Clock], settings: LinkSettings
) -> dict[tuple[str, str], Transit]:
    gaps = steps.gaps(visits, visits.offsets(clocks))
    transits = {
        (visits.names[a], visits.names[b]): Transit.of(gaps[own])
        for (a, b), own in by_camera_pair(visits.cameras, steps).items()
        if a != b
    }
    for way in settings.ways:
        own = transits.get((way.from_camera, way.to_camera), Transit())
        transits[way.from_camera, way.to_camera] = replace(own, shortest_s=way.shortest_s, longest_s=way.longest_s)
    return transits


def _zones(visits: Visits, feet: NDArray[np.float64]) -> dict[str, tuple[EntryExitZone, ...]]:
    return {
        name: find_zones(feet[visits.cameras == number], visits.heights[visits.cameras == number])
        for number, name in enumerate(visits.names)
    }


def _floors(
    visits: Visits,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    settings: LinkSettings,
    known: Mapping[tuple[str, str], FoundFloor],
) -> dict[tuple[str, str], FoundFloor]:
    """Return which cameras see the same floor, and what people's paths on it say about the clocks."""
    to_floor = calibrations(settings.cameras)
    near = (
        np.maximum(visits.starts[rows], visits.starts[columns]) - np.minimum(visits.ends[rows], visits.ends[columns])
        <= settings.max_clock_offset_s
    )
    swap = visits.cameras[rows] > visits.cameras[columns]
    links = Steps(np.where(swap, columns, rows)[near], np.where(swap, rows, columns)[near], rows[near])
    of_pair = by_camera_pair(visits.cameras, links)
    floors: dict[tuple[str, str], FoundFloor] = {}
    for a in range(len(visits.names)):
        for b in range(a + 1, len(visits.names)):
            names = visits.names[a], visits.names[b]
            if names in known:
                floors[names] = known[names]
                continue
            numbers = of_pair.get((a, b), np.zeros(0, np.int64))
            given = _given_floor(to_floor, *names)
            chosen = numbers[:: max(1, len(numbers) // MOST_FLOOR_LINKS)].tolist()
            paths = [(visits.path(links.before[n]), visits.path(links.after[n])) for n in chosen]
            found = _shared_floor(paths, given, settings.max_clock_offset_s)
            if found is None and given is not None:
                found = FoundFloor(SharedFloor(given, None, 0, True), None)
            if found is not None:
                floors[names] = found
    return floors


def _given_floor(to_floor: Mapping[str, NDArray[np.float64]], a: str, b: str) -> NDArray[np.float64] | None:
    if a not in to_floor or b not in to_floor:
        return None
    return np.asarray(np.linalg.inv(to_floor[b]) @ to_floor[a], np.float64)


def _shared_floor(
    links: Sequence[tuple[FootPath, FootPath]], given: NDArray[np.float64] | None, largest_s: float
) -> FoundFloor | None:
    """Return the floor that two cameras share, None if they share none; `given` is known and not to be learned."""
    if len(links) < MIN_FLOOR_LINKS:
        return None
    rng = np.random.default_rng(0)
    starts, ends = (np.array([[path.times[end] for path in link] for link in links]).T for end in (0, -1))
    least = max(MIN_FLOOR_LINKS, len(links) // 2)

    def fit(shift_s: float, most: int) -> tuple[float, NDArray[np.float64] | None, Sightings]:
        together = np.minimum(ends[0], ends[1] - shift_s) > np.maximum(starts[0], starts[1] - shift_s)
        seen = sightings(links if together.sum() >= least else [], shift_s, most)
        if len(np.unique(seen.links)) < least or one_direction(seen):
            return float("inf"), None, seen
        homography = fit_shared_floor(seen, rng) if given is None else given
        if homography is None:
            return float("inf"), None, seen
        return error_of_links(errors(homography, seen), seen.links), homography, seen

    steps = np.arange(-np.floor(largest_s / SHIFT_STEP_S), np.floor(largest_s / SHIFT_STEP_S) + 0.5) * SHIFT_STEP_S
    shift = float(min(steps[np.argsort(np.abs(steps), kind="stable")], key=lambda at: fit(float(at), SEARCH_POINTS)[0]))
    uncertainty = float("inf")
    for _ in range(3):
        _, homography, _ = fit(shift, MOST_POINTS_OF_LINK)
        if homography is None:
            return None
        change, uncertainty = refined_shift(homography, links, shift)
        shift += float(np.clip(change, -1, 1))
    error, homography, seen = fit(shift, MOST_POINTS_OF_LINK)
    if homography is None or not np.isfinite(uncertainty):
        return None
    unseen = error if given is not None else held_out_error(seen, rng)
    guess = float(np.median(np.linalg.norm(seen.b - np.median(seen.b, axis=0), axis=1) / seen.heights))
    if unseen > min(LARGEST_FLOOR_ERROR, guess / 2):
        return None
    floor = SharedFloor(homography, unseen, len(np.unique(seen.links)), given is not None)
    return FoundFloor(floor, (shift, uncertainty))
