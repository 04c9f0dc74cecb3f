"""Following people: within one camera (`tracker`), across cameras online (`gallery`) and offline (`linker`).

NumPy, SciPy and lap only. `Tracker` is the seam of the first stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.config import TrackSettings
from app.frames import Detections, Embeddings, TrackAppearances
from app.reid.calibrate import Calibration

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


def _camera_tracker(
    settings: TrackSettings, camera: str, calibration: Calibration | None, dimension: int, first_track_id: int = 1
) -> Tracker:
    from app.track.tracker import CameraTracker  # here, because tracker.py needs this package

    return CameraTracker(settings, camera, calibration, dimension, first_track_id)


TRACKERS: dict[str, Callable[..., Tracker]] = {"camera": _camera_tracker}
"""The implementations of `Tracker` by name; each builder takes (settings, camera, calibration, dimension, first id)."""
