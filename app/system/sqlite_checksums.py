"""What a database of a run carries besides its rows, and SQLite does not check: a checksum in each row, and its owner.

The tables of the ledger and of the audit log have a column `checksum`, NULL in rows of earlier versions, which notices
a changed value. The table `owner` holds the id of the run, so that the file of another run is not taken for this one's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

FUNCTION = "row_checksum"
"""Name of the SQL function that gives the checksum of its arguments."""


def row_checksum(*values: Any) -> int:
    """Return a checksum of the values of a row, as the database gives them back: a signed 64-bit integer."""
    return int.from_bytes(sha256(repr(values).encode()).digest()[:8], "big", signed=True)


def prepare(connection: sqlite3.Connection, table: str) -> None:
    """Give a connection the function, and the table the column if it has none."""
    connection.create_function(FUNCTION, -1, row_checksum, deterministic=True)
    if "checksum" not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")


def owner_of(connection: sqlite3.Connection) -> str:
    """Return the id of the run that a database belongs to, "" if it says none."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'owner'").fetchone() is None:
        return ""
    return "".join(str(row[0]) for row in connection.execute("SELECT run FROM owner"))


def give_to(connection: sqlite3.Connection, run: str) -> None:
    """Let a database belong to a run from now on; "" for a run of an earlier version, whose files say nothing."""
    if run != owner_of(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS owner (run TEXT NOT NULL) STRICT")
        connection.execute("DELETE FROM owner")
        connection.execute("INSERT INTO owner VALUES (?)", (run,))


def damage(path: Path, tables: Iterable[tuple[str, Sequence[str]]], missing_is_damage: bool) -> tuple[list[str], int]:
    """Return what is wrong with a database, in sentences, and how many rows have no checksum.

    tables: name and columns that the checksum is of, the first of which counts the rows from 1.
    """
    problems: list[str] = []
    unchecked = 0
    try:
        name = f"file:{quote(path.absolute().as_posix())}?mode=ro"
        with closing(sqlite3.connect(name, uri=True, timeout=30.0)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check").fetchall()]
            problems += [f"{path}: damaged ({line})" for line in found if line != "ok"][:5]
            for table, columns in tables:
                wrong, without, count, last = [], 0, 0, 0
                has = "checksum" in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                column = "checksum" if has else "NULL"
                for *values, checksum in connection.execute(
                    f"SELECT {', '.join(columns)}, {column} FROM {table} ORDER BY {columns[0]}"
                ):
                    count, last = count + 1, values[0]
                    without += checksum is None
                    if checksum is not None and checksum != row_checksum(*values):
                        wrong.append(values[0])
                if wrong:
                    problems.append(f"{path}: {len(wrong)} rows of {table} are damaged, the first number {wrong[0]}")
                if count != last and isinstance(last, int):
                    problems.append(f"{path}: {table} has {count} rows, but the last is number {last}")
                if without and missing_is_damage:
                    problems.append(f"{path}: {without} rows of {table} have lost their checksum")
                unchecked += without
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        problems.append(f"{path}: damaged ({error})")
    return problems, unchecked
