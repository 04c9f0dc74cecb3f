"""The ledger: every decision about who is who, in the order it was made, with who made it and why.

An append-only SQLite file (write-ahead log), so that several processes can read and write it at once. Who is who now is
the replay of its events; `app.runs.ledger.identities` says what each kind of event means. The one thing ever changed in
a written event is its free text and evidence, when the person whom it is about is erased.

A long ledger opens fast because of its checkpoint: for each camera the tracklets and the persons that machines gave
them, as of one event. It is derived; replay goes on from there, and without it from the beginning, to the same end.
Beside the events lie the proposals of the last link stage: pairs that it nearly joined, for a human to look at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from app.errors import InputError
from app.frames import NO_ID, TrackletKey
from app.runs.ledger.database import (
    CHECKPOINT_COLUMNS,
    INSERT,
    TAKE_WORDS,
    TRIGGERS,
    is_writable,
    numbers_as_bytes,
    with_checksum,
)
from app.runs.ledger.identities import (
    MACHINE,
    Event,
    Identities,
    Segment,
    segments_to_json,
)
from app.runs.ledger.reassign import plan_reassignment
from app.runs.ledger.replay import Replay
from app.runs.ledger.rules import problem_of
from app.system.sqlite_checksums import give_to, owner_of

if TYPE_CHECKING:
    from app.track.gallery import LinkDecision

GALLERY = f"{MACHINE}gallery"
LINKER = f"{MACHINE}linker"

_CHECKPOINT_EVENTS = 50_000
"""So many events after the last checkpoint a new one is worth its writing."""


class Ledger(Replay):
    """The identity events of one run. May be used from several threads; other processes may use the same file.

    Opening it makes the file if there is none. Use it as a context manager, or call `close`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._person_ids: dict[int, int] = {}
        self._first_new_person_id = self.replay().next_person_id
        self._keep_checkpoint()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._mutex:
            self._connection.close()

    @property
    def owner(self) -> str:
        """The id of the run that it belongs to, "" if it says none."""
        with self._mutex:
            return owner_of(self._connection)

    def give_to(self, run: str) -> None:
        """Let it belong to the run with this id."""
        with self._mutex:
            give_to(self._connection, run)

    def reserve_people(self, next_person_id: int) -> None:
        """Keep the numbers below `next_person_id` for people of earlier runs: no new person gets one of them."""
        with self._mutex:
            if next_person_id > self._reserved():
                self._connection.execute(f"PRAGMA user_version = {int(next_person_id)}")
            self._next_person_id = max(self._next_person_id, next_person_id)
            self._first_new_person_id = max(self._first_new_person_id, next_person_id)
            self._cached = None

    def append(self, events: Sequence[Event]) -> range:
        """Append events as one step and return their ids. Either all are written or none.

        Raises InputError for an event that makes no sense: an undo of something that is not in force, a merge with an
        erased person, what a human says of a track that is not there, a name that is too long…
        """
        with self._writing():
            return self._append(events)

    def assign(
        self, camera: str, track_id: int, person: int, actor: str, evidence: Mapping[str, Any] | None = None
    ) -> int:
        """Give a whole tracklet to a person and return the id of the event."""
        return self.append([Event("assign", actor, camera, track_id, person, evidence=evidence or {})])[0]

    def merge(self, person: int, into: int, actor: str, evidence: Mapping[str, Any] | None = None) -> int:
        """Say that `person` is the person `into`, whose id and name stay."""
        return self.append([Event("merge", actor, person=person, other_person=into, evidence=evidence or {})])[0]

    def split(self, camera: str, track_id: int, at_s: float, actor: str) -> tuple[int, int]:
        """Give the rows from `at_s` on (`WHOLE`: all rows) to a new person; return (event id, new person id)."""
        with self._writing():
            person = self.replay().next_person_id
            return self._append([Event("split", actor, camera, track_id, person, at_s=at_s)])[0], person

    def confirm(self, first: TrackletKey, second: TrackletKey, actor: str) -> int:
        """Say that two tracklets show the same person. Changes no identity: merge them as well if they differ."""
        return self.append([Event("confirm", actor, *first, other_camera=second[0], other_track_id=second[1])])[0]

    def reject(self, first: TrackletKey, second: TrackletKey, actor: str) -> int:
        """Say that two tracklets show different people. Changes no identity: split one off as well."""
        return self.append([Event("reject", actor, *first, other_camera=second[0], other_track_id=second[1])])[0]

    def separate(self, first: TrackletKey, second: TrackletKey, actor: str) -> range:
        """Reject a pair and give the first tracklet to a new person, as one step; return the ids of both events."""
        with self._writing():
            reject = Event("reject", actor, *first, other_camera=second[0], other_track_id=second[1])
            return self._append([reject, Event("split", actor, *first, person=self.replay().next_person_id)])

    def name(self, person: int, text: str, actor: str) -> int:
        """Name a person; an empty text takes the name away."""
        return self.append([Event("name", actor, person=person, text=text.strip())])[0]

    def undo(self, event: int, actor: str) -> int:
        """Take back an event, or, if it is an undo, what it took back. Everything is then as if it had not been."""
        return self.append([Event("undo", actor, target=event)])[0]

    def append_decisions(self, decisions: Iterable[LinkDecision]) -> range:
        """Append the assignments that the online gallery made.

        The gallery counts its new people itself. If somebody else used the same number in the meantime (a human split a
        person off while the run goes on), the gallery's person is stored under a number of its own, here and later.
        """
        with self._writing():
            self._refresh()
            events = []
            erased = self._erased_tracklets()
            for decision in decisions:
                if (decision.camera, decision.track_id) in erased:
                    continue
                person = self._stored_person(decision.person_id)
                evidence = {
                    "time_s": decision.time,
                    "p_same": decision.p_same,
                    "runner_up": decision.runner_up,
                    "gates": decision.gates,
                }
                events.append(Event("assign", GALLERY, decision.camera, decision.track_id, person, evidence=evidence))
            return self._append(events)

    def hand_to_gallery(self) -> Identities:
        """Return who is who, for a gallery that goes on from there: the people it knows have these numbers now, and its
        new ones are counted from `next_person_id`."""
        with self._mutex:
            identities = self.replay()
            self._person_ids.clear()
            self._first_new_person_id = identities.next_person_id
            return identities

    def reassign(
        self,
        groups: Mapping[TrackletKey, int],
        actor: str = LINKER,
        evidence: Mapping[TrackletKey, Mapping[str, Any]] | None = None,
        cuts: Mapping[TrackletKey, tuple[TrackletKey, float]] | None = None,
        keep_others: bool = False,
    ) -> range:
        """Replace what machines decided by the outcome of a link stage.

        Only what changes becomes an event, and what the gallery had decided alike but for which there are reasons now.

        groups: for each tracklet the number of its group, which is not a person id: `app.runs.ledger.reassign` says how
        groups get theirs, and that nothing changes for tracklets that a human assigned, split, confirmed, named or
        merged.
        evidence: JSON values for each tracklet, as far as there are any.
        cuts: which keys of `groups` and `evidence` are later parts of tracklets: (key of the tracklet, first second).
            Where both parts belong to different people the tracklet is split.
        keep_others: leave tracklets that are in no group to the person they have.
        """
        with self._writing():
            identities = self.replay()
            # What was erased while the link stage was at work is nobody's business any more.
            erased = self._erased_tracklets()
            erased |= {part for part, (key, _) in (cuts or {}).items() if key in erased}
            cuts = {part: place for part, place in (cuts or {}).items() if part not in erased}
            groups = {key: group for key, group in groups.items() if key not in erased}
            plan = plan_reassignment(identities, groups, cuts, keep_others)
            reasons = {key: why for key, why in (evidence or {}).items() if key in groups}
            told = "SELECT DISTINCT camera, track_id FROM events WHERE kind = 'assign' AND actor = ?"
            settled = {*plan, *self._connection.execute(told, (actor,)), *identities.pinned()}
            for key in reasons.keys() - settled:
                segments = identities.segments(*key)
                if segments:
                    plan[key] = segments
            part_of = {place: part for part, place in cuts.items()}
            events = []
            for key, segments in sorted(plan.items()):
                events.append(Event("assign", actor, *key, segments[0][1], evidence=reasons.get(key, {})))
                for at_s, person in segments[1:]:
                    why = reasons.get(part_of.get((key, at_s), key), {})
                    events.append(Event("split", actor, *key, person, at_s=at_s, evidence=why))
            return self._append(events)

    def propose(self, pairs: Iterable[tuple[TrackletKey, TrackletKey, float]]) -> None:
        """Keep pairs of tracklets with their P(same) in the place of those of the link stage before."""
        with self._writing():
            self._refresh()
            erased = self._erased_tracklets()
            self._connection.execute("DELETE FROM proposals")
            rows = ((*first, *second, p_same) for first, second, p_same in pairs if not {first, second} & erased)
            self._connection.executemany("INSERT INTO proposals VALUES (?, ?, ?, ?, ?)", rows)

    def erase(self, person: int, actor: str, removed: Sequence[Segment] | None = None) -> Event | None:
        """Replace a person by a tombstone: ids and times of what was theirs, no name and no evidence.

        removed: what was taken out of the run already. If the person has come to own anything else meanwhile, by a word
        of a human, nothing is done and the answer is None: that has to be removed as well.
        Raises InputError if there is no such person. `app.runs.privacy.erase` removes the rows, vectors and pictures.
        """
        with self._writing():
            identities = self.replay()
            root = identities.resolve(person)
            segments = identities.tracklets_of(root)
            if not segments:
                raise InputError(f"there is no person {person} in {self.path}")
            if removed is not None and segments != list(removed):
                return None
            people = [person for person in range(1, self._next_person_id) if identities.resolve(person) == root]
            marks = ", ".join(map(str, people))
            self._connection.execute(f"{TAKE_WORDS} WHERE person IN ({marks}) OR other_person IN ({marks})")
            self._connection.executemany(
                f"{TAKE_WORDS} WHERE camera = ? AND track_id = ?",
                [segment.key for segment in segments],
            )
            self._connection.executemany(
                "DELETE FROM proposals WHERE (?, ?) IN ((camera, track_id), (other_camera, other_track_id))",
                [segment.key for segment in segments],
            )
            tombstone = {"people": people, "segments": segments_to_json(segments)}
            number = self._append([Event("erase", actor, person=root, evidence=tombstone)])[0]
            self._forget()
        with self._mutex:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return next(self.events(after=number - 1))

    def purge(self) -> None:
        """Delete all events for good, those of humans and erasures among them; other processes see it at once.

        For a run whose rows are gone. Numbers of people are not given again.
        """
        with self._writing():
            self._refresh()
            self._connection.execute(f"PRAGMA user_version = {int(self._next_person_id)}")
            for trigger in ("events_stay", "events_do_not_change"):
                self._connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            for table in ("events", "checkpoints", "proposals"):
                self._connection.execute(f"DELETE FROM {table}")
            for statement in TRIGGERS:
                self._connection.execute(statement)
            self._forget()
        with self._mutex:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the write lock of the file; commit at the end, or take everything back after an exception."""
        with self._mutex:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._forget()
                raise

    def _append(self, events: Sequence[Event]) -> range:
        self._refresh()
        self._check(events)
        now = time.time()
        first = self._last_id + 1
        self._connection.executemany(
            INSERT,
            (
                with_checksum(
                    number,
                    now,
                    event.kind,
                    event.actor,
                    event.camera,
                    event.track_id,
                    event.person,
                    event.other_camera,
                    event.other_track_id,
                    event.other_person,
                    float(event.at_s),
                    event.target,
                    event.text,
                    json.dumps(event.evidence) if event.evidence else "{}",
                )
                for number, event in enumerate(events, first)
            ),
        )
        return range(first, first + len(events))

    def _check(self, events: Sequence[Event]) -> None:
        """Raise InputError for the first event that makes no sense in the present state."""
        undone_now: set[int] = set()
        told = {(event.camera, event.track_id) for event in events if event.kind == "assign"}
        for event in events:
            problem = problem_of(event)
            if not problem and not event.by_machine and event.kind in ("split", "confirm", "reject"):
                problem = self._unknown_track(event, told)
            if not problem and event.kind in ("merge", "name"):
                people = self._people()
                if any(
                    person != NO_ID and people.resolve(person) == NO_ID for person in (event.person, event.other_person)
                ):
                    problem = "that person was erased"
            if not problem and event.kind == "undo":
                row = self._connection.execute("SELECT kind FROM events WHERE id = ?", (event.target,)).fetchone()
                if row is None:
                    problem = f"there is no event {event.target}"
                elif row[0] == "erase":
                    problem = "an erasure cannot be undone"
                elif event.target in self._undone | undone_now:
                    problem = f"event {event.target} is undone already"
                undone_now.add(event.target)
            if problem:
                raise InputError(f"cannot {event.kind}: {problem}")

    def _unknown_track(self, event: Event, told: Collection[TrackletKey]) -> str:
        """Say which track that a human speaks of is not there, if one is not: nothing assigned it, or it was erased.

        told: those that are assigned in the same step."""
        keys = [(event.camera, event.track_id), (event.other_camera, event.other_track_id)]
        erased = {segment.key for segment in self._people().erased_segments}
        for camera, track_id in keys[: 1 if event.kind == "split" else 2]:
            if (camera, track_id) in told or track_id in self._simple.get(camera, ()):
                known = True
            else:
                known = (camera, track_id) in self._states
            if (camera, track_id) in erased:
                known = any(person != NO_ID for _, person in self.replay().segments(camera, track_id))
            if not known:
                return f"there is no track {track_id} on camera {camera!r}"
        return ""

    def _stored_person(self, gallery_id: int) -> int:
        """Return the number under which a person of the gallery is stored, and remember it."""
        if gallery_id < self._first_new_person_id:
            return gallery_id
        if gallery_id not in self._person_ids:
            stored = set(self._person_ids.values())
            used = "SELECT 1 FROM events WHERE person = ? LIMIT 1"
            if gallery_id in stored or self._connection.execute(used, (gallery_id,)).fetchone():
                self._person_ids[gallery_id] = max(self._next_person_id, *(number + 1 for number in stored | {0}))
            else:
                self._person_ids[gallery_id] = gallery_id
        return self._person_ids[gallery_id]

    def _keep_checkpoint(self) -> None:
        """Write a checkpoint if the last one is old and the file may be written."""
        if not is_writable(self.path):
            return
        last = self._connection.execute("SELECT max(last_id) FROM checkpoints").fetchone()[0] or 0
        if self._last_id - last < _CHECKPOINT_EVENTS:
            return
        with self._writing():
            self._refresh()
            self._connection.execute("DELETE FROM checkpoints")
            self._connection.executemany(
                f"INSERT INTO checkpoints ({', '.join(CHECKPOINT_COLUMNS)}, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    with_checksum(
                        camera,
                        self._last_id,
                        self._next_person_id - 1,
                        numbers_as_bytes(tracks.keys()),
                        numbers_as_bytes(tracks.values()),
                    )
                    for camera, tracks in self._simple.items()
                ),
            )
