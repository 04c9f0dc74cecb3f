"""Reading a ledger: events, and who is who by all of them."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from app.frames import TrackletKey
from app.runs.ledger.database import RARE, SELECT, connect, event_of_row, has_part
from app.runs.ledger.identities import (
    MACHINE,
    Event,
    Identities,
    People,
    Segment,
    TrackState,
    fold_people,
    fold_tracklet,
)


def _undone(undos: Sequence[tuple[int, int]]) -> set[int]:
    """Return the events not in force. An undo comes after its target, so the last one is in force for certain."""
    undone: set[int] = set()
    for number, target in reversed(undos):
        if number not in undone:
            undone.add(target)
    return undone


class Replay:
    """What the events in a ledger's file come to, read anew when there are new ones; the reading half of a `Ledger`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._connection = connect(path)
        self._last_id = 0
        self._undos: list[tuple[int, int]] = []
        self._undone: set[int] = set()
        self._simple: dict[str, dict[int, int]] = {}
        self._states: dict[TrackletKey, TrackState] = {}
        self._about_people: list[Event] = []
        self._next_person_id = self._reserved()
        self._cached: Identities | None = None
        self._cached_people: People | None = None
        self._has_index = has_part(self._connection, "rare_events")

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
            rows = self._connection.execute(f"{SELECT} WHERE {' AND '.join(conditions)} ORDER BY id", values).fetchall()
        yield from map(event_of_row, rows)

    def corrections(self) -> list[Event]:
        """Return the events of humans, in order, those that were undone among them."""
        query = f"{self._select_rare} WHERE {RARE} AND substr(actor, 1, ?) <> ? ORDER BY id"
        with self._mutex:
            return [event_of_row(row) for row in self._connection.execute(query, (len(MACHINE), MACHINE)).fetchall()]

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

    def latest_evidence(self, keys: Iterable[TrackletKey] | None = None) -> dict[TrackletKey, Event]:
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
                rows = execute(f"{SELECT} WHERE id IN ({wanted} GROUP BY camera, track_id)").fetchall()
            else:
                one = f"{SELECT} WHERE id = ({wanted} AND camera = ? AND track_id = ?)"
                rows = [row for key in keys for row in execute(one, key).fetchall()]
        return {(event.camera, event.track_id): event for event in map(event_of_row, rows)}

    def proposals(self) -> list[tuple[TrackletKey, TrackletKey, float]]:
        """Return the pairs of tracklets that the last link stage left apart with the most doubt: keys and P(same)."""
        query = (
            "SELECT camera, track_id, other_camera, other_track_id, p_same FROM proposals ORDER BY p_same DESC, rowid"
        )
        with self._mutex:
            if not has_part(self._connection, "proposals"):  # an older ledger in a folder that may only be read
                return []
            rows = self._connection.execute(query).fetchall()
        return [((camera, track), (other, other_track), p) for camera, track, other, other_track, p in rows]

    def last_track_ids(self) -> dict[str, int]:
        """Return for each camera the highest track id that any event names."""
        query = """SELECT camera, max(track_id) FROM events WHERE track_id >= 0 GROUP BY camera"""
        with self._mutex:
            return dict(self._connection.execute(query).fetchall())

    @property
    def _select_rare(self) -> str:
        return f"{SELECT} INDEXED BY rare_events" if self._has_index else SELECT

    def _erased_tracklets(self) -> set[TrackletKey]:
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
            event_of_row(row)
            for row in query(f"{self._select_rare} WHERE {RARE} AND id > ? AND id <= ? ORDER BY id", bounds).fetchall()
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
            f"SELECT id, camera, track_id, person FROM events WHERE NOT {RARE} AND id > ? AND id <= ? ORDER BY id",
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
        if not has_part(self._connection, "checkpoints"):
            return 0, 0
        last = highest = 0
        for camera, last_id, highest_person, track_ids, persons in self._connection.execute(
            "SELECT camera, last_id, highest_person, track_ids, persons FROM checkpoints WHERE last_id <= ?", (newest,)
        ):
            ids = np.frombuffer(track_ids, "<i8").tolist()
            self._simple[camera] = dict(zip(ids, np.frombuffer(persons, "<i8").tolist(), strict=True))
            last, highest = last_id, highest_person
        return last, highest

    def _replay_tracklets(self, keys: set[TrackletKey]) -> None:
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
