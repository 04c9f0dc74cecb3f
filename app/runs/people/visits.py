"""Who was where: the people of a run as visits to its cameras, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from app.frames import NO_ID
from app.runs.folder.run import Run
from app.runs.folder.tracklet_index import TrackletSummary
from app.runs.ledger.identities import Identities, Segment


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch in which one camera saw one person: a tracklet, or the part of it that is this person's.

    start_s, end_s: seconds on the shared clock.  crops: references, best first.
    """

    camera: str
    track_id: int
    start_s: float
    end_s: float
    crops: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.camera, self.track_id


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a run; `visits` are in the order of their beginnings, and there is at least one."""

    id: int
    name: str
    visits: tuple[Visit, ...]

    @property
    def label(self) -> str:
        return self.name or f"Person {self.id}"

    @property
    def first_s(self) -> float:
        return self.visits[0].start_s

    @property
    def last_s(self) -> float:
        return max(visit.end_s for visit in self.visits)

    @property
    def seen_s(self) -> float:
        """Seconds in sight, added up over the cameras."""
        return sum(visit.end_s - visit.start_s for visit in self.visits)

    @property
    def has_pictures(self) -> bool:
        """Whether any picture was kept: without, somebody was followed by movement only, and nobody can tell who."""
        return any(visit.crops for visit in self.visits)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that saw this person, in the order of the first visits."""
        return tuple(dict.fromkeys(visit.camera for visit in self.visits))


def people_of(run: Run, identities: Identities) -> dict[int, Person]:
    """Return the people of a run by id. Vectors and boxes are not read.

    Tracklets whose person is not decided are not among them: see `undecided`.
    """
    visits: dict[int, list[Visit]] = {}
    for summary in run.tracklet_summaries(vectors=False):
        segments = identities.segments(*summary.key)
        if len(segments) == 1:
            crops = () if "crops" in run.purged else summary.crops
            whole = Visit(*summary.key, summary.start_time, summary.end_time, crops)
            visits.setdefault(segments[0][1], []).append(whole)
        elif segments:
            for person, visit in _parts(run, summary, segments):
                visits.setdefault(person, []).append(visit)
    visits.pop(NO_ID, None)
    return {
        person: Person(person, identities.names.get(person, ""), tuple(sorted(own, key=lambda visit: visit.start_s)))
        for person, own in sorted(visits.items())
    }


@dataclass(frozen=True, slots=True)
class Together:
    """When a camera saw two people in the same frames, so that they can hardly be one: frames, how many they were."""

    camera: str
    start_s: float
    end_s: float
    frames: int


def seen_together(run: Run, first: Sequence[Segment], second: Sequence[Segment]) -> list[Together]:
    """Return where two people, given by their tracklets, were seen in the same frames; camera by camera."""
    cameras = {segment.camera for segment in first} & {segment.camera for segment in second}
    if not cameras:
        return []
    known = {summary.key: summary for summary in run.tracklet_summaries(vectors=False)}

    def within(segment: Segment) -> tuple[float, float]:
        own = known[segment.key]
        return max(segment.start_s, own.start_time), min(segment.end_s, own.end_time)

    found = []
    for camera in (record.name for record in run.cameras if record.name in cameras):
        ones, others = ([s for s in own if s.camera == camera and s.key in known] for own in (first, second))
        stretches = [(max(a[0], b[0]), min(a[1], b[1])) for a in map(within, ones) for b in map(within, others)]
        stretches = [(start, end) for start, end in stretches if start <= end]
        if not stretches:
            continue
        frames: list[NDArray[np.int64]] = []
        rows = run.observations(camera, min(s for s, _ in stretches), max(e for _, e in stretches))
        for segments in (ones, others):
            own = np.zeros(len(rows), np.bool_)
            for segment in segments:
                inside = (rows.times >= segment.start_s) & (rows.times < segment.end_s)
                own |= inside & (rows.track_ids == segment.track_id)
            frames.append(np.unique(rows.frames[own]))
        shared = np.intersect1d(frames[0], frames[1])
        if len(shared):
            times = rows.times[np.isin(rows.frames, shared)]
            found.append(Together(camera, float(times[0]), float(times[-1]), len(shared)))
    return found


def fingerprint(identities: Identities, person: int) -> str:
    """Return what changes with anything that the ledger says of a person: name, tracklets, judgements about them.

    Whoever acts on what a page shows compares it with what is so now.
    """
    segments = identities.tracklets_of(person)
    own = {segment.key for segment in segments}
    judged = [[pair for pair in pairs if own & set(pair)] for pairs in (identities.confirmed, identities.rejected)]
    said = (identities.resolve(person), identities.names.get(person, ""), segments, judged)
    return sha256(repr(said).encode()).hexdigest()[:16]


def _parts(run: Run, summary: TrackletSummary, segments: Iterable[tuple[float, int]]) -> list[tuple[int, Visit]]:
    """Return (person, visit) for each part of a tracklet that was split."""
    crop_times = run.crop_times(summary.camera, summary.crops)
    begins = [(max(start, summary.start_time), person) for start, person in segments]
    ends = [*(start for start, _ in begins[1:]), summary.end_time]
    parts = []
    for row, ((start, person), end) in enumerate(zip(begins, ends, strict=True)):
        if start > summary.end_time or (row + 1 < len(begins) and end <= start):
            continue
        last = row + 1 == len(begins)
        inside = (crop_times >= start) & ((crop_times < end) | last)
        crops = tuple(crop for crop, own in zip(summary.crops, inside, strict=True) if own)
        parts.append((person, Visit(*summary.key, start, end, crops)))
    return parts
