"""Reading several cameras side by side: decoding ahead in threads, one list of frames for each instant.

`ticks` is the clock of the program. Recorded cameras advance together by time, whatever their frame rates, and lose no
frame; live cameras give their newest picture and count what nobody had time for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from app.frames import Frame

if TYPE_CHECKING:
    from app.footage.camera import Source

logger = logging.getLogger(__name__)

_QUEUE_FRAMES = 16
_LIVE_JOIN_S = 0.25
"""A live reader may hang in the network until its own timeout. Nobody waits: its thread ends with the program."""
_HEARTBEAT_S = 0.25


def ticks(
    sources: Sequence[Source], first_indices: Mapping[str, int] | None = None, queue_frames: int = _QUEUE_FRAMES
) -> Generator[list[Frame], None, None]:
    """Yield lists of frames of the same instant, at most one for each camera, in the order of the sources.

    Every frame of a recorded camera appears once and in order; no frame is older than one of an earlier tick. Frames
    count as the same instant when they lie within half the shortest frame period. For live cameras a tick holds the
    newest picture of each that has one; it is empty when for a moment no picture came, so that whoever iterates
    can look after other things even if all cameras are down.

    first_indices: for each camera the number of the first frame wanted (to resume); 0 where absent.
    queue_frames: pictures decoded ahead for each camera.
    Closing the iterator, or leaving it at its end, stops and joins all threads. A source that breaks says so in its
    `problem`; the others go on. A source that raises ends the iteration with that exception.
    """
    first_indices = first_indices or {}
    changed = threading.Condition()
    readers = [_Reader(source, first_indices.get(source.info.camera, 0), queue_frames, changed) for source in sources]
    for reader in readers:
        reader.start()
    try:
        if any(source.info.live for source in sources):
            yield from _live_ticks(readers, changed)
        else:
            yield from _recorded_ticks(readers, 0.5 / max((source.info.fps for source in sources), default=1.0))
    finally:
        for reader in readers:
            reader.stop()
        deadline = time.monotonic() + _LIVE_JOIN_S
        for reader in readers:
            reader.join(deadline)


class _Reader:
    """Iterates a source in a thread and holds a bounded number of its frames."""

    def __init__(self, source: Source, first_index: int, queue_frames: int, changed: threading.Condition) -> None:
        self.info = source.info
        self._source = source
        self._source.first_index = first_index
        self._source.dropped = 0
        self._limit = max(2, queue_frames)  # looking at the second frame must always be possible
        self._frames: deque[Frame] = deque()
        self._changed = changed
        self._ended = False
        self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name=f"decode {source.info.camera}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._source.stop()

    def join(self, deadline: float) -> None:
        """Wait until the thread has ended, for that of a live source until the monotonic clock says `deadline`."""
        self._thread.join(max(0.0, deadline - time.monotonic()) if self.info.live else None)
        if self._source.dropped:
            logger.info("%s: %d frames came faster than they could be used", self.info.camera, self._source.dropped)

    def peek(self, position: int) -> Frame | None:
        """Wait for the frame at `position` of the queue; None if the source ends before it."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames) > position or self._ended)
            self._raise_error()
            return self._frames[position] if len(self._frames) > position else None

    def pop(self) -> Frame:
        """Take the frame that `peek(0)` showed."""
        with self._changed:
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def take_newest(self) -> Frame | None:
        """Take the newest frame and drop those before it; None if there is none now. The caller holds the lock."""
        self._raise_error()
        if not self._frames:
            return None
        newest = self._frames[-1]
        self._source.dropped += len(self._frames) - 1
        self._frames.clear()
        return newest

    @property
    def has_frame(self) -> bool:
        return bool(self._frames) or self._error is not None

    @property
    def has_ended(self) -> bool:
        return self._ended and not self._frames

    def _raise_error(self) -> None:
        if self._error is not None and not self._frames:
            raise self._error

    def _read(self) -> None:
        frames = iter(self._source)
        try:
            for frame in frames:
                if not self._put(frame):
                    break
        except BaseException as error:  # a bug in a source must end the run, not hang it
            self._error = error
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        """Add a frame, waiting for room if it may not be dropped; False when the reader was stopped."""
        with self._changed:
            if self.info.live:
                if len(self._frames) == self._limit:
                    self._frames.popleft()
                    self._source.dropped += 1
            else:
                self._changed.wait_for(lambda: len(self._frames) < self._limit or self._stopped)
            if not self._stopped:
                self._frames.append(frame)
                self._changed.notify_all()
            return not self._stopped


def _recorded_ticks(readers: Sequence[_Reader], tolerance_s: float) -> Iterator[list[Frame]]:
    while True:
        waiting = [(reader, frame) for reader in readers if (frame := reader.peek(0)) is not None]
        if not waiting:
            return
        start = min(frame.time for _, frame in waiting)
        together = [(reader, frame) for reader, frame in waiting if frame.time <= start + tolerance_s]
        # A frame that lies after the second frame of another camera must wait, or time would run backwards.
        following = [second.time for reader, _ in together if (second := reader.peek(1)) is not None]
        end = min(following, default=start + tolerance_s)
        together = [(reader, frame) for reader, frame in together if frame.time == start or frame.time <= end]
        frames = [frame for _, frame in together]
        for reader, _ in together:
            reader.pop()
        yield frames


def _live_ticks(readers: Sequence[_Reader], changed: threading.Condition) -> Iterator[list[Frame]]:
    while True:
        with changed:
            changed.wait_for(
                lambda: any(reader.has_frame for reader in readers) or all(reader.has_ended for reader in readers),
                _HEARTBEAT_S,
            )
            frames = [frame for reader in readers if (frame := reader.take_newest()) is not None]
            ended = not frames and all(reader.has_ended for reader in readers)
        if ended:
            return
        yield frames
