"""Decoding one video: real presentation times, display rotation, damage and truncation.

PyAV (FFmpeg's libraries) decodes. Pictures come in presentation order, so B-frames need no care here, and each has the
time that the file gives it, so variable frame rates need none either.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from app.errors import InputError
from app.footage.addresses import redact
from app.footage.seek import VideoStart, find_start

logger = logging.getLogger(__name__)

# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv", ".asf",
    ".3gp", ".ogv", ".dav", ".h264", ".264", ".h265", ".hevc", ".mjpg", ".mjpeg", ".y4m", ".vob", ".mxf", ".gif",
])
# fmt: on
"""Endings by which videos are found in a folder; a file that is named directly may end in anything."""

_NOT_VIDEO_FORMATS = ("tty", "image2", "srt", "ass", "webvtt")
_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_FALLBACK_FPS = 25.0
_LATE_REPORT_S = 1.0
_FIRST_PLAUSIBLE_YEAR = 1990  # cameras whose clock was never set write 1904 or 1970


@dataclass(frozen=True, slots=True)
class VideoFile:
    """What a video says of itself, and what its first picture shows.

    location: path, or URL of a recording.  width, height: pixels as displayed, after rotation.
    fps: average frame rate.  frame_count: as announced by the file, None if it does not say.
    duration_s: length as announced by the file, None if it does not say.
    created: creation time in its metadata, seconds since 1970 (UTC), None if absent or not plausible.
    """

    location: Path | str
    width: int
    height: int
    fps: float
    frame_count: int | None
    duration_s: float | None
    created: float | None

    @property
    def name(self) -> str:
        """The location as it may be shown."""
        return redact(str(self.location))

    @property
    def expected_frames(self) -> int | None:
        """The announced number of pictures, else an estimate from the duration, else None."""
        if self.frame_count is not None or self.duration_s is None:
            return self.frame_count
        return max(1, round(self.duration_s * self.fps))

    @property
    def expected_duration_s(self) -> float | None:
        """The announced duration, else an estimate from the number of pictures, else None."""
        if self.duration_s is not None or self.frame_count is None:
            return self.duration_s
        return self.frame_count / self.fps


def probe_video(location: Path | str) -> VideoFile:
    """Open a video, decode its first picture and return what is known of it.

    Raises InputError that names the file, says what is wrong with it and what to do.
    """
    if isinstance(location, Path):
        _check_file(location)
    name = redact(str(location))
    try:
        with open_container(location) as container:
            if container.format.name in _NOT_VIDEO_FORMATS or container.format.name.endswith("_pipe"):
                raise InputError(f"{name}: not a video but {container.format.long_name}; a picture needs its folder")
            if not container.streams.video:
                raise InputError(f"{name}: has no video stream; give a file with pictures")
            return _describe(location, container)
    except av.FFmpegError as error:
        # `from None`: the original message may show a password.
        raise InputError(f"{name}: {_why_unreadable(location, error)}") from None


def open_container(location: Path | str, timeout_s: float | None = None) -> Any:
    """Open a file or URL with PyAV. A file may not pull in anything from the network."""
    if isinstance(location, Path):
        return av.open(str(location), metadata_errors="replace", options={"protocol_whitelist": "file"})
    options = {"rtsp_transport": "tcp"} if location.lower().startswith("rtsp") else {}
    return av.open(location, metadata_errors="replace", options=options, timeout=timeout_s)


class FrameConverter:
    """Turns decoded pictures into contiguous (height, width, 3) uint8 BGR, upright and of one size."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        # One reformatter for all pictures: it keeps its scaling context, which halves the cost of a conversion.
        self._reformatter = VideoReformatter()

    def convert(self, picture: Any) -> NDArray[np.uint8]:
        """Return the picture of an `av.VideoFrame`; one of another size is scaled to the size announced."""
        rotation = picture.rotation % 360
        width, height = self._size if rotation not in (90, 270) else self._size[::-1]
        converted = self._reformatter.reformat(picture, width, height, format="bgr24", threads=1)
        image = np.asarray(converted.to_ndarray(), np.uint8)
        if rotation in _ROTATIONS:
            image = cv2.rotate(image, _ROTATIONS[rotation])
        return np.ascontiguousarray(image)


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A decoded picture: number in its file from 0, seconds since the file's first picture, (H, W, 3) uint8 BGR."""

    index: int
    time_s: float
    image: NDArray[np.uint8]


