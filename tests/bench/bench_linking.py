"""How linking grows with the number of tracklets: time, memory, exponent, and how well it links.

    python tests/bench/bench_linking.py [--sizes 1000 10000 100000] [--crops 4] [--dimension 512]

Makes tracklets of people who walk past eight cameras, six tracklets each, with noise in the crops and each camera's
own light, and links them. Each size runs in a process of its own, so that its peak memory is its own. The exponent is
the slope of log time over log size; 1 is linear. Time is given by the clock and as processor time, which other work on
the machine does not lengthen much; exponents are of the latter. Peak memory is given without that of the tracklets
themselves.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import LinkSettings
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.track.linking.linker import link_tracklets

VISITS = 6
CAMERAS = 8


def make_tracklets(count: int, crops: int, dimension: int) -> tuple[list[Tracklet], np.ndarray]:
    """Return `count` tracklets and (count,) the person that each shows."""
    rng = np.random.default_rng(0)
    people = max(1, count // VISITS)
    looks = rng.normal(size=(people, dimension)).astype(np.float32)
    light = rng.normal(size=(CAMERAS, dimension)).astype(np.float32)
    owners = np.arange(count) % people
    tracklets = []
    for index, person in enumerate(owners.tolist()):
        camera = (index // people) % CAMERAS
        noise = rng.standard_normal((crops, dimension), np.float32)
        vectors = 2 + looks[person] + light[camera] + 0.8 * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        times = (index % people) * 2.0 + np.arange(10) * 1.0
        tracklets.append(
            Tracklet(
                camera=f"cam{camera}",
                track_id=index,
                times=times,
                boxes=np.zeros((10, 4), np.float32),
                scores=np.ones(10, np.float32),
                crops=tuple("" for _ in range(crops)),
                vectors=vectors,
                qualities=np.full(crops, 0.5, np.float32),
            )
        )
    return tracklets, owners


def measure(count: int, crops: int, dimension: int) -> None:
    """Link `count` tracklets; print seconds, processor seconds, peak MiB above theirs, precision, recall of joins."""
    tracklets, owners = make_tracklets(count, crops, dimension)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, start_processor = time.perf_counter(), time.process_time()
    result = link_tracklets(tracklets, Calibration.default(dimension), LinkSettings())
    seconds, processor_s = time.perf_counter() - start, time.process_time() - start_processor
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    def pairs(labels: np.ndarray) -> int:
        sizes = np.unique(labels, return_counts=True)[1]
        return int((sizes * (sizes - 1) // 2).sum())

    both = pairs(result.person_ids * (owners.max() + 1) + owners)
    print(seconds, processor_s, memory, both / max(pairs(result.person_ids), 1), both / max(pairs(owners), 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.crops, options.dimension)
        return
    print("tracklets    seconds  processor s    MiB  precision  recall")
    times, memories = [], []
    for size in options.sizes:
        command = [sys.executable, __file__, "--measure", str(size)]
        command += ["--crops", str(options.crops), "--dimension", str(options.dimension)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, processor_s, memory, precision, recall = map(float, output.split())
        print(
            f"{size:9d} {seconds:10.1f} {processor_s:12.1f} {memory:6.0f} {100 * precision:10.1f} {100 * recall:7.1f}",
            flush=True,
        )
        times.append(processor_s)
        memories.append(max(memory, 1.0))
    if len(options.sizes) > 1:
        sizes = [math.log(size) for size in options.sizes]
        for name, values in (("time", times), ("memory", memories)):
            slope = float(np.polyfit(sizes, [math.log(value) for value in values], 1)[0])
            print(f"exponent of {name}: {slope:.2f}")


if __name__ == "__main__":
    main()
