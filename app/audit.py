"""The audit log of a run: who looked, searched, exported and purged, when and what. The file `audit.sqlite`.

Append-only, like the ledger, which holds the corrections. No picture, vector or name of a person is written here:
people are their numbers.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import InputError

AUDIT_FILE = "audit.sqlite"
COMMAND_LINE = "command line"

Action = Literal["viewed", "searched", "exported", "rendered", "changed", "erased", "purged"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_do_not_change BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. time: seconds since 1970.  actor: who; `command line`, `ui`, or the user who logged in."""

    time: float
    actor: str
    action: str
    what: str


def record(folder: Path, actor: str, action: Action, what: str) -> None:
    """Append a line. Where the run folder cannot be written, a warning is logged: reading goes on."""
    try:
        with _opened(folder) as connection:
            connection.execute(
                "INSERT INTO entries (time, actor, action, what) VALUES (?, ?, ?, ?)",
                (time.time(), actor, action, what),
            )
    except sqlite3.Error as error:
        _LOG.warning("%s: cannot write the audit log (%s)", folder, error)


def entries(folder: Path, limit: int = 1000) -> list[Entry]:
    """Return the latest lines, the newest first. Raises InputError if the file is no audit log."""
    if not (folder / AUDIT_FILE).exists():
        return []
    try:
        with _opened(folder) as connection:
            query = "SELECT time, actor, action, what FROM entries ORDER BY id DESC LIMIT ?"
            return [Entry(*row) for row in connection.execute(query, (limit,)).fetchall()]
    except sqlite3.Error as error:
        raise InputError(f"{folder / AUDIT_FILE}: cannot read this audit log ({error})") from error


def audit_table(found: list[Entry]) -> object:
    """Return a rich table of the log."""
    from rich.table import Table

    from app.draw import format_time

    table = Table("when (UTC)", "who", "did", "what")
    for entry in found:
        table.add_row(format_time(round(entry.time)).removesuffix(" UTC"), entry.actor, entry.action, entry.what)
    return table


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / AUDIT_FILE, timeout=10.0)) as connection, connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            connection.executescript(_SCHEMA)
        yield connection
