"""Live footage: stream URLs and attached cameras. A picture's time is when it arrived.

A camera that is lost is tried again, first soon, then at intervals of a few seconds, until it is back. What it is doing
meanwhile (`app.runs.folder.camera_states`) is kept for whoever asks with `LiveFootage.changes`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import SourceSettings
from app.errors import InputError
from app.footage.addresses import is_stream_url, name_of_url, redact
from app.footage.camera import PLAIN, CameraState, Reading, StateChange
from app.footage.camera_list import CameraEntry
from app.footage.clock import StartTime
from app.footage.frozen import FrozenWatch
from app.footage.picture import FrameConverter, resized, square_size, stretched, upright_size
from app.footage.recordings import Footage, FootageInfo, VideoFootage
from app.footage.segments import place_segments
from app.footage.video import VIDEO_SUFFIXES, VideoFrame, chosen_stream, open_container, pixel_aspect, probe_video

logger = logging.getLogger(__name__)

_LIVE_SCHEMES = ("rtsp", "rtmp", "rtp", "udp", "srt")  # live even if they announce a duration
_LIVE_SUFFIXES = (".mjpg", ".mjpeg")  # what many cameras call their stream
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 4.0
_REFUSED_WAIT_S, _LONGEST_REFUSED_WAIT_S = 30.0, 300.0
"""Cameras lock out whoever comes with a wrong password too often."""
_FALLBACK_FPS = 25.0

_CLOCK_OFFSET_S = time.time() - time.monotonic()
"""Makes seconds since 1970 of the monotonic clock: one for all cameras, and it never jumps when the clock is set."""


class CameraRefusedError(InputError):
    """A camera answered, and does not let us in."""


class _Connection(Protocol):
    """An open stream or camera."""

    width: int
    height: int
    fps: float
    reading: Reading

    def read(self) -> NDArray[np.uint8] | None:
        """Wait for the next picture, (H, W, 3) uint8 BGR; None when the connection is lost."""
        ...

    def close(self) -> None: ...


def arrival_time() -> float:
    """Return the present time in seconds since 1970; it never runs backwards."""
    return _CLOCK_OFFSET_S + time.monotonic()


def is_live_source(source: str) -> bool:
    """Return whether a camera number, or a URL that names no recording, so that it makes sense to wait for it."""
    if source.isdecimal():
        return True
    path = source.partition("?")[0].partition("#")[0]
    suffix = PurePosixPath(path).suffix.lower()
    return is_stream_url(source) and (
        source.lower().startswith(_LIVE_SCHEMES) or suffix not in VIDEO_SUFFIXES or suffix in _LIVE_SUFFIXES
    )


def open_url(url: str, entry: CameraEntry, settings: SourceSettings) -> Footage:
    """Open a stream, or a recording behind an address. Raises InputError, never with the password."""
    stream = _Stream(url, entry, settings.stream_timeout_s)
    stream.close()
    if stream.is_recording and not url.lower().startswith(_LIVE_SCHEMES):
        segments = place_segments([probe_video(url, entry.aspect, entry.fps, entry.stream)], entry, True)
        return VideoFootage(*segments, name=name_of_url(url), folder=None)
    return _live_footage(entry, settings, stream)


def open_camera_number(number: int, entry: CameraEntry, settings: SourceSettings) -> Footage:
    """Open an attached camera. Raises InputError that says what to do."""
    camera = _AttachedCamera(number, entry)
    camera.close()
    return _live_footage(entry, settings, camera)


def wait_for(entry: CameraEntry, settings: SourceSettings, problem: InputError) -> Footage:
    """Return a live source that cannot be opened now, because of `problem`: it joins when it comes."""
    return _live_footage(entry, settings, None, problem)


def _live_footage(
    entry: CameraEntry, settings: SourceSettings, seen: _Connection | None, problem: InputError | None = None
) -> LiveFootage:
    source = entry.sources[0]

    def connect() -> _Connection:
        if source.isdecimal():
            return _AttachedCamera(int(source), entry)
        return _Stream(source, entry, settings.stream_timeout_s)

    name = f"camera{source}" if source.isdecimal() else name_of_url(source)
    origin = f"camera {source}" if source.isdecimal() else redact(source)
    return LiveFootage(connect, seen, name, origin, settings, problem)


class LiveFootage:
    """Pictures as they arrive, over lost and restored connections.

    seen: a connection that was made to look and is closed again: between looking and reading, models are loaded, and
    the pictures that wait meanwhile would be stale. None for a camera that could not be opened, because of `problem`:
    its size is 0 × 0 until its first picture.
    """

    def __init__(
        self,
        connect: Callable[[], _Connection],
        seen: _Connection | None,
        name: str,
        origin: str,
        settings: SourceSettings,
        problem: InputError | None = None,
    ) -> None:
        self.problem = ""
        self._connect = connect
        self._reconnect_s = settings.reconnect_s
        self._watch = FrozenWatch(settings.frozen_after_s, settings.frozen_changed_percent)
        self._stopped = threading.Event()
        self._changes: deque[StateChange] = deque()
        self._state: CameraState = "connecting"
        self._last_s = -np.inf
        self._first_problem = problem
        self._said_why = False
        self.info = FootageInfo(
            name=name,
            width=seen.width if seen is not None else 0,
            height=seen.height if seen is not None else 0,
            fps=seen.fps if seen is not None else _FALLBACK_FPS,
            frame_count=None,
            duration_s=None,
            start=StartTime(arrival_time(), "metadata"),
            live=True,
            has_pixels=True,
            origin=origin,
            folder=None,
            inputs=(),
            kind="live",
            reading=seen.reading if seen is not None else PLAIN,
        )

    def stop(self) -> None:
        """Let a reading in another thread end for good: at once while it waits to connect, else after its picture."""
        self._stopped.set()

    def keep_size(self, width: int, height: int) -> None:
        """Scale all pictures to this size, in pixels: that of an earlier session of the same run."""
        self.info = replace(self.info, width=width, height=height)

    def changes(self) -> list[StateChange]:
        """Return, once, how the state of the camera has changed since the last call; times are those of pictures."""
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        """Yield pictures numbered from `first_index` on; their time is that of arrival, seconds since 1970.

        Pictures that only repeat what stood still before are counted and left out.
        """
        self.problem = ""
        index = first_index
        waits = _Waits()
        if self._first_problem is not None:
            self._fail(self._first_problem)
        lost_at: float | None = None
        while not self._stopped.is_set():
            for image in self._until_lost():
                waits, lost_at = _Waits(), None
                if self._is_new(image):
                    yield VideoFrame(index, self._last_s, image)
                index += 1
            if self._stopped.is_set():
                return
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            wait_s = waits.next(self._state == "refused")
            if self._reconnect_s is not None:
                left_s = self._reconnect_s - (now - lost_at)
                if left_s <= 0:
                    self.problem = f"{self.info.origin}: lost, and not back within {self._reconnect_s:g} s"
                    return
                wait_s = min(wait_s, left_s)
            self._stopped.wait(wait_s)

    def _is_new(self, image: NDArray[np.uint8]) -> bool:
        """Note that a picture has arrived and return whether it shows anything that those before it did not."""
        self._last_s = arrival_time()
        verdict = self._watch.look(image, self._last_s)
        if verdict == "frozen":
            self._become("frozen", self._watch.moved_s, "sends one and the same picture again and again")
        else:
            self._become("live", self._last_s)
        return verdict == "moving"

    def _become(self, state: CameraState, since_s: float, why: str = "") -> None:
        if state != self._state:
            self._state = state
            self._changes.append(StateChange(self.info.name, state, since_s, why))

    def _fail(self, error: Exception) -> None:
        """Note that a connection was lost, or could not be made. What was never seen goes on to be connected to."""
        if isinstance(error, CameraRefusedError):
            self._become("refused", arrival_time(), str(error))
        elif self._last_s > -np.inf:
            self._become("lost", self._last_s, redact(str(error)))
        elif self._state == "refused" or not self._said_why:
            self._said_why = True
            self._state = "connecting"
            self._changes.append(StateChange(self.info.name, "connecting", arrival_time(), redact(str(error))))

    def _until_lost(self) -> Iterator[NDArray[np.uint8]]:
        """Connect and yield pictures until the connection is lost or cannot be made."""
        connection: _Connection | None = None
        try:
            connection = self._connect()
            if not self.info.width:
                self.info = replace(
                    self.info,
                    width=connection.width,
                    height=connection.height,
                    fps=connection.fps,
                    reading=connection.reading,
                )
            if self._state != "frozen":
                self._watch.forget()
            size = (self.info.width, self.info.height)
            while not self._stopped.is_set():
                image = connection.read()
                if image is None:
                    raise InputError(f"{self.info.origin}: no picture comes any more")
                yield resized(image, size)
        except InputError as error:
            self._fail(error)
        except Exception as error:  # whatever is wrong with one camera, the others go on
            logger.exception("%s: reading failed", self.info.origin)
            self._fail(error)
        finally:
            if connection is not None:
                connection.close()


class _Waits:
    """Growing waits between attempts to connect."""

    def __init__(self) -> None:
        self._next_s = {False: _FIRST_WAIT_S, True: _REFUSED_WAIT_S}

    def next(self, refused: bool) -> float:
        wait_s = self._next_s[refused]
        self._next_s[refused] = min(2 * wait_s, _LONGEST_REFUSED_WAIT_S if refused else _LONGEST_WAIT_S)
        return wait_s


class _Stream:
    """A stream URL opened with PyAV."""

    def __init__(self, url: str, entry: CameraEntry, timeout_s: float) -> None:
        shown = redact(url)
        self._timeout_s = timeout_s
        try:
            self._container = open_container(url, timeout_s)
            stream = chosen_stream(self._container, shown, entry.stream)
            stream.thread_type = "SLICE"  # frame threads would hold pictures back
            self._pictures = self._decode(stream)
            first = next(self._pictures, None)
        except (av.HTTPUnauthorizedError, av.HTTPForbiddenError) as error:
            raise CameraRefusedError(
                f"{shown}: the camera does not accept user and password ({redact(error.strerror or '')}); correct them"
            ) from None
        except av.FFmpegError as error:
            reason = redact(error.strerror or "no answer")
            # `from None`: the original message shows the password.
            raise InputError(
                f"{shown}: cannot be opened ({reason}); check address, user and password, and that the camera is on"
            ) from None
        if first is None:
            self._container.close()
            raise InputError(f"{shown}: connected, but no picture came; check that the camera is sending")
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 240 else _FALLBACK_FPS
        own_size = upright_size(first)
        size = square_size(own_size, entry.aspect or pixel_aspect(stream, first), shown)
        self.width, self.height = size
        self.reading = Reading(own_size if size != own_size else (0, 0), stream=entry.stream or 0)
        self._converter = FrameConverter(size, own_size, stream)
        self.is_recording = self._container.duration is not None and self._container.duration > 0
        self._first: Any = first

    def _decode(self, stream: Any) -> Generator[Any]:
        """Yield decoded pictures; ends when the connection is lost, or when all that comes is damaged."""
        packets = self._container.demux(stream)
        good_at = time.monotonic()
        while time.monotonic() - good_at <= self._timeout_s:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue  # a damaged packet: the next key picture mends it
            for picture in decoded:
                if not picture.is_corrupt:
                    yield picture
                    good_at = time.monotonic()

    def read(self) -> NDArray[np.uint8] | None:
        picture = self._first if self._first is not None else next(self._pictures, None)
        self._first = None
        return None if picture is None else self._converter.convert(picture)

    def close(self) -> None:
        self._pictures.close()
        self._container.close()


class _AttachedCamera:
    """A camera of this machine, by number."""

    def __init__(self, number: int, entry: CameraEntry) -> None:
        self._capture = cv2.VideoCapture(number)
        opened, image = self._capture.read() if self._capture.isOpened() else (False, None)
        if not opened or image is None:
            self._capture.release()
            raise InputError(
                f"camera {number}: cannot be opened; check that it is attached and no other program uses it"
            )
        own_size = (image.shape[1], image.shape[0])
        self.width, self.height = size = square_size(own_size, entry.aspect, f"camera {number}")
        self.reading = Reading(own_size if size != own_size else (0, 0))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(rate) if 0 < rate <= 240 else _FALLBACK_FPS

    def read(self) -> NDArray[np.uint8] | None:
        arrived, image = self._capture.read()
        return stretched(image, (self.width, self.height)) if arrived else None

    def close(self) -> None:
        self._capture.release()
