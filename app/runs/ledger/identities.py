"""Who is who, as the events of a ledger say: the pure half of `app.runs.ledger.ledger`, without a database.

A tracklet is named by its key (camera, track_id). Its rows belong to one person, or to several one after another where
a human split it. What the events mean:

* The events in force are those that no undo in force targets; an undo of an undo is a redo. Everything below is the
  outcome of the events in force, in their order, as if the others had never been.
* `assign` and `split` decide a tracklet's segments. An assign gives the whole tracklet to a person (`NO_ID`: to nobody
  yet). A split gives the segment that covers a time, from there to its end, to another person; without a time (-inf) it
  takes the whole tracklet out of its person. Once a human has assigned or split a tracklet, machines no longer can.
* `merge` says that two person ids denote the same person, from then on and for every tracklet they ever get.
* `name` names a person. A merged person keeps its own name, or takes over that of the other if it has none.
* `confirm` and `reject` say of two tracklets that they show the same person, or do not. They change no identity by
  themselves: they are constraints for the linker and pairs for training. The later word on a pair counts.
* `erase` takes the person's segments, as they were at that moment, away for ever. It cannot be undone.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.frames import NO_ID, TrackletKey

EventKind = Literal["assign", "merge", "split", "confirm", "reject", "name", "erase", "undo"]

MACHINE = "machine:"
"""How the actor of an event begins when no human decided it."""

WHOLE = -math.inf
"""`at_s` of a split that takes out the whole tracklet."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the ledger; the fields that its kind does not use keep their defaults.

    actor: who decided: `machine:…`, or the name of a human.  person: the person given, split off, named or erased, and
    in a merge the one that ends.  other_person: in a merge the one that stays.  other_camera, other_track_id: the
    second tracklet of confirm and reject.  at_s: where a split cuts, seconds.  target: the event that an undo undoes.
    evidence: JSON values.  id and time (seconds since 1970) are given by the ledger.
    """

    kind: EventKind
    actor: str
    camera: str = ""
    track_id: int = NO_ID
    person: int = NO_ID
    other_camera: str = ""
    other_track_id: int = NO_ID
    other_person: int = NO_ID
    at_s: float = WHOLE
    target: int = 0
    text: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    time: float = 0.0

    @property
    def by_machine(self) -> bool:
        return self.actor.startswith(MACHINE)

    @property
    def pair(self) -> tuple[TrackletKey, TrackletKey]:
        """The two tracklets of confirm and reject, in a fixed order."""
        first, second = sorted([(self.camera, self.track_id), (self.other_camera, self.other_track_id)])
        return first, second


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of a tracklet with start_s <= time < end_s; infinite where the tracklet itself begins or ends."""

    camera: str
    track_id: int
    start_s: float
    end_s: float

    @property
    def key(self) -> TrackletKey:
        return self.camera, self.track_id


@dataclass(frozen=True, slots=True)
class TrackState:
    """What the events of one tracklet say.

    starts, persons: segment i begins at starts[i] (the first at -inf) and belongs to persons[i].
    touched: whether a human assigned or split it.  left: the persons whom a human took rows of it away from.
    """

    starts: tuple[float, ...] = (-math.inf,)
    persons: tuple[int, ...] = (NO_ID,)
    touched: bool = False
    left: frozenset[int] = frozenset()


def fold_tracklet(events: Iterable[Event]) -> TrackState:
    """Return the state after the assign and split events of one tracklet, given in order and all in force."""
    state = TrackState()
    for event in events:
        human = not event.by_machine
        if state.touched and not human:
            continue
        segment = bisect_right(state.starts, event.at_s) - 1
        left = state.left
        if event.kind == "assign" or event.at_s == WHOLE:
            if human:
                left |= set(state.persons)
            starts: tuple[float, ...] = (-math.inf,)
            persons: tuple[int, ...] = (event.person,)
        else:
            if human:
                left |= {state.persons[segment]}
            keep = segment + (state.starts[segment] < event.at_s)
            starts = (*state.starts[:keep], event.at_s, *state.starts[segment + 1 :])
            persons = (*state.persons[:keep], event.person, *state.persons[segment + 1 :])
        state = TrackState(starts, persons, state.touched or human, left - {NO_ID, event.person})
    return state


