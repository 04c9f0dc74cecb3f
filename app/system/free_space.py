"""Keeping a disk from filling up: what may be missing of a run is left out first, so that its rows always find room."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

_LOOK_S = 5.0
_BACK_SHARE = 1.2
"""What was left out is written again from so many times the limit on, or it would begin and end all the time."""
_VIDEO_SHARE = 0.5


def free_bytes(folder: Path) -> int:
    """Return how much room is left on the disk of a folder."""
    return shutil.disk_usage(folder).free


class FreeSpace:
    """Says what may still be written: below `keep_free_gb` no more crops, below half of it no more video either."""

    def __init__(
        self,
        folder: Path,
        keep_free_gb: float,
        free: Callable[[Path], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """keep_free_gb: 10⁹ bytes; 0 writes everything until the disk is full."""
        self.crops = self.video = True
        self.note = ""
        """What is left out now, in words; "" if nothing is."""
        self._folder = folder
        self._limit = keep_free_gb * 1e9
        self._free = free or free_bytes
        self._clock = clock
        self._due_s = clock()

    def look(self) -> bool:
        """Look again, if the last time is a while ago, and return whether something has changed."""
        if not self._limit or self._clock() < self._due_s:
            return False
        self._due_s = self._clock() + _LOOK_S
        try:
            free = self._free(self._folder)
        except OSError as error:
            logger.warning("%s: cannot tell how much room is left (%s)", self._folder, error)
            return False
        before = self.crops, self.video
        self.crops = free >= self._limit * (1.0 if self.crops else _BACK_SHARE)
        self.video = free >= self._limit * _VIDEO_SHARE * (1.0 if self.video else _BACK_SHARE)
        if (self.crops, self.video) == before:
            return False
        self._say(free)
        return True

    def _say(self, free: int) -> None:
        left_out = [name for name, kept in (("pictures of people", self.crops), ("video", self.video)) if not kept]
        if not left_out:
            self.note = ""
            logger.warning("%s: there is room again (%.1f GB): everything is written", self._folder, free / 1e9)
            return
        self.note = f"only {free / 1e9:.1f} GB are free: no {' and no '.join(left_out)}, rows go on"
        logger.warning("%s: %s; make room (run.keep_free_gb)", self._folder, self.note)
