"""The tracks of one camera as arrays: row i of every array is the same track."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.frames import NO_ID
from app.track.appearance import AppearanceBank
from app.track.kalman import BoxMotion, concatenate

_COLUMNS = ("ids", "hits", "evidence", "start_times", "seen_times", "origins", "doubtful")


class Tracks:
    """T tracks: what is known of where they are, what they look like and how long they have been seen.

    ids: (T,) int64, `NO_ID` until confirmed.
    hits: (T,) int64, boxes matched so far.
    evidence: (T,) float64, log-odds that this is a person at all, summed over the boxes.
    start_times, seen_times: (T,) float64, seconds, of the first and the last matched box.
    origins: (T, 2) float64, where the middle of the first box would be in the present picture, pixels.
    doubtful: (T,) bool, whether the first box was of little confidence.
    motion: their Kalman states, as of the last prediction or correction.
    looks: their appearance.
    """

    def __init__(self, motion: BoxMotion, dimension: int, bank_size: int) -> None:
        """Start with no track; `motion` is an empty state."""
        self.ids = np.zeros(0, np.int64)
        self.hits = np.zeros(0, np.int64)
        self.evidence = np.zeros(0)
        self.start_times = np.zeros(0)
        self.seen_times = np.zeros(0)
        self.origins = motion.position[:, :2].copy()
        self.doubtful = np.zeros(0, np.bool_)
        self.motion = motion
        self.appearance = AppearanceBank(dimension, bank_size)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        return self.ids != NO_ID

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all tracks but `rows`, an index array or a boolean mask."""
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[rows])
        self.motion = self.motion[rows]
        self.appearance.keep(rows)

    def append(self, motion: BoxMotion, time: float, doubtful: bool) -> None:
        """Add unconfirmed tracks first seen at `time`, without a hit yet."""
        count = len(motion)
        self.ids = np.concatenate([self.ids, np.full(count, NO_ID, np.int64)])
        self.hits = np.concatenate([self.hits, np.zeros(count, np.int64)])
        self.evidence = np.concatenate([self.evidence, np.zeros(count)])
        self.start_times = np.concatenate([self.start_times, np.full(count, time)])
        self.seen_times = np.concatenate([self.seen_times, np.full(count, time)])
        self.origins = np.concatenate([self.origins, motion.position[:, :2]])
        self.doubtful = np.concatenate([self.doubtful, np.full(count, doubtful)])
        self.motion = concatenate([self.motion, motion])
        self.appearance.extend(count)
