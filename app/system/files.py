"""Files that survive a kill and a loss of power: replaced in one step, or lengthened and then waited for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from app.errors import InputError

MARK = ".omnitrack"
"""File in an output folder that is no run folder: what it is for, so that files there may be replaced."""


def claim_folder(
    folder: Path, what: str, names: Iterable[str] | None = None, known: Sequence[str] = (), option: str = "--output"
) -> None:
    """Make an output folder and mark it. What somebody else has there is never replaced, and never mixed with ours.

    what: is made there.  names: of the files that will be written, which alone may not be there then; without them the
    folder has to be empty.  known: paths in it of which one shows that such a folder was begun without a mark.
    Raises InputError if it holds anything else; a folder with the mark of the same kind is ours.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; {option} is a folder")
    mark = folder / MARK
    if mark.is_file() and what in mark.read_text(encoding="utf-8", errors="replace").splitlines():
        return
    if not any((folder / name).exists() for name in known):
        there = {path.name for path in folder.iterdir()} - {MARK} if folder.is_dir() else set()
        others = sorted(there if names is None else there & set(names))
        if others:
            raise InputError(f"{folder} holds files that are of no {what} ({first_of(others)}); give another {option}")
    folder.mkdir(parents=True, exist_ok=True)
    with mark.open("a", encoding="utf-8") as file:
        file.write(f"{what}\n")


def first_of(names: Sequence[str]) -> str:
    """Return the first three names for a sentence, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step that survives a loss of power: readers see the old content or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file and wait until it is on the disk. What an earlier call left unfinished is cut off first.

    A reader takes no line that lacks its end, so it sees the whole line or none of it. One process at a time.
    """
    with path.open("r+b") as file:
        append_to(file, line)


def append_to(file: IO[bytes], line: bytes) -> None:
    """Do the same with a file that is open for reading and writing."""
    end = file.seek(0, os.SEEK_END)
    whole = _end_of_last_line(file, end)
    if whole != end:
        file.truncate(whole)
    file.seek(whole)
    file.write(line + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _end_of_last_line(file: IO[bytes], end: int) -> int:
    """Return where the last line that has an end ends: usually at the end of the file."""
    while end > 0:
        start = max(end - 65_536, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def sync(path: Path) -> None:
    """Wait until a file, or the list of names of a folder, is on the disk. Windows cannot do it for folders."""
    if sys.platform == "win32" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
