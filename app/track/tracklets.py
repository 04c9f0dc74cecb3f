"""Collecting tracklets: from the rows of every frame to one record for each track, with its few best crops.

A tracklet is what stage 1 hands to stage 2, so its crops decide how well people are recognised. A crop is scored by
what makes a person hard to recognise: a doubtful box, few pixels, blur, somebody in front, a cut at the picture's
edge. Of the crops of one track the best are kept that also lie apart in time, because neighbouring frames tell the
same thing twice. A crop that shows somebody else (who walked in front, or whom the tracker took for this person for a
moment) looks unlike the rest and is thrown out by the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import boxes as box_geometry
from app.frames import NO_ID, Embeddings, FrameResult, Tracklet

FULL_SIZE_HEIGHT_PX = 128
"""A person this tall fills what a ReID network sees well enough; below it the score falls with the square root."""

SHARP_RATIO = 0.1
"""Variance of the Laplacian over variance of the picture at which a crop counts as half sharp."""

OUTLIER_DEVIATIONS = 4.0
"""A crop is thrown out when its distance from the others lies this many robust deviations above their median."""

MIN_CROPS_FOR_OUTLIERS = 4
"""With fewer crops nobody can say which of them is the odd one."""


@dataclass(frozen=True, slots=True)
class TrackletDraft:
    """A tracklet with the pictures of its crops, which have not been written yet.

    images: BGR uint8 pictures aligned with `tracklet.crops`; empty where the frames had no pixels.
    """

    tracklet: Tracklet
    images: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True, slots=True)
class _Crop:
    """One kept crop: when, how good, what it looks like."""

    time: float
    frame_index: int
    quality: float
    vector: NDArray[np.float32]
    image: NDArray[np.uint8] | None


@dataclass(slots=True)
class _OpenTracklet:
    """Rows and crops of a track that may still go on; the row arrays double when they are full."""

    track_id: int
    count: int = 0
    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(32, np.float64))
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((32, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(32, np.float32))
    crops: list[_Crop] = field(default_factory=list)

    def append(self, time: float, box: NDArray[np.float32], score: np.float32) -> None:
        if self.count == len(self.times):
            self.times = np.concatenate([self.times, np.empty_like(self.times)])
            self.boxes = np.concatenate([self.boxes, np.empty_like(self.boxes)])
            self.scores = np.concatenate([self.scores, np.empty_like(self.scores)])
        self.times[self.count] = time
        self.boxes[self.count] = box
        self.scores[self.count] = score
        self.count += 1

    @property
    def last_time(self) -> float:
        return float(self.times[self.count - 1])


class TrackletBuilder:
    """Collects the confirmed tracks of one camera into tracklets.

    camera: name of the camera.
    max_crops: crops kept of each tracklet.
    max_gap_s: a tracklet is closed once its track was not seen for longer, in seconds. Give at least the tracker's
        memory for lost tracks: a track that comes back later opens a second tracklet with the same key.
    """

    def __init__(self, camera: str, max_crops: int = 8, max_gap_s: float = 30.0) -> None:
        self.camera = camera
        self.max_crops = max_crops
        self.max_gap_s = max_gap_s
        self._open: dict[int, _OpenTracklet] = {}
        self._finished: list[TrackletDraft] = []

    def add(self, result: FrameResult, embeddings: Embeddings) -> None:
        """Take the rows of one frame; `embeddings` is aligned with `result.detections`. Nothing is kept of the frame
        but its boxes and copies of crops that are among the best of their track."""
        time = result.frame.time
        for track_id in [key for key, tracklet in self._open.items() if time - tracklet.last_time > self.max_gap_s]:
            self._finished.append(self._draft(self._open.pop(track_id)))
        rows = np.flatnonzero(result.track_ids != NO_ID)
        boxes, scores = result.detections.boxes[rows], result.detections.scores[rows]
        track_ids = result.track_ids[rows].tolist()
        for row, track_id in enumerate(track_ids):
            if track_id not in self._open:
                self._open[track_id] = _OpenTracklet(track_id)
            self._open[track_id].append(time, boxes[row], scores[row])
        candidates = np.flatnonzero(embeddings.valid[rows])
        if self.max_crops == 0 or len(candidates) == 0:
            return
        image = result.frame.image if result.frame.has_pixels else None
        height, width = result.frame.height, result.frame.width
        qualities = crop_qualities(boxes, scores, candidates, width, height, image)
        for row, quality in zip(candidates.tolist(), qualities.tolist(), strict=True):
            tracklet = self._open[track_ids[row]]
            vector = embeddings.vectors[rows[row]]
            self._offer(tracklet, time, result.frame.index, quality, vector, boxes[row], image)

    def finished(self) -> list[TrackletDraft]:
        """Return the tracklets that were closed since the last call, in the order in which they closed."""
        drafts, self._finished = self._finished, []
        return drafts

    def snapshot(self) -> list[TrackletDraft]:
        """Return the open tracklets as they are now, without closing them: the material of a crash-safe part."""
        return [self._draft(tracklet) for tracklet in self._open.values()]

    def forget(self, track_id: int, start_s: float, end_s: float) -> None:
        """Drop what was collected of a track with start_s <= time < end_s and not handed out as finished yet."""
        tracklet = self._open.get(track_id)
        if tracklet is None:
            return
        times = tracklet.times[: tracklet.count]
        stay = (times < start_s) | (times >= end_s)
        for name in ("times", "boxes", "scores"):
            rows = getattr(tracklet, name)
            rows[: int(stay.sum())] = rows[: tracklet.count][stay]
        tracklet.count = int(stay.sum())
        tracklet.crops = [crop for crop in tracklet.crops if not start_s <= crop.time < end_s]
        if tracklet.count == 0:
            del self._open[track_id]

    def close(self) -> list[TrackletDraft]:
        """Close every tracklet and return all that `finished` has not returned yet."""
        self._finished.extend(self._draft(tracklet) for tracklet in self._open.values())
        self._open.clear()
        return self.finished()

    def _offer(
        self,
        tracklet: _OpenTracklet,
        time: float,
        frame_index: int,
        quality: float,
        vector: NDArray[np.float32],
        box: NDArray[np.float32],
        image: NDArray[np.uint8] | None,
    ) -> None:
        """Keep this crop if it is among the best `max_crops`, in place of the least useful one."""
        crops = tracklet.crops
        if len(crops) >= self.max_crops:
            times = np.array([*(crop.time for crop in crops), time])
            scores = np.array([*(crop.quality for crop in crops), quality])
            worst = least_useful(times, scores, (time - float(tracklet.times[0])) / self.max_crops)
            if worst == len(crops):
                return
            del crops[worst]
        crops.append(_Crop(time, frame_index, quality, vector.copy(), None if image is None else _cut(image, box)))

    def _draft(self, tracklet: _OpenTracklet) -> TrackletDraft:
        crops = sorted(tracklet.crops, key=lambda crop: (-crop.quality, crop.time))
        dimension = len(crops[0].vector) if crops else 0
        vectors = np.array([crop.vector for crop in crops], np.float32).reshape(len(crops), dimension)
        qualities = np.array([crop.quality for crop in crops], np.float32)
        kept = [crop for crop, good in zip(crops, inliers(vectors, qualities), strict=True) if good]
        record = Tracklet(
            camera=self.camera,
            track_id=tracklet.track_id,
            times=tracklet.times[: tracklet.count].copy(),
            boxes=tracklet.boxes[: tracklet.count].copy(),
            scores=tracklet.scores[: tracklet.count].copy(),
            crops=tuple(f"crops/{self.camera}/{tracklet.track_id}_{crop.frame_index}.jpg" for crop in kept),
            vectors=np.array([crop.vector for crop in kept], np.float32).reshape(len(kept), dimension),
            qualities=np.array([crop.quality for crop in kept], np.float32),
        )
        images = tuple(crop.image for crop in kept if crop.image is not None)
        return TrackletDraft(record, images if len(images) == len(kept) else ())


def crop_qualities(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    rows: NDArray[np.integer[Any]],
    width_px: int,
    height_px: int,
    image: NDArray[np.uint8] | None,
) -> NDArray[np.float32]:
    """Return how good the crops of `rows` are, (R,) float32 in [0, 1]: confidence × size × visibility × sharpness.

    boxes (N, 4), scores (N,): everybody in the frame, since they hide one another. rows: (R,) indices into them.
    image: (H, W, 3) uint8, or None without pixels, which leaves sharpness out.
    """
    chosen = boxes[rows]
    inside = box_geometry.clip(chosen, width_px, height_px)
    areas = np.maximum(box_geometry.areas(chosen), 1)
    complete = box_geometry.areas(inside) / areas
    # Seen from above, as cameras do, whoever has the lower feet stands nearer.
    hidden = box_geometry.coverage(chosen, boxes) * (boxes[None, :, 3] > chosen[:, None, 3])
    visible = 1 - np.clip(hidden.sum(axis=1), 0, 1)
    size = np.sqrt(np.clip((inside[:, 3] - inside[:, 1]) / FULL_SIZE_HEIGHT_PX, 0, 1))
    qualities = scores[rows] * size * visible * complete
    if image is not None:
        qualities = qualities * np.array([sharpness(_cut(image, box, copy=False)) for box in chosen], np.float32)
    return np.clip(qualities, 0, 1).astype(np.float32)


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Return how sharp a (H, W, 3) crop is, in [0, 1): variance of its Laplacian against its own variance.

    Dividing by the crop's own variance makes dark, low-contrast clothes count as much as bright ones. Large crops are
    read at about the resolution of a ReID network.
    """
    step = max(1, crop.shape[0] // FULL_SIZE_HEIGHT_PX)
    green = crop[::step, ::step, 1].astype(np.float32)
    if green.shape[0] < 3 or green.shape[1] < 3:
        return 0.0
    neighbours = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:]
    ratio = float((neighbours - 4 * green[1:-1, 1:-1]).var()) / max(float(green.var()), 1.0)
    return ratio / (ratio + SHARP_RATIO)