class VideoReader:
    """Reads one file once. `problem` says afterwards why it ended early ("" if it did not)."""

    def __init__(self, file: VideoFile) -> None:
        self.file = file
        self.problem = ""
        self.next_index = 0
        """Number that the next picture will get; afterwards the number of pictures in the file."""
        self.damaged = 0
        self._damaged_at_end = 0
        self._gaps_until_s = -1.0
        self._clock = _PresentationClock(file.fps)

    @property
    def end_s(self) -> float:
        """When the last picture read so far ceases to be shown, seconds since the first."""
        return self._clock.end_s

    def video_frames(self, first_index: int = 0) -> Iterator[VideoFrame]:
        """Yield the pictures from number `first_index` on; of those before it only the nearest are decoded."""
        converter = FrameConverter(self.file.width, self.file.height)
        try:
            start = self._find_start(first_index)
            with open_container(self.file.location) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for decoded in self._decode(container, stream, start):
                    shown_until_s = self._clock.end_s
                    time_s = self._clock.time_of(decoded)
                    index = self.next_index + self._lost_between(shown_until_s, time_s)
                    self.next_index = index + 1
                    if index >= first_index:
                        yield VideoFrame(index, time_s, converter.convert(decoded))
        except (av.FFmpegError, OSError, MemoryError) as error:
            self.problem = f"{self.file.name}: breaks off at {self._clock.end_s:.2f} s ({_reason(error)})"
        if self.damaged:
            logger.warning("%s: %d damaged pictures skipped", self.file.name, self.damaged)
        if not self.problem:
            self.problem = self._missing_end()

    def _find_start(self, first_index: int) -> VideoStart | None:
        if first_index == 0 or not isinstance(self.file.location, Path):
            return None
        try:
            with open_container(self.file.location) as container:
                return find_start(container, self.file.fps, first_index)
        except av.FFmpegError:
            return None  # decoding says what is wrong, and where

    def _decode(self, container: Any, stream: Any, start: VideoStart | None) -> Iterator[Any]:
        """Yield the decoded pictures and count the damaged ones."""
        packets = islice(container.demux(stream), start.packets if start is not None else 0, None)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self.problem = f"{self.file.name}: breaks off at {self._clock.end_s:.2f} s ({_reason(error)})"
                return
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                self._skip_damaged()
                continue
            for picture in decoded:
                if start is not None:
                    if picture.pts is None or picture.pts < start.stamp:
                        continue
                    self._begin(picture, start)
                    start = None
                if picture.is_corrupt:
                    self._skip_damaged()
                    continue
                self._damaged_at_end = 0
                yield picture

    def _begin(self, picture: Any, start: VideoStart) -> None:
        """Count on from the picture before this one, which is the first that is decoded."""
        self.next_index = start.number_of(picture.pts)
        self._clock.begin(start.seconds(0), start.seconds(self.next_index - 1))

    def _skip_damaged(self) -> None:
        self.damaged += 1
        self._damaged_at_end += 1
        self._gaps_until_s = self._clock.end_s + _LATE_REPORT_S

    def _lost_between(self, start_s: float, end_s: float) -> int:
        """Return how many pictures were lost in a gap that damage may have made, so that numbers skip them.

        The gap tells more than the count of damaged packets: some are lost before they reach the decoder, and the
        decoder, which works on several pictures at once, reports damage a few pictures too soon or too late.
        """
        lost = round((end_s - start_s) * self.file.fps)
        if lost < 1 or start_s > self._gaps_until_s:
            return 0
        self._gaps_until_s = end_s + _LATE_REPORT_S
        return lost

    def _missing_end(self) -> str:
        """Return a sentence if the file announces clearly more than could be decoded, else ""."""
        read_s = self._clock.end_s
        announced_s = self.file.duration_s
        period_s = 1 / self.file.fps
        if self._damaged_at_end * period_s > max(1.0, 5 * period_s):
            return f"{self.file.name}: nothing can be decoded after {read_s:.2f} s; the file is damaged from there on"
        if announced_s is None or announced_s - read_s <= max(2.5 * period_s, 0.02 * announced_s):
            return ""
        # Both must fall short: edit lists hide pictures from the count, a long last picture ends before the duration.
        announced_count = self.file.frame_count
        if announced_count is not None and self.next_index >= 0.98 * announced_count:
            return ""
        counts = f", {self.next_index} of {announced_count} pictures" if announced_count is not None else ""
        return (
            f"{self.file.name}: ends at {read_s:.2f} s of {announced_s:.2f} s announced{counts}; "
            "the file is truncated or damaged from there on"
        )


