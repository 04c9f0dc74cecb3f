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
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from app.errors import InputError
from app.footage.addresses import redact
from app.footage.camera import PLAIN, Reading, Size
from app.footage.picture import FrameConverter, is_sideways, square_size, upright_size
from app.footage.seek import VideoStart, find_start
from app.footage.stamps import LONGEST_GAP_S, PresentationClock, are_guessed, may_be_guessed

logger = logging.getLogger(__name__)

# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv", ".asf",
    ".3gp", ".ogv", ".dav", ".h264", ".264", ".h265", ".hevc", ".mjpg", ".mjpeg", ".y4m", ".vob", ".mxf", ".gif",
])
# fmt: on
"""Endings by which videos are found in a folder; a file that is named directly may end in anything."""

_NOT_VIDEO_FORMATS = ("tty", "image2", "srt", "ass", "webvtt")
_NO_STAMPS = 0x0080  # AVFMT_NOTIMESTAMPS: raw H.264, H.265, MPEG-4, MJPEG
_NOT_FOOTAGE = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
_FALLBACK_FPS = 25.0
_LATE_REPORT_S = 1.0
_LOOK_PICTURES = 12
_FIRST_PLAUSIBLE_YEAR = 1990  # cameras whose clock was never set write 1904 or 1970


@dataclass(frozen=True, slots=True)
class VideoFile:
    """What a video says of itself, and what its first picture shows.

    location: path, or URL of a recording.  width, height: square pixels as displayed, after rotation.
    fps: average frame rate, or that which was given for it.
    frame_count: as announced by the file, None if it does not say.
    duration_s: length as announced by the file, None if it does not say.
    created: creation time in its metadata, seconds since 1970 (UTC), None if absent or not plausible.
    reading: how its pictures are read, where it is not the plain way.  format_name: FFmpeg's, of its container.
    has_stamps: whether its pictures have time stamps that count; otherwise they come at `fps`.
    guessed_stamps: whether pictures are reordered and only the decoder's order can be believed.
    """

    location: Path | str
    width: int
    height: int
    fps: float
    frame_count: int | None
    duration_s: float | None
    created: float | None
    reading: Reading = PLAIN
    format_name: str = ""
    has_stamps: bool = True
    guessed_stamps: bool = False

    @property
    def file_size(self) -> Size:
        """(width, height) in its own pixels, upright."""
        return self.reading.file_size if all(self.reading.file_size) else (self.width, self.height)

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


def probe_video(
    location: Path | str, aspect: float | None = None, fps: float | None = None, stream: int | None = None
) -> VideoFile:
    """Open a video, decode its first picture and return what is known of it.

    aspect: how many times its pixels are as wide as high, None to believe the file.
    fps: frames/s that count instead of its time stamps.
    stream: which of its video streams, from 0; None for the first, which the log says if there are more.
    Raises InputError that names the file, says what is wrong with it and what to do.
    """
    if isinstance(location, Path):
        _check_file(location)
    name = redact(str(location))
    try:
        with open_container(location) as container:
            if container.format.name in _NOT_VIDEO_FORMATS or container.format.name.endswith("_pipe"):
                raise InputError(f"{name}: not a video but {container.format.long_name}; a picture needs its folder")
            return _describe(location, container, aspect, fps, stream)
    except av.FFmpegError as error:
        # `from None`: the original message may show a password.
        raise InputError(f"{name}: {_why_unreadable(location, error)}") from None


def open_container(location: Path | str, timeout_s: float | None = None) -> Any:
    """Open a file or URL with PyAV. A file may not pull in anything from the network."""
    if isinstance(location, Path):
        format = "mjpeg" if _is_raw_mjpeg(location) else None
        return av.open(str(location), format=format, metadata_errors="replace", options={"protocol_whitelist": "file"})
    options = {"rtsp_transport": "tcp"} if location.lower().startswith("rtsp") else {}
    return av.open(location, metadata_errors="replace", options=options, timeout=timeout_s)


def _is_raw_mjpeg(path: Path) -> bool:
    """Whether a file is JPEG images one after the other, which FFmpeg takes for a single one unless they are small."""
    if path.suffix.lower() not in (".mjpg", ".mjpeg"):
        return False
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def video_streams(container: Any, name: str) -> list[Any]:
    """Return the streams that are footage: no covers, no thumbnails. Raises InputError, with `name`, without any."""
    streams = [one for one in container.streams.video if not one.disposition & _NOT_FOOTAGE]
    if streams and all(one.codec_context is None for one in streams):
        raise InputError(f"{name}: its pictures are coded in a way that this FFmpeg does not know; convert it to MP4")
    streams = [one for one in streams if one.codec_context is not None]
    if not streams:
        raise InputError(f"{name}: has no video stream; give a file with pictures")
    return streams


