"""Following people: within one camera (`tracker`), across cameras online (`gallery`) and offline (`linking`).

NumPy, SciPy and lap only. `Tracker` is the seam of the first stage.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.frames import Detections, Embeddings, TrackAppearances

CameraMotion = NDArray[np.float64]
"""(2, 3) affine that takes pixel coordinates of the previous frame to the present one; identity when nothing moved."""


class Tracker(Protocol):
    """Follows the people of one camera; one instance per camera. Time is in seconds and never runs backwards."""

    def wants(self, detections: Detections, time: float, motion: CameraMotion) -> NDArray[np.bool_]:
        """Return (N,) bool: which boxes are worth embedding in this frame, because the answer may change something."""
        ...

    def update(
        self, detections: Detections, embeddings: Embeddings, time: float, motion: CameraMotion
    ) -> NDArray[np.int64]:
        """Advance to `time`, associate, and return (N,) int64 track ids aligned with the rows of `detections`.

        Rows that belong to no confirmed track get `NO_ID`. `embeddings` may cover any subset of the rows.
        """
        ...

    def appearances(self) -> TrackAppearances:
        """Return the confirmed tracks matched by the last update, for the online gallery."""
        ...
