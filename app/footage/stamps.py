"""When each picture of a file is shown, from the time stamps that the file gives it, or from its frame rate."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

LONGEST_GAP_S = 7 * 24 * 3600.0
"""Nothing records for longer into one file without a picture: a longer step is a clock that was set in between."""

ODD_STEP_S = 3600.0
"""A step of an hour or more inside one file is told to the user, whatever it is taken for."""

SHORTEST_STEP_S = 0.0005
"""No camera takes 2,000 pictures a second: stamps that are nearer stand still."""

_COUNTER_FAULTS_S = tuple(2**bits / 90_000 for bits in (31, 32, 33))
"""What a 90 kHz counter is wrong by when its wrap is handled wrongly somewhere between camera and file."""
_FAULT_TOLERANCE_S = 1.0

_WRAPPING = ("mpegts", "mpeg")
"""Formats whose stamps have 33 bits. FFmpeg goes on counting where they wrap, and takes every step back for a wrap."""
_WRAP_TICKS = 2**33
_RESTART_S = 60.0

_DECODING_STAMPS_ONLY = ("avi", "asf", "asf_o")
_ALWAYS_WITH_STAMPS = ("mov,mp4", "mpegts", "flv")


def may_be_guessed(format_name: str) -> bool:
    """Whether files of this format have to be looked at (`are_guessed`), which costs the decoding of some pictures."""
    return not format_name.startswith(_ALWAYS_WITH_STAMPS)


def are_guessed(format_name: str, stamps: Iterable[tuple[int | None, int | None]]) -> bool:
    """Whether the presentation stamps of reordered pictures are FFmpeg's guesses, so that their decoding stamps count.

    AVI and ASF files have no others, nor have some writers of Matroska and MXF: it shows in stamps that run backwards
    although pictures come out in order.  stamps: presentation and decoding stamp of some pictures, as they come out.
    """
    if format_name in _DECODING_STAMPS_ONLY:
        return True
    known = [(shown, decoded) for shown, decoded in stamps if shown is not None and decoded is not None]
    return any(b[0] <= a[0] and b[1] > a[1] for a, b in pairwise(known))


class PresentationClock:
    """Seconds since the first picture of a file, strictly increasing whatever its stamps do.

    A stamp that is missing or stands still gets the nominal period. Stamps that jump back (recordings glued together),
    or forwards by what no recording does, go on from where they were.
    """

    def __init__(self, fps: float, format_name: str, has_stamps: bool, guessed: bool) -> None:
        """fps: nominal.  format_name: FFmpeg's, of the container.  has_stamps: False counts pictures at `fps`.

        guessed: see `are_guessed`.
        """
        self._period_s = 1 / fps
        self._has_stamps = has_stamps
        self._wraps = format_name in _WRAPPING
        self._guessed = guessed
        self._origin_s: float | None = None
        self._stamp_s = 0.0
        self._last_s = 0.0
        self._first_odd = ""
        self._odd_count = 0
        self.end_s = 0.0
        """When the last picture ceases to be shown."""
        self.left_out_s = 0.0
        """How much of what the stamps say was not believed."""

    @property
    def notice(self) -> str:
        """What the user should know of the stamps, "" if nothing."""
        more = f", and {self._odd_count - 1} more such steps" if self._odd_count > 1 else ""
        return f"time stamps {self._first_odd}{more}" if self._first_odd else ""

    def begin(self, origin_s: float, last_s: float) -> None:
        """Go on after a picture stamped `last_s`, in a file whose first one is stamped `origin_s`."""
        self._origin_s = origin_s
        self._stamp_s = last_s
        self._last_s = last_s - origin_s
        self.end_s = self._last_s + self._period_s

    def time_of(self, picture: Any, number: int) -> float:
        """Return when a decoded picture is shown, which is number `number` of its file."""
        if not self._has_stamps:
            self._last_s, self.end_s = number * self._period_s, (number + 1) * self._period_s
            return self._last_s
        stamp = picture.dts if self._guessed or picture.pts is None else picture.pts
        stamp_s = None if stamp is None else float(stamp * picture.time_base)
        if self._origin_s is None:
            self._origin_s = stamp_s or 0.0
            time_s = 0.0
        else:
            next_s = self._last_s + self._period_s
            time_s = next_s if stamp_s is None else stamp_s - self._origin_s
            if stamp_s is not None and self._is_odd(time_s, stamp_s, float(picture.time_base)):
                self.left_out_s += max(0.0, time_s - next_s)
                time_s = next_s
                self._origin_s = stamp_s - time_s
            time_s = time_s if time_s > self._last_s else next_s
        self._stamp_s = stamp_s if stamp_s is not None else self._stamp_s
        self._last_s = time_s
        shown_s = float(picture.duration * picture.time_base) if picture.duration else 0.0
        self.end_s = time_s + max(min(shown_s, LONGEST_GAP_S), self._period_s)
        return time_s

    def _is_odd(self, time_s: float, stamp_s: float, tick_s: float) -> bool:
        """Whether a stamp is no time to go by. Steps of an hour or more are noted, believed or not."""
        step_s = time_s - self._last_s
        if step_s < SHORTEST_STEP_S:
            self._note(step_s, "back", believed=False)
            return True
        if step_s < _RESTART_S:
            return False
        fault = any(abs(step_s - fault_s) < _FAULT_TOLERANCE_S for fault_s in _COUNTER_FAULTS_S)
        odd = step_s > LONGEST_GAP_S or fault or (self._wraps and self._restarted(stamp_s, tick_s))
        self._note(step_s, "forwards", believed=not odd)
        return odd

    def _restarted(self, stamp_s: float, tick_s: float) -> bool:
        """Whether the stamps as they are in the file went back: a counter that began anew, and no wrap."""
        before, now = (round(one / tick_s) % _WRAP_TICKS for one in (self._stamp_s, stamp_s))
        return now < before

    def _note(self, step_s: float, direction: str, believed: bool) -> None:
        if abs(step_s) < (ODD_STEP_S if believed else 1.0):
            return
        self._odd_count += 1
        taken = "which is taken for a gap" if believed else "which is not believed: time goes on from there"
        size = f"{abs(step_s) / 3600:.2f} h" if abs(step_s) >= 360 else f"{abs(step_s):.1f} s"
        self._first_odd = self._first_odd or f"jump {direction} by {size} at {self._last_s:.2f} s, {taken}"
