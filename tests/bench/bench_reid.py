"""Crops embedded per second, by what runs the network and by how many crops come at once.

    python tests/bench/bench_reid.py [--weights FILE] [--seconds 1.0]

Without --weights an untrained OSNet x0.25 at 256×128 is timed: the arithmetic is the same. Everything that `embed` does
is in the time: cutting out, scaling, the network, unit length and centring. Rounds are interleaved, so that whatever
else the machine does hits all alike; the best round counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from app.config import ReidSettings
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.embedder import RUNNERS, build_embedder
from app.reid.evaluate import score_vectors
from app.reid.osnet import OSNETS
from app.system.device import choose_device

COUNTS = (1, 2, 4, 8, 16, 32)
ROUNDS = 5


def embed_speed(weights: Path, seconds: float) -> dict[str, dict[int, float]]:
    """Return crops per second by embedder and number of crops."""
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    corners = random.uniform([0, 0], [1700, 700], (max(COUNTS), 2))
    boxes = np.concatenate([corners, corners + random.uniform([60, 150], [150, 350], (max(COUNTS), 2))], axis=1)
    devices = sorted({"cpu", str(choose_device("auto", "reid.device"))})
    embedders = [
        build_embedder(ReidSettings(weights=str(weights), device=device, backend=backend))
        for device in devices
        for backend in (RUNNERS if device == "cpu" else ["torch"])
    ]
    speeds: dict[str, dict[int, float]] = {embedder.name: dict.fromkeys(COUNTS, 0.0) for embedder in embedders}
    for _ in range(ROUNDS):
        for count in COUNTS:
            for embedder in embedders:
                embedder.embed([image], [boxes[:count]])
                done, started = 0, time.perf_counter()
                while (passed := time.perf_counter() - started) < seconds / ROUNDS:
                    embedder.embed([image], [boxes[:count]])
                    done += count
                speeds[embedder.name][count] = max(speeds[embedder.name][count], done / passed)
    return speeds


def evaluation_seconds() -> float:
    """Return the seconds to score 3,368 queries against 15,913 gallery pictures from their vectors."""
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(count, 512)).astype(np.float32) for count in (3368, 15913))
    labels = [(random.integers(0, 750, count), random.integers(0, 6, count)) for count in (3368, 15913)]
    started = time.perf_counter()
    score_vectors(query, gallery, *labels, "cosine")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None:
            weights = Path(folder) / "untrained.safetensors"
            save_checkpoint(weights, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict()))
        speeds = embed_speed(weights, options.seconds)
    print(json.dumps({"crops_per_second": speeds, "evaluation_seconds": evaluation_seconds()}, indent=2))


if __name__ == "__main__":
    main()
