"""A big run for benchmarks: an hour of four cameras and 500 people, written part by part as the program writes runs.

    python tests/bench/big_run.py FOLDER [--people 500] [--seconds 3600] [--fps 10]

People walk through the views in straight lines and come back after a while; vectors are random around one for each
person; all crops are the same picture. The gallery decides first, the linker changes a tenth of that and leaves its
evidence, and a human corrects a little.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from app.config import Settings
from app.footage.camera import SourceInfo
from app.frames import Detections, Frame, FrameResult, Tracklet, blank_image
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.ledger.identities import Event
from app.runs.ledger.ledger import GALLERY
from app.track.tracklets import TrackletDraft

WIDTH, HEIGHT = 1280, 720
CAMERAS = ("gate", "hall", "stairs", "yard")
CROPS = 8
DIMENSION = 512
VISITS = 8
MEAN_VISIT_S = 20.0
_PART_S = 30.0


def write_big_run(folder: Path, people: int = 500, seconds: float = 3600.0, fps: float = 10.0) -> Path:
    """Write the run and return its folder."""
    random = np.random.default_rng(0)
    count = people * VISITS
    owners = np.repeat(np.arange(1, people + 1), VISITS)
    lengths = np.clip(random.exponential(MEAN_VISIT_S, count), 2.0, seconds / VISITS)
    slots = np.tile(np.arange(VISITS), people) * (seconds / VISITS)
    starts = slots + random.uniform(0, 1, count) * (seconds / VISITS - lengths)
    ends_s = starts + lengths
    cameras = random.integers(0, len(CAMERAS), count)
    ends = np.stack([random.uniform([0, 300], [WIDTH, HEIGHT - 20], (count, 2)) for _ in range(2)], axis=1)
    looks = _unit(random.normal(size=(people, DIMENSION)))
    infos = [_source(name, fps, round(seconds * fps)) for name in CAMERAS]
    calibration = {"dimension": DIMENSION, "distances": [0.0, 0.5, 1.0], "probabilities": [1.0, 0.5, 0.0]}
    provenance = {"weights": {"detector": "00ff", "reid": "00ff"}, "calibration": calibration, "reid": "none"}
    tracks: list[list[int]] = []
    keys: dict[int, tuple[str, int]] = {}
    for camera, name in enumerate(CAMERAS):
        rows = np.flatnonzero(cameras == camera)
        tracks.append(rows[np.argsort(starts[rows])].tolist())
        keys.update({row: (name, track) for track, row in enumerate(tracks[-1], 1)})
    part = round(_PART_S * fps)
    with RunWriter.create(folder, Settings(), infos, provenance) as writer:
        for first in range(0, round(seconds * fps), part):
            times = np.arange(first, first + part) / fps
            drafts = []
            for camera, name in enumerate(CAMERAS):
                near = [row for row in tracks[camera] if starts[row] < times[-1] and ends_s[row] >= times[0]]
                moments = [np.clip((times - starts[row]) / lengths[row], 0, 1) for row in near]
                for index, time in enumerate(times.tolist()):
                    own = [k for k, row in enumerate(near) if starts[row] <= time <= ends_s[row]]
                    feet = np.array([_at(ends[near[k]], moments[k][index]) for k in own]).reshape(-1, 2)
                    boxes = np.column_stack([feet - np.array([30, 160]), feet + np.array([30, 0])]).astype(np.float32)
                    ids = np.array([keys[near[k]][1] for k in own], np.int64)
                    frame = Frame(name, first + index, time, blank_image(HEIGHT, WIDTH), False)
                    writer.write(FrameResult(frame, Detections(boxes, np.full(len(own), 0.9, np.float32)), ids, ids))
                drafts += [
                    _draft(keys[row], starts[row], lengths[row], fps, looks[owners[row] - 1], random)
                    for row in near
                    if ends_s[row] < times[-1] or first + part >= round(seconds * fps)
                ]
            writer.add_tracklets(drafts)
            writer.commit()
        writer.finish("finished", {})
    run = Run.open(folder)
    _write_crops(run)
    _decide(run, {keys[row]: int(owners[row]) for row in np.argsort(starts).tolist()}, random)
    return folder


def _at(ends: np.ndarray, share: float) -> np.ndarray:
    return ends[0] + share * (ends[1] - ends[0])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def _source(name: str, fps: float, frames: int) -> SourceInfo:
    return SourceInfo(name, WIDTH, HEIGHT, fps, frames, 0.0, False, False, f"{name}.mp4", None, ())


def _draft(
    key: tuple[str, int], start: float, length: float, fps: float, look: np.ndarray, random: np.random.Generator
) -> TrackletDraft:
    frames = np.arange(np.ceil(start * fps), np.floor((start + length) * fps) + 1).astype(int)
    shown = frames[np.linspace(0, len(frames) - 1, CROPS).astype(int)]
    vectors = _unit(look + random.normal(size=(CROPS, DIMENSION)) / 30)
    rows = len(frames)
    tracklet = Tracklet(
        *key,
        frames / fps,
        np.zeros((rows, 4), np.float32),
        np.full(rows, 0.9, np.float32),
        tuple(f"crops/{key[0]}/{key[1]}_{index}.jpg" for index in shown),
        vectors,
        np.linspace(0.9, 0.5, CROPS, dtype=np.float32),
    )
    return TrackletDraft(tracklet, ())


def _write_crops(run: Run) -> None:
    picture = np.full((160, 60, 3), 120, np.uint8)
    cv2.circle(picture, (30, 25), 14, (200, 210, 230), -1)
    cv2.rectangle(picture, (14, 42), (46, 150), (90, 60, 40), -1)
    source = run.folder / "crop.jpg"
    cv2.imwrite(str(source), picture)
    for summary in run.tracklet_summaries(vectors=False):
        for reference in dict.fromkeys(summary.crops):
            path = run.folder / reference
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(source)
    source.unlink()


def _decide(run: Run, owners: dict[tuple[str, int], int], random: np.random.Generator) -> None:
    before: dict[int, tuple[str, int]] = {}
    groups, evidence, online = {}, {}, []
    for key, owner in owners.items():
        groups[key] = owner
        gallery = owner if random.random() > 0.1 else int(random.integers(1, max(owners.values()) + 1))
        reasons = {"time_s": 0.0, "p_same": 0.9, "runner_up": 0.3, "gates": ["not co-present"]}
        online.append(Event("assign", GALLERY, *key, person=gallery, evidence=reasons))
        if owner in before:
            p_same = float(random.uniform(0.5, 1.0))
            evidence[key] = {"with": list(before[owner]), "p_same": p_same, "runner_up": 0.2, "gates": ["way"]}
        before[owner] = key
    with run.ledger() as ledger:
        ledger.append(online)
        ledger.reassign(groups, evidence=evidence)
        people = ledger.replay().people()
        for person in people[:20]:
            ledger.name(person, f"Visitor {person}", "anna")
        for person in people[20:40:2]:
            ledger.merge(person, person + 1, "anna")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--fps", type=float, default=10.0)
    given = parser.parse_args()
    write_big_run(given.folder, given.people, given.seconds, given.fps)


if __name__ == "__main__":
    main()
