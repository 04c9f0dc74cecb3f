"""What each part of the tracker is worth: every part switched off in turn, on real footage with truth.

    python tests/bench/ablate_tracking.py --data ../shared/data --cache /tmp/ablation

`MOT17-half` comes with its detections (YOLOX-X) and camera motion and is followed by motion only, at its own frame rate
and at a third of it. `vtest.avi` is detected with YOLO11n at 640 pixels and embedded with OSNet x0.25 once, into the
cache. Each cell is HOTA / IDF1; the last column is the share of boxes that were embedded. One default serves all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import DetectSettings, ReidSettings, SourceSettings, TrackSettings
from app.detect import build_detector
from app.footage.camera_motion import FileCameraMotion
from app.footage.motchallenge import read_rows, read_sequence_info
from app.footage.sources import open_sources
from app.frames import NO_ID, Detections, Embeddings, Frame, blank_image
from app.reid.calibrate import Calibration
from app.reid.embedder import build_embedder
from app.runs.evaluate.scores import combine_cameras
from app.runs.evaluate.trajectories import Trajectories, load_truth
from app.track import tracker
from app.track.kalman import MotionNoise
from app.track.smoothing import fill_and_smooth
from app.track.tracker import CameraTracker

STILL = np.eye(2, 3)
MAX_GAP_S = 1.5
MIN_DURATION_S, MIN_SCORE = 0.5, 0.7
"""A ghost is a track that is shorter and whose best box is less sure."""


@dataclass
class Footage:
    """One sequence. rows: for each frame its boxes, scores and vectors (N, D), D = 0 without appearance."""

    name: str
    fps: float
    truth: Trajectories
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    motions: list[np.ndarray]

    def every(self, step: int) -> Footage:
        """Every `step`-th frame, with the camera motion of the frames between."""
        kept = range(0, len(self.rows), step)
        motions = []
        for index in kept:
            total = np.eye(3)
            for motion in self.motions[max(index - step + 1, 0) : index + 1]:
                total = np.concatenate([motion, [[0, 0, 1]]]) @ total
            motions.append(total[:2])
        of = (self.truth.frames - 1) % step == 0
        truth = Trajectories(
            (self.truth.frames[of] - 1) // step + 1,
            self.truth.ids[of],
            self.truth.track_ids[of],
            self.truth.boxes[of],
            self.truth.roles[of],
        )
        return Footage(self.name, self.fps / step, truth, [self.rows[index] for index in kept], motions)


@dataclass
class Variant:
    """A tracker to try: changed settings, changed constants of `app.track.tracker`, and what happens around it."""

    settings: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    camera_motion: bool = True
    looks: bool = True
    embed_all: bool = False
    filled: bool = False
    smoothed: bool = False
    ghosts_removed: bool = False


VARIANTS = {
    "as it is": Variant(),
    "plain IoU, no height cue": Variant({"height_power": 0.0}),
    "height cue squared (HMIoU²)": Variant({"height_power": 2.0}),
    "no second stage (weak boxes)": Variant({"weak_score": 1.0}),
    "weak boxes never find the lost": Variant(constants={"RETURN_SCORE": 2.0}),
    "weak boxes find the lost freely": Variant(constants={"RETURN_SCORE": 0.0, "RETURN_SIMILARITY": 0.0}),
    "walkers need a sure box": Variant({"walking_score": 1.0}),
    "confirmed by hits alone": Variant({"confirm_probability": 0.5}),
    "lost tracks end at once": Variant({"max_lost_s": 0.0}),
    "lost tracks kept 0.5 s": Variant({"max_lost_s": 0.5}),
    "lost tracks kept 3 s": Variant({"max_lost_s": 3.0}),
    "no camera motion": Variant(camera_motion=False),
    "half the noise of motion": Variant(
        constants={"NOISE": MotionNoise((0.08, 0.1), (0.15, 0.15), (0.4, 0.15), (2.0, 2.0))}
    ),
    "twice the noise of motion": Variant(
        constants={"NOISE": MotionNoise((0.08, 0.1), (0.6, 0.6), (1.6, 0.6), (2.0, 2.0))}
    ),
    "motion only": Variant(looks=False),
    "looks only recover": Variant({"appearance_weight": 0.0}),
    "looks never recover": Variant({"max_recovery_s": 0.0}),
    "strangers not refused": Variant(constants={"STRANGER_PROBABILITY": 0.0}),
    "bank of one crop": Variant(constants={"BANK_SIZE": 1}),
    "every box embedded": Variant(embed_all=True),
    "offline: gaps filled linearly": Variant(filled=True),
    "offline: filled and smoothed": Variant(filled=True, smoothed=True),
    "offline: and ghosts removed": Variant(filled=True, smoothed=True, ghosts_removed=True),
}


def mot17(folder: Path, truth: Trajectories) -> Footage:
    info, given = read_sequence_info(folder), read_rows(folder / "det_yolox_x" / "det.txt")
    camera = FileCameraMotion(folder / "gmc.txt")
    rows, motions = [], []
    for index in range(info.frame_count):
        of = given.frames == index + 1
        rows.append((given.boxes[of], given.scores[of], np.zeros((int(of.sum()), 0), np.float32)))
        frame = Frame(folder.name, index, index / info.fps, blank_image(1, 1), has_pixels=False)
        motions.append(camera.step(frame, given.boxes[of]))
    return Footage(folder.name, info.fps, truth, rows, motions)


def vtest(data: Path, cache: Path) -> Footage:
    file = cache / "vtest.npz"
    if not file.exists():
        [source] = open_sources([str(data / "mot/PETS09-S2L1/vtest.avi")], ["vtest"], SourceSettings())
        detector = build_detector(DetectSettings(weights=str(data / "weights/yolo11n.pt")), [source.info])
        embedder = build_embedder(ReidSettings(weights=str(data / "weights/osnet_x0_25_msmt17.pth")))
        assert embedder is not None
        frames, boxes, scores, vectors = [], [], [], []
        for frame in source:
            [found] = detector.detect([frame])
            frames.append(np.full(len(found), frame.index))
            boxes.append(found.boxes)
            scores.append(found.scores)
            vectors.append(embedder.embed([frame.image], [found.boxes])[0])
        cache.mkdir(parents=True, exist_ok=True)
        parts = (np.concatenate(part) for part in (frames, boxes, scores, vectors))
        np.savez(file, **dict(zip(("frames", "boxes", "scores", "vectors"), parts, strict=True)))
    held = dict(np.load(file))
    truth = load_truth(data / "mot/PETS09-S2L1/gt/gt.txt", ["vtest"])["vtest"]
    of = [held["frames"] == index for index in range(795)]
    rows = [(held["boxes"][part], held["scores"][part], held["vectors"][part]) for part in of]
    return Footage("vtest", 10.0, truth, rows, [STILL] * 795)


def follow(footage: Footage, variant: Variant) -> tuple[Trajectories, int, int]:
    """Return what the tracker made of it, how many boxes it had embedded, and how many there were."""
    dimension = footage.rows[0][2].shape[1] if variant.looks else 0
    calibration = Calibration.default(dimension) if dimension else None
    one = CameraTracker(TrackSettings(**variant.settings), footage.name, calibration, dimension)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    embedded = 0
    for index, ((boxes, scores, vectors), motion) in enumerate(zip(footage.rows, footage.motions, strict=True)):
        time, detections = index / footage.fps, Detections(boxes, scores)
        motion = motion if variant.camera_motion else STILL
        wanted = one.wants(detections, time, motion)
        if dimension and variant.embed_all:
            wanted[:] = True
        embedded += int(wanted.sum())
        kept = np.where(wanted[:, None], vectors[:, :dimension], 0).astype(np.float32)
        ids = one.update(detections, Embeddings(kept, wanted), time, motion)
        known = ids != NO_ID
        found.append((np.full(int(known.sum()), index + 1), ids[known], boxes[known], scores[known]))
    frames, track_ids, all_boxes, all_scores = (np.concatenate(part) for part in zip(*found, strict=True))
    if variant.ghosts_removed:
        for track_id in np.unique(track_ids):
            own = track_ids == track_id
            duration_s = float(np.ptp(frames[own])) / footage.fps
            if duration_s < MIN_DURATION_S and all_scores[own].max() < MIN_SCORE:
                track_ids = np.where(own, NO_ID, track_ids)
        known = track_ids != NO_ID
        frames, track_ids, all_boxes = frames[known], track_ids[known], all_boxes[known]
    if variant.filled:
        frames, track_ids, all_boxes = fill(frames, track_ids, all_boxes, footage, variant.smoothed)
    result = Trajectories(frames, track_ids, track_ids, all_boxes, np.zeros(len(frames), np.uint8))
    return result, embedded, sum(len(boxes) for boxes, _, _ in footage.rows)


def fill(
    frames: np.ndarray, track_ids: np.ndarray, boxes: np.ndarray, footage: Footage, smooth: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of all tracks after post-processing."""
    times = np.arange(len(footage.rows)) / footage.fps
    parts = []
    for track_id in np.unique(track_ids):
        own = track_ids == track_id
        rows, filled, _ = fill_and_smooth(times[frames[own] - 1], boxes[own], times, MAX_GAP_S, smooth)
        parts.append((rows + 1, np.full(len(rows), track_id), filled))
    done = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return done[0], done[1], done[2]


