"""Live footage: stream URLs and attached cameras. A picture's time is when it arrived.

A lost connection is tried again, first soon, then at growing intervals, until it comes back or is given up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from app.camera_list import CameraEntry, StartTime, place_segments
from app.config import SourceSettings
from app.errors import InputError
from app.privacy import redact
from app.recordings import Footage, FootageInfo, VideoFootage
from app.video import Picture, PictureConverter, open_container, probe_video

logger = logging.getLogger(__name__)

_LIVE_SCHEMES = ("rtsp", "rtmp", "rtp", "udp", "srt")  # live even if they announce a duration
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_FALLBACK_FPS = 25.0

_CLOCK_OFFSET_S = time.time() - time.monotonic()
"""Makes seconds since 1970 of the monotonic clock: one for all cameras, and it never jumps when the clock is set."""


class _Connection(Protocol):
    """An open stream or camera."""

    width: int
    height: int
    fps: float

    def read(self) -> NDArray[np.uint8] | None:
        """Wait for the next picture, (H, W, 3) uint8 BGR; None when the connection is lost."""
        ...

    def close(self) -> None: ...


def arrival_time() -> float:
    """Return the present time in seconds since 1970; it never runs backwards."""
    return _CLOCK_OFFSET_S + time.monotonic()


def is_stream_url(source: str) -> bool:
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.isascii() and scheme.replace("+", "").isalnum()


def open_url(url: str, entry: CameraEntry, settings: SourceSettings) -> Footage:
    """Open a stream, or a recording behind an address. Raises InputError, never with the password."""

    def connect() -> _Stream:
        return _Stream(url, settings.stream_timeout_s)

    name = _name_of_url(url)
    stream = connect()
    stream.close()
    if stream.is_recording and not url.lower().startswith(_LIVE_SCHEMES):
        return VideoFootage(*place_segments([probe_video(url)], entry, order_is_given=True), name=name, folder=None)
    return LiveFootage(connect, stream, name, redact(url), settings.reconnect_s)


def open_camera_number(number: int, settings: SourceSettings) -> Footage:
    """Open an attached camera. Raises InputError that says what to do."""

    def connect() -> _AttachedCamera:
        return _AttachedCamera(number)

    camera = connect()
    camera.close()
    return LiveFootage(connect, camera, f"camera{number}", f"camera {number}", settings.reconnect_s)


class LiveFootage:
    """Pictures as they arrive, over lost and restored connections.

    seen: a connection that was made to look and is closed again: between looking and reading, models are loaded, and
    the pictures that wait meanwhile would be stale.
    """

    def __init__(
        self, connect: Callable[[], _Connection], seen: _Connection, name: str, origin: str, reconnect_s: float
    ) -> None:
        self.problem = ""
        self._connect = connect
        self._reconnect_s = reconnect_s
        self._stopped = threading.Event()
        self.info = FootageInfo(
            name=name,
            width=seen.width,
            height=seen.height,
            fps=seen.fps,
            frame_count=None,
            duration_s=None,
            start=StartTime(arrival_time(), "metadata"),
            live=True,
            has_pixels=True,
            origin=origin,
            folder=None,
            inputs=(),
            kind="live",
        )

    def stop(self) -> None:
        """Let a reading in another thread end for good: at once while it waits to connect, else after its picture."""
        self._stopped.set()

    def pictures(self, first_index: int) -> Iterator[Picture]:
        """Yield pictures numbered from `first_index`; their time is that of arrival, seconds since 1970."""
        self.problem = ""
        index = first_index
        wait_s = _FIRST_WAIT_S
        lost_at: float | None = None
        while not self._stopped.is_set():
            for image in self._until_lost():
                wait_s = _FIRST_WAIT_S
                lost_at = None
                yield Picture(index, arrival_time(), image)
                index += 1
            if self._stopped.is_set():
                return
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if now - lost_at >= self._reconnect_s:
                self.problem = f"{self.info.origin}: lost, and not back within {self._reconnect_s:g} s"
                return
            logger.warning("%s: no pictures, trying again in %.1f s", self.info.origin, wait_s)
            self._stopped.wait(min(wait_s, lost_at + self._reconnect_s - now))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _until_lost(self) -> Iterator[NDArray[np.uint8]]:
        """Connect and yield pictures until the connection is lost or cannot be made."""
        try:
            connection = self._connect()
        except InputError as error:
            logger.debug("%s", error)
            return
        size = (self.info.width, self.info.height)
        try:
            while not self._stopped.is_set() and (image := connection.read()) is not None:
                yield image if image.shape[1::-1] == size else cv2.resize(image, size)
        finally:
            connection.close()


class _Stream:
    """A stream URL opened with PyAV."""

    def __init__(self, url: str, timeout_s: float) -> None:
        shown = redact(url)
        try:
            self._container = open_container(url, timeout_s)
            if not self._container.streams.video:
                self._container.close()
                raise InputError(f"{shown}: the stream has no pictures; check its address")
            stream = self._container.streams.video[0]
            stream.thread_type = "SLICE"  # frame threads would hold pictures back
            self._pictures = self._decode(stream)
            first = next(self._pictures, None)
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
        sideways = first.rotation % 180 == 90
        self.width, self.height = (first.height, first.width) if sideways else (first.width, first.height)
        self._converter = PictureConverter(self.width, self.height)
        self.is_recording = self._container.duration is not None and self._container.duration > 0
        self._first: Any = first

    def _decode(self, stream: Any) -> Generator[Any]:
        """Yield decoded pictures; ends when the connection is lost."""
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue  # a damaged packet: the next key picture mends it
            yield from (picture for picture in decoded if not picture.is_corrupt)

    def read(self) -> NDArray[np.uint8] | None:
        picture = self._first if self._first is not None else next(self._pictures, None)
        self._first = None
        return None if picture is None else self._converter.convert(picture)

    def close(self) -> None:
        self._pictures.close()
        self._container.close()


class _AttachedCamera:
    """A camera of this machine, by number."""

    def __init__(self, number: int) -> None:
        self._capture = cv2.VideoCapture(number)
        opened, image = self._capture.read() if self._capture.isOpened() else (False, None)
        if not opened or image is None:
            self._capture.release()
            raise InputError(
                f"camera {number}: cannot be opened; check that it is attached and no other program uses it"
            )
        self.height, self.width = image.shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(rate) if 0 < rate <= 240 else _FALLBACK_FPS

    def read(self) -> NDArray[np.uint8] | None:
        arrived, image = self._capture.read()
        return image if arrived else None

    def close(self) -> None:
        self._capture.release()


def _name_of_url(url: str) -> str:
    """Return a camera name from the host and path of a URL, without login, query and port."""
    address = redact(url).partition("://")[2].rpartition("@")[2].partition("?")[0].partition("#")[0]
    host, _, path = address.partition("/")
    return "_".join([host.partition(":")[0], *(part for part in path.split("/") if part)])
