"""The sha256 of files: how weights and inputs are recognised again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.errors import InputError


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, or of a folder's files with their names. Raises InputError if it cannot be read."""
    try:
        if path.is_dir():
            listed = sorted(file for file in path.rglob("*") if file.is_file())
            digest = hashlib.sha256()
            for file in listed:
                digest.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
            return digest.hexdigest()
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot read this file ({error.strerror})") from error
