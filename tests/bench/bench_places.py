"""What place and time add to linking, on the simulator's crowds without rendering: clocks found, and IDF1.

    python tests/bench/bench_places.py [--seeds 1 2 3 4] [--people 12] [--seconds 150] [--overlap] [--noise 1.25]
                                       [--people-per-outfit 1]

People of `main.py simulate` walk through the views of three cameras whose clocks are up to 3 s off. Their boxes are
projected, jittered and broken up as by a tracker, and get random looks that differ from view to view by `--noise`: the
larger, the harder to link by looks alone. With `--people-per-outfit` so many people share most of their looks
(`CLOTHES`). Prints, for each seed, the largest error of a clock with its uncertainty, and
IDF1 over all boxes without and with place and time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import LinkSettings, SimulateSettings
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.simulate.cameras import Camera
from app.simulate.looks import look_of
from app.simulate.people import People
from app.simulate.plan import make_plan
from app.track.linking.linker import link_tracklets

DIMENSION = 128
FPS = 8
BREAKS_PER_S = 0.02
LEAST_VISIBLE = 0.45
CLOTHES = 0.7
"""Share of the variance of looks that people who are dressed alike have in common."""


def make_tracklets(settings: SimulateSettings, noise: float) -> tuple[list[Tracklet], np.ndarray, dict[str, float]]:
    """Return tracklets in order of time, (n,) the person of each, and by camera how far its clock is ahead."""
    plan = make_plan(settings)
    looks = [look_of(settings.seed, number + 1, False) for number in range(settings.people)]
    crowd = People(plan, looks, settings.seed, settings.mean_away_s, settings.mean_stop_s)
    times = np.arange(0, settings.seconds, 1 / FPS)
    states = [crowd.at(float(time)) for time in times]
    floor = np.array([state.floor for state in states])
    present = np.array([state.present for state in states])
    rng = np.random.default_rng([settings.seed, 77])
    appearance = rng.normal(size=(settings.people, DIMENSION))
    if settings.people_per_outfit > 1:
        clothes = rng.normal(size=(settings.people, DIMENSION))
        outfit = np.arange(settings.people) // settings.people_per_outfit
        appearance = np.sqrt(CLOTHES) * clothes[outfit] + np.sqrt(1 - CLOTHES) * appearance
    tracklets, owners = [], []
    for camera in plan.cameras:
        light = 1.5 * rng.normal(size=DIMENSION)
        for person in range(settings.people):
            boxes, seen = project(camera, floor[:, person], looks[person].height_m, rng)
            rows = np.flatnonzero(seen & present[:, person])
            if not len(rows):
                continue
            broken = (np.diff(times[rows]) > 1.5) | (rng.random(len(rows) - 1) < BREAKS_PER_S / FPS)
            for part in np.split(rows, np.flatnonzero(broken) + 1):
                if len(part) < FPS:
                    continue
                own = appearance[person] + light + noise * rng.normal(size=DIMENSION)
                vectors = 2 + own + 0.7 * rng.normal(size=(4, DIMENSION))
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                tracklets.append(
                    Tracklet(
                        camera=camera.name,
                        track_id=len(tracklets),
                        times=times[part] + camera.clock_offset_s,
                        boxes=boxes[part],
                        scores=np.ones(len(part), np.float32),
                        crops=("",) * 4,
                        vectors=vectors.astype(np.float32),
                        qualities=np.full(4, 0.5, np.float32),
                    )
                )
                owners.append(person)
    return tracklets, np.array(owners), {camera.name: camera.clock_offset_s for camera in plan.cameras}


def project(
    camera: Camera, floor: np.ndarray, height_m: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (T, 4) float32 jittered boxes of somebody who stands at (T, 2) floor points, and (T,) whether seen."""
    feet, depth = camera.project(np.column_stack([floor, np.zeros(len(floor))]))
    head, _ = camera.project(np.column_stack([floor, np.full(len(floor), height_m)]))
    height = feet[:, 1] - head[:, 1]
    whole = np.stack([feet[:, 0] - 0.2 * height, head[:, 1], feet[:, 0] + 0.2 * height, feet[:, 1]], axis=1)
    edges = np.array([camera.width, camera.height] * 2)
    cut = np.clip(whole, 0, edges)
    area = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])
    visible = area / np.maximum(0.4 * height**2, 1e-6)
    seen = (depth > 0.5) & (visible > LEAST_VISIBLE) & (rng.random(len(floor)) < 0.97)
    jitter = rng.normal(0, 0.025, cut.shape) * np.stack([0.4 * height, height] * 2, axis=1)
    return (cut + jitter).astype(np.float32), seen


def idf1(person_ids: np.ndarray, owners: np.ndarray, tracklets: list[Tracklet]) -> float:
    """Return IDF1 in percent over all boxes; every box is a true one, so that it is the share of right ids."""
    rows = np.array([len(tracklet.times) for tracklet in tracklets])
    shared = np.zeros((owners.max() + 1, person_ids.max() + 1))
    np.add.at(shared, (owners, person_ids), rows)
    return float(100 * shared[linear_sum_assignment(-shared)].sum() / rows.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--noise", type=float, default=1.25)
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--people-per-outfit", type=int, default=1)
    options = parser.parse_args()
    print("seed  tracklets  clock error ± s  IDF1 without  with")
    results = []
    for seed in options.seeds:
        settings = SimulateSettings(
            cameras=3,
            people=options.people,
            seconds=options.seconds,
            seed=seed,
            overlap=options.overlap,
            people_per_outfit=options.people_per_outfit,
            clock_offset_s=3.0,
        )
        tracklets, owners, offsets = make_tracklets(settings, options.noise)
        calibration = Calibration.default(DIMENSION)
        without = link_tracklets(tracklets, calibration, LinkSettings(place_and_time=False))
        linked = link_tracklets(tracklets, calibration, LinkSettings())
        assert linked.topology is not None
        clocks = linked.topology.clocks
        worst = max(offsets, key=lambda name: abs(clocks[name].offset_s - offsets[name]))
        error = clocks[worst].offset_s - offsets[worst]
        scores = [idf1(result.person_ids, owners, tracklets) for result in (without, linked)]
        results.append([abs(error), *scores])
        error_text = f"{error:+6.2f} ± {clocks[worst].uncertainty_s:4.2f}"
        print(f"{seed:4d} {len(tracklets):10d}    {error_text} {scores[0]:13.1f} {scores[1]:6.1f}", flush=True)
    mean = np.mean(results, axis=0)
    print(f"mean                  {mean[0]:6.2f}     {mean[1]:13.1f} {mean[2]:6.1f}")


if __name__ == "__main__":
    main()
