"""The peer of `bench_pipeline.py`: Ultralytics' detector followed by BoxMOT's BotSort, both with their defaults.

BoxMOT's requirements clash with ours (its lapx replaces lap), so this runs in an environment of its own:

    python -m venv peer && peer/bin/pip install boxmot==25.0.0 ultralytics
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from boxmot import BotSort
from ultralytics import YOLO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--reid", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="MOTChallenge file of the result")
    parser.add_argument("--frames", type=int, default=0, help="stop after so many (0: all)")
    options = parser.parse_args()
    detector = YOLO(options.detector)
    tracker = BotSort(reid_weights=options.reid, device="cpu", half=False)
    capture = cv2.VideoCapture(options.video)
    seconds = {"decode": 0.0, "detect": 0.0, "track": 0.0}
    lines = []
    count = 0
    warm = np.zeros((480, 640, 3), np.uint8)
    detector.predict(warm, verbose=False)
    begin = time.perf_counter()
    while not options.frames or count < options.frames:
        start = time.perf_counter()
        ok, image = capture.read()
        if not ok:
            break
        decoded = time.perf_counter()
        boxes = detector.predict(image, classes=[0], conf=0.1, verbose=False)[0].boxes.data.numpy()
        detected = time.perf_counter()
        tracks = tracker.update(boxes, image)
        tracked = time.perf_counter()
        seconds["decode"] += decoded - start
        seconds["detect"] += detected - decoded
        seconds["track"] += tracked - detected
        count += 1
        for x1, y1, x2, y2, track_id, score, *_ in tracks:
            lines.append(f"{count},{int(track_id)},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.3f},-1,-1,-1")
    wall_s = time.perf_counter() - begin
    options.output.write_text("\n".join(lines) + "\n")
    print(json.dumps({"frames": count, "wall_s": wall_s, "frames_per_s": count / wall_s, "seconds": seconds}))


if __name__ == "__main__":
    main()
