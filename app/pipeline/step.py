"""The online loop: what happens between a picture and "who is where".

    for frames, detections in detect_ahead(ticks(sources), detector, stopwatch):
        results = pipeline.step(frames, detections)

`Pipeline.step` is the page to read first. It never looks ahead in time; joining tracklets over a whole recording is
the work of `app.runs.people.linking` afterwards.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app import boxes as geometry
from app.detect import Detector
from app.footage.camera_motion import CameraMotionEstimator
from app.frames import NO_ID, Detections, Embeddings, Frame, FrameResult, TrackAppearances
from app.reid import Embedder
from app.runs.ledger.identities import Identities, Segment
from app.track import Tracker
from app.track.gallery import LinkDecision, PersonGallery
from app.track.tracklets import TrackletBuilder, TrackletDraft


class Sink(Protocol):
    """Takes every result as it is made: the run folder, a video, a preview."""

    def write(self, result: FrameResult) -> None: ...


@dataclass
class Stopwatch:
    """Seconds spent in each stage. Stages that run in threads of their own overlap, so the sum can pass wall time."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass
class Lane:
    """What one camera needs of its own: everything else is shared."""

    tracker: Tracker
    motion: CameraMotionEstimator
    tracklets: TrackletBuilder


class Pipeline:
    """Detections of all cameras in, identified people out, one tick at a time.

    >>> from app.config import GallerySettings, TrackSettings
    >>> from app.footage.camera_motion import NoCameraMotion
    >>> from app.track.tracker import CameraTracker
    >>> tracker = CameraTracker(TrackSettings(), "door", None, 0)
    >>> lane = Lane(tracker, NoCameraMotion(), TrackletBuilder("door"))
    >>> pipeline = Pipeline({"door": lane}, None, PersonGallery(GallerySettings(), None))
    >>> found = Detections(np.array([[10, 20, 50, 140]], np.float32), np.array([0.9], np.float32))
    >>> for index in range(2):
    ...     frame = Frame("door", index, index / 10, np.zeros((240, 320, 3), np.uint8))
    ...     [result] = pipeline.step([frame], [found])
    >>> result.track_ids
    array([1])
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        embedder: Embedder | None,
        gallery: PersonGallery,
        sinks: Sequence[Sink] = (),
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.lanes = lanes
        self.embedder = embedder
        self.gallery = gallery
        self.sinks = sinks
        self.stopwatch = stopwatch or Stopwatch()
        self._seen: set[int] = set()
        self._erased: dict[str, set[int]] = {}

    @property
    def people(self) -> int:
        """How many people were seen so far."""
        return len(self._seen)

    def step(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> list[FrameResult]:
        """Process one tick: at most one frame of each camera, with the people found in it."""
        lanes = [self.lanes[frame.camera] for frame in frames]
        measure = self.stopwatch.measure
        with measure("track"):
            motions = [lane.motion.step(f, d.boxes) for lane, f, d in zip(lanes, frames, detections, strict=True)]
            wanted = [
                lane.tracker.wants(d, f.time, m)
                for lane, f, d, m in zip(lanes, frames, detections, motions, strict=True)
            ]
        with measure("embed"):
            embeddings = self._embed(frames, detections, wanted)
        with measure("track"):
            track_ids = [
                lane.tracker.update(d, e, f.time, m)
                for lane, f, d, e, m in zip(lanes, frames, detections, embeddings, motions, strict=True)
            ]
            track_ids = [self._without_erased(f.camera, ids) for f, ids in zip(frames, track_ids, strict=True)]
        with measure("link"):
            person_ids = self._identify(lanes, frames, track_ids)
        results = [FrameResult(*row) for row in zip(frames, detections, track_ids, person_ids, strict=True)]
        with measure("write"):
            for lane, result, embedded in zip(lanes, results, embeddings, strict=True):
                lane.tracklets.add(result, embedded)
                for sink in self.sinks:
                    sink.write(result)
        return results

    def finished_tracklets(self) -> list[TrackletDraft]:
        """Return the tracklets that ended since the last call."""
        return [draft for lane in self.lanes.values() for draft in lane.tracklets.finished()]

    def open_tracklets(self) -> list[TrackletDraft]:
        """Return the tracklets that still go on, as they are now."""
        return [draft for lane in self.lanes.values() for draft in lane.tracklets.snapshot()]

    def close(self) -> list[TrackletDraft]:
        """End every tracklet and return those not handed out yet."""
        return [draft for lane in self.lanes.values() for draft in lane.tracklets.close()]

    def decisions(self) -> list[LinkDecision]:
        """Return the identity decisions made since the last call."""
        return self.gallery.decisions()

    def adopt(self, identities: Identities) -> None:
        """Go on with who is who by the ledger, where linking or a human decided otherwise than the gallery did.

        All decisions of the gallery must be in the ledger.
        """
        self.gallery.adopt(identities.latest_person, identities.resolve, identities.next_person_id)
        self._seen = set(identities.people())

    def forget(self, segments: Iterable[Segment]) -> None:
        """Drop what is known of erased people that no part of the run holds yet; call `adopt` next.

        A track that was erased to its end is nobody's from now on, as long as it goes on.
        """
        for segment in segments:
            self.lanes[segment.camera].tracklets.forget(segment.track_id, segment.start_s, segment.end_s)
            if math.isinf(segment.end_s):
                self._erased.setdefault(segment.camera, set()).add(segment.track_id)

    def _without_erased(self, camera: str, track_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the same with `NO_ID` where a track was erased."""
        erased = self._erased.get(camera)
        return np.where(np.isin(track_ids, list(erased)), NO_ID, track_ids) if erased else track_ids

    def _embed(
        self, frames: Sequence[Frame], detections: Sequence[Detections], wanted: Sequence[NDArray[np.bool_]]
    ) -> list[Embeddings]:
        """Embed the wanted boxes of all cameras as one batch."""
        if self.embedder is None:
            return [Embeddings.none(len(d)) for d in detections]
        chosen = [d.boxes[w] for d, w in zip(detections, wanted, strict=True)]
        vectors = self.embedder.embed([f.image for f in frames], chosen)
        embeddings = []
        for found, mask, rows in zip(detections, wanted, vectors, strict=True):
            full = np.zeros((len(found), self.embedder.dimension), np.float32)
            full[mask] = rows
            embeddings.append(Embeddings(full, mask))
        return embeddings

    def _identify(
        self, lanes: Sequence[Lane], frames: Sequence[Frame], track_ids: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.int64]]:
        """Ask the gallery who the visible tracks are, and return the answer for each row of each camera."""
        appearances = [lane.tracker.appearances() for lane in lanes]
        if self._erased:
            appearances = [seen[self._without_erased(seen.camera, seen.track_ids) != NO_ID] for seen in appearances]
        persons = self.gallery.identify(appearances, max(frame.time for frame in frames))
        for ids in persons:
            self._seen.update(ids[ids != NO_ID].tolist())
        return [_align(ids, known, of) for ids, known, of in zip(track_ids, appearances, persons, strict=True)]


