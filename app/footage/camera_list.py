"""Which files make up a camera, in which order, and when they were recorded.

A camera list is a YAML file that names cameras and their footage (see `configs/cameras_example.yaml`). Start times come
from the list, from file names or from the files' metadata. Times without a time zone are taken as UTC: what matters is
that all cameras agree.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from app.config import Section
from app.errors import InputError
from app.footage.camera import WIDEST_PIXEL, safe_name
from app.footage.clock import StartTime, pattern_regex
from app.system.untrusted import LIMITS, compose_yaml, construct_yaml, read_text

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraEntry:
    """One camera as asked for: from `--sources`, or from a camera list.

    sources: what it consists of: paths, or one URL or camera number.  name: "" to name it after its footage.
    place: where it was asked for, to be named in messages.  start: given start time, None if it is to be found.
    start_from: where to look for the start time; name_pattern: strftime pattern, "" for the usual ones.
    offset_s: added to its times, to set a clock that is off.
    aspect: how many times its pixels are as wide as high, None to believe the files.
    fps: frames/s, by which times go instead of by time stamps; None to believe the stamps.
    stream: which of the video streams of its files, from 0; None for the first.
    """

    sources: tuple[str, ...]
    name: str = ""
    place: str = ""
    start: StartTime | None = None
    start_from: Literal["auto", "name", "metadata"] = "auto"
    name_pattern: str = ""
    offset_s: float = 0.0
    aspect: float | None = None
    fps: float | None = None
    stream: int | None = None


class _ListedCamera(Section):
    """One item under `cameras:` in a camera list."""

    name: str = Field("", description="Name of the camera.")
    files: str | list[str] = Field(description="A source, or video files in order; relative to the list.")
    start: datetime | date | str | None = Field(None, description="Date and time, or name, or metadata.")
    name_pattern: str = Field("", description="strftime pattern of the start time in file names.")
    offset_s: float = Field(0.0, ge=-1e9, le=1e9, description="Added to the camera's times.")
    aspect: int | float | str | None = Field(None, description="Width of a pixel by its height, as 1.0 or 12:11.")
    fps: float | None = Field(None, gt=0.0, le=1000.0, description="Frames/s, instead of time stamps.")
    stream: int | None = Field(None, ge=0, le=63, description="Which video stream of the files, from 0.")


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
        aspect=_aspect(camera.aspect, place),
        fps=camera.fps,
        stream=camera.stream,
    )


def _aspect(given: float | str | None, place: str) -> float | None:
    """Return the width of a pixel by its height, from 1.09, 12:11 or 12/11."""
    if given is None:
        return None
    if isinstance(given, int) and given > WIDEST_PIXEL:
        given = f"{given // 60}:{given % 60}"  # YAML takes 12:11 for minutes and seconds
    wide, _, high = str(given).replace("/", ":").partition(":")
    try:
        aspect = float(wide) / float(high or 1)
    except (ValueError, ZeroDivisionError):
        aspect = 0.0
    if not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
        raise InputError(f"{place}: aspect: {given!r} is not how wide a pixel is by its height, such as 1.09 or 12:11")
    return aspect


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