@dataclass(slots=True)
class People:
    """What the events that are not about a single tracklet say: merges, names, pairs, erasures."""

    parents: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    merged_by_human: set[int] = field(default_factory=set)
    pairs: dict[tuple[TrackletKey, TrackletKey], bool] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    erased_segments: list[Segment] = field(default_factory=list)

    def root(self, person: int) -> int:
        """Return the person that `person` was merged into, or itself."""
        while person in self.parents:
            person = self.parents[person]
        return person

    def resolve(self, person: int) -> int:
        """Return the person that `person` is now; `NO_ID` if it was erased."""
        root = self.root(person)
        return NO_ID if person in self.erased or root in self.erased else root


def fold_people(events: Iterable[Event]) -> People:
    """Return the state after the merge, name, confirm, reject and erase events, given in order and all in force."""
    state = People()
    for event in events:
        if event.kind == "merge":
            ends, stays = state.root(event.person), state.root(event.other_person)
            if ends == stays or state.resolve(ends) == NO_ID or state.resolve(stays) == NO_ID:
                continue
            state.parents[ends] = stays
            name = state.names.pop(ends, "")
            if name:
                state.names.setdefault(stays, name)
            if not event.by_machine or ends in state.merged_by_human:
                state.merged_by_human.add(stays)
        elif event.kind == "name":
            person = state.resolve(event.person)
            state.names.pop(person, None)
            if event.text and person != NO_ID:
                state.names[person] = event.text
        elif event.kind in ("confirm", "reject"):
            state.pairs[event.pair] = event.kind == "confirm"
        elif event.kind == "erase":
            state.erased.update(event.evidence["people"])
            state.erased_segments.extend(segments_from_json(event.evidence["segments"]))
            for person in event.evidence["people"]:
                state.names.pop(person, None)
    return state


def segments_to_json(segments: Iterable[Segment]) -> list[list[Any]]:
    """Return JSON values of segments; null stands for an infinite end."""
    return [[s.camera, s.track_id, *(None if math.isinf(t) else t for t in (s.start_s, s.end_s))] for s in segments]


def segments_from_json(values: Iterable[Sequence[Any]]) -> list[Segment]:
    return [
        Segment(camera, track_id, -math.inf if start is None else start, math.inf if end is None else end)
        for camera, track_id, start, end in values
    ]


@dataclass(frozen=True, slots=True)
class _Camera:
    """The tracklets of one camera. track_ids: (S,) int64 sorted; persons: (S,) int64 of the first segment of each;
    starts, later: the segments of the few tracklets that have several."""

    track_ids: NDArray[np.int64]
    persons: NDArray[np.int64]
    several: Mapping[int, tuple[NDArray[np.float64], NDArray[np.int64]]]


