"""One camera: what is known of it, and the protocol that every source of images keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from app.frames import Frame

FootageKind = Literal["video", "images", "sequence", "live"]

CameraState = Literal["connecting", "live", "frozen", "lost", "refused", "stopped"]
"""`connecting`: not seen yet.  `frozen`: sends one picture again and again.  `lost`: tried again until it is back.
`refused`: user or password is wrong.  `stopped`: nobody followed this camera any more, since the program had ended."""

Size = tuple[int, int]
"""Width and height, pixels."""

WIDEST_PIXEL = 5.0
"""No recorder stores pixels more than so many times as wide as high, or as high as wide."""

_NAME_LIMIT = 100
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StateChange:
    """A camera is in `state` since `since_s`. why: in words, without passwords; "" if there is nothing to say."""

    camera: str
    state: CameraState
    since_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the pictures of a camera are read, where it is not the plain way; a run records it to read them again.

    file_size: (width, height) in the files' own pixels, upright, if they are not square; (0, 0) if they are.
    fps: frames/s that a camera list gives, by which the times go instead of by time stamps; 0 if it gives none.
    stream: which of the video streams of its files, from 0.
    """

    file_size: Size = (0, 0)
    fps: float = 0.0
    stream: int = 0


PLAIN = Reading()


def file_scale(width: int, height: int, reading: Reading) -> tuple[float, float]:
    """Return how many of its own pixels a file has for each square one, along x and along y.

    width, height: of the camera, in square pixels. See "Pixels" in docs/formats.md.
    """
    if not all(reading.file_size) or not (width and height):
        return 1.0, 1.0
    return reading.file_size[0] / width, reading.file_size[1] / height


def safe_name(name: str) -> str:
    """Return `name` as something that can be a folder name on every system."""
    safe = _UNSAFE.sub("_", name).strip(" .")[:_NAME_LIMIT].rstrip(" .")
    return f"{safe}_" if _RESERVED.fullmatch(safe) else safe or "camera"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first picture is read.

    camera: name, unique and safe as a folder name.
    width, height: square pixels; 0 for a live camera that was not seen yet.
    fps: nominal frame rate, 1/s; the times of the frames are the truth.
    frame_count: how many frames to expect, None if unknown; some files do not keep what they announce.
    start_time: seconds on the shared clock of the first frame; for a live source when it was opened.
    live: pictures arrive now and are dropped when nobody takes them.  has_pixels: False means motion only.
    origin: what the user named, without passwords.
    folder: where files that belong to it are looked up: the sequence folder, for a video `x.mp4` the folder `x`.
    inputs: the files it consists of, in order.  kind: how they make it up.
    offsets_s: for videos, when each begins, seconds after the first one.
    address: of a recording that is read from another machine, without passwords.
    reading: how its pictures are read, where it is not the plain way.
    """

    camera: str
    width: int
    height: int
    fps: float
    frame_count: int | None
    start_time: float
    live: bool
    has_pixels: bool
    origin: str
    folder: Path | None
    inputs: tuple[Path, ...]
    kind: FootageKind = "video"
    offsets_s: tuple[float, ...] = ()
    address: str = ""
    reading: Reading = PLAIN

    @property
    def file_scale(self) -> tuple[float, float]:
        """How many of its own pixels its files have for each square one, along x and along y."""
        return file_scale(self.width, self.height, self.reading)


class Source(Protocol):
    """One camera. Iterating reads it from its beginning; frame times strictly increase."""

    info: SourceInfo
    first_index: int
    """Number of the first frame wanted, set before iterating: earlier ones of a recording are skipped, a live source
    counts from there."""
    end_index: int | None
    """Number of the first frame that is not wanted any more; None reads to the end."""
    dropped: int
    """Frames of a live source that came faster than they were taken."""

    @property
    def problem(self) -> str:
        """Why it ended early, a sentence for the user; "" while there is nothing to say."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def stop(self) -> None:
        """Let an iteration in another thread end for good, even while it waits for a lost connection."""
        ...


@runtime_checkable
class LiveSource(Source, Protocol):
    """A source that may be live."""

    def changes(self) -> list[StateChange]:
        """Return, once, what a live camera began to do since the last call; nothing for a recording."""
        ...

    def keep_size(self, width: int, height: int) -> None:
        """Give all pictures of a live camera this size, pixels; set before iterating. A recording has its own."""
        ...
