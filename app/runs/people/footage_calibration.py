"""`main.py calibrate-reid --run RUN`: fit a ReID network's calibration to runs of the user's own, without names.

What a run knows for certain: who is in view together on one camera is not one person, and a tracklet is. Its stored
vectors are used if this network made them, else its kept pictures are embedded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import boxes as geometry
from app.errors import InputError
from app.frames import Tracklet
from app.reid.unlabelled import FootageSample, fit_on_footage
from app.runs.folder.run import Run
from app.system.untrusted import decode_image
from app.track.linking.presence import Presence, co_present_pairs

APART_S = 1.0
"""Pictures of one tracklet are compared where they are so far apart in time, at the least: neighbouring frames are
nearly the same picture."""

DOUBLE_IOU = 0.3
"""Two tracklets that overlap so much, by the median of the frames that both have, may be two boxes on one person."""

MOST_PAIRS = 4000
CROPS_COMPARED = 3
"""Of each of two people in view together so many pictures are compared, the best ones."""


def calibrate_on_runs(weights: str, runs: Sequence[Path], trust: bool = False) -> dict[str, Any]:
    """Fit the calibration of weights on runs, write it beside them, and return what it says as JSON values.

    weights: a file; bundled ones were calibrated on more places than one user has. trust: see `load_checkpoint`.
    Raises InputError for weights or runs that cannot be read, or that show too few people.
    """
    from app.config import ReidSettings
    from app.reid.checkpoint import load_checkpoint
    from app.reid.embedder import BUNDLED_FOLDER, embedder_of, require_weights
    from app.reid.unseen_places import sidecar, write_footage_sidecar

    file = require_weights(weights, "--weights")
    if file.resolve().parent == BUNDLED_FOLDER.resolve():
        raise InputError(
            f"--weights {weights}: bundled weights are calibrated on people of several places; to fit them to your "
            f"footage all the same, copy {file} elsewhere and give the copy"
        )
    checkpoint = load_checkpoint(file, own_curve=True, trust=trust)
    embedder = embedder_of(checkpoint, ReidSettings(weights=str(file), device="cpu", trust_weights=trust))
    samples = [_sample(Run.open(folder), embedder) for folder in runs]
    together = FootageSample(
        np.concatenate([sample.negatives for sample in samples]),
        np.concatenate([sample.halves for sample in samples]),
        np.concatenate([sample.across for sample in samples]),
        sum(sample.negatives_from for sample in samples),
        sum(sample.halves_from for sample in samples),
    )
    fitted = fit_on_footage(together, checkpoint.calibration)
    facts = {
        "runs": [str(folder.resolve()) for folder in runs],
        "pairs_of_strangers": len(together.negatives),
        "pairs_of_one_person": len(together.halves),
        "pairs_on_two_cameras": len(together.across),
        "tracklets": together.halves_from,
        "mean_distance_of_strangers": round(float(together.negatives.mean()), 4),
        "mean_distance_within_tracklets": round(float(together.halves.mean()), 4),
    }
    write_footage_sidecar(file, checkpoint.sha256, fitted, facts)
    return {"file": str(sidecar(file)), **facts}


def _sample(run: Run, embedder: Any) -> FootageSample:
    """Return the distances that one run shows."""
    found = run.tracklets()
    vectors = _vectors(run, found, embedder)
    shown = [index for index, rows in enumerate(vectors) if len(rows)]
    tracklets = [found[index] for index in shown]
    vectors = [vectors[index] for index in shown]
    halves = [_within(run, tracklet, rows) for tracklet, rows in zip(tracklets, vectors, strict=True)]
    negatives: list[NDArray[np.float32]] = []
    met: set[int] = set()
    for a, b in zip(*co_present_pairs([Presence.of(tracklet) for tracklet in tracklets], MOST_PAIRS), strict=True):
        if _overlap(tracklets[a], tracklets[b]) < DOUBLE_IOU:
            negatives.append((1 - vectors[a][:CROPS_COMPARED] @ vectors[b][:CROPS_COMPARED].T).ravel())
            met |= {int(a), int(b)}
    return FootageSample(
        np.concatenate([np.zeros(0, np.float32), *negatives]),
        np.concatenate([np.zeros(0, np.float32), *halves]),
        _across(tracklets, vectors),
        len(met),
        sum(len(pairs) > 0 for pairs in halves),
    )


def _vectors(run: Run, tracklets: Sequence[Tracklet], embedder: Any) -> list[NDArray[np.float32]]:
    """Return the (K, D) centred unit vectors of each tracklet's crops, (0, D) where there are none."""
    if run.header["provenance"]["weights"].get("reid") == embedder.weights_sha256 and "vectors" not in run.purged:
        none = np.zeros((0, embedder.dimension), np.float32)
        return [tracklet.vectors if tracklet.vectors.size else none for tracklet in tracklets]
    if "crops" in run.purged:
        raise InputError(f"{run.folder}: its pictures were purged, and its vectors are of another network")
    result = []
    for tracklet in tracklets:
        files = [run.crop_path(reference) for reference in tracklet.crops]
        if not all(file.is_file() for file in files):
            files = []
        pictures = [decode_image(file.read_bytes(), str(file)) for file in files]
        whole = [np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32) for picture in pictures]
        rows = embedder.embed(pictures, whole)
        result.append(np.concatenate([np.zeros((0, embedder.dimension), np.float32), *rows]))
    return result


def _within(run: Run, tracklet: Tracklet, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distances of a tracklet's crops that are far apart in time: early with late ones."""
    at = run.crop_times(tracklet.camera, tracklet.crops)
    middle = (at.min() + at.max()) / 2
    early, late = np.flatnonzero(at < middle), np.flatnonzero(at >= middle)
    apart = at[late][None, :] - at[early][:, None] >= APART_S
    return np.asarray((1 - vectors[early] @ vectors[late].T)[apart], np.float32)


def _across(tracklets: Sequence[Tracklet], vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the distances of the best crops of pairs of tracklets on two cameras, `MOST_PAIRS` at the most."""
    cameras = np.unique([tracklet.camera for tracklet in tracklets], return_inverse=True)[1]
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(len(tracklets))[: 2 * int(MOST_PAIRS**0.5)])
    rows, columns = np.nonzero(np.triu(cameras[chosen][:, None] != cameras[chosen]))
    kept = np.sort(random.permutation(len(rows))[:MOST_PAIRS])
    best = np.stack([vectors[index][0] for index in chosen]) if len(chosen) else np.zeros((0, 1), np.float32)
    return np.asarray(1 - np.einsum("nd,nd->n", best[rows[kept]], best[columns[kept]]), np.float32)


def _overlap(one: Tracklet, other: Tracklet) -> float:
    """Return the median overlap of two tracklets' boxes, over the frames that both have; 0 without any."""
    _, rows, columns = np.intersect1d(one.times, other.times, return_indices=True)
    if not len(rows):
        return 0.0
    pairs = zip(one.boxes[rows], other.boxes[columns], strict=True)
    return float(np.median([geometry.iou(a[None], b[None])[0, 0] for a, b in pairs]))
