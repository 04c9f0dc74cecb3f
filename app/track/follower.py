"""Following the people of one camera whose boxes, and perhaps vectors, come from somebody else's networks."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.config import TrackSettings
from app.errors import InputError
from app.frames import NO_ID, Detections, Embeddings
from app.reid.calibrate import Calibration
from app.track.tracker import STILL, CameraTracker

Found = TypeVar("Found", bound=Any)


class Follower:
    """Follows the people of one camera, frame by frame; boxes and vectors are yours. One instance per camera.

    >>> follower = Follower()
    >>> for index in range(3):
    ...     ids = follower.update([[10 + index, 20, 50 + index, 140]], [0.9], time=index / 25)
    >>> ids
    array([1])
    """

    def __init__(
        self,
        settings: TrackSettings | None = None,
        calibration: Calibration | None = None,
        camera: str = "camera",
    ) -> None:
        """settings: section `track` of the settings; the defaults without it.

        calibration: how to read distances between your vectors; without one little is made of them until people in view
        together have taught what strangers look like.
        """
        self.camera = camera
        self._settings = settings or TrackSettings()
        self._calibration = calibration
        self._tracker: CameraTracker | None = None
        self._dimension = 0
        self._time = -np.inf

    def update(
        self,
        boxes: ArrayLike,
        scores: ArrayLike | None = None,
        vectors: ArrayLike | None = None,
        *,
        time: float,
        motion: NDArray[np.float64] = STILL,
    ) -> NDArray[np.int64]:
        """Take the people found in the next frame and return their (N,) int64 track ids.

        An id is -1 while it is not sure that the box shows a person: mostly in the first frame of somebody. Call it for
        frames without people, too, with `[]`.

        boxes: (N, 4) x1 y1 x2 y2 in pixels.  scores: (N,) confidences in [0, 1]; all 1 without them.
        vectors: (N, D) appearance, of any length; a row of zeros or NaN where there is none. None: of this frame there
        are none. Networks whose vectors have a common centre need it subtracted (`Calibration.centered`).
        time: seconds, later than at the last call.  motion: (2, 3) affine from pixels of the previous frame to this
        one's, where the camera moves.
        Raises InputError for what cannot be, and for vectors of another length than before.
        """
        detections = _detections(boxes, scores)
        if not np.isfinite(time) or time <= self._time:
            raise InputError(f"time: {time} s does not come after {self._time} s, the time of the last frame")
        motion = np.asarray(motion, np.float64)
        if motion.shape != (2, 3) or not np.isfinite(motion).all():
            raise InputError("motion: give a (2, 3) affine of finite numbers")
        embeddings = self._embeddings(vectors, len(detections))
        self._time = time
        if self._tracker is None:
            if len(detections) == 0:  # nobody yet, and it is still open whether there are going to be vectors
                return np.zeros(0, np.int64)
            self._tracker = CameraTracker(self._settings, self.camera, self._calibration, self._dimension)
        return self._tracker.update(detections, embeddings, time, motion)

    def update_with_detections(self, detections: Found, time: float, vectors: ArrayLike | None = None) -> Found:
        """Do the same for `supervision.Detections`: return those that have a track, with it as `tracker_id`.

        They must be of people only: `detections[detections.class_id == 0]`. What was handed in stays as it is.
        """
        own = Detections.from_supervision(detections)
        ids = self.update(own.boxes, own.scores, vectors, time=time)
        tracked = copy.copy(detections[ids != NO_ID])
        tracked.tracker_id = ids[ids != NO_ID]
        return tracked

    def _embeddings(self, vectors: ArrayLike | None, count: int) -> Embeddings:
        """Return what is known of the appearance of `count` boxes, as unit rows."""
        rows = np.zeros((count, self._dimension), np.float32)
        if vectors is not None and np.size(vectors):
            rows = _numbers("vectors", vectors)
            if rows.ndim != 2 or len(rows) != count:
                raise InputError(f"vectors: {rows.shape} for {count} boxes; give one row for each box")
        if len(rows) and rows.shape[1] != self._dimension:
            if self._tracker is not None:
                raise InputError(
                    f"vectors: length {rows.shape[1]}, where the first boxes came with {self._dimension}; give vectors "
                    "from the first boxes on, with a row of zeros where there is none"
                )
            if self._calibration is None:
                self._calibration = Calibration.unknown(rows.shape[1])
            elif len(self._calibration.center) != rows.shape[1]:
                raise InputError(
                    f"vectors: length {rows.shape[1]}, and the calibration is for {len(self._calibration.center)}"
                )
            self._dimension = rows.shape[1]
        lengths = np.linalg.norm(rows, axis=1)
        valid = np.isfinite(lengths) & (lengths > 0)
        unit = np.zeros(rows.shape, np.float32)
        unit[valid] = rows[valid] / lengths[valid, None]
        return Embeddings(unit, valid)


def _detections(boxes: ArrayLike, scores: ArrayLike | None) -> Detections:
    """Return boxes and scores as a record. Raises InputError that names the row which cannot be."""
    corners = _numbers("boxes", boxes)
    if corners.size == 0:
        corners = np.zeros((0, 4), np.float32)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise InputError(f"boxes: shape {corners.shape}; give (N, 4) x1 y1 x2 y2")
    wrong = np.flatnonzero(~(np.isfinite(corners).all(axis=1) & (corners[:, 2:] > corners[:, :2]).all(axis=1)))
    if len(wrong):
        raise InputError(f"boxes: row {wrong[0]} is {corners[wrong[0]].tolist()}; give x1 < x2 and y1 < y2, in pixels")
    if scores is None:
        return Detections(corners, np.ones(len(corners), np.float32))
    sure = _numbers("scores", scores)
    if sure.shape != (len(corners),) or not ((sure >= 0) & (sure <= 1)).all():
        raise InputError(f"scores: give {len(corners)} numbers from 0 to 1, one for each box")
    return Detections(corners, sure)


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float32]:
    try:
        return np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: these are not numbers in rows of one length ({error})") from error
