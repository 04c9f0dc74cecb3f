"""Whether tracklets that change their person are found: hits and false cuts on a run with truth, at several settings.

    python main.py track --sources CAMERAS --output RUN && python tests/bench/bench_splitting.py RUN --truth DIR

Of all tracklets of which truth says that they show one person, two of different people in one camera are glued, the
first crops of the one to the last of the other, as many as a real tracklet keeps (8), and crops that look odd are
thrown out as in a real tracklet. Prints for each P(same) below which a tracklet is cut: how many of the glued ones are
cut at the right place, and how many of the real ones are cut by mistake. `--first` sets how many of the 8 crops show
the first person.

`--stolen` takes ids that are stolen where that happens: two people who pass each other, swapped at the frame in which
their boxes overlap most. Crops are those that the run kept of both, the ones near the passing among them; a cut within
half a second is a hit.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.boxes import iou
from app.frames import Tracklet
from app.runs.evaluate.trajectories import load_truth, run_trajectories
from app.runs.folder.layout import crop_frame
from app.runs.folder.run import Run
from app.runs.people.linking import run_calibration
from app.track.linking import splitting
from app.track.linking.splitting import Judge, change_time
from app.track.tracklets import inliers

CROPS = 8
PURE = 0.9
MOST_GLUED = 400
PASSING = 0.1
"""Overlap (IoU) of two people who pass each other."""
HIT_S = 0.5
SETTINGS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


Kept = tuple[Tracklet, np.ndarray]
"""A tracklet and the (K,) seconds of its crops."""


def owners(run: Run, truth: Path) -> dict[tuple[str, int], int]:
    """Return the true person of each tracklet that shows hardly anybody else."""
    true, found = load_truth(truth, [camera.name for camera in run.cameras]), run_trajectories(run)
    result = {}
    for camera, rows in found.items():
        shown: dict[int, list[int]] = {}
        for frame in np.unique(rows.frames):
            here, there = np.flatnonzero(rows.frames == frame), np.flatnonzero(true[camera].frames == frame)
            overlap = iou(rows.boxes[here], true[camera].boxes[there])
            for own, row in enumerate(here.tolist()):
                best = int(overlap[own].argmax()) if len(there) else -1
                matched = best >= 0 and overlap[own, best] > 0.5
                shown.setdefault(int(rows.track_ids[row]), []).append(
                    int(true[camera].ids[there[best]]) if matched else -1
                )
        for track_id, people in shown.items():
            names, counts = np.unique(people, return_counts=True)
            if names[counts.argmax()] >= 0 and counts.max() > PURE * len(people):
                result[camera, track_id] = int(names[counts.argmax()])
    return result


def in_time(tracklet: Tracklet, taken: np.ndarray, chosen: slice) -> tuple[Tracklet, np.ndarray]:
    """Return the tracklet with some of its crops in order of time."""
    rows = np.argsort(taken, kind="stable")[chosen]
    crops = tuple(tracklet.crops[row] for row in rows)
    part = replace(tracklet, crops=crops, vectors=tracklet.vectors[rows], qualities=tracklet.qualities[rows])
    return part, taken[rows]


def glued(
    a: tuple[Tracklet, np.ndarray], b: tuple[Tracklet, np.ndarray], first: int
) -> tuple[Tracklet, np.ndarray, float]:
    """Return a tracklet of the `first` crops of a and the last ones of b, its crops' times, and when b begins."""
    (one, taken), (two, later) = in_time(*a, slice(0, first)), in_time(*b, slice(first - CROPS, None))
    begin = one.times[-1] + 1.0
    vectors = np.concatenate([one.vectors, two.vectors])
    qualities = np.concatenate([one.qualities, two.qualities])
    times = np.concatenate([taken, later - two.times[0] + begin])
    kept = np.flatnonzero(inliers(vectors, qualities))
    whole = Tracklet(
        one.camera,
        one.track_id,
        np.concatenate([one.times, two.times - two.times[0] + begin]),
        np.concatenate([one.boxes, two.boxes]),
        np.concatenate([one.scores, two.scores]),
        tuple((one.crops + two.crops)[row] for row in kept),
        vectors[kept],
        qualities[kept],
    )
    return whole, times[kept], begin


