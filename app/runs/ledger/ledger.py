"""The ledger: every decision about who is who, in the order it was made, with who made it and why.

An append-only SQLite file (write-ahead log), so that several processes can read and write it at once. Who is who now is
the replay of its events; `app.runs.ledger.identities` says what each kind of event means. The one thing ever changed in
a written event is its free text and evidence, when the person whom it is about is erased.

A long ledger opens fast because of its checkpoint: for each camera the tracklets and the persons that machines gave
them, as of one event. It is derived; replay goes on from there, and without it from the beginning, to the same end.
Beside the events lie the proposals of the last link stage: pairs that it nearly joined, for a human to look at.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from app.errors import InputError
from app.frames import NO_ID
from app.runs.ledger.identities import (
    MACHINE,
    Event,
    Identities,
    Key,
    People,
    Segment,
    TrackState,
    fold_people,
    fold_tracklet,
    segments_to_json,
)
from app.runs.ledger.reassign import plan_reassignment
from app.system.sqlite_checksums import FUNCTION, prepare, row_checksum

if TYPE_CHECKING:
    from app.track.gallery import LinkDecision

GALLERY = f"{MACHINE}gallery"
LINKER = f"{MACHINE}linker"

_CHECKPOINT_EVENTS = 50_000
"""So many events after the last checkpoint a new one is worth its writing."""

_LONGEST_TEXT = 200
EVENT_COLUMNS = ("id", "time", *(f.name for f in fields(Event) if f.name not in ("id", "time")))
CHECKPOINT_COLUMNS = ("camera", "last_id", "highest_person", "track_ids", "persons")
"""What the checksums of the rows are of: `app.system.sqlite_checksums`."""

_SELECT = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"
_INSERT = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}, checksum) VALUES ({', '.join('?' * len(EVENT_COLUMNS))}, ?)"
_EMPTY = {"text": "''", "evidence": "'{}'"}
_TAKE_WORDS = (
    "UPDATE events SET text = '', evidence = '{}', checksum = "
    f"{FUNCTION}({', '.join(_EMPTY.get(column, column) for column in EVENT_COLUMNS)})"
)
_RARE = f"(kind <> 'assign' OR substr(actor, 1, {len(MACHINE)}) <> '{MACHINE}')"
"""Everything but assignments by machines, which are nearly all of a long ledger. A partial index finds them."""
_TRIGGERS = (
    """CREATE TRIGGER IF NOT EXISTS events_stay BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;""",
    """CREATE TRIGGER IF NOT EXISTS events_do_not_change BEFORE UPDATE OF
    id, time, kind, actor, camera, track_id, person, other_camera, other_track_id, other_person, at_s, target ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;""",
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, camera TEXT NOT NULL,
    track_id INTEGER NOT NULL, person INTEGER NOT NULL, other_camera TEXT NOT NULL, other_track_id INTEGER NOT NULL,
    other_person INTEGER NOT NULL, at_s REAL NOT NULL, target INTEGER NOT NULL, text TEXT NOT NULL,
    evidence TEXT NOT NULL, checksum INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS events_of_tracklet ON events (camera, track_id);
CREATE INDEX IF NOT EXISTS rare_events ON events (id) WHERE {_RARE};
CREATE TABLE IF NOT EXISTS checkpoints (
    camera TEXT PRIMARY KEY, last_id INTEGER NOT NULL, highest_person INTEGER NOT NULL,
    track_ids BLOB NOT NULL, persons BLOB NOT NULL, checksum INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS proposals (
    camera TEXT NOT NULL, track_id INTEGER NOT NULL, other_camera TEXT NOT NULL, other_track_id INTEGER NOT NULL,
    p_same REAL NOT NULL
) STRICT;
{" ".join(_TRIGGERS)}
"""


