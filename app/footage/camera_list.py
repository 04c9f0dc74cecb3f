"""Which files make up a camera, in which order, and when they were recorded.

A camera list is a YAML file that names cameras and their footage (see `configs/cameras_example.yaml`). Start times come
from the list, from file names or from the files' metadata. Times without a time zone are taken as UTC: what matters is
that all cameras agree.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from app.config import Section
from app.errors import InputError
from app.footage.video import VideoFile
from app.system.untrusted import LIMITS, compose_yaml, construct_yaml, read_text

logger = logging.getLogger(__name__)

_RESOLUTION_S = 1.0
"""Start times in names and metadata are whole seconds: a smaller gap or overlap is rounding, not a gap."""

_NAME_LIMIT = 100
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

_STRFTIME_CODES = {
    "%Y": r"(?P<year>\d{4})",
    "%m": r"(?P<month>\d{2})",
    "%d": r"(?P<day>\d{2})",
    "%H": r"(?P<hour>\d{2})",
    "%M": r"(?P<minute>\d{2})",
    "%S": r"(?P<second>\d{2})",
    "%f": r"(?P<fraction>\d{1,6})",
    "%%": "%",
}
_USUAL_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d{2})[-_.]?(?P<month>\d{2})[-_.]?(?P<day>\d{2})[-_.T ]{0,3}"
    r"(?P<hour>\d{2})[-_.:h]?(?P<minute>\d{2})[-_.:m]?(?P<second>\d{2})(?!\d)"
)


@dataclass(frozen=True, slots=True)
class StartTime:
    """Seconds since 1970 (UTC) when a camera's first picture was taken, and how that is known."""

    time_s: float
    known_from: Literal["list", "name", "metadata"]


@dataclass(frozen=True, slots=True)
class CameraEntry:
    """One camera as asked for: from `--sources`, or from a camera list.

    sources: what it consists of: paths, or one URL or camera number.  name: "" to name it after its footage.
    place: where it was asked for, to be named in messages.  start: given start time, None if it is to be found.
    start_from: where to look for the start time; name_pattern: strftime pattern, "" for the usual ones.
    offset_s: added to its times, to set a clock that is off.
    """

    sources: tuple[str, ...]
    name: str = ""
    place: str = ""
    start: StartTime | None = None
    start_from: Literal["auto", "name", "metadata"] = "auto"
    name_pattern: str = ""
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a camera and how many seconds after the camera's first picture it begins."""

    file: VideoFile
    offset_s: float


class _ListedCamera(Section):
    """One item under `cameras:` in a camera list."""

    name: str = Field("", description="Name of the camera.")
    files: str | list[str] = Field(description="A source, or video files in order; relative to the list.")
    start: datetime | date | str | None = Field(None, description="Date and time, or name, or metadata.")
    name_pattern: str = Field("", description="strftime pattern of the start time in file names.")
    offset_s: float = Field(0.0, ge=-1e9, le=1e9, description="Added to the camera's times.")


def read_camera_list(path: Path, name_pattern: str) -> list[CameraEntry]:
    """Read a YAML camera list. Raises InputError that lists every problem with its line."""
    node = compose_yaml(read_text(path, "the camera list", LIMITS.yaml_bytes), path, unique_keys=True)
    content = None if node is None else construct_yaml(node, path)
    listed = content.get("cameras") if isinstance(content, dict) and set(content) == {"cameras"} else None
    if not isinstance(listed, list) or not listed:
        raise InputError(
            f"{path}:1: a camera list has the one key 'cameras:' with a list of '- name: … files: …' below"
        )
    assert node is not None
    lines = [item.start_mark.line + 1 for item in node.value[0][1].value]
    entries: list[CameraEntry] = []
    problems: list[str] = []
    for line, item in zip(lines, listed, strict=True):
        try:
            entries.append(_entry_of(item, path, f"{path}:{line}", name_pattern))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n  ".join(problems))
    return entries


def _entry_of(item: Any, path: Path, place: str, name_pattern: str) -> CameraEntry:
    try:
        camera = _ListedCamera.model_validate(item)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(str(step) for step in e['loc'][:1])}: {e['msg'].lower()}" for e in error.errors())
        known = ", ".join(_ListedCamera.model_fields)
        raise InputError(f"{place}: {found} (a camera has the keys {known})") from error
    files = [camera.files] if isinstance(camera.files, str) else camera.files
    if not files:
        raise InputError(f"{place}: files is empty")
    if camera.name != safe_name(camera.name) and camera.name:
        raise InputError(f"{place}: name {camera.name!r} cannot be a folder name; take {safe_name(camera.name)!r}")
    start_from: Literal["auto", "name", "metadata"] = "auto"
    start: StartTime | None = None
    if camera.start in ("name", "metadata"):
        start_from = "name" if camera.start == "name" else "metadata"
    elif camera.start is not None:
        start = StartTime(_seconds(camera.start, place), "list")
    pattern = camera.name_pattern or name_pattern
    try:
        pattern_regex(pattern)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    return CameraEntry(
        sources=tuple(_beside(path, file) for file in files),
        name=camera.name,
        place=place,
        start=start,
        start_from=start_from,
        name_pattern=pattern,
        offset_s=camera.offset_s,
    )


