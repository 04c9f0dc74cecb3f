"""Recognising people across cameras and absences while frames arrive.

The gallery knows people by a small bank of appearance vectors for each camera. A track without a person is compared
with them once enough of it was seen; Hungarian assignment keeps two tracks of one camera from becoming one person.
Decisions come late rather than wrong, a small margin means waiting, and a person once given to a track stays with it.
The one exception: a lost track that comes back while its person is in view through another track of that camera
becomes a person of its own, because nobody is twice in one camera at one instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.config import GallerySettings
from app.frames import NO_ID, TrackAppearances, Tracklet, TrackletKey
from app.reid.calibrate import Calibration
from app.track.appearance import NegativePairs, typical_noises
from app.track.assignment import assign
from app.track.known_appearances import KnownAppearances
from app.track.likeness import TYPICAL_SAME, log_odds, noise_log_odds, open_set_probabilities, typical_vector

GALLERY_MIDDLE = 0.35
GALLERY_STEEPNESS = 9.0
"""Similarity of typical vectors, less their cameras' centres, at which one person and two are equally likely, and how
fast the log-odds rise with it. Found alike on all data tried (see `pair_evidence`, which has sets of crops to go
by)."""

NOISE_LOG_ODDS = 4.4
"""As in `pair_evidence`, of typical vectors, whose own noise is smaller than that of single crops: two that differ
three times as much are one person or not alike likely. In five places and with three networks (the same as there) 2 %
of strangers on one camera differ less than 0.8 to 5.8 times as much, half of them 4 to 9 times."""

EARLIER_RUNS = -2
"""Track ids from here downwards stand for tracks of earlier runs, whose own ids mean nothing any more."""

RETRY_S = 0.2
"""Seconds between two attempts to decide about one track: little changes from frame to frame."""

FORGET_EVERY_S = 1.0
"""Seconds between two looks for what can be forgotten."""


@dataclass(frozen=True, slots=True)
class LinkDecision:
    """A track was given a person, and why.

    time: seconds. p_same: probability of the chosen person; for a new one, that it is none of the known people.
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
    """What the gallery remembers of a track.

    companions: tracks of its camera that were in view together with it while it had no person.
    learned: its person knows its appearance.
    count: embeddings that its vector was made of when the gallery last looked.
    noise: how much such vectors of this track differ, 0 while unknown.
    next_try: time before which it is not worth deciding again, seconds.
    """

    person_id: int = NO_ID
    last_time: float = 0.0
    companions: set[int] = field(default_factory=set)
    learned: bool = False
    count: int = 0
    noise: float = 0.0
    next_try: float = -np.inf


@dataclass(slots=True)
class _Person:
    """When a person was last seen. kept: known from an earlier run, and not forgotten within this one."""

    last_time: float = 0.0
    kept: bool = False