class Ledger:
    """The identity events of one run. May be used from several threads; other processes may use the same file.

    Opening it makes the file if there is none. Use it as a context manager, or call `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._connection = _connect(path)
        self._last_id = 0
        self._undos: list[tuple[int, int]] = []
        self._undone: set[int] = set()
        self._simple: dict[str, dict[int, int]] = {}
        self._states: dict[Key, TrackState] = {}
        self._about_people: list[Event] = []
        self._next_person_id = self._reserved()
        self._cached: Identities | None = None
        self._cached_people: People | None = None
        self._person_ids: dict[int, int] = {}
        self._has_index = _has(self._connection, "rare_events")
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

    # Reading

    def replay(self) -> Identities:
        """Return who is who by all events up to now, of every process; only events new since the last call are read."""
        with self._mutex:
            self._refresh()
            if self._cached is None:
                self._cached = Identities(self._simple, self._states, self._people(), self._next_person_id)
            return self._cached

    def events(
        self,
        camera: str | None = None,
        track_id: int | None = None,
        person: int | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> Iterator[Event]:
        """Yield the events that name a tracklet or a person (all without arguments) and came after event `after`, up to
        and with event `until`.

        Events that were undone are among them: see `undone`. Merges are not followed.
        """
        conditions = ["id > ?"]
        values: list[int | str] = [after]
        if until is not None:
            conditions.append("id <= ?")
            values.append(until)
        if camera is not None:
            conditions.append("(camera = ? OR other_camera = ?)")
            values += [camera, camera]
        if track_id is not None:
            conditions.append("(track_id = ? OR other_track_id = ?)")
            values += [track_id, track_id]
        if person is not None:
            conditions.append("(person = ? OR other_person = ?)")
            values += [person, person]
        with self._mutex:
            rows = self._connection.execute(
                f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY id", values
            ).fetchall()
        yield from map(_event, rows)

    def corrections(self) -> list[Event]:
        """Return the events of humans, in order, those that were undone among them."""
        query = f"{self._select_rare} WHERE {_RARE} AND substr(actor, 1, ?) <> ? ORDER BY id"
        with self._mutex:
            return [_event(row) for row in self._connection.execute(query, (len(MACHINE), MACHINE)).fetchall()]

    def undone(self) -> frozenset[int]:
        """Return the ids of the events that are not in force."""
        with self._mutex:
            self._refresh()
            return frozenset(self._undone)

    def erased(self) -> list[Segment]:
        """Return what belonged to erased people, in the order of their erasure."""
        with self._mutex:
            self._refresh()
            return list(self._people().erased_segments)

    def latest_evidence(self, keys: Iterable[Key] | None = None) -> dict[Key, Event]:
        """Return for each tracklet (of `keys`, or of all) the latest assignment by a machine that is in force and has
        evidence, as far as there is one."""
        wanted = (
            f"SELECT max(id) FROM events WHERE kind = 'assign' AND substr(actor, 1, {len(MACHINE)}) = '{MACHINE}' "
            "AND evidence <> '{}' AND id NOT IN (SELECT id FROM undone)"
        )
        with self._mutex:
            self._refresh()
            execute = self._connection.execute
            execute("CREATE TEMP TABLE IF NOT EXISTS undone (id INTEGER PRIMARY KEY)")
            execute("DELETE FROM undone")
            self._connection.executemany("INSERT INTO undone VALUES (?)", [(number,) for number in self._undone])
            if keys is None:
                rows = execute(f"{_SELECT} WHERE id IN ({wanted} GROUP BY camera, track_id)").fetchall()
            else:
                one = f"{_SELECT} WHERE id = ({wanted} AND camera = ? AND track_id = ?)"
                rows = [row for key in keys for row in execute(one, key).fetchall()]
        return {(event.camera, event.track_id): event for event in map(_event, rows)}

    def proposals(self) -> list[tuple[Key, Key, float]]:
        """Return the pairs of tracklets that the last link stage left apart with the most doubt: keys and P(same)."""
        query = (
            "SELECT camera, track_id, other_camera, other_track_id, p_same FROM proposals ORDER BY p_same DESC, rowid"
        )
        with self._mutex:
            if not _has(self._connection, "proposals"):  # an older ledger in a folder that may only be read
                return []
            rows = self._connection.execute(query).fetchall()
        return [((camera, track), (other, other_track), p) for camera, track, other, other_track, p in rows]

    def last_track_ids(self) -> dict[str, int]:
        """Return for each camera the highest track id that any event names."""
        query = """SELECT camera, max(track_id) FROM events WHERE track_id >= 0 GROUP BY camera"""
        with self._mutex:
            return dict(self._connection.execute(query).fetchall())

    # Writing

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

    def confirm(self, first: Key, second: Key, actor: str) -> int:
        """Say that two tracklets show the same person. Changes no identity: merge them as well if they differ."""
        return self.append([Event("confirm", actor, *first, other_camera=second[0], other_track_id=second[1])])[0]

    def reject(self, first: Key, second: Key, actor: str) -> int:
        """Say that two tracklets show different people. Changes no identity: split one off as well."""
        return self.append([Event("reject", actor, *first, other_camera=second[0], other_track_id=second[1])])[0]

    def separate(self, first: Key, second: Key, actor: str) -> range:
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
        groups: Mapping[Key, int],
        actor: str = LINKER,
        evidence: Mapping[Key, Mapping[str, Any]] | None = None,
        cuts: Mapping[Key, tuple[Key, float]] | None = None,
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

    def propose(self, pairs: Iterable[tuple[Key, Key, float]]) -> None:
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
            self._connection.execute(f"{_TAKE_WORDS} WHERE person IN ({marks}) OR other_person IN ({marks})")
            self._connection.executemany(
                f"{_TAKE_WORDS} WHERE camera = ? AND track_id = ?",
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
            for statement in _TRIGGERS:
                self._connection.execute(statement)
            self._forget()
        with self._mutex:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # Inside

    @property
    def _select_rare(self) -> str:
        return f"{_SELECT} INDEXED BY rare_events" if self._has_index else _SELECT

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
            _INSERT,
            (
                _with_checksum(
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
            problem = _problem(event)
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

    def _unknown_track(self, event: Event, told: Collection[Key]) -> str:
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

    def _erased_tracklets(self) -> set[Key]:
        """Return the tracklets of which nothing is left, as of the last refresh."""
        return {
            segment.key
            for segment in self._people().erased_segments
            if segment.start_s == -math.inf and segment.end_s == math.inf
        }

    def _people(self) -> People:
        """Return what the events say that are not about a single tracklet, as of the last refresh."""
        if self._cached_people is None:
            self._cached_people = fold_people(event for event in self._about_people if event.id not in self._undone)
        return self._cached_people

    def _forget(self) -> None:
        """Drop everything that was read, so that the next refresh starts anew."""
        self._last_id, self._next_person_id = 0, self._reserved()
        self._cached = self._cached_people = None
        for store in (self._undos, self._undone, self._simple, self._states, self._about_people):
            store.clear()

    def _reserved(self) -> int:
        """Return the first number that is not reserved; the file keeps it as its user version, which is 0 at first."""
        return max(1, int(self._connection.execute("PRAGMA user_version").fetchone()[0]))

    def _refresh(self) -> None:
        """Read the events that were appended since the last time.

        Nearly all events are assignments by machines, and the last one of a tracklet wins: those are read in bulk.
        Tracklets that a human changed, or that were split, are replayed one by one, and again after any change.
        """
        last = self._last_id
        query = self._connection.execute
        newest = query("SELECT max(id) FROM events").fetchone()[0] or 0
        if newest == last:
            return
        if newest < last:  # somebody purged all identities
            self._forget()
            last = 0
        start, highest = (last, 0) if last else self._read_checkpoint(newest)
        bounds = (last, newest)
        rare = [
            _event(row)
            for row in query(f"{self._select_rare} WHERE {_RARE} AND id > ? AND id <= ? ORDER BY id", bounds).fetchall()
        ]
        self._undos += [(event.id, event.target) for event in rare if event.kind == "undo"]
        undone = _undone(self._undos)
        undone_at_start = self._undone if last else _undone([undo for undo in self._undos if undo[0] <= start])
        dirty = {(event.camera, event.track_id) for event in rare if event.kind in ("assign", "split")}
        for number in sorted(undone ^ undone_at_start):
            if number <= start:
                own = "SELECT camera, track_id FROM events WHERE id = ? AND kind IN ('assign', 'split')"
                dirty.update(query(own, (number,)).fetchall())
        highest = max([highest, *(max(event.person, event.other_person) for event in rare)])
        simple = self._simple
        for number, camera, track_id, person in query(
            f"SELECT id, camera, track_id, person FROM events WHERE NOT {_RARE} AND id > ? AND id <= ? ORDER BY id",
            (start, newest),
        ):
            if person > highest:
                highest = person
            if number not in undone:
                if camera not in simple:
                    simple[camera] = {}
                simple[camera][track_id] = person
        dirty.update(key for key in self._states if key[1] in simple.get(key[0], {}))
        about_people = [e for e in rare if e.kind in ("merge", "name", "confirm", "reject", "erase")]
        if about_people or undone != self._undone:
            self._cached_people = None
        self._about_people += about_people
        self._undone = undone
        self._replay_tracklets(dirty)
        self._last_id = newest
        self._next_person_id = max(self._next_person_id, highest + 1)
        self._cached = None

    def _read_checkpoint(self, newest: int) -> tuple[int, int]:
        """Begin with what the checkpoint says; return the last event in it and the highest person (0, 0 without it)."""
        if not _has(self._connection, "checkpoints"):
            return 0, 0
        last = highest = 0
        for camera, last_id, highest_person, track_ids, persons in self._connection.execute(
            "SELECT camera, last_id, highest_person, track_ids, persons FROM checkpoints WHERE last_id <= ?", (newest,)
        ):
            ids = np.frombuffer(track_ids, "<i8").tolist()
            self._simple[camera] = dict(zip(ids, np.frombuffer(persons, "<i8").tolist(), strict=True))
            last, highest = last_id, highest_person
        return last, highest

    def _keep_checkpoint(self) -> None:
        """Write a checkpoint if the last one is old and the file may be written."""
        if not _is_writable(self.path):
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
                    _with_checksum(
                        camera, self._last_id, self._next_person_id - 1, _blob(tracks.keys()), _blob(tracks.values())
                    )
                    for camera, tracks in self._simple.items()
                ),
            )

    def _replay_tracklets(self, keys: set[Key]) -> None:
        """Replay all events of some tracklets and file the outcomes where they belong."""
        if not keys:
            return
        for camera, track_id in keys:
            self._states.pop((camera, track_id), None)
            self._simple.setdefault(camera, {}).pop(track_id, None)
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS replayed (camera TEXT, track_id INTEGER)")
        self._connection.executemany("INSERT INTO replayed VALUES (?, ?)", keys)
        rows = self._connection.execute(
            "SELECT camera, track_id, id, kind, actor, person, at_s FROM replayed CROSS JOIN events "
            "USING (camera, track_id) WHERE kind IN ('assign', 'split') ORDER BY camera, track_id, id"
        ).fetchall()
        self._connection.execute("DELETE FROM replayed")
        for key, own in itertools.groupby((row for row in rows if row[2] not in self._undone), lambda row: row[:2]):
            state = fold_tracklet(Event(row[3], row[4], person=row[5], at_s=row[6]) for row in own)
            if state.touched or len(state.starts) > 1:
                self._states[key] = state
            else:
                self._simple[key[0]][key[1]] = state.persons[0]


def _undone(undos: Sequence[tuple[int, int]]) -> set[int]:
    """Return the events not in force. An undo comes after its target, so the last one is in force for certain."""
    undone: set[int] = set()
    for number, target in reversed(undos):
        if number not in undone:
            undone.add(target)
    return undone


def _problem(event: Event) -> str:
    """Return what is wrong with an event whatever the state, or an empty text."""
    if not event.actor:
        return "nobody is named as its actor"
    if event.kind in ("assign", "split", "confirm", "reject") and (not event.camera or event.track_id < 0):
        return f"({event.camera!r}, {event.track_id}) is no tracklet"
    if event.kind in ("confirm", "reject") and (not event.other_camera or event.other_track_id < 0):
        return f"({event.other_camera!r}, {event.other_track_id}) is no tracklet"
    if event.kind in ("confirm", "reject") and event.pair[0] == event.pair[1]:
        return "a pair is two different tracklets"
    if event.kind != "assign" and event.kind in ("merge", "split", "name", "erase") and event.person < 1:
        return f"{event.person} is no person; people count from 1"
    if event.kind == "assign" and event.person < 1 and event.person != NO_ID:
        return f"{event.person} is no person; people count from 1"
    if event.kind == "merge" and (event.other_person < 1 or event.other_person == event.person):
        return f"person {event.person} cannot be merged into {event.other_person}"
    if math.isnan(event.at_s) or event.at_s == math.inf:
        return f"{event.at_s} s is no time to split at"
    if len(event.text) > _LONGEST_TEXT or any(ord(sign) < 32 for sign in event.text):
        return f"a name has at most {_LONGEST_TEXT} characters and is one line"
    return ""


def _event(row: tuple[Any, ...]) -> Event:
    number, when, *values, evidence = row
    values += [json.loads(evidence), number, when]
    return Event(*values)


def _with_checksum(*values: Any) -> tuple[Any, ...]:
    return *values, row_checksum(*values)


def _blob(numbers: Collection[int]) -> bytes:
    return np.fromiter(numbers, "<i8", len(numbers)).tobytes()


def _has(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make it if there is none. Raises InputError if it is no ledger."""
    writable = _is_writable(path)
    name = f"file:{quote(path.absolute().as_posix())}" + ("" if writable else "?immutable=1")
    try:
        connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, timeout=30.0)
        if writable:
            _set_up(connection)
        connection.execute("SELECT 1 FROM events LIMIT 1")
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot open this ledger ({error})") from error
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 30000")
    for attempt in range(100):  # the change to the write-ahead log does not wait for another process by itself
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if attempt == 99:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    if not all(_has(connection, name) for name in ("rare_events", "checkpoints", "proposals")):
        # A new file, or one from before these were added; what is there already stays as it is.
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    for table in ("events", "checkpoints"):
        prepare(connection, table)
