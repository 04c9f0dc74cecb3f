"""The sha256 of files: how weights and inputs are recognised again, and how damage to our own tensors is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from app.errors import InputError

CONTENT = "content_sha256"
"""Key in the metadata of a safetensors file of ours: the checksum of its tensors and of its other metadata."""


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


def with_content(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a safetensors file with the checksum of all that will be in it."""
    return {**metadata, CONTENT: _content(tensors, metadata)}


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the PyTorch tensors of a safetensors file and its metadata, as they were written (`check_content`).

    Raises InputError if they are not, SafetensorError or OSError for what is no such file.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it has keys, but is no mapping
        metadata = file.metadata() or {}
    if CONTENT in metadata:  # tensors of other makers may have types that NumPy lacks
        check_content(path, {name: tensor.numpy() for name, tensor in tensors.items()}, metadata)
    return tensors, metadata


def check_content(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Raise InputError if a safetensors file is not what was written. One without a checksum passes."""
    if CONTENT in metadata and metadata[CONTENT] != _content(tensors, metadata):
        raise InputError(f"{path}: damaged (the checksum of its content does not fit); restore it from a copy")


def _content(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps({k: v for k, v in sorted(metadata.items()) if k != CONTENT}).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\0".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