def stolen(a: Kept, b: Kept) -> tuple[Tracklet, np.ndarray, float] | None:
    """Return a tracklet that goes over from a to b where they pass each other, and when; None if they do not."""
    (one, taken), (two, later) = a, b
    times, rows, others = np.intersect1d(one.times, two.times, return_indices=True)
    overlap = np.array(
        [iou(one.boxes[r : r + 1], two.boxes[o : o + 1])[0, 0] for r, o in zip(rows, others, strict=True)]
    )
    if not len(overlap) or overlap.max() < PASSING:
        return None
    at = float(times[int(overlap.argmax())])
    before, after = one.times < at, two.times >= at
    if min(at - one.times[0], two.times[-1] - at) < 1.0:
        return None
    mine, theirs = np.flatnonzero(taken < at), np.flatnonzero(later >= at)
    if min(len(mine), len(theirs)) == 0:
        return None
    vectors = np.concatenate([one.vectors[mine], two.vectors[theirs]])
    qualities = np.concatenate([one.qualities[mine], two.qualities[theirs]])
    crops = [one.crops[row] for row in mine] + [two.crops[row] for row in theirs]
    kept = np.flatnonzero(inliers(vectors, qualities))
    whole = Tracklet(
        one.camera,
        one.track_id,
        np.concatenate([one.times[before], two.times[after]]),
        np.concatenate([one.boxes[before], two.boxes[after]]),
        np.concatenate([one.scores[before], two.scores[after]]),
        tuple(crops[row] for row in kept),
        vectors[kept],
        qualities[kept],
    )
    return whole, np.concatenate([taken[mine], later[theirs]])[kept], at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--stolen", action="store_true")
    options = parser.parse_args()
    run = Run.open(options.run)
    calibration = run_calibration(run)
    assert calibration is not None
    person = owners(run, options.truth)
    frames = {camera.name: run.frames(camera.name) for camera in run.cameras}
    real = []
    for tracklet in run.tracklets():
        indices, times = frames[tracklet.camera]
        shown = np.array([crop_frame(crop) for crop in tracklet.crops], np.int64)
        real.append((tracklet, times[np.searchsorted(indices, shown)]))
    judge = Judge.of([tracklet for tracklet, _ in real], calibration)
    pure = [(own, taken) for own, taken in real if own.key in person and len(own.crops) >= CROPS // 2]
    pairs = [(a, b) for a in pure for b in pure if a[0].camera == b[0].camera and person[a[0].key] != person[b[0].key]]
    made = [stolen(a, b) if options.stolen else glued(a, b, options.first) for a, b in pairs]
    mixed = [one for one in made if one is not None]
    within_s = HIT_S if options.stolen else 1e-6
    if not mixed:
        sys.exit("no two people are there to be mixed")
    mixed = mixed[:: -(-len(mixed) // MOST_GLUED)]
    kept = np.mean(
        [min((taken < begin).sum(), (taken >= begin).sum()) >= splitting.MIN_CROPS for _, taken, begin in mixed]
    )
    kind = "stolen" if options.stolen else "glued"
    print(f"{len(mixed)} {kind}, {len(pure)} real; both people keep {splitting.MIN_CROPS} crops in {100 * kept:.0f} %")
    print("P(same) below   hits %   cut elsewhere %   false cuts %")
    for bound in SETTINGS:
        splitting.CHANGED_PROBABILITY = bound
        cuts = [(change_time(whole, taken, judge), begin) for whole, taken, begin in mixed]
        hits = np.mean([at is not None and abs(at - begin) <= within_s for at, begin in cuts])
        elsewhere = np.mean([at is not None and abs(at - begin) > within_s for at, begin in cuts])
        false = np.mean([change_time(own, taken, judge) is not None for own, taken in pure])
        print(f"{bound:13.2f} {100 * hits:8.1f} {100 * elsewhere:17.1f} {100 * false:14.1f}")


if __name__ == "__main__":
    main()
