"""How likely two tracklets show the same person, from their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.frames import Tracklet
from app.reid.calibrate import Calibration

BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """Sparse evidence: only pairs that look alike enough to matter.

    rows, columns: (E,) int64 indices of tracklets, rows < columns, each pair once, in rising order.
    log_odds: (E,) float32, log(P / (1 - P)) of being the same person.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    log_odds: NDArray[np.float32]


def pair_evidence(tracklets: Sequence[Tracklet], calibration: Calibration, neighbours: int) -> PairEvidence:
    """Return the evidence between each tracklet and its `neighbours` most similar ones."""
    seen = np.array([index for index, tracklet in enumerate(tracklets) if tracklet.vectors.size], np.int64)
    if len(seen) < 2:
        return PairEvidence(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    means = np.stack([typical_vector(tracklets[index]) for index in seen])
    count = min(neighbours, len(seen) - 1)
    pairs = []
    for start in range(0, len(seen), BLOCK_ROWS):
        similarity = means[start : start + BLOCK_ROWS] @ means.T
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        pairs.append(np.stack([np.repeat(start + own, count), nearest.ravel()], axis=1))
    both = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
    distances = 1 - np.einsum("ed,ed->e", means[both[:, 0]], means[both[:, 1]])
    return PairEvidence(seen[both[:, 0]], seen[both[:, 1]], log_odds(calibration.probability(distances)))


def typical_vector(tracklet: Tracklet) -> NDArray[np.float32]:
    """Return the (D,) float32 unit mean of the tracklet's vectors, weighted by the quality of their crops."""
    mean = (tracklet.vectors * (tracklet.qualities[:, None] + 1e-3)).sum(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log(P / (1 - P)) with P kept within 0.001 and 0.999."""
    clipped = np.clip(probabilities, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)
