"""Looking into a video that somebody uploaded, in a process of its own with little memory and time.

A file from outside can be made to crash or fill a decoder, or name other files to read. `python -m app.ui.video_reader
FILE` decodes a few pictures from FILE, if it is a video in one of the usual containers, and prints what it is as JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.system.uploads import uploaded

_FORMATS = {"mov": ".mp4", "matroska": ".mkv", "avi": ".avi", "mpegts": ".ts", "mpeg": ".mpg"}
"""Containers that are read, by FFmpeg's name; none of them can refer to other files here."""

_PICTURES = 5
_MOST_PIXELS = 8192 * 8192
_MEMORY_BYTES = 4 * 1024**3
_SECONDS = 30
_LONGEST_NAME = 60


def keep_upload(file: Path, folder: Path, name: str, largest_bytes: int) -> Path:
    """Move an uploaded video into `folder` and return where it is now.

    name: what the visitor calls it; only its letters and digits become part of the new name, and the ending is that of
    the content. Raises InputError if the file was not uploaded here, is too large or no video that can be read; what is
    refused is deleted.
    """
    with uploaded(file) as own:
        return _keep(own, folder, name, largest_bytes)


def _keep(file: Path, folder: Path, name: str, largest_bytes: int) -> Path:
    if file.stat().st_size > largest_bytes:
        raise InputError(f"{name} is larger than {largest_bytes / 1e6:,.0f} MB, which ui.max_video_mb allows.")
    found = look_into(file)
    if found is None:
        raise InputError(f"{name} is no video that can be read: give MP4, MOV, MKV, WebM, AVI, TS or MPEG.")
    stem = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in Path(name).stem)[:_LONGEST_NAME]
    stem = stem.strip("_") or "video"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{stem}{_FORMATS[found['format']]}"
    number = 1
    while target.exists():
        number += 1
        target = target.with_stem(f"{stem}_{number}")
    shutil.move(file, target)
    return target


def look_into(file: Path) -> dict[str, Any] | None:
    """Return format, width, height of a video, decoded in a child process; None if it is none that can be read."""
    command = [sys.executable, "-m", "app.ui.video_reader", str(file.resolve())]
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=2 * _SECONDS, check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") in _FORMATS else None


def main(file: str) -> int:
    """Do what the child process is for, and return its exit status."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        with av.open(file, options=options) as container:
            stream = container.streams.video[0]
            if stream.width * stream.height > _MOST_PIXELS:
                return 1
            stream.thread_type = "NONE"
            pictures = 0
            for picture in container.decode(stream):
                pictures += 1
                if pictures == _PICTURES or picture.width * picture.height > _MOST_PIXELS:
                    break
            if not pictures:
                return 1
            name = next(name for name in container.format.name.split(",") if name in _FORMATS)
            sys.stdout.write(json.dumps({"format": name, "width": stream.width, "height": stream.height}))
    except (av.FFmpegError, OSError, ValueError, MemoryError, IndexError, StopIteration):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
