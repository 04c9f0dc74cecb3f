"""Asking the online gallery who somebody is, beside comparing with everybody's vectors one matrix at a time.

    python tests/bench/bench_gallery.py [--people 100 1000]

Everybody is known from four cameras by four tracks each, the most that the defaults keep. The baseline does what is
plain to write: it stacks all vectors, subtracts the camera's centre from each, scales them to length 1 and multiplies.
Ours (`KnownAppearances.likeness`) keeps a matrix for each camera and computes with it as it is. Both compare
three tracks with everybody; cosines agree to 1e-4. Prints milliseconds for each, median of rounds that alternate, and
their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.reid.calibrate import unit_rows
from app.track.known_appearances import KnownAppearances

DIMENSION, CAMERAS, TRACKS = 512, "abcd", 4
ROUNDS = 15


def compare(people: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    looks = KnownAppearances(TRACKS)
    vectors: dict[tuple[int, str], list[np.ndarray]] = {}
    for person in range(1, people + 1):
        for number, camera in enumerate(CAMERAS * TRACKS):
            vector = np.abs(random.normal(size=DIMENSION)).astype(np.float32)
            vector /= np.linalg.norm(vector)
            looks.learn(person, (camera, person * TRACKS * len(CAMERAS) + number), vector, first=True)
            vectors.setdefault((person, camera), []).append(vector)
    centers = looks._centers()
    seen = unit_rows(np.abs(random.normal(size=(3, DIMENSION))).astype(np.float32))

    def plainly() -> np.ndarray:
        known = np.stack([vector for own in vectors.values() for vector in own])
        there = np.stack([centers[camera] for (_, camera), own in vectors.items() for _ in own])
        return np.stack([seen @ known.T, unit_rows(seen - centers["a"]) @ unit_rows(known - there).T])

    def ours() -> np.ndarray:
        likeness = looks.likeness("a", seen)
        assert likeness is not None
        return np.stack([likeness.plain, likeness.centred])

    # The orders differ, the values do not.
    np.testing.assert_allclose(np.sort(ours(), axis=2), np.sort(plainly(), axis=2), atol=1e-4)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("plain", plainly)):
            times[name].append(1000 * _seconds(run))
    ours_ms, plain_ms = (statistics.median(times[name]) for name in ("ours", "plain"))
    return {"people": people, "ours_ms": ours_ms, "plain_ms": plain_ms, "ratio": plain_ms / ours_ms}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, nargs="+", default=[100, 1000])
    for people in parser.parse_args().people:
        print(json.dumps({name: round(value, 2) for name, value in compare(people).items()}))


if __name__ == "__main__":
    main()
