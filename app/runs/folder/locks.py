"""Who may change a folder now: one lock for the moment of a change, one for as long as a process works with the folder.

    .lock         held while files are changed, by whoever changes them: a commit, linking, an erasure, a purge
    .following    held by the process that follows cameras into a run, or that uses a folder of known people, to its end
    .copying      held together by all who write videos, exports and the like into a run, and alone by whoever takes
                  data away: a copy would keep it

So a run can be changed while cameras are followed into it, between two of its parts. Whoever reads in order to write
holds a lock from reading to writing. On Windows nothing is locked.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from app.errors import InputError, RunError
from app.runs.folder.layout import (
    AUDIT_FILE,
    CAMERAS_FOLDER,
    COPY_FILE,
    FOLLOW_FILE,
    LEDGER_FILE,
    LIST_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    RUN_FILE,
    WRITTEN_FILE,
)
from app.system.files import first_of

if sys.platform != "win32":
    import fcntl


CHANGE_WAIT_S = 10.0
"""So long a command waits for another one's change before it gives up: a commit takes a moment, linking may not."""

_BEGINNINGS = {
    LOCK_FILE,
    FOLLOW_FILE,
    LIST_FILE,
    COPY_FILE,
    WRITTEN_FILE,
    MANIFEST_FILE,
    f"{MANIFEST_FILE}.tmp",
    f"{RUN_FILE}.tmp",
    *(name + ending for name in (LEDGER_FILE, AUDIT_FILE) for ending in ("", "-wal", "-shm", "-journal")),
    CAMERAS_FOLDER,
}
"""What a run folder holds before there is a run in it: `RunWriter.create` writes `RUN_FILE` last."""

_LOOK_S = 0.2
"""A reader that asks whether a run is followed holds its lock for a moment."""


def lock_run(folder: Path, doing: str = "writing to this run", wait_s: float | None = None) -> IO[bytes]:
    """Keep every other process and thread from changing the files of a folder until the returned file is closed.

    doing: for the sentence that others get meanwhile.  wait_s: how long to wait for somebody else, seconds; None for
    `CHANGE_WAIT_S`.  Raises RunError if somebody is changing it still, or the folder cannot be written.
    """
    return _lock(folder / LOCK_FILE, doing, CHANGE_WAIT_S if wait_s is None else wait_s)


def lock_following(folder: Path, doing: str = "writing to this run") -> IO[bytes]:
    """Be the one process that works with a folder for long, until the returned file is closed; others may change it.

    Raises RunError if there is one already.
    """
    return _lock(folder / FOLLOW_FILE, doing, _LOOK_S)


@contextmanager
def lock_deletion(folder: Path, doing: str) -> Iterator[None]:
    """Be the only one who changes a run, with nobody copying from it either. Raises RunError as `lock_run` does."""
    with lock_run(folder, doing), _lock(folder / COPY_FILE, doing, CHANGE_WAIT_S):
        yield


def lock_copying(folder: Path, doing: str) -> IO[bytes]:
    """Keep others from taking data away, but not from copying as well, until the returned file is closed."""
    return _lock(folder / COPY_FILE, doing, CHANGE_WAIT_S, shared=True)


def lock_list(folder: Path) -> IO[bytes]:
    """Keep others from the list of written files (`app.runs.folder.written`) for the moment of a change."""
    return _lock(folder / LIST_FILE, "noting which files it writes", CHANGE_WAIT_S)


def lock_file(path: Path, doing: str) -> IO[bytes]:
    """Keep others from one small file of a run that is read, changed and written, until the returned file is closed."""
    return _lock(path.with_name(f".{path.name}.lock"), doing, CHANGE_WAIT_S)


def is_followed(folder: Path) -> bool:
    """Return whether a process follows cameras into this run now. On Windows the answer is always no."""
    if sys.platform == "win32":
        return False
    try:
        with (folder / FOLLOW_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(path: Path, doing: str, wait_s: float, shared: bool = False) -> IO[bytes]:
    try:
        file = open_own(path)
    except OSError as error:
        raise RunError(f"{path.parent}: cannot be written ({error.strerror})") from error
    if sys.platform == "win32":
        return file
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = _holder(file)
                file.close()
                raise RunError(f"{path.parent}: another process is {holder}; wait for it or stop it first") from None
            time.sleep(0.01)
    with suppress(OSError):  # a full disk: the lock holds, only nobody can read who has it
        file.truncate(0)
        file.write(f"{doing} (process {os.getpid()})".encode())
        file.flush()
    return file


def refuse_foreign_folder(folder: Path) -> None:
    """Raise InputError if a folder holds files of somebody else: a run gets a folder of its own.

    What a run leaves behind that was killed as it began is no obstacle, and neither are the tasks of a cluster.
    """
    others = sorted(path.name for path in folder.glob("*") if path.name not in _BEGINNINGS) if folder.is_dir() else []
    if others:
        raise InputError(f"{folder} is not empty and holds no run ({first_of(others)}); give another --output")


def open_own(path: Path) -> IO[bytes]:
    """Open a file of ours for reading and appending, and make it if there is none; never what a link names instead."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a+b")


def _holder(file: IO[bytes]) -> str:
    """Return what the holder of a lock is doing."""
    file.seek(0)
    return file.read(200).decode(errors="replace").strip() or "writing to this run"
