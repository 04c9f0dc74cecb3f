"""How fast scenes are rendered, whether a detector finds the people, and whether ReID tells them apart.

    python tests/bench/bench_simulate.py --detector ../shared/data/weights/yolo26n.pt \
        --reid ../shared/data/weights/osnet_x0_25_msmt17.pth

Speed is that of 640×360 pictures with 6 people in two cameras, on one thread, in pictures per second of processor time,
which tells more than wall time on a machine that others use. AP50 counts people at least 50 px tall of whom at least
30 % can be seen; smaller and more hidden ones count neither way. Rank-1 compares crops of one camera with those of the
other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.boxes import iou
from app.config import DetectSettings, ReidSettings, SimulateSettings
from app.detect import build_detector
from app.frames import Detections, Frame
from app.reid.embedder import build_embedder
from app.simulate.files import CameraWriter
from app.simulate.scene import Scene, View

MIN_HEIGHT_PX = 50
MIN_VISIBILITY = 0.3


def measure_speed(seconds: float) -> None:
    cv2.setNumThreads(1)
    settings = SimulateSettings(seconds=seconds)
    start = time.process_time()
    scene = Scene(settings)
    print(f"preparing {len(scene.cameras)} cameras: {time.process_time() - start:.2f} s")
    for what in ("rendering, sprites made on the way", "rendering, sprites known"):
        start = time.process_time()
        count = sum(1 for _ in scene.views(seconds))
        print(f"{what}: {count / (time.process_time() - start):.0f} pictures/s")
    with TemporaryDirectory() as folder, ExitStack() as stack:
        writers = {c.name: stack.enter_context(CameraWriter(Path(folder), c, settings)) for c in scene.cameras}
        start = time.process_time()
        for view in scene.views(seconds):
            writers[view.camera.name].write(view)
        print(f"rendering and writing, sprites known: {count / (time.process_time() - start):.0f} pictures/s")


def average_precision(results: Iterable[tuple[View, Detections]]) -> tuple[float, float, int]:
    """Return AP50, the highest recall, and the number of people that count."""
    hits: list[tuple[float, bool]] = []
    people = 0
    for view, found in results:
        heights = view.boxes[:, 3] - view.boxes[:, 1]
        counts = (heights >= MIN_HEIGHT_PX) & (view.visibility >= MIN_VISIBILITY)
        people += int(counts.sum())
        overlap = iou(found.boxes, view.boxes)
        free = np.ones(len(heights), np.bool_)
        for row in np.argsort(-found.scores):
            best = int(np.argmax(np.where(free, overlap[row], -1))) if free.any() else -1
            if best >= 0 and overlap[row, best] >= 0.5:
                free[best] = False
                if counts[best]:
                    hits.append((float(found.scores[row]), True))
            elif not np.any((overlap[row] > 0.3) & ~counts) and np.ptp(found.boxes[row, [1, 3]]) >= MIN_HEIGHT_PX:
                hits.append((float(found.scores[row]), False))
    right = np.array([hit for _, hit in sorted(hits, key=lambda entry: -entry[0])])
    recall = np.cumsum(right) / people
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    levels = np.linspace(0, 1, 101)
    return float(np.mean([precision[recall >= r].max(initial=0) for r in levels])), float(recall[-1]), people


def measure_detector(weights: str) -> None:
    detector = build_detector(DetectSettings(weights=weights, min_score=0.05), [])
    for overlap in (False, True):
        results = []
        for seed in range(3):
            settings = SimulateSettings(people=8, seed=seed, overlap=overlap, fps=2.0)
            views = [view for view in Scene(settings).views(16.0) if len(view.person_ids)]
            for view in views:
                frame = Frame(view.camera.name, view.index, view.time_s, view.image)
                results.append((view, detector.detect([frame])[0]))
        ap50, recall, people = average_precision(results)
        kind = "one square" if overlap else "a street"
        print(f"{detector.name} on {kind}: AP50 {100 * ap50:.1f}, recall {100 * recall:.1f} of {people} people")


def measure_reid(weights: str) -> None:
    embedder = build_embedder(ReidSettings(weights=weights))
    assert embedder is not None
    for name, changes in (("", {}), (" in uniform", {"uniforms": True})):
        scene = Scene(SimulateSettings.model_validate({"people": 12, "seed": 1, "fps": 1.0, **changes}))
        vectors: list[NDArray[np.float32]] = []
        cameras: list[str] = []
        people: list[int] = []
        for view in scene.views(90.0):
            clear = (view.visibility > 0.85) & (view.boxes[:, 3] - view.boxes[:, 1] > 60)
            vectors += embedder.embed([view.image], [view.boxes[clear]])
            cameras += [view.camera.name] * int(clear.sum())
            people += view.person_ids[clear].tolist()
        table = np.concatenate(vectors)
        table -= table.mean(axis=0)
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        camera, person = np.array(cameras), np.array(people)
        scores = np.where(camera[:, None] == camera[None, :], -2.0, table @ table.T)
        same = person[:, None] == person[None, :]
        known = (same & (scores > -2)).any(axis=1)
        right = person[scores.argmax(axis=1)] == person
        print(f"{embedder.name}, people{name}: rank-1 {100 * right[known].mean():.1f} of {known.sum()} crops")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--detector", help="weights of a detector")
    parser.add_argument("--reid", help="weights of a ReID network")
    arguments = parser.parse_args()
    measure_speed(arguments.seconds)
    if arguments.detector:
        measure_detector(arguments.detector)
    if arguments.reid:
        measure_reid(arguments.reid)


if __name__ == "__main__":
    main()
