"""Following the people of one camera from frame to frame. `CameraTracker.update` is the page to read first.

The life of a track
-------------------
A confident box that no track explains starts a **tentative** track, without an id. If further boxes continue it in the
very next frames it is **confirmed** and gets the next number of its tracker's counter; otherwise it is dropped, as most
false alarms are. A confirmed track is **visible** in the frames in which a box continues it and **lost** in the others.
While lost it glides on along its last velocity, and for `max_lost_s` a box that lies where it is expected makes it
visible again under its old id. After that motion says nothing any more, and until `max_recovery_s` only its appearance
can bring it back: a box that nobody else claims, probably the same person, no further away than a person can have
gone. Then the track **dies**; its id is never given to another.

Association goes from the safest evidence to the weakest, and what one step has matched the next does not see:
confirmed tracks with confident boxes, by overlap with the predicted box and by appearance where it is known; tracks
that were visible a moment ago with weak boxes, by overlap alone, because a weak box is mostly a half hidden person
(ByteTrack, Zhang et al. 2022); tentative tracks with the remaining confident boxes; lost tracks by appearance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.boxes import coverage, iou
from app.config import TrackSettings
from app.frames import NO_ID, Detections, Embeddings, TrackAppearances
from app.reid.calibrate import Calibration
from app.track.assignment import assign
from app.track.costs import height_overlap
from app.track.kalman import BoxKalman, MotionNoise, move_with_camera
from app.track.tracks import Tracks

Rows = NDArray[np.int64]

NOISE = MotionNoise(measurement=(0.05, 0.05), jitter=(0.25, 0.25), acceleration=(1.0, 1.0), initial_velocity=(2.0, 2.0))
BANK_SIZE = 5


class CameraTracker:
    """Implements `Tracker` for one camera. Ids count up from `first_track_id`."""

    def __init__(
        self,
        settings: TrackSettings,
        camera: str,
        calibration: Calibration | None,
        dimension: int,
        first_track_id: int = 1,
    ) -> None:
        """`dimension` is the length of an appearance vector, 0 for motion only; then `calibration` is not needed."""
        if dimension > 0 and calibration is None:
            raise ValueError("CameraTracker needs a calibration to compare appearance vectors")
        self.camera = camera
        self._settings = settings
        self._calibration = calibration
        self._kalman = BoxKalman(NOISE)
        self._tracks = Tracks(self._kalman.start(np.zeros((0, 4))), dimension, BANK_SIZE)
        self._next_id = first_track_id
        self._first_id = first_track_id
        self._time: float | None = None
        self._last_update: float | None = None

    def update(
        self, detections: Detections, embeddings: Embeddings, time: float, motion: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Advance to `time`, associate, and return (N,) int64 track ids aligned with the rows of `detections`."""
        self._advance(time, motion)
        tracks, settings = self._tracks, self._settings
        boxes = detections.boxes
        row_of_track = np.full(len(tracks), -1, np.int64)
        confident = np.flatnonzero(detections.scores >= settings.confident_score)
        weak = np.flatnonzero(
            (detections.scores >= settings.weak_score) & (detections.scores < settings.confident_score)
        )
        predicted = tracks.motion.boxes()
        within_motion = time - tracks.seen_times <= settings.max_lost_s + 1e-6
        confirmed = np.flatnonzero(tracks.confirmed & within_motion)
        tentative = np.flatnonzero(~tracks.confirmed)

        def associate(candidates: Rows, rows: Rows, max_cost: float, fuse: bool) -> tuple[Rows, Rows]:
            overlap = iou(predicted[candidates], boxes[rows])
            similarity = overlap * height_overlap(predicted[candidates], boxes[rows])
            if fuse:
                similarity = similarity * detections.scores[rows]
            costs = np.where(overlap > 0, 1 - similarity, np.inf)
            matched, columns = assign(costs, max_cost)
            row_of_track[candidates[matched]] = rows[columns]
            return np.delete(candidates, matched), np.delete(rows, columns)

        unmatched, confident = associate(confirmed, confident, 0.9, True)
        visible = tracks.seen_times[unmatched] == self._last_update
        associate(unmatched[visible], weak, 0.5, False)
        _, confident = associate(tentative, confident, 0.7, True)

        ids = np.full(len(boxes), NO_ID, np.int64)
        matched = np.flatnonzero(row_of_track >= 0)
        rows = row_of_track[matched]
        tracks.motion.put(matched, self._kalman.correct(tracks.motion[matched], boxes[rows]))
        tracks.hits[matched] += 1
        tracks.seen_times[matched] = time
        tracks.scores[matched] = detections.scores[rows]
        tracks.motion.velocity[row_of_track < 0, 2:] = 0.0
        ready = matched[(tracks.hits[matched] >= settings.confirm_hits) & (tracks.ids[matched] == NO_ID)]
        tracks.ids[ready] = np.arange(self._next_id, self._next_id + len(ready))
        self._next_id += len(ready)
        ids[rows] = tracks.ids[matched]
        alive = (row_of_track >= 0) | (tracks.confirmed & (time - tracks.seen_times <= settings.max_lost_s + 1e-6))
        if not alive.all():
            tracks.keep(alive)
        born = confident[detections.scores[confident] >= settings.birth_score]
        if len(born):
            tracks.append(self._kalman.start(boxes[born]), detections.scores[born], time)
            if self._last_update is None or settings.confirm_hits == 1:
                tracks.ids[-len(born) :] = ids[born] = np.arange(self._next_id, self._next_id + len(born))
                self._next_id += len(born)
        self._last_update = time
        return ids

    def wants(self, detections: Detections, time: float, motion: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (N,) bool: which boxes are worth embedding in this frame. Nothing without a ReID model."""
        self._advance(time, motion)
        if self._calibration is None or len(detections) == 0:
            return np.zeros(len(detections), np.bool_)
        hidden = coverage(detections.boxes, detections.boxes)
        np.fill_diagonal(hidden, 0)
        return np.asarray((detections.scores >= self._settings.confident_score) & (hidden.max(axis=1) < 0.5))

    def appearances(self) -> TrackAppearances:
        """Return the confirmed tracks matched by the last update, for the online gallery."""
        tracks = self._tracks
        rows = np.flatnonzero(tracks.confirmed & (tracks.seen_times == self._last_update))
        return TrackAppearances(
            self.camera,
            tracks.ids[rows],
            tracks.start_times[rows],
            tracks.looks.typical[rows],
            tracks.looks.counts[rows],
        )

    def _advance(self, time: float, motion: NDArray[np.float64]) -> None:
        """Move every track to where it is expected at `time`; the second call for one time does nothing."""
        if self._time is not None:
            if time < self._time:
                raise ValueError(f"{self.camera}: time runs backwards, from {self._time:.3f} s to {time:.3f} s")
            if time == self._time:
                return
            self._tracks.motion = move_with_camera(self._kalman.predict(self._tracks.motion, time - self._time), motion)
        self._time = time
