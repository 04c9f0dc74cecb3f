"""The SQLite file of a ledger: its tables, and rows as events."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from app.errors import InputError
from app.runs.ledger.identities import MACHINE, Event
from app.system.sqlite_checksums import FUNCTION, prepare, row_checksum

EVENT_COLUMNS = ("id", "time", *(f.name for f in fields(Event) if f.name not in ("id", "time")))
CHECKPOINT_COLUMNS = ("camera", "last_id", "highest_person", "track_ids", "persons")
"""What the checksums of the rows are of: `app.system.sqlite_checksums`."""

SELECT = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"
INSERT = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}, checksum) VALUES ({', '.join('?' * len(EVENT_COLUMNS))}, ?)"
_EMPTY = {"text": "''", "evidence": "'{}'"}
TAKE_WORDS = (
    "UPDATE events SET text = '', evidence = '{}', checksum = "
    f"{FUNCTION}({', '.join(_EMPTY.get(column, column) for column in EVENT_COLUMNS)})"
)
RARE = f"(kind <> 'assign' OR substr(actor, 1, {len(MACHINE)}) <> '{MACHINE}')"
"""Everything but assignments by machines, which are nearly all of a long ledger. A partial index finds them."""
TRIGGERS = (
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
CREATE INDEX IF NOT EXISTS rare_events ON events (id) WHERE {RARE};
CREATE TABLE IF NOT EXISTS checkpoints (
    camera TEXT PRIMARY KEY, last_id INTEGER NOT NULL, highest_person INTEGER NOT NULL,
    track_ids BLOB NOT NULL, persons BLOB NOT NULL, checksum INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS proposals (
    camera TEXT NOT NULL, track_id INTEGER NOT NULL, other_camera TEXT NOT NULL, other_track_id INTEGER NOT NULL,
    p_same REAL NOT NULL
) STRICT;
{" ".join(TRIGGERS)}
"""


def event_of_row(row: tuple[Any, ...]) -> Event:
    number, when, *values, evidence = row
    values += [json.loads(evidence), number, when]
    return Event(*values)


def with_checksum(*values: Any) -> tuple[Any, ...]:
    return *values, row_checksum(*values)


def numbers_as_bytes(numbers: Collection[int]) -> bytes:
    return np.fromiter(numbers, "<i8", len(numbers)).tobytes()


def has_part(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make it if there is none. Raises InputError if it is no ledger, or if its newest events cannot
    be read: who was erased in them must not come back."""
    writable = is_writable(path)
    log = path.with_name(f"{path.name}-wal")
    unmerged = log.exists() and log.stat().st_size > 0
    # Immutable is all that works where SQLite may not make its index, but it skips the write-ahead log.
    how = "" if writable else "?mode=ro" if unmerged else "?immutable=1"
    name = f"file:{quote(path.absolute().as_posix())}{how}"
    try:
        connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, timeout=30.0)
        if writable:
            _set_up(connection)
        connection.execute("SELECT 1 FROM events LIMIT 1")
    except sqlite3.Error as error:
        if how == "?mode=ro":
            raise InputError(
                f"{path}: its newest decisions are in {log.name}, which cannot be read without writing here ({error}); "
                "wait until the run has ended, or copy the run folder to where you may write"
            ) from error
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
    if not all(has_part(connection, name) for name in ("rare_events", "checkpoints", "proposals")):
        # A new file, or one from before these were added; what is there already stays as it is.
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    for table in ("events", "checkpoints"):
        prepare(connection, table)