class PersonGallery:
    """Gives people to tracks, online. One instance for all cameras.

    settings: when to decide and how long to remember.
    calibration: how to read the distances of the vectors; None where nothing is embedded.
    """

    def __init__(self, settings: GallerySettings, calibration: Calibration | None) -> None:
        self._settings = settings
        self._calibration = calibration
        self._negatives = NegativePairs(calibration) if calibration is not None else None
        self._tracks: dict[TrackletKey, _Track] = {}
        self._people: dict[int, _Person] = {}
        self._looks = KnownAppearances(settings.vectors_per_camera)
        self._noise_sum, self._noise_count = 0.0, 0
        self._next_person = 1
        self._next_forgetting = -np.inf
        self._decisions: list[LinkDecision] = []

    def seed_people(self, person_ids: Sequence[int], tracklets: Sequence[Tracklet], next_person_id: int) -> None:
        """Remember the people of an earlier part of this run.

        person_ids: aligned with the tracklets.  next_person_id: the first number that no person ever had.
        """
        self._next_person = max(self._next_person, next_person_id)
        for person_id, tracklet in zip(person_ids, tracklets, strict=True):
            if person_id == NO_ID:
                continue
            person = self._people.setdefault(int(person_id), _Person())
            person.last_time = max(person.last_time, tracklet.end_time)
            if tracklet.vectors.size:
                self._looks.learn(int(person_id), tracklet.key, typical_vector(tracklet), first=True)
            track = _Track(int(person_id), tracklet.end_time, learned=tracklet.vectors.size > 0)
            self._tracks[tracklet.key] = track
            noises = typical_noises(tracklet.vectors[None], np.ones((1, len(tracklet.vectors))))
            self._note_noise(track, float(noises[0]))

    def know(self, appearance: Mapping[int, Sequence[tuple[str, NDArray[np.float32]]]], next_person_id: int) -> None:
        """Know the people of earlier runs; call it before anything else.

        looks: for each person (camera, (D,) float32 unit vector), the latest last.
        next_person_id: the first number that no person ever had.
        """
        self._next_person = max(self._next_person, next_person_id)
        for person_id, own in sorted(appearance.items()):
            self._people.setdefault(person_id, _Person(kept=True))
            for number, (camera, vector) in enumerate(own):
                self._looks.learn(person_id, (camera, EARLIER_RUNS - number), vector, first=True)

    def adopt(self, person_of: Callable[[str, int], int], resolve: Callable[[int], int], next_person_id: int) -> None:
        """Go on with who is who by somebody who knows better: linking, or a human.

        person_of: the person of a track by (camera, track id), or `NO_ID`: such a track is undecided again.
        resolve: who a person of an earlier run is now; `NO_ID` to forget that person.
        next_person_id: the first number that no person ever had.
        """
        self._next_person = max(self._next_person, next_person_id)
        before, self._people = self._people, {}
        for number, person in before.items():
            if person.kept and resolve(number) != NO_ID:
                self._people.setdefault(resolve(number), _Person(kept=True)).last_time = person.last_time

        def owner(number: int, key: TrackletKey) -> int:
            now = resolve(number) if key[1] <= EARLIER_RUNS else person_of(*key)
            if now != NO_ID:
                person = self._people.setdefault(now, _Person())
                person.last_time = max(person.last_time, before[number].last_time)
            return now

        self._looks.regroup(owner, self._last_time)
        for key, track in self._tracks.items():
            track.person_id = person_of(*key)
            if track.person_id == NO_ID:
                track.learned = False
                continue
            person = self._people.setdefault(track.person_id, _Person())
            person.last_time = max(person.last_time, track.last_time)
            track.learned = track.learned and key in self._looks.of(track.person_id)

    def _last_time(self, key: TrackletKey) -> float:
        """Return when a track was last seen, long ago if it is forgotten or of an earlier run."""
        return self._tracks[key].last_time if key in self._tracks else -np.inf

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
            news = self._news(seen, keys)
            undecided = [row for row, key in enumerate(keys) if self._tracks[key].person_id == NO_ID]
            if undecided:
                self._decide(seen, keys, np.array(undecided), time)
            for row, key in enumerate(keys):
                self._keep_up(key, seen.vectors[row], bool(news[row]), time)
            results.append(np.array([self._tracks[key].person_id for key in keys], np.int64))
        return results

    def _news(self, seen: TrackAppearances, keys: Sequence[TrackletKey]) -> NDArray[np.bool_]:
        """Return (M,) bool: of which visible tracks more is known than before. Those in view together are strangers,
        and show how far the calibration can be believed here."""
        tracks = [self._tracks[key] for key in keys]
        news = seen.counts > np.array([track.count for track in tracks], np.int64)
        if self._negatives is not None and news.any():
            known, rows = (seen.counts > 0).nonzero()[0], news.nonzero()[0]
            self._negatives.note(seen.vectors[known], seen.vectors[rows], known[:, None] != rows)
        for track, count, noise in zip(tracks, seen.counts.tolist(), seen.noises.tolist(), strict=True):
            track.count = count
            self._note_noise(track, noise)
        return news

    def _note_noise(self, track: _Track, noise: float) -> None:
        """Keep the mean of how much tracks differ from themselves, each counted once with its latest value."""
        if noise > 0:
            self._noise_count += track.noise == 0
            self._noise_sum += noise - track.noise
            track.noise = noise

    def _keep_up(self, key: TrackletKey, vector: NDArray[np.float32], news: bool, time: float) -> None:
        """Note that a track's person is in view, and what the track looks like now."""
        track = self._tracks[key]
        if track.person_id == NO_ID:
            return
        person = self._people[track.person_id]
        person.last_time = time
        if track.count > 0 and (news or not track.learned):
            self._looks.learn(track.person_id, key, vector, first=not track.learned)
            track.learned = True

    def _note_presence(self, keys: Sequence[TrackletKey], time: float) -> None:
        """Record who is in view together, and part two tracks that turn out to hold one person."""
        track_ids = {track_id for _, track_id in keys}
        holders: set[int] = set()
        # Whoever was seen most recently keeps the person; the one that was away does not.
        for key in sorted(keys, key=lambda key: (-self._tracks[key].last_time if key in self._tracks else np.inf, key)):
            track = self._tracks.setdefault(key, _Track())
            if track.person_id == NO_ID:
                track.companions |= track_ids - {key[1]}
            else:
                if track.person_id in holders:
                    self._looks.forget(track.person_id, key)
                    self._give(key, self._new_person(), time, 1.0, 0.0, ("came back while its person was in view",))
                self._people.setdefault(track.person_id, _Person())  # a track outlives a person forgotten meanwhile
                holders.add(track.person_id)
            track.last_time = time

    def _decide(
        self, seen: TrackAppearances, keys: Sequence[TrackletKey], rows: NDArray[np.int64], time: float
    ) -> None:
        settings = self._settings
        ages = time - seen.start_times[rows]
        without_appearance = seen.vectors.shape[1] == 0 or self._calibration is None
        overdue = (ages >= settings.max_wait_s) | without_appearance
        due = np.array([self._tracks[keys[row]].next_try <= time for row in rows])
        ready = ((seen.counts[rows] >= settings.min_embeddings) & (ages >= settings.min_age_s) & due) | overdue
        rows, overdue = rows[ready], overdue[ready]
        if not len(rows):
            return
        for row in rows:
            self._tracks[keys[row]].next_try = time + RETRY_S
        people = sorted(self._people)
        probabilities = np.zeros((len(rows), len(people)), np.float32)
        if not without_appearance and people:
            probabilities = self._probabilities(seen.camera, seen.vectors[rows], people)
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
            if best < settings.new_below or overdue[index]:
                gate = "waited long enough" if overdue[index] else "unlike all known"
                self._give(keys[row], self._new_person(), time, 1 - best, best, (gate,))

    def _new_person(self) -> int:
        person_id = self._next_person
        self._next_person += 1
        self._people[person_id] = _Person()
        return person_id

    def _probabilities(self, camera: str, vectors: NDArray[np.float32], people: Sequence[int]) -> NDArray[np.float32]:
        """Return (R, P) P of being each of the sorted people, none of whom need be the right one, for tracks of a
        camera, (R, D) vectors, from the mean log-odds over each person's appearance. Rows without a vector and people
        without appearance get 0."""
        likeness = self._looks.likeness(camera, vectors)
        if likeness is None:
            return np.zeros((len(vectors), len(people)), np.float32)
        assert self._calibration is not None
        assert self._negatives is not None
        raw = log_odds(self._calibration.probability(1 - likeness.plain))
        # Two things must both speak for somebody, see `pair_evidence.unfamiliar_log_odds`.
        noise = min(self._noise_sum / max(self._noise_count, 1), 1 - TYPICAL_SAME)
        if noise > 0:
            raw = np.minimum(raw, noise_log_odds(1 - likeness.plain, noise, NOISE_LOG_ODDS))
        own = GALLERY_STEEPNESS * (likeness.centred - GALLERY_MIDDLE)
        share = self._negatives.footage_share()
        means, known = likeness.means(np.clip(share * own + (1 - share) * raw, -6, 6), people)
        there = known & np.any(vectors, axis=1)[:, None]
        balanced = 1 / (1 + np.exp(-means))
        found = share * balanced + (1 - share) * open_set_probabilities(np.where(there, means, -np.inf))
        return np.where(there, found, 0).astype(np.float32)

    def _give(
        self, key: TrackletKey, person_id: int, time: float, p_same: float, runner_up: float, gates: tuple[str, ...]
    ) -> None:
        track = self._tracks[key]
        track.person_id = person_id
        self._decisions.append(LinkDecision(*key, person_id, time, p_same, runner_up, gates))

    def _forget(self, time: float) -> None:
        """Drop whoever was not seen for longer than the memory, and of too many people those unseen for longest.

        Nobody is dropped who was in view a moment ago, so that many people at once may exceed the limit for a while.
        """
        if time < self._next_forgetting:
            return
        self._next_forgetting = time + FORGET_EVERY_S
        oldest = time - self._settings.memory_s
        for person in [p for p, known in self._people.items() if not known.kept and known.last_time < oldest]:
            self._forget_person(person)
        unseen = sorted((known.last_time, person) for person, known in self._people.items() if not known.kept)
        for last_time, person in unseen[: max(0, len(self._people) - self._settings.max_people)]:
            if last_time < time - FORGET_EVERY_S:
                self._forget_person(person)
        self._tracks = {key: track for key, track in self._tracks.items() if track.last_time >= oldest}

    def _forget_person(self, person_id: int) -> None:
        del self._people[person_id]
        self._looks.forget(person_id)
