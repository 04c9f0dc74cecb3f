"""Where pictures come from: `open_sources` turns what the user names into cameras, `ticks` reads them side by side.

A source is a video file, a folder of recording segments, a folder of images, a MOTChallenge sequence folder, a YAML
camera list (several cameras), a camera number or a stream URL. Every `Frame` has a time in seconds on one clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from app.config import SourceSettings
from app.errors import InputError
from app.footage.addresses import is_stream_url, redact
from app.footage.camera import Source, SourceInfo, StateChange, safe_name
from app.footage.camera_list import CameraEntry, read_camera_list
from app.footage.clock import StartTime, pattern_regex
from app.footage.live import LiveFootage, is_live_source, open_camera_number, open_url, wait_for
from app.footage.recordings import Footage, FootageInfo, open_recording
from app.frames import Frame

logger = logging.getLogger(__name__)

_CAMERA_LIST_SUFFIXES = (".yaml", ".yml")
_DAY_S = 24 * 3600.0
_SLOW_S = 2.0
"""So much longer than its own timeout a camera may take to open, before the others go on without it."""


class _CameraSource:
    """A footage put on the shared clock under a camera's name."""

    def __init__(self, info: SourceInfo, footage: Footage, zero_time: float) -> None:
        self.info = info
        self.first_index = 0
        self.end_index: int | None = None
        self.dropped = 0
        self._footage = footage
        self._zero_time = zero_time

    @property
    def problem(self) -> str:
        return self._footage.problem

    def __iter__(self) -> Iterator[Frame]:
        for picture in self._footage.video_frames(self.first_index):
            if self.end_index is not None and picture.index >= self.end_index:
                return
            if not self.info.width:  # it is seen for the first time
                seen = self._footage.info
                self.info = replace(self.info, width=seen.width, height=seen.height, fps=seen.fps, reading=seen.reading)
            time_s = self._zero_time + picture.time_s
            yield Frame(self.info.camera, picture.index, time_s, picture.image, self.info.has_pixels)

    def stop(self) -> None:
        if isinstance(self._footage, LiveFootage):
            self._footage.stop()

    def changes(self) -> list[StateChange]:
        if not isinstance(self._footage, LiveFootage):
            return []
        return [
            replace(change, camera=self.info.camera, since_s=self._zero_time + change.since_s)
            for change in self._footage.changes()
        ]

    def keep_size(self, width: int, height: int) -> None:
        if isinstance(self._footage, LiveFootage):
            self._footage.keep_size(width, height)
            self.info = replace(self.info, width=width, height=height)


def open_sources(
    sources: Sequence[str], names: Sequence[str], settings: SourceSettings, wait: bool = False
) -> list[Source]:
    """Open every source, in order; a camera list gives several. Nothing is decoded beyond a first picture.

    A live camera that cannot be opened now joins when it comes, if another one can: one that is down is nothing unusual
    where there are many. If none can be opened, the addresses are probably wrong.

    names: camera names in that order, or empty to name cameras after their file or folder.
    wait: for live cameras even if not one of them can be opened: they were there before.
    Raises one InputError that lists every source which cannot be used, why, and what to do.
    """
    pattern_regex(settings.name_pattern)
    problems: list[str] = []
    entries = _expand(sources, settings, problems)
    if names and not problems:
        problems += _check_names(names, entries)
    for entry in entries:
        if entry.fps and _is_live(entry):
            problems.append(f"{entry.place}: frames of a live camera have the time of their arrival; leave out fps")
    opened = _open_all(entries, settings)
    live = [one.info.live for one in opened if not isinstance(one, InputError)]
    footages: list[Footage] = []
    for entry, one in zip(entries, opened, strict=True):
        if not isinstance(one, InputError):
            footages.append(one)
        elif _is_live(entry) and (any(live) if live else wait):
            logger.warning("%s; the run begins without it, and it joins when it comes", one)
            footages.append(wait_for(entry, settings, one))
        else:
            problems.append(str(one))
    if len({footage.info.live for footage in footages}) == 2:
        problems.append("live cameras and recordings cannot run together: they share no clock; run them apart")
    starts: list[float] = []
    if not problems:
        try:
            starts = _start_times(entries, [footage.info for footage in footages], settings)
        except InputError as error:
            problems.append(str(error))
    if problems:
        count = len(problems)
        heading = "1 problem with the sources:" if count == 1 else f"{count} problems with the sources:"
        raise InputError("\n  ".join([heading, *problems]))
    cameras = list(names) or _unique_names(entries, [footage.info for footage in footages])
    return [
        _CameraSource(_source_info(camera, start, footage.info), footage, start)
        for camera, start, footage in zip(cameras, starts, footages, strict=True)
    ]


def _expand(sources: Sequence[str], settings: SourceSettings, problems: list[str]) -> list[CameraEntry]:
    """Return one entry for each camera that the sources name."""
    if not sources:
        problems.append("no source is given; name videos, folders, camera numbers or stream URLs after --sources")
    entries: list[CameraEntry] = []
    for source in sources:
        if Path(source).suffix.lower() not in _CAMERA_LIST_SUFFIXES or "://" in source:
            entries.append(CameraEntry((source,), place=redact(source), name_pattern=settings.name_pattern))
            continue
        try:
            entries += read_camera_list(Path(source), settings.name_pattern)
        except InputError as error:
            problems.append(str(error))
    return entries


