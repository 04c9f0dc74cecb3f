"""Where each file of a recording lies in time, so that together they are one video."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av

from app.errors import InputError
from app.footage.camera_list import CameraEntry
from app.footage.clock import StartTime, start_from_name
from app.footage.seek import length_of
from app.footage.video import VideoFile, chosen_stream, open_container

logger = logging.getLogger(__name__)

_RESOLUTION_S = 1.0
"""Start times in names and metadata are whole seconds: a smaller gap or overlap is rounding, not a gap."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a camera and how many seconds after the camera's first picture it begins."""

    file: VideoFile
    offset_s: float


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
    if len(files) > 1:
        ordered = [(file if file.expected_duration_s is not None else _measured(file), at) for file, at in ordered]
    segments: list[Segment] = []
    end_s = 0.0
    first_start = ordered[0][1]
    for file, start in ordered:
        offset_s = end_s
        if start is not None and first_start is not None:
            gap_s = start - first_start - end_s
            if gap_s < -_RESOLUTION_S:  # unless stamps that jump made the one before look long
                last = segments[-1]
                gap_s = start - first_start - last.offset_s - (_measured(last.file).expected_duration_s or 0.0)
            if gap_s < -_RESOLUTION_S:
                _refuse_overlap(segments, file, gap_s, order_is_given)
            offset_s = end_s if gap_s <= _RESOLUTION_S else start - first_start
        segments.append(Segment(file, offset_s))
        end_s = offset_s + (file.expected_duration_s or 0.0)
    if len(files) > 1:
        how = {"name": "the times in their names", "metadata": "their creation times"}.get(known_from or "", "name")
        shown = "as listed" if order_is_given else f"in order of {how}"
        logger.info("%s … (%d files) are one camera, %s", segments[0].file.name, len(files), shown)
    if entry.start is not None:
        return segments, entry.start
    return segments, None if first_start is None or known_from is None else StartTime(first_start, known_from)


def _measured(file: VideoFile) -> VideoFile:
    """Return the file with the length that its packets have, for one that does not say it, or says too much."""
    try:
        with open_container(file.location) as container:
            stream = chosen_stream(container, file.name, file.reading.stream)
            length_s = length_of(container, stream, file.fps, file.has_stamps)
    except av.FFmpegError:
        return file  # decoding says what is wrong, and where
    return replace(file, duration_s=length_s)


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