def _align(track_ids: NDArray[np.int64], known: TrackAppearances, persons: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (N,) person ids: for each track id the entry of `persons` (M,) whose row of `known` has that track id."""
    answer = np.full(len(track_ids), NO_ID, np.int64)
    rows, columns = np.nonzero((track_ids[:, None] == known.track_ids[None, :]) & (track_ids != NO_ID)[:, None])
    answer[rows] = persons[columns]
    return answer


Detected = tuple[list[Frame], list[Detections]]

_STOP_S = 0.5


def detect_ahead(
    ticks: Iterable[list[Frame]],
    detector: Detector,
    stopwatch: Stopwatch,
    stop: threading.Event | None = None,
    ahead: int = 2,
) -> Generator[Detected, None, None]:
    """Yield (frames, detections) of each tick, detecting up to `ahead` ticks before they are asked for.

    Detection needs no result of tracking, and its heavy part releases Python's lock; a thread of its own hides the
    rest of the loop behind it. An exception in that thread is raised here. Setting `stop` ends the iteration, also
    while it waits for a picture; closing this generator ends the thread. A tick without frames has no detections.
    """
    done = threading.Event()
    stop = stop or threading.Event()
    results: queue.Queue[Detected | BaseException | None] = queue.Queue(maxsize=ahead)

    def put(item: Detected | BaseException | None) -> None:
        while not done.is_set():
            try:
                results.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    # The thread: decode and detect, an error is a result like others.
    def work() -> None:
        iterator = iter(ticks)
        try:
            while not done.is_set():
                with stopwatch.measure("decode"):
                    frames = next(iterator, None)
                if frames is None:
                    break
                with stopwatch.measure("detect"):
                    found = detector.detect(frames) if frames else []
                    detections = [_with_pixels(*both) for both in zip(frames, found, strict=True)]
                put((frames, detections))
            put(None)
        except BaseException as error:
            put(error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    # The caller: take what is there, look for a wish to stop in between.
    thread = threading.Thread(target=work, name="detect", daemon=True)
    thread.start()
    try:
        while not stop.is_set():
            try:
                item = results.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        done.set()
        # Whoever asks for a stop is not kept waiting by a network at work; its thread ends by itself.
        thread.join(_STOP_S if stop.is_set() else None)


def _with_pixels(frame: Frame, found: Detections) -> Detections:
    """Return the detections less the boxes of which nothing is in the picture: nobody is counted without an image."""
    if not frame.has_pixels:
        return found
    inside = geometry.clip(found.boxes, frame.width, frame.height)
    shown = inside[:, 2:] - inside[:, :2] >= 1
    return found[np.flatnonzero(shown.all(axis=1))]