def _seconds(moment: datetime | date | str, place: str) -> float:
    """Return seconds since 1970 (UTC) of a date and time as YAML or a person may write it."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise InputError(f"{place}: start: write 2024-05-01 13:00:00, name or metadata, not {moment!r}") from error
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _beside(path: Path, source: str) -> str:
    """Return a file named in the camera list `path` as seen from here; URLs and camera numbers stay as they are."""
    return source if "://" in source or source.isdecimal() else str(path.parent / source)


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """Turn a strftime pattern into a regular expression; "" gives the usual forms. Raises InputError."""
    if not pattern:
        return _USUAL_NAME
    parts = re.split(r"(%.)", pattern)
    unknown = [part for part in parts if part.startswith("%") and part not in _STRFTIME_CODES]
    doubled = {part for part in parts if part.startswith("%") and part != "%%" and parts.count(part) > 1}
    if unknown or doubled or not {"%Y", "%m", "%d", "%H", "%M"} <= set(parts):
        raise InputError(
            f"name_pattern {pattern!r}: needs %Y %m %d %H %M, may have %S and %f, each once; other codes are not known"
        )
    return re.compile("".join(_STRFTIME_CODES.get(part, re.escape(part)) for part in parts))


def start_from_name(name: str, pattern: str = "") -> StartTime | None:
    """Return the start time written in a file or folder name, None if there is none or it is no real date."""
    match = pattern_regex(pattern).search(name)
    if match is None:
        return None
    found = match.groupdict(default="0")
    fraction = found.pop("fraction", "0")
    try:
        moment = datetime(**{key: int(value) for key, value in found.items()}, tzinfo=UTC)
    except ValueError:
        return None
    return StartTime(moment.timestamp() + float(f"0.{fraction}"), "name")


def place_segments(
    files: Sequence[VideoFile], entry: CameraEntry, order_is_given: bool
) -> tuple[list[Segment], StartTime | None]:
    """Put the files of one camera in order and on its clock; return them and the camera's start time if known.

    Order: as given, else by the times in all names, else by distinct creation times, else by name. A file that has a
    start time begins there, with the real gap before it; without one it begins where the file before it ends.
    Raises InputError for files that overlap, because then they are not one camera.
    """
    starts, known_from = _file_starts(files, entry)
    ordered = list(zip(files, starts, strict=True))
    if not order_is_given and known_from is not None:
        ordered.sort(key=lambda pair: pair[1] or 0.0)
    segments: list[Segment] = []
    end_s = 0.0
    first_start = ordered[0][1]
    for file, start in ordered:
        offset_s = end_s
        if start is not None and first_start is not None:
            gap_s = start - first_start - end_s
            if gap_s < -_RESOLUTION_S:
                _refuse_overlap(segments, file, gap_s, order_is_given)
            offset_s = end_s if gap_s <= _RESOLUTION_S else start - first_start
        segments.append(Segment(file, offset_s))
        if file.expected_duration_s is None and len(files) > 1:
            raise InputError(f"{file.name}: does not say how long it is; convert it to MP4 to make it part of a camera")
        end_s = offset_s + (file.expected_duration_s or 0.0)
    if len(files) > 1:
        how = {"name": "the times in their names", "metadata": "their creation times"}.get(known_from or "", "name")
        shown = "as listed" if order_is_given else f"in order of {how}"
        logger.info("%s … (%d files) are one camera, %s", segments[0].file.name, len(files), shown)
    if entry.start is not None:
        return segments, entry.start
    return segments, None if first_start is None or known_from is None else StartTime(first_start, known_from)


def _file_starts(
    files: Sequence[VideoFile], entry: CameraEntry
) -> tuple[list[float | None], Literal["name", "metadata"] | None]:
    """Return the start of each file, seconds since 1970, and where they are known from: one origin for all files."""
    named = [start_from_name(Path(str(file.location)).stem, entry.name_pattern) for file in files]
    if entry.start_from != "metadata" and all(start is not None for start in named):
        return [start.time_s for start in named if start is not None], "name"
    if entry.start_from == "name":
        missing = next(file.name for file, start in zip(files, named, strict=True) if start is None)
        raise InputError(f"{entry.place}: no start time in the name {missing}; set name_pattern, or start: metadata")
    created = [file.created for file in files]
    # Equal creation times tell when the files were copied or cut, not when they were recorded.
    if None not in created and (len(set(created)) == len(created) or entry.start_from == "metadata"):
        return created, "metadata"
    if entry.start_from == "metadata":
        missing = next(file.name for file in files if file.created is None)
        raise InputError(f"{entry.place}: no creation time in the metadata of {missing}; give start as date and time")
    return [None] * len(files), None


def _refuse_overlap(segments: Sequence[Segment], file: VideoFile, gap_s: float, order_is_given: bool) -> None:
    before = segments[-1].file.name
    advice = "put them in order of time" if order_is_given else "give each camera a folder of its own"
    raise InputError(
        f"{file.name}: begins {-gap_s:.0f} s before {before} ends, so they are not one camera in order; {advice}, "
        "or list them under separate names in a camera list"
    )


def safe_name(name: str) -> str:
    """Return `name` as something that can be a folder name on every system."""
    safe = _UNSAFE.sub("_", name).strip(" .")[:_NAME_LIMIT].rstrip(" .")
    return f"{safe}_" if _RESERVED.fullmatch(safe) else safe or "camera"