def least_useful(times: NDArray[np.float64], qualities: NDArray[np.float64], spacing_s: float) -> int:
    """Return the index of the crop to give up: poor, and close in time to another one.

    times, qualities: (K,) with K ≥ 2, in any order. spacing_s: the distance at which crops no longer repeat each other.
    A crop right beside another one counts half. Of equals the later one goes.
    """
    distances = np.abs(times[:, None] - times[None, :])
    np.fill_diagonal(distances, np.inf)
    apart = np.clip(distances.min(axis=1) / max(spacing_s, 1e-9), 0, 1)
    usefulness = qualities * (1 + apart)
    return int(np.lexsort((-times, usefulness))[0])


def inliers(vectors: NDArray[np.float32], qualities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (K,) bool: which crops look like the others; all of them when there are too few to tell.

    vectors: (K, D) unit rows. qualities: (K,) weights. A crop's distance is its mean cosine distance to the others;
    outliers lie `OUTLIER_DEVIATIONS` robust deviations (median absolute deviation) above the median.
    """
    count = len(vectors)
    if count < MIN_CROPS_FOR_OUTLIERS:
        return np.ones(count, np.bool_)
    distances = 1 - vectors @ vectors.T
    weights = np.tile(qualities + 1e-3, (count, 1))
    np.fill_diagonal(weights, 0)
    apart = (distances * weights).sum(axis=1) / weights.sum(axis=1)
    middle = float(np.median(apart))
    # The floor keeps a person who looks alike in every crop from losing good ones over tiny differences.
    deviation = max(1.4826 * float(np.median(np.abs(apart - middle))), 0.1 * middle, 1e-6)
    return np.asarray(apart <= middle + OUTLIER_DEVIATIONS * deviation, np.bool_)


def _cut(image: NDArray[np.uint8], box: NDArray[np.float32], copy: bool = True) -> NDArray[np.uint8]:
    """Return the part of the picture inside the box, at least one pixel of it."""
    height, width = image.shape[:2]
    x1 = int(np.clip(np.floor(box[0]), 0, width - 1))
    y1 = int(np.clip(np.floor(box[1]), 0, height - 1))
    x2 = int(np.clip(np.ceil(box[2]), x1 + 1, width))
    y2 = int(np.clip(np.ceil(box[3]), y1 + 1, height))
    part = image[y1:y2, x1:x2]
    return part.copy() if copy else part
