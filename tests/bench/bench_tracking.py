"""Speed of association on one core: our `CameraTracker` beside Ultralytics' `BYTETracker`, in turn, in one run.

    python tests/bench/bench_tracking.py

Simulated people walk about a large place; one box in twenty is missing, and there are as many false alarms. Ours is
timed with motion only, which is what the peer does, and as in a full run: asked which boxes it wants embedded, and
given those vectors. Processor time; read the ratios, machines are noisy. The last line fits time ~ people ** exponent.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from ultralytics.trackers.byte_tracker import BYTETracker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.boxes import from_center_size, to_center_size
from app.config import TrackSettings
from app.frames import Detections, Embeddings
from app.reid.calibrate import Calibration
from app.track.tracker import CameraTracker

FPS = 25
DIMENSION = 512
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])
BYTE_TRACK = SimpleNamespace(
    track_high_thresh=0.25,
    track_low_thresh=0.1,
    new_track_thresh=0.25,
    track_buffer=30,
    match_thresh=0.8,
    fuse_score=True,
)


class Boxes:
    """What BYTETracker expects of a detector's result."""

    def __init__(self, boxes: np.ndarray, scores: np.ndarray) -> None:
        self.xyxy, self.conf, self.cls = boxes, scores, np.zeros(len(boxes))
        self.xywh = to_center_size(boxes)

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, rows: np.ndarray) -> Boxes:
        return Boxes(self.xyxy[rows], self.conf[rows])


def crowd(people: int, frames: int, seed: int = 0) -> list[tuple[Detections, np.ndarray]]:
    """Return for each frame its detections and (N, D) float32 unit vectors of their looks."""
    rng = np.random.default_rng(seed)
    side = 300 * np.sqrt(people)  # the same density at every number
    places = rng.uniform(0, side, (people, 2))
    velocities = rng.normal(0, 60, (people, 2))
    faces = rng.normal(size=(people, DIMENSION))
    footage = []
    for _ in range(frames):
        velocities += rng.normal(0, 5, velocities.shape)
        places += velocities / FPS
        velocities[(places < 0) | (places > side)] *= -1
        seen = np.flatnonzero(rng.random(people) > 0.05)
        false = rng.uniform(0, side, (rng.binomial(people, 0.05), 2))
        centers = np.concatenate([places[seen] + rng.normal(0, 2, (len(seen), 2)), false])
        boxes = from_center_size(np.concatenate([centers, np.tile([40.0, 100.0], (len(centers), 1))], axis=1))
        scores = np.concatenate([rng.uniform(0.3, 0.95, len(seen)), rng.uniform(0.1, 0.6, len(false))])
        vectors = np.concatenate([faces[seen], rng.normal(size=(len(false), DIMENSION))])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        detections = Detections(boxes.astype(np.float32), scores.astype(np.float32))
        footage.append((detections, vectors.astype(np.float32)))
    return footage


def ours(footage: list[tuple[Detections, np.ndarray]]) -> float:
    tracker = CameraTracker(TrackSettings(), "bench", None, 0)
    start = time.process_time()
    for frame, (detections, _) in enumerate(footage):
        tracker.update(detections, Embeddings.none(len(detections)), frame / FPS, STILL)
    return time.process_time() - start


def ours_with_looks(footage: list[tuple[Detections, np.ndarray]]) -> float:
    """A first run tells which vectors the tracker asks for; the second is timed as a whole, since asking for the
    processor time takes longer than many a step of a tracker."""
    embedded: list[Embeddings] = []
    for timed in (False, True):
        tracker = CameraTracker(TrackSettings(), "bench", Calibration.default(DIMENSION), DIMENSION)
        start = time.process_time()
        for frame, (detections, vectors) in enumerate(footage):
            wanted = tracker.wants(detections, frame / FPS, STILL)
            if not timed:
                embedded.append(Embeddings(np.where(wanted[:, None], vectors, 0).astype(np.float32), wanted))
            tracker.update(detections, embedded[frame], frame / FPS, STILL)
            tracker.appearances()
    return time.process_time() - start


def peer(footage: list[tuple[Detections, np.ndarray]]) -> float:
    tracker = BYTETracker(BYTE_TRACK)
    results = [Boxes(detections.boxes, detections.scores) for detections, _ in footage]
    start = time.process_time()
    for result in results:
        tracker.update(result)
    return time.process_time() - start


WAYS: dict[str, Callable[[list[tuple[Detections, np.ndarray]]], float]] = {
    "CameraTracker, motion": ours,
    "CameraTracker, wants + looks": ours_with_looks,
    "BYTETracker": peer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[5, 20, 50, 100, 200, 400])
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("frames/s".ljust(30) + "".join(f"{people:>9}" for people in arguments.people) + "   people")
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for people in arguments.people:
        footage = crowd(people, arguments.frames)
        times = {name: [way(footage) for _ in range(arguments.rounds)] for name, way in WAYS.items()}
        for name, taken in times.items():
            rates[name].append(arguments.frames / min(taken))
    for name, row in rates.items():
        print(name.ljust(30) + "".join(f"{rate:9.0f}" for rate in row))
    for name, row in rates.items():
        exponent = -np.polyfit(np.log(arguments.people), np.log(row), 1)[0]
        print(f"{name}: time ~ people ** {exponent:.2f}")


if __name__ == "__main__":
    main()