class _PresentationClock:
    """Seconds since the first picture, strictly increasing whatever the file's stamps do.

    A stamp that is missing or stands still gets the nominal period; stamps that jump back (recordings glued together,
    a counter that wraps) go on from where they were.
    """

    def __init__(self, fps: float) -> None:
        self._period_s = 1 / fps
        self._origin_s: float | None = None
        self._last_s = 0.0
        self.end_s = 0.0
        """When the last picture ceases to be shown."""

    def begin(self, origin_s: float, last_s: float) -> None:
        """Go on after a picture stamped `last_s`, in a file whose first one is stamped `origin_s`."""
        self._origin_s = origin_s
        self._last_s = last_s - origin_s
        self.end_s = self._last_s + self._period_s

    def time_of(self, picture: Any) -> float:
        stamp_s = None if picture.pts is None else float(picture.pts * picture.time_base)
        if self._origin_s is None:
            self._origin_s = stamp_s or 0.0
            time_s = 0.0
        else:
            time_s = self._last_s + self._period_s if stamp_s is None else stamp_s - self._origin_s
            if time_s <= self._last_s:
                time_s = self._last_s + self._period_s
                if stamp_s is not None:
                    self._origin_s = stamp_s - time_s
        self._last_s = time_s
        shown_s = float(picture.duration * picture.time_base) if picture.duration else 0.0
        self.end_s = time_s + max(shown_s, self._period_s)
        return time_s


def _check_file(path: Path) -> None:
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; copy or record it again")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _describe(location: Path | str, container: Any) -> VideoFile:
    stream = container.streams.video[0]
    picture = _first_frame(container)
    if picture is None:
        raise InputError(f"{redact(str(location))}: not one picture can be decoded; the file is damaged or truncated")
    width, height = picture.width, picture.height
    if picture.rotation % 360 in (90, 270):
        width, height = height, width
    rate = stream.average_rate or stream.guessed_rate
    return VideoFile(
        location=location,
        width=width,
        height=height,
        fps=float(rate) if rate and 0 < rate < 1000 else _FALLBACK_FPS,
        frame_count=stream.frames or None,
        duration_s=_duration(container, stream),
        created=_creation_time(container.metadata) or _creation_time(stream.metadata),
    )


def _first_frame(container: Any) -> Any:
    for packet in container.demux(video=0):
        try:
            decoded = packet.decode()
        except av.FFmpegError:
            continue
        for picture in decoded:
            if not picture.is_corrupt:
                return picture
    return None


def _duration(container: Any, stream: Any) -> float | None:
    """Return the announced length of the video stream in seconds; that of the file only if nothing else is in it."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # FFmpeg shortens the duration of a truncated AVI file to what is there; the count is what was announced.
        return float(stream.frames / stream.average_rate)
    if stream.duration is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and container.duration > 0 and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _creation_time(metadata: dict[str, str]) -> float | None:
    text = metadata.get("creation_time")
    if text is None:
        return None
    try:
        created = datetime.fromisoformat(text)
    except ValueError:
        return None
    if created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    return created.timestamp() if created.year >= _FIRST_PLAUSIBLE_YEAR else None


def _reason(error: Exception) -> str:
    return redact(str(getattr(error, "strerror", None) or error))


def _why_unreadable(location: Path | str, error: Exception) -> str:
    if isinstance(location, str):
        return f"cannot be opened ({_reason(error)}); check address, user and password, and that the camera is on"
    with location.open("rb") as file:
        is_mp4 = file.read(12)[4:8] == b"ftyp"
    if is_mp4 and isinstance(error, av.error.InvalidDataError):
        return "the MP4 file is truncated: its index (moov) is missing; copy it again, or repair the recording"
    return f"not a video that can be read ({_reason(error)}); give a video file, or convert it to MP4"