class Identities:
    """Who is who at one moment. Never changes; the ledger makes a new one after new events.

    names: of the people that have one.  confirmed, rejected: pairs of tracklet keys that a human decided, sorted.
    erased: the segments of erased people.  next_person_id: the first person id that was never used.
    """

    def __init__(
        self,
        simple: Mapping[str, Mapping[int, int]],
        states: Mapping[TrackletKey, TrackState],
        people: People,
        next_person_id: int,
    ) -> None:
        self.names: dict[int, str] = dict(people.names)
        self.confirmed = tuple(sorted(pair for pair, same in people.pairs.items() if same))
        self.rejected = tuple(sorted(pair for pair, same in people.pairs.items() if not same))
        self.erased = tuple(people.erased_segments)
        self.next_person_id = next_person_id
        self._people = people
        self._states = dict(states)
        self._cameras = self._index(simple)

    def person_of(self, camera: str, track_ids: NDArray[np.int64], times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (R,) int64 person ids for rows given by (R,) track ids and (R,) times in seconds.

        `NO_ID` where nothing is known or the person was erased.
        """
        answer = np.full(len(track_ids), NO_ID, np.int64)
        known = self._cameras.get(camera)
        if known is None or len(known.track_ids) == 0:
            return answer
        rows = np.minimum(np.searchsorted(known.track_ids, track_ids), len(known.track_ids) - 1)
        found = known.track_ids[rows] == track_ids
        answer[found] = known.persons[rows[found]]
        if known.several:
            split = np.flatnonzero(np.isin(track_ids, np.fromiter(known.several, np.int64)))
            for track_id in np.unique(track_ids[split]).tolist():
                starts, persons = known.several[track_id]
                own = split[track_ids[split] == track_id]
                answer[own] = persons[np.searchsorted(starts, times[own], side="right") - 1]
        return answer

    def person_at(self, camera: str, track_id: int, time_s: float) -> int:
        """Return who a tracklet shows at one time; `NO_ID` if nothing is known or the person was erased."""
        before = [person for start, person in self.segments(camera, track_id) if start <= time_s]
        return before[-1] if before else NO_ID

    def resolve(self, person: int) -> int:
        """Return the person that this id denotes now, after merges; `NO_ID` if it was erased."""
        return self._people.resolve(person)

    def people(self) -> list[int]:
        """Return the ids of all people with at least one tracklet, sorted."""
        found: set[int] = set()
        for camera in self._cameras.values():
            found.update(np.unique(camera.persons).tolist())
            for _, persons in camera.several.values():
                found.update(persons.tolist())
        return sorted(found - {NO_ID})

    def tracklets_of(self, person: int) -> list[Segment]:
        """Return the tracklets of a person, or the parts of them that are theirs, by camera and track id."""
        person = self.resolve(person)
        segments: list[Segment] = []
        if person == NO_ID:
            return segments
        for name, camera in self._cameras.items():
            own = set(camera.track_ids[camera.persons == person].tolist()) - camera.several.keys()
            segments.extend(Segment(name, track_id, -math.inf, math.inf) for track_id in own)
            for track_id, (starts, persons) in camera.several.items():
                ends = [*starts[1:].tolist(), math.inf]
                segments.extend(
                    Segment(name, track_id, start, end)
                    for start, end, who in zip(starts.tolist(), ends, persons.tolist(), strict=True)
                    if who == person
                )
        return sorted(segments, key=lambda segment: (segment.camera, segment.track_id, segment.start_s))

    def known_tracklets(self) -> list[TrackletKey]:
        """Return the keys of all tracklets that any event in force names, sorted."""
        return [(name, track_id) for name, camera in self._cameras.items() for track_id in camera.track_ids.tolist()]

    def segments(self, camera: str, track_id: int) -> list[tuple[float, int]]:
        """Return (start in seconds, person) of each segment of a tracklet, in order; empty if nothing is known."""
        known = self._cameras.get(camera)
        if known is None:
            return []
        if track_id in known.several:
            starts, persons = known.several[track_id]
            return list(zip(starts.tolist(), persons.tolist(), strict=True))
        row = int(np.searchsorted(known.track_ids, track_id))
        if row == len(known.track_ids) or known.track_ids[row] != track_id:
            return []
        return [(-math.inf, int(known.persons[row]))]

    def latest_person(self, camera: str, track_id: int) -> int:
        """Return who a tracklet shows at its end; `NO_ID` if nothing is known or the person was erased."""
        segments = self.segments(camera, track_id)
        return segments[-1][1] if segments else NO_ID

    def pinned(self) -> set[TrackletKey]:
        """Return the tracklets whose person a machine must not change any more.

        A human assigned or split the tracklet, or named or merged its person, or confirmed it against another tracklet
        of the same person.
        """
        keys = {key for key, state in self._states.items() if state.touched}
        people = self.names.keys() | {self.resolve(person) for person in self._people.merged_by_human}
        keys.update(segment.key for person in sorted(people) for segment in self.tracklets_of(person))
        for first, second in self.confirmed:
            persons = [who for key in (first, second) for _, who in self.segments(*key)]
            if len(persons) == 2 and persons[0] == persons[1] != NO_ID:
                keys |= {first, second}
        return keys

    def constraints(self) -> tuple[list[tuple[TrackletKey, TrackletKey]], list[tuple[TrackletKey, TrackletKey]]]:
        """Return (same, different): pairs of tracklets for the linker, sorted.

        same: what humans confirmed, and a chain through the pinned tracklets of each person.
        different: what humans rejected, and each tracklet that a human took out of a person against that person's
        tracklets. A tracklet that belongs to several people is in no pair.
        """
        whole: dict[TrackletKey, int] = {}
        for key in sorted(self.pinned()):
            segments = self.segments(*key)
            if len(segments) == 1 and segments[0][1] != NO_ID:
                whole[key] = segments[0][1]
        chains: dict[int, list[TrackletKey]] = {}
        for key, person in whole.items():
            chains.setdefault(person, []).append(key)
        different = set(self.rejected)
        for key in whole:
            for person in self._states[key].left if key in self._states else ():
                if self.resolve(person) != whole[key]:
                    others = {segment.key for segment in self.tracklets_of(person)}
                    different.update((min(key, other), max(key, other)) for other in others if other != key)
        same = set(self.confirmed)
        for keys in chains.values():
            same.update(pair for pair in itertools.pairwise(keys) if pair not in different)
        return sorted(same), sorted(different)

    def _index(self, simple: Mapping[str, Mapping[int, int]]) -> dict[str, _Camera]:
        states = dict(self._states)
        cut: dict[TrackletKey, list[Segment]] = {}
        for segment in self.erased:
            cut.setdefault(segment.key, []).append(segment)
        for key in cut:
            if key not in states:
                states[key] = TrackState(persons=(simple.get(key[0], {}).get(key[1], NO_ID),))
        special: dict[str, dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]]] = {}
        for (camera, track_id), state in states.items():
            starts, persons = _without(state, cut.get((camera, track_id), []), self._people)
            special.setdefault(camera, {})[track_id] = starts, persons
        return {
            camera: self._index_camera(simple.get(camera, {}), special.get(camera, {}))
            for camera in sorted(simple.keys() | special.keys())
        }

    def _index_camera(
        self,
        simple: Mapping[int, int],
        special: Mapping[int, tuple[NDArray[np.float64], NDArray[np.int64]]],
    ) -> _Camera:
        plain = {track_id: int(persons[0]) for track_id, (_, persons) in special.items()}
        raw_ids, inverse = np.unique(np.fromiter(simple.values(), np.int64, len(simple)), return_inverse=True)
        resolved = np.array([self.resolve(person) for person in raw_ids.tolist()], np.int64)[inverse]
        ids = np.fromiter(simple, np.int64, len(simple))
        if plain:
            other = ~np.isin(ids, list(plain))
            ids = np.concatenate([ids[other], np.fromiter(plain, np.int64)])
            resolved = np.concatenate([resolved[other], np.fromiter(plain.values(), np.int64)])
        order = np.argsort(ids)
        several = {track_id: special[track_id] for track_id in sorted(special) if len(special[track_id][0]) > 1}
        return _Camera(ids[order], resolved[order], several)


def _without(
    state: TrackState, erased: Sequence[Segment], people: People
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the segments of a tracklet as people are now, with erased stretches given to nobody."""
    cuts = {segment.start_s for segment in erased} | {segment.end_s for segment in erased} - {math.inf}
    starts = sorted({*state.starts, *cuts})
    persons = []
    for start in starts:
        gone = any(segment.start_s <= start < segment.end_s for segment in erased)
        who = state.persons[bisect_right(state.starts, start) - 1]
        persons.append(NO_ID if gone else people.resolve(who))
    keep = [row for row in range(len(starts)) if row == 0 or persons[row] != persons[row - 1]]
    return np.array([starts[row] for row in keep]), np.array([persons[row] for row in keep], np.int64)
