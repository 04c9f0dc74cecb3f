"""Speed of detection on a CPU: our adapter beside `ultralytics.YOLO.predict`, in turn, in one run.

    python tests/bench/bench_detect.py --video ../shared/data/mot/PETS09-S2L1/vtest.avi \
        --weights ../shared/data/weights/yolo26n.pt --beside app/detect/weights/person_n.safetensors

Every way gets the same pictures, one at a time and in batches, with the same settings; start-up is left out. Machines
differ and are noisy: read the ratios. Processor time tells what a way costs when other work wants the same cores.
The last line says how much Python work another thread gets done meanwhile: 1.0 where the detector needs no Python.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import DetectSettings
from app.detect import build_detector
from app.detect.yolo_weights import load_ultralytics
from app.frames import Frame

THEIRS = "ultralytics predict"


def read_frames(video: Path, count: int) -> list[Frame]:
    capture = cv2.VideoCapture(str(video))
    images = [capture.read()[1] for _ in range(count)]
    if any(image is None for image in images):
        sys.exit(f"{video}: cannot read {count} pictures")
    return [Frame("a", index, index / 10, np.asarray(image)) for index, image in enumerate(images)]


def ways(
    weights: Path, frames: Sequence[Frame], batch: int, size: int, beside: Sequence[Path]
) -> dict[str, Callable[[], object]]:
    """Return what is compared: each detects people in all frames."""
    load_ultralytics()
    from ultralytics import YOLO

    network = YOLO(weights)

    def predict(part: Sequence[Frame]) -> object:
        images = [frame.image for frame in part]
        return network.predict(images, conf=0.1, classes=[0], imgsz=size, device="cpu", verbose=False)

    found: dict[str, Callable[[], object]] = {}
    for length in sorted({1, batch}):
        parts = [frames[start : start + length] for start in range(0, len(frames), length)]
        found[f"{THEIRS}, batch {length}"] = lambda parts=parts: [predict(part) for part in parts]
        for backend in ("torch", "openvino"):
            settings = DetectSettings(weights=str(weights), backend=backend, device="cpu", image_size_px=size)
            detector = build_detector(settings, [])
            found[f"ours, {backend}, batch {length}"] = lambda d=detector, parts=parts: [d.detect(p) for p in parts]
        for other in beside:
            detector = build_detector(DetectSettings(weights=str(other), device="cpu", image_size_px=size), [])
            found[f"{other.stem}, batch {length}"] = lambda d=detector, parts=parts: [d.detect(p) for p in parts]
    return found


def python_speed(seconds: float) -> float:
    """Return how many small Python steps this thread makes in a second."""
    steps = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        steps += sum(range(50)) > 0
    return steps / seconds


def python_share(detect: Callable[[], object]) -> float:
    """Return the speed of Python in this thread while another one detects, as a share of its speed alone."""
    alone = python_speed(1.0)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            detect()

    thread = threading.Thread(target=work)
    thread.start()
    beside = python_speed(2.0)
    done.set()
    thread.join()
    return beside / alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other weights, which only we run")
    parser.add_argument("--frames", type=int, default=8, help="pictures in each round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=640, help="longer side of the input")
    options = parser.parse_args()
    frames = read_frames(options.video, options.frames)
    compared = ways(options.weights, frames, options.batch, options.size, options.beside)
    threads = {True: 0, False: torch.get_num_threads()}
    compared[f"{THEIRS}, batch 1"]()
    threads[True] = torch.get_num_threads()  # predict chooses for itself, and for the whole process
    wall: dict[str, list[float]] = {name: [] for name in compared}
    processor: dict[str, list[float]] = {name: [] for name in compared}
    for turn in range(options.rounds + 1):
        for name, detect in compared.items():
            torch.set_num_threads(threads[name.startswith(THEIRS)])
            start, start_cpu = time.perf_counter(), time.process_time()
            detect()
            if turn:  # the first round warms up
                wall[name].append((time.perf_counter() - start) / len(frames) * 1000)
                processor[name].append((time.process_time() - start_cpu) / len(frames) * 1000)
    theirs = statistics.median(wall[f"{THEIRS}, batch 1"])
    print(f"{options.weights.name}, {len(frames)} pictures, {options.rounds} rounds; ms a picture")
    print(f"PyTorch threads: {threads[True]} in predict, {threads[False]} in ours")
    for name in compared:
        median = statistics.median(wall[name])
        print(
            f"{name:32s} median {median:7.1f}  least {min(wall[name]):7.1f}  processor "
            f"{statistics.median(processor[name]):7.1f}  {theirs / median:5.2f} times as fast"
        )
    print(f"Python beside ours, openvino: {python_share(compared['ours, openvino, batch 1']):.2f} of its speed alone")


if __name__ == "__main__":
    main()
