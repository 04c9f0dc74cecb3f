"""Is a live camera still looking? A stuck camera or server sends one picture again and again.

A lens looking at a scene never gives exactly the same picture twice for long: a sensor makes noise, and even an encoder
that skips what hardly changes renews everything with each key picture. So a picture counts as the same only where its
decoded values are exactly those of an earlier one. What a camera writes into it (clock, name) goes on changing while
the picture stands still; it stands in the top or the bottom of the picture and fills little of it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["moving", "still", "frozen"]

HOLD_S = 1.0
"""From then on a picture that stands still is "still": it adds nothing, and may turn out to be frozen."""

_SAMPLES = 256
"""So many rows and columns, or a few more, are compared, in green, which holds most of the brightness."""

_OVERLAY_SHARE = 1 / 6
"""What a camera writes stands in so much of the picture's height, at its top or its bottom."""


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

    def forget(self) -> None:
        """Take the next picture as one that moved."""
        self._reference = None

    def look(self, image: NDArray[np.uint8], time_s: float) -> Verdict:
        """Say whether the (H, W, 3) picture of `time_s` moved, stands still for a while, or is frozen."""
        if not self._frozen_after_s:
            return "moving"
        if self._moves(image):
            self.moved_s = time_s
            return "moving"
        still_s = time_s - self.moved_s
        if still_s >= self._frozen_after_s:
            return "frozen"
        return "still" if still_s >= HOLD_S else "moving"

    def _moves(self, image: NDArray[np.uint8]) -> bool:
        """Whether it differs from all pictures since it last moved, apart from what a camera writes into it."""
        height, width = image.shape[:2]
        sample = image[:: max(1, height // _SAMPLES), :: max(1, width // _SAMPLES), 1]
        if self._reference is not None and sample.shape == self._reference.shape:
            self._changed |= sample != self._reference
            edge = round(len(sample) * _OVERLAY_SHARE)
            if not self._changed[edge : len(sample) - edge].any() and self._changed.mean() <= self._share:
                return False
        self._reference = sample.copy()
        self._changed = np.zeros(sample.shape, np.bool_)
        return True