def _open_all(entries: Sequence[CameraEntry], settings: SourceSettings) -> list[Footage | InputError]:
    """Open what each entry names, or say what is wrong with it. Live cameras are opened side by side in threads that
    nobody has to wait for: Ctrl-C ends the program while one of them waits for an answer."""
    opened: dict[int, Footage | InputError | Exception] = {}

    def attempt(number: int) -> None:
        try:
            opened[number] = _open(entries[number], settings)
        except Exception as error:
            opened[number] = error

    threads: list[threading.Thread] = []
    for number, entry in enumerate(entries):
        if _is_live(entry):
            threads.append(threading.Thread(target=attempt, args=(number,), name="open", daemon=True))
            threads[-1].start()
        else:
            attempt(number)
    deadline = time.monotonic() + settings.stream_timeout_s + _SLOW_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    answers: list[Footage | InputError] = []
    for number, entry in enumerate(entries):
        late = InputError(f"{redact(entry.sources[0])}: no answer within {settings.stream_timeout_s:g} s")
        answer = opened.get(number, late)
        if isinstance(answer, Exception) and not isinstance(answer, InputError):
            raise answer
        answers.append(answer)
    return answers


def _is_live(entry: CameraEntry) -> bool:
    return len(entry.sources) == 1 and is_live_source(entry.sources[0])


def _open(entry: CameraEntry, settings: SourceSettings) -> Footage:
    source = entry.sources[0]
    if len(entry.sources) > 1 and any(is_stream_url(one) for one in entry.sources):
        raise InputError(
            f"{entry.place}: a stream cannot be one of several files of a camera; give it an entry of its own"
        )
    if source.isdecimal() and not Path(source).exists():
        return open_camera_number(int(source), entry, settings)
    if is_stream_url(source):
        return open_url(source, entry, settings)
    return open_recording(entry, settings.image_fps)


def _source_info(camera: str, start_time: float, info: FootageInfo) -> SourceInfo:
    return SourceInfo(
        camera=camera,
        width=info.width,
        height=info.height,
        fps=info.fps,
        frame_count=info.frame_count,
        start_time=start_time + info.start.time_s if info.live and info.start else start_time,
        live=info.live,
        has_pixels=info.has_pixels,
        origin=info.origin,
        folder=info.folder,
        inputs=info.inputs,
        kind=info.kind,
        offsets_s=info.offsets_s,
        address=info.address,
        reading=info.reading,
    )


def _start_times(entries: Sequence[CameraEntry], infos: Sequence[FootageInfo], settings: SourceSettings) -> list[float]:
    """Return what is to be added to the times of each footage, in seconds, and log which clock was chosen."""
    offsets = [entry.offset_s for entry in entries]
    if infos[0].live:
        logger.info("live: frames have the time of their arrival")
        return offsets
    known = [(info, info.start) for info in infos if info.start is not None]
    unknown = [info.origin for info in infos if info.start is None]
    wanted = settings.clock == "metadata" or any(entry.start or entry.start_from != "auto" for entry in entries)
    if settings.clock != "zero" and wanted and unknown:
        raise InputError(
            f"{', '.join(unknown)}: no start time is known from a camera list, the name or metadata, but the clock "
            "needs one for every camera; give it in a camera list, or set sources.clock=zero"
        )
    if settings.clock == "zero" or unknown or not (wanted or _plausible(known)):
        logger.info("clock: all cameras start together at 0 (sources.clock=%s)", settings.clock)
        return offsets
    starts = [start for _, start in known]
    origins = sorted({start.known_from for start in starts})
    if len(origins) > 1:
        logger.warning("start times come from different places (%s); check that their clocks agree", ", ".join(origins))
    logger.info("clock: start times from %s, seconds since 1970 (sources.clock=%s)", "/".join(origins), settings.clock)
    return [start.time_s + offset for start, offset in zip(starts, offsets, strict=True)]


def _plausible(known: Sequence[tuple[FootageInfo, StartTime]]) -> bool:
    """Return whether start times that nobody vouched for can be believed.

    Times in names must lie within a day. Creation times often tell when a file was copied or cut: they are believed
    only if there are several cameras and their recordings overlap in a chain.
    """
    starts = sorted(start.time_s for _, start in known)
    if starts[-1] - starts[0] > _DAY_S:
        return False
    origins = {start.known_from for _, start in known}
    if origins <= {"name", "list"}:
        return True
    if origins != {"metadata"} or len(known) < 2 or len(set(starts)) < 2:
        return False
    end = starts[0]
    for info, start in sorted(known, key=lambda pair: pair[1].time_s):
        if start.time_s > end:
            return False
        end = max(end, start.time_s + (info.duration_s or 0.0))
    return True


def _check_names(names: Sequence[str], entries: Sequence[CameraEntry]) -> list[str]:
    """Return what is wrong with the names that the user gave."""
    problems = []
    if len(names) != len(entries):
        problems.append(f"--names gives {len(names)} names for {len(entries)} cameras; give one for each, in order")
    for name in names:
        if name != safe_name(name):
            problems.append(f"--names {name!r}: cannot be a folder name; take {safe_name(name)!r}")
    doubled = sorted({name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1})
    if doubled:
        problems.append(f"--names: {', '.join(doubled)} is given more than once; every camera needs a name of its own")
    return problems


def _unique_names(entries: Sequence[CameraEntry], infos: Sequence[FootageInfo]) -> list[str]:
    """Name cameras after the camera list, file or folder; the second of one name becomes `name_2`."""
    wanted = [safe_name(entry.name or info.name) for entry, info in zip(entries, infos, strict=True)]
    reserved = {name.casefold() for name in wanted}
    taken: set[str] = set()
    cameras = []
    for name, info in zip(wanted, infos, strict=True):
        camera = name
        number = 2
        while camera.casefold() in taken or (camera != name and camera.casefold() in reserved):
            camera = f"{name}_{number}"
            number += 1
        if camera != name:
            logger.warning(
                "%s: the name %s is taken, this camera is called %s (see --names)", info.origin, name, camera
            )
        taken.add(camera.casefold())
        cameras.append(camera)
    return cameras
