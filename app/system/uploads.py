"""Files on their way from a browser into the program: each server has a folder of its own for them, only for a while.

A picture that somebody searches with shows a person, so it must not outlive the search. The folder lies in the user's
cache, readable by that user only. It goes when its server ends; what a killed server left goes when the next one
starts, and `erase` empties all of them. A server holds the lock of its folder, so that nobody takes it for a dead
one's.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from app.errors import InputError
from app.system.openvino_cache import cache_folder

if sys.platform != "win32":
    import fcntl

_FOLDERS = "uploads"
_LOCK = "lock"
_VARIABLE = "GRADIO_TEMP_DIR"
"""Where Gradio puts uploads, read by it again for each of them."""

_ON_ITS_WAY_S = 60.0
"""A file that was written so lately may be an upload that goes on."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make the folder for the uploads of this process and take it away at the end, with those of dead servers."""
    sweep_uploads()
    before = os.environ.get(_VARIABLE)
    with _alone():
        folder = Path(tempfile.mkdtemp(prefix="ui_", dir=_parent())).resolve()  # mode 0700
        lock = _locked(folder)
    os.environ[_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            lock.close()


@contextmanager
def uploaded(file: Path) -> Iterator[Path]:
    """Hand over an uploaded file and delete it afterwards, unless it was moved away.

    Raises InputError for a file that was not uploaded to this server: whatever else a request names stays unread.
    """
    if not is_uploaded(file):
        raise InputError("This file was not uploaded here; choose it again.")
    try:
        yield file
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
            if file.parent != _own_folder():
                file.parent.rmdir()  # each upload has a folder of its own


def forget(file: Path) -> None:
    """Delete an uploaded file; anything else stays."""
    with suppress(InputError), uploaded(file):
        pass


def forget_later(file: Path, after_s: float = 600.0) -> None:
    """Delete an uploaded file that may be used once more, after a while."""
    timer = threading.Timer(after_s, forget, [file])
    timer.daemon = True
    timer.start()


def is_uploaded(file: Path) -> bool:
    """Return whether a file lies in this server's folder: itself, not a link to somewhere else."""
    folder = _own_folder()
    if folder is None or not file.is_absolute():
        return False
    with suppress(OSError, ValueError):
        return stat.S_ISREG(file.lstat().st_mode) and file.resolve().is_relative_to(folder) and file.resolve() == file
    return False


def sweep_uploads(of_living: bool = False) -> None:
    """Delete what servers left that were killed; with `of_living` also what lies unused with those that run."""
    if not _parent().is_dir():
        return
    with _alone():
        for folder in _parent().glob("ui_*"):
            if folder.is_symlink() or not folder.is_dir():
                continue
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()
            elif of_living:
                _empty(folder)


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other process make or sweep a folder meanwhile: a new one is not locked yet."""
    _parent().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (_parent() / _LOCK).open("ab") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _empty(folder: Path) -> None:
    before = time.time() - _ON_ITS_WAY_S
    for file in folder.rglob("*"):
        with suppress(OSError):
            if file.name != _LOCK and not file.is_dir() and file.lstat().st_mtime < before:
                file.unlink()


def _locked(folder: Path) -> IO[bytes] | None:
    """Return the held lock of a folder, None if another process holds it. On Windows nothing is locked."""
    try:
        file = (folder / _LOCK).open("ab")
    except OSError:
        return None
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
    return file


def _parent() -> Path:
    return cache_folder() / _FOLDERS


def _own_folder() -> Path | None:
    folder = os.environ.get(_VARIABLE)
    return Path(folder).resolve() if folder else None