def score(footages: Sequence[Footage], variant: Variant) -> tuple[str, float]:
    """Return "HOTA / IDF1" over the sequences, and the share of boxes embedded."""
    before = {name: getattr(tracker, name) for name in variant.constants}
    for name, value in variant.constants.items():
        setattr(tracker, name, value)
    try:
        made = {footage.name: follow(footage, variant) for footage in footages}
    finally:
        for name, value in before.items():
            setattr(tracker, name, value)
    scores = combine_cameras(
        {footage.name: footage.truth for footage in footages}, {name: part[0] for name, part in made.items()}
    )
    share = sum(part[1] for part in made.values()) / sum(part[2] for part in made.values())
    return f"{scores['HOTA']:6.2f} /{scores['IDF1']:6.2f}", share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mot/ and weights/")
    parser.add_argument("--cache", type=Path, required=True, help="folder for detections and vectors of vtest.avi")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    arguments = parser.parse_args()
    folders = sorted((arguments.data / "mot/MOT17-half").iterdir())
    truth = load_truth(arguments.data / "mot/MOT17-half", [folder.name for folder in folders])
    sequences = [mot17(folder, truth[folder.name]) for folder in folders]
    columns = {
        "MOT17-half": sequences,
        "at a third": [footage.every(3) for footage in sequences],
        "vtest": [vtest(arguments.data, arguments.cache)],
    }
    print(f"{'HOTA / IDF1':34}" + "".join(f"{name:>18}" for name in columns) + "   embedded")
    for name, variant in VARIANTS.items():
        if arguments.only in name:
            cells = [score(footages, variant) for footages in columns.values()]
            print(f"{name:34}" + "".join(f"{text:>18}" for text, _ in cells) + f"{cells[-1][1]:10.1%}", flush=True)


if __name__ == "__main__":
    main()
