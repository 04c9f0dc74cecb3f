"""Decoding a picture that somebody uploaded, in a process of its own with little memory and time.

A file from outside can be made to crash or fill a decoder. `python -m app.ui.picture_reader FILE COPY` reads FILE if it
is a JPEG, PNG, WebP or BMP of a sane size and writes its pixels, and nothing else of it, to COPY.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import InputError
from app.system.uploads import is_uploaded, uploaded

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_MOST_PIXELS = 60_000_000
_LONGEST_SIDE_PX = 2048
_MEMORY_BYTES = 2 * 1024**3
_SECONDS = 20


def read_upload(file: Path, largest_bytes: int, keep: bool = False) -> NDArray[np.uint8]:
    """Return the picture in an uploaded file, (H, W, 3) uint8 BGR, upright, at most 2048 pixels a side.

    The file is deleted: it shows somebody, and was given for one search. With `keep` the caller deletes it (`forget`).
    Raises InputError if it was not uploaded here, is too large or no picture.
    """
    if keep and is_uploaded(file):
        return _read(file, largest_bytes)
    with uploaded(file) as own:
        return _read(own, largest_bytes)


def _read(file: Path, largest_bytes: int) -> NDArray[np.uint8]:
    if file.stat().st_size > largest_bytes:
        raise InputError(f"This file is larger than {largest_bytes / 1e6:.0f} MB.")
    copy = file.with_name("decoded.png")
    command = [sys.executable, "-m", "app.ui.picture_reader", str(file.resolve()), str(copy.resolve())]
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError("This picture takes too long to read.") from error
    image = cv2.imread(str(copy), cv2.IMREAD_COLOR) if done.returncode == 0 else None
    copy.unlink(missing_ok=True)
    if image is None:
        raise InputError("This is no picture that can be read: give a JPEG, PNG, WebP or BMP file.")
    return np.asarray(image, np.uint8)


def main(file: str, copy: str) -> int:
    """Do what the child process is for, and return its exit status."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                return 1
            image.thumbnail((_LONGEST_SIDE_PX, _LONGEST_SIDE_PX))
            ImageOps.exif_transpose(image).convert("RGB").save(copy, "PNG")
    except (OSError, ValueError, MemoryError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
