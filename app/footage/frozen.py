"""Is a live camera still looking? A stuck camera or server sends one picture again and again.

A lens looking at a scene never gives exactly the same picture twice for long: a sensor makes noise, and even an encoder
that skips what hardly changes renews everything with each key picture. So a picture counts as the same only where its
decoded values are exactly those of an earlier one. What a camera writes into it (clock, name) goes on changing while
the picture stands still; it stands in the top or the bottom of the picture and fills little of it.

A sensor that is stuck before its encoder is another matter: coding errors change with each key picture, by more than
the noise of a good sensor. But an encoder that gets the same picture comes back to the same values, a few seconds
later at the latest, while a sensor's noise never does. Coded by x264 (a clock written in; two real scenes at a
constant quality of 23 and 32, one of them at 400 kbit/s), pictures of a stuck sensor came back to within 0.0 to 0.32
grey levels on average. Real scenes without people (four, five rates) stayed 1.4 or more away, noise of only 0.3 levels
(one scene) mostly 0.7 and more. What cannot
be told apart: an encoder that is forced to a rate far too low for the scene (there 100 kbit/s) never settles, and such
a stuck sensor is not noticed.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["moving", "still", "frozen"]

HOLD_S = 1.0
"""From then on a picture that stands still is "still": it adds nothing, and may turn out to be frozen."""

_SAMPLES = 256
"""So many rows and columns, or a few more, are compared, in green, which holds most of the brightness."""

_FEW_SAMPLES = 128
"""The same for pictures that are kept."""

_OVERLAY_SHARE = 1 / 6
"""What a camera writes stands in so much of the picture's height, at its top or its bottom."""

_MEMORY_S = 24.0
_APART_S = 4.0
"""A picture repeats one that is so much older: within `_APART_S` an encoder may just not have renewed anything."""

_MOST_PICTURES, _MOST_STEPS = 720, 60

_MEAN_LEVELS = 0.35
_BLOCK_LEVELS = 1.0
"""A picture is a repeated one that differs by less on average, and by less in the mean of every block."""

_STEP_LEVELS = 0.1
"""From one picture to the next an encoder changes less of the same one, as a rule. Noise that is as small as all that
changes each picture by as much, if every one is coded by itself."""

_STILL_LEVELS = 10.0
"""Blocks of pictures between them differ by less: a short film that is sent again and again is not frozen."""

_BLOCK = 8


def _middle(sample: NDArray[Any]) -> NDArray[Any]:
    """Return the (H, W) samples without those rows in which a camera may write."""
    edge = round(len(sample) * _OVERLAY_SHARE)
    return sample[edge : len(sample) - edge]


class _Recent:
    """The latest pictures of a camera, (H, W) uint8 samples of one size."""

    def __init__(self) -> None:
        self._pictures: deque[tuple[float, NDArray[np.uint8], NDArray[np.float32]]] = deque(maxlen=_MOST_PICTURES)
        self._steps: deque[float] = deque(maxlen=_MOST_STEPS)

    def repeats(self, sample: NDArray[np.uint8], time_s: float, changed_share: float) -> bool:
        """Add a picture, and return whether it comes back to an earlier one, apart from what is written into it.

        changed_share: of the picture, what may differ at its top and bottom.
        """
        if self._pictures and self._pictures[-1][1].shape != sample.shape:
            self.forget()
        middle = _middle(sample)
        rows, columns = middle.shape[0] // _BLOCK, middle.shape[1] // _BLOCK
        if not rows or not columns:
            return False
        tiles = middle[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
        blocks = tiles.mean(axis=(1, 3), dtype=np.float32)
        while self._pictures and self._pictures[0][0] < time_s - _MEMORY_S:
            self._pictures.popleft()
        older = sum(before_s <= time_s - _APART_S for before_s, _, _ in self._pictures)
        found = False
        if self._pictures:
            before = _middle(self._pictures[-1][1])
            self._steps.append(float(np.abs(middle.astype(np.int16) - before).mean()))
        if older and np.median(self._steps) <= _STEP_LEVELS:
            apart = np.abs(np.stack([one for _, _, one in self._pictures]) - blocks)
            nearest = int(apart[:older].mean(axis=(1, 2)).argmin())
            if apart.max() <= _STILL_LEVELS and apart[nearest].max() <= _BLOCK_LEVELS:
                levels = np.abs(sample.astype(np.int16) - self._pictures[nearest][1])
                written = float((levels > _STILL_LEVELS).mean())
                mean_levels = float(_middle(levels).mean())
                found = mean_levels <= _MEAN_LEVELS and written <= changed_share
        self._pictures.append((time_s, sample.copy(), blocks))
        return found

    def forget(self) -> None:
        self._pictures.clear()
        self._steps.clear()


class FrozenWatch:
    """Looks at the pictures of one camera in order; all have one size.

    frozen_after_s: how long a picture must stand still until it is called frozen, seconds; 0 never calls it so.
    changed_percent: of the picture, what may change at its top and bottom nevertheless.
    """

    def __init__(self, frozen_after_s: float, changed_percent: float) -> None:
        self.moved_s = 0.0
        """When the picture last moved."""
        self._frozen_after_s = frozen_after_s
        self._share = changed_percent / 100
        self._reference: NDArray[np.uint8] | None = None
        self._changed = np.zeros((0, 0), np.bool_)
        self._recent = _Recent()

    def forget(self) -> None:
        """Take the next picture as one that moved."""
        self._reference = None
        self._recent.forget()

    def look(self, image: NDArray[np.uint8], time_s: float) -> Verdict:
        """Say whether the (H, W, 3) picture of `time_s` moved, stands still for a while, or is frozen."""
        if not self._frozen_after_s:
            return "moving"
        small = image[:: max(1, image.shape[0] // _FEW_SAMPLES), :: max(1, image.shape[1] // _FEW_SAMPLES), 1]
        repeats = self._recent.repeats(small, time_s, self._share)
        if self._moves(image) and not repeats:
            self.moved_s = time_s
            return "moving"
        still_s = time_s - self.moved_s
        if still_s >= self._frozen_after_s:
            return "frozen"
        return "still" if still_s >= HOLD_S else "moving"

    def _moves(self, image: NDArray[np.uint8]) -> bool:
        """Return whether it differs from all pictures since it last moved, apart from what a camera writes into it."""
        height, width = image.shape[:2]
        sample = image[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES), 1]
        if self._reference is not None and sample.shape == self._reference.shape:
            self._changed |= sample != self._reference
            if not _middle(self._changed).any() and self._changed.mean() <= self._share:
                return False
        self._reference = sample.copy()
        self._changed = np.zeros(sample.shape, np.bool_)
        return True