def chosen_stream(container: Any, name: str, number: int | None) -> Any:
    """Return the video stream that is to be read. None for the first; if there are more, the log says so."""
    streams = video_streams(container, name)
    if number is None and len(streams) > 1:
        sizes = ", ".join(f"{one.width}×{one.height}" for one in streams)
        logger.warning(
            "%s: has %d video streams (%s), of which the first is read; `stream: 1` in a camera list reads the next, "
            "so that each lens is a camera", name, len(streams), sizes,
        )  # fmt: skip
    if (number or 0) >= len(streams):
        raise InputError(f"{name}: has {len(streams)} video streams, counted from 0, and no stream {number}")
    return streams[number or 0]


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
        self._clock = PresentationClock(file.fps, file.format_name, file.has_stamps, file.guessed_stamps)

    @property
    def end_s(self) -> float:
        """When the last picture read so far ceases to be shown, seconds since the first."""
        return self._clock.end_s

    @property
    def notice(self) -> str:
        """What the user should know of its time stamps, "" if nothing."""
        return f"{self.file.name}: {self._clock.notice}" if self._clock.notice else ""

    def video_frames(self, first_index: int = 0) -> Iterator[VideoFrame]:
        """Yield the pictures from number `first_index` on; of those before it only the nearest are decoded."""
        try:
            start = self._find_start(first_index)
            with open_container(self.file.location) as container:
                stream = self._stream(container)
                stream.thread_type = "AUTO"
                converter = FrameConverter((self.file.width, self.file.height), self.file.file_size, stream)
                for decoded in self._decode(container, stream, start):
                    shown_until_s = self._clock.end_s
                    time_s = self._clock.time_of(decoded, self.next_index)
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
        in_order = self.file.has_stamps and not self.file.guessed_stamps
        if first_index == 0 or not isinstance(self.file.location, Path) or not in_order:
            return None
        try:
            with open_container(self.file.location) as container:
                return find_start(container, self._stream(container), self.file.fps, first_index)
        except av.FFmpegError:
            return None  # decoding says what is wrong, and where

    def _stream(self, container: Any) -> Any:
        return chosen_stream(container, self.file.name, self.file.reading.stream)

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
        read_s = self._clock.end_s + self._clock.left_out_s
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


def _check_file(path: Path) -> None:
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; copy or record it again")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _describe(
    location: Path | str, container: Any, aspect: float | None, fps: float | None, number: int | None
) -> VideoFile:
    name = redact(str(location))
    stream = chosen_stream(container, name, number)
    pictures = _first_frames(container, stream)
    picture = next(pictures, None)
    reordered = stream.codec_context.has_b_frames > 0 and may_be_guessed(container.format.name)
    stamps = [(one.pts, one.dts) for one in islice(pictures, _LOOK_PICTURES)] if reordered else []
    if picture is None:
        raise InputError(f"{name}: not one picture can be decoded; the file is damaged or truncated")
    own_size = upright_size(picture)
    size = square_size(own_size, aspect or pixel_aspect(stream, picture), name)
    has_stamps = not container.format.flags & _NO_STAMPS
    rate = _rate(stream, has_stamps)
    if fps is None and not has_stamps and not stream.codec_context.framerate:
        logger.warning(
            "%s: has no time stamps and does not say its frame rate, so %g frames/s are taken; `fps:` in a camera list "
            "says how many", name, rate,
        )  # fmt: skip
    duration_s = _duration(container, stream)
    if fps is not None and duration_s is not None:
        duration_s *= rate / fps
    return VideoFile(
        location=location,
        width=size[0],
        height=size[1],
        fps=fps or rate,
        frame_count=stream.frames or None,
        duration_s=duration_s,
        created=_creation_time(container.metadata) or _creation_time(stream.metadata),
        reading=Reading(own_size if size != own_size else (0, 0), fps or 0.0, number or 0),
        format_name=container.format.name,
        has_stamps=has_stamps and fps is None,
        guessed_stamps=reordered and are_guessed(container.format.name, stamps),
    )


def _rate(stream: Any, has_stamps: bool) -> float:
    """Return the nominal frame rate. Without stamps the average is what the demuxer took for granted."""
    rates = (stream.average_rate, stream.guessed_rate)
    rate = next((rate for rate in (rates if has_stamps else rates[::-1]) if rate), None)
    return float(rate) if rate and 0 < rate < 1000 else _FALLBACK_FPS


def pixel_aspect(stream: Any, picture: Any) -> float | None:
    """Return how many times the pixels of an upright picture are as wide as high, None if the file does not say."""
    aspect = stream.sample_aspect_ratio
    return None if not aspect else float(1 / aspect if is_sideways(picture) else aspect)


def _first_frames(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.FFmpegError:
            continue
        for picture in decoded:
            if not picture.is_corrupt:
                yield picture


def _duration(container: Any, stream: Any) -> float | None:
    """Return the announced length of the video stream in seconds; that of the file only if nothing else is in it."""
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # FFmpeg shortens the duration of a truncated AVI file to what is there; the count is what was announced.
        return float(stream.frames / stream.average_rate)
    if stream.duration is not None and stream.duration > 0:
        return _believed(float(stream.duration * stream.time_base))
    if container.duration is not None and container.duration > 0 and len(container.streams) == 1:
        return _believed(container.duration / av.time_base)
    return None


def _believed(seconds: float) -> float | None:
    return seconds if seconds < LONGEST_GAP_S else None  # stamps that jump to the epoch


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
