"""Recognising people across cameras and absences while frames arrive.

The gallery knows people by a small bank of appearance vectors for each camera. A track without a person is compared
with them once enough of it was seen; Hungarian assignment keeps two tracks of one camera from becoming one person.
Decisions come late rather than wrong, a small margin means waiting, and a person once given to a track stays with it.
The one exception: a lost track that comes back while its person is in view through another track of that camera has
to be decided anew, because nobody is twice in one camera at one instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.config import GallerySettings
from app.frames import NO_ID, TrackAppearances, Tracklet
from app.reid.calibrate import Calibration
from app.track.assignment import assign
from app.track.evidence import log_odds, typical_vector

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class LinkDecision:
    """A track was given a person, and why.

    time: seconds. p_same: probability of the chosen person; 0 for a new one that nobody was compared with.
    runner_up: probability of the next best person. gates: which rules the decision passed.
    """

    camera: str
    track_id: int
    person_id: int
    time: float
    p_same: float
    runner_up: float
    gates: tuple[str, ...]


@dataclass(slots=True)
class _Track:
    """What the gallery remembers of a track: its person, and with whom it was seen at one time."""

    person_id: int = NO_ID
    last_time: float = 0.0
    companions: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Person:
    """Vectors by camera and track, the latest last; who was seen last when."""

    bank: dict[Key, NDArray[np.float32]] = field(default_factory=dict)
    last_time: float = 0.0

    def learn(self, key: Key, vector: NDArray[np.float32], time: float, max_vectors: int) -> None:
        self.last_time = max(self.last_time, time)
        if not vector.any():
            return
        self.bank.pop(key, None)
        self.bank[key] = vector
        same_camera = [other for other in self.bank if other[0] == key[0]]
        for other in same_camera[: len(same_camera) - max_vectors]:
            del self.bank[other]


class PersonGallery:
    """Gives people to tracks, online. One instance for all cameras.

    settings: when to decide and how long to remember.
    calibration: how to read the distances of the vectors; None where nothing is embedded.
    """

    def __init__(self, settings: GallerySettings, calibration: Calibration | None) -> None:
        self._settings = settings
        self._calibration = calibration
        self._tracks: dict[Key, _Track] = {}
        self._people: dict[int, _Person] = {}
        self._next_person = 1
        self._decisions: list[LinkDecision] = []

    def seed_people(self, person_ids: Sequence[int], tracklets: Sequence[Tracklet]) -> None:
        """Remember the people of an earlier part of this run; `person_ids` is aligned with the tracklets."""
        for person_id, tracklet in zip(person_ids, tracklets, strict=True):
            if person_id == NO_ID:
                continue
            person = self._people.setdefault(int(person_id), _Person())
            vector = typical_vector(tracklet) if tracklet.vectors.size else np.zeros(0, np.float32)
            person.learn(tracklet.key, vector, tracklet.end_time, self._settings.vectors_per_camera)
            self._tracks[tracklet.key] = _Track(int(person_id), tracklet.end_time)
            self._next_person = max(self._next_person, int(person_id) + 1)

    def decisions(self) -> list[LinkDecision]:
        """Return the decisions made since the last call."""
        drained, self._decisions = self._decisions, []
        return drained

    def identify(self, appearances: Sequence[TrackAppearances], time: float) -> list[NDArray[np.int64]]:
        """Return for each camera's visible tracks (M,) int64 person ids, `NO_ID` while undecided.

        appearances: at most one record for each camera, of this instant. time: seconds, never runs backwards.
        """
        self._forget(time)
        results = []
        for seen in appearances:
            keys = [(seen.camera, track_id) for track_id in seen.track_ids.tolist()]
            self._note_presence(keys, time)
            undecided = [row for row, key in enumerate(keys) if self._tracks[key].person_id == NO_ID]
            if undecided:
                self._decide(seen, keys, np.array(undecided), time)
            for row, key in enumerate(keys):
                person_id = self._tracks[key].person_id
                if person_id != NO_ID:
                    self._people[person_id].learn(key, seen.vectors[row], time, self._settings.vectors_per_camera)
            results.append(np.array([self._tracks[key].person_id for key in keys], np.int64))
        return results

    def _note_presence(self, keys: Sequence[Key], time: float) -> None:
        """Record who is visible together, and take a person from a track that came back too late."""
        track_ids = {track_id for _, track_id in keys}
        holders: dict[int, Key] = {}
        # Whoever was seen most recently holds the person; a track that comes back after it was away does not.
        for key in sorted(keys, key=lambda key: (-self._tracks[key].last_time if key in self._tracks else 0.0, key)):
            track = self._tracks.setdefault(key, _Track())
            if track.person_id != NO_ID and holders.setdefault(track.person_id, key) != key:
                track.person_id = NO_ID
            if track.person_id not in self._people:
                track.person_id = NO_ID
            if track.person_id == NO_ID:
                track.companions |= track_ids - {key[1]}
            track.last_time = time

    def _decide(self, seen: TrackAppearances, keys: Sequence[Key], rows: NDArray[np.int64], time: float) -> None:
        settings = self._settings
        ages = time - seen.start_times[rows]
        without_looks = seen.vectors.shape[1] == 0 or self._calibration is None
        overdue = (ages >= settings.max_wait_s) | without_looks
        ready = ((seen.counts[rows] >= settings.min_embeddings) & (ages >= settings.min_age_s)) | overdue
        rows, overdue = rows[ready], overdue[ready]
        if not len(rows):
            return
        people = sorted(self._people)
        probabilities = np.zeros((len(rows), len(people)), np.float32)
        if not without_looks and people:
            probabilities = self._probabilities(seen.vectors[rows], people)
        taken = {self._tracks[key].person_id for key in keys}
        allowed = np.ones(probabilities.shape, np.bool_)
        for index, row in enumerate(rows):
            companions = {(seen.camera, other) for other in self._tracks[keys[row]].companions}
            held = taken | {self._tracks[other].person_id for other in companions if other in self._tracks}
            allowed[index] = [person not in held for person in people]
        probabilities = np.where(allowed, probabilities, 0)
        enough = allowed & (probabilities >= settings.min_probability)
        matched = dict(zip(*assign(np.where(enough, -log_odds(probabilities), np.inf)), strict=True))
        for index, row in enumerate(rows):
            ranked = np.sort(probabilities[index])[::-1]
            best = float(ranked[0]) if len(ranked) else 0.0
            column = matched.get(index)
            if column is not None:
                chosen = float(probabilities[index, column])
                runner_up = float(np.delete(probabilities[index], column).max(initial=0.0))
                if chosen - runner_up >= settings.min_margin:
                    self._give(keys[row], people[column], time, chosen, runner_up, ("not co-present", "margin"))
                    continue
            if overdue[index] or best < settings.new_below:
                gate = "unlike all known" if best < settings.new_below else "waited long enough"
                self._people[self._next_person] = _Person()
                self._give(keys[row], self._next_person, time, 1 - best, best, (gate,))
                self._next_person += 1

    def _probabilities(self, vectors: NDArray[np.float32], people: Sequence[int]) -> NDArray[np.float32]:
        """Return (R, P) P(same) between tracks and people: the best of each person's bank."""
        assert self._calibration is not None
        result = np.zeros((len(vectors), len(people)), np.float32)
        for column, person in enumerate(people):
            bank = list(self._people[person].bank.values())
            if bank:
                result[:, column] = self._calibration.probability(1 - (vectors @ np.stack(bank).T).max(axis=1))
        return np.where(np.any(vectors, axis=1)[:, None], result, np.float32(0))

    def _give(
        self, key: Key, person_id: int, time: float, p_same: float, runner_up: float, gates: tuple[str, ...]
    ) -> None:
        track = self._tracks[key]
        track.person_id = person_id
        self._decisions.append(LinkDecision(*key, person_id, time, p_same, runner_up, gates))

    def _forget(self, time: float) -> None:
        """Drop tracks and people that were not seen for longer than the memory, and the oldest beyond the limit."""
        oldest = time - self._settings.memory_s
        self._tracks = {key: track for key, track in self._tracks.items() if track.last_time >= oldest}
        self._people = {person: known for person, known in self._people.items() if known.last_time >= oldest}
        excess = len(self._people) - self._settings.max_people
        if excess > 0:
            for person in sorted(self._people, key=lambda person: self._people[person].last_time)[:excess]:
                del self._people[person]
