"""The audit log of a run: who looked, searched, exported and purged, when and what. The file `audit.sqlite`.

It answers "who got to see this person?": every line has its actor and names the people by their numbers.

    viewed      a page of a person, a list, a pair to review: `persons 1, 4–9` are those whose pictures were sent; also
                a picture that was asked for without its page. Lines come again after ten minutes, not with every
                picture. `the recordings`: frames, annotated videos and the timeline, which show whoever comes along
    searched    whose picture was searched for, or that it came from outside; and who was listed with a picture
    exported, rendered
                everybody of the run unless people are named
    changed     zones and lines; corrections of who is who are in the ledger, which `log_of` joins in
    erased, purged

The actor is whoever logged in to the browser; where nobody logs in `ui`, at a terminal `command line`, and for what
a Python program asks `python: USER`, with the operating system's name of its user.

Append-only, like the ledger. No picture, vector or name of a person is written here. What the log cannot know: who
looks at a screen or at files outside the program.
"""

from __future__ import annotations

import getpass
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import InputError
from app.runs.folder.header import check_owner, run_id
from app.runs.folder.layout import AUDIT_FILE, RUN_FILE
from app.system.sqlite_checksums import FUNCTION, give_to, owner_of, prepare
from app.system.untrusted import read_json

AUDIT_KEY = "audit_log"
"""Key in `run.json`: the run began with a log."""

COMMAND_LINE = "command line"

Action = Literal["viewed", "searched", "exported", "rendered", "changed", "erased", "purged"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL,
    checksum INTEGER
) STRICT;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_do_not_change BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""
AUDIT_COLUMNS = ("id", "time", "actor", "action", "what")
_INSERT = (
    f"INSERT INTO entries ({', '.join(AUDIT_COLUMNS)}, checksum) SELECT id, :time, :actor, :action, :what, "
    f"{FUNCTION}(id, :time, :actor, :action, :what) FROM (SELECT coalesce(max(id), 0) + 1 AS id FROM entries)"
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. time: seconds since 1970.  actor: who; `command line`, `ui`, or the user who logged in."""

    time: float
    actor: str
    action: str
    what: str


def python_user() -> str:
    """Return the actor for what a Python program asks for, without a browser or a command line."""
    try:
        return f"python: {getpass.getuser()}"
    except (KeyError, OSError):  # a user that has no entry, as in some containers
        return f"python: {os.getuid() if hasattr(os, 'getuid') else 'unknown'}"


def begin(folder: Path, run: str) -> None:
    """Make an empty log of the run with this id, so that from now on a missing one is damage: `AUDIT_KEY` in `run.json`
    says so."""
    with _opened(folder) as connection:
        give_to(connection, run)


def record(folder: Path, actor: str, action: Action, what: str) -> None:
    """Append a line. Where the run folder cannot be written, a warning is logged: reading goes on."""
    line = {"time": time.time(), "actor": "OmniTrack", "action": "changed", "what": "this log: it was gone, or empty"}
    try:
        gone = _is_gone(folder)
        with _opened(folder) as connection:
            if gone:
                _LOG.warning("%s: the audit log was gone or empty, and is begun anew", folder)
                give_to(connection, run_id(folder))
                connection.execute(_INSERT, line)
            elif owner_of(connection) != run_id(folder):
                _LOG.warning("%s: this is the audit log of another run; ask `main.py check RUN`", folder / AUDIT_FILE)
            connection.execute(_INSERT, {"time": time.time(), "actor": actor, "action": action, "what": what})
    except sqlite3.Error as error:
        _LOG.warning("%s: cannot write the audit log (%s)", folder, error)


def entries(folder: Path, limit: int = 1000) -> list[Entry]:
    """Return the latest lines, the newest first. Raises InputError if the file is no audit log, or is gone."""
    if _is_gone(folder):
        raise InputError(f"{folder / AUDIT_FILE}: the audit log is missing or empty; restore it from a copy")
    if not (folder / AUDIT_FILE).exists():
        return []
    try:
        with _opened(folder) as connection:
            check_owner(folder / AUDIT_FILE, owner_of(connection))
            query = "SELECT time, actor, action, what FROM entries ORDER BY id DESC LIMIT ?"
            return [Entry(*row) for row in connection.execute(query, (limit,)).fetchall()]
    except sqlite3.Error as error:
        raise InputError(f"{folder / AUDIT_FILE}: cannot read this audit log ({error})") from error


def numbers_text(numbers: Iterable[int]) -> str:
    """Return people in words: `person 3`, or `persons 1–3, 7`; `nobody` for none."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    texts = ["–".join(map(str, part)) if part[-1] - part[0] > 1 else ", ".join(map(str, part)) for part in parts]
    if not parts:
        return "nobody"
    return f"{'person' if len(parts) == 1 == len(parts[0]) else 'persons'} {', '.join(texts)}"


def _is_gone(folder: Path) -> bool:
    """Return whether a run that began with an audit log has none any more. SQLite takes an empty file for a new one."""
    path = folder / AUDIT_FILE
    if path.exists():
        return path.is_file() and path.stat().st_size == 0
    return (folder / RUN_FILE).is_file() and bool(read_json(folder / RUN_FILE, "a run").get(AUDIT_KEY))


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / AUDIT_FILE, timeout=10.0)) as connection, connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            connection.executescript(_SCHEMA)
        prepare(connection, "entries")
        yield connection
