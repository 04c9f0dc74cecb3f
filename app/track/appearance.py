"""What a tracker remembers of the looks of its tracks: a few good vectors of each, and the typical one.

A single first vector would decide a track for ever, and a running mean is spoilt by a person who walks through. Here
each track keeps a small bank of its best crops, and its typical appearance is their mean, weighted by crop quality and
by how well each agrees with the others: one bad crop is outvoted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class AppearanceBank:
    """The remembered vectors of T tracks, row i always the same track.

    typical: (T, D) float32 unit rows, or zero rows where nothing is known yet.
    counts: (T,) int64, vectors that were added so far.
    best_quality: (T,) float64, quality of the best crop in the bank, 0 without one.
    added_at: (T,) float64, seconds, when the last vector was added; -inf without one.
    """

    def __init__(self, dimension: int, size: int) -> None:
        self._vectors = np.zeros((0, size, dimension), np.float32)
        self._qualities = np.zeros((0, size), np.float32)
        self.typical = np.zeros((0, dimension), np.float32)
        self.counts = np.zeros(0, np.int64)
        self.best_quality = np.zeros(0)
        self.added_at = np.zeros(0)

    def __len__(self) -> int:
        return len(self.counts)

    def extend(self, count: int) -> None:
        """Append `count` tracks of which nothing is known."""
        size, dimension = self._vectors.shape[1:]
        self._vectors = np.concatenate([self._vectors, np.zeros((count, size, dimension), np.float32)])
        self._qualities = np.concatenate([self._qualities, np.zeros((count, size), np.float32)])
        self.typical = np.concatenate([self.typical, np.zeros((count, dimension), np.float32)])
        self.counts = np.concatenate([self.counts, np.zeros(count, np.int64)])
        self.best_quality = np.concatenate([self.best_quality, np.zeros(count)])
        self.added_at = np.concatenate([self.added_at, np.full(count, -np.inf)])

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all tracks but `rows`, an index array or a boolean mask."""
        self._vectors = self._vectors[rows]
        self._qualities = self._qualities[rows]
        self.typical = self.typical[rows]
        self.counts = self.counts[rows]
        self.best_quality = self.best_quality[rows]
        self.added_at = self.added_at[rows]

    def add(self, rows: NDArray[np.int64], vectors: Vectors, qualities: NDArray[np.floating[Any]], time: float) -> None:
        """Add one vector to each of `rows` (M,), all different: `vectors` (M, D) unit rows of `qualities` (M,) in
        (0, 1]. A full bank gives up its poorest crop, which may be the new one."""
        if len(rows) == 0:
            return
        banks = self._vectors[rows]
        held = self._qualities[rows]
        own = np.arange(len(rows))
        poorest = held.argmin(axis=1)
        better = qualities > held[own, poorest]
        banks[own[better], poorest[better]] = vectors[better]
        held[own[better], poorest[better]] = qualities[better]
        self._vectors[rows] = banks
        self._qualities[rows] = held
        self.typical[rows] = typical_vectors(banks, held)
        self.counts[rows] += 1
        self.best_quality[rows] = held.max(axis=1)
        self.added_at[rows] = time


def typical_vectors(banks: Vectors, weights: NDArray[np.floating[Any]]) -> Vectors:
    """Return (M, D) unit means of `banks` (M, K, D) under `weights` (M, K), robust against a stray vector.

    Each vector's weight is multiplied by its agreement: the weighted mean cosine to the *other* vectors, squared, and 0
    when that is negative. With one or two vectors nothing can be outvoted and the plain weighted mean remains.
    """
    cosines = banks @ banks.transpose(0, 2, 1)
    cosines[:, np.arange(banks.shape[1]), np.arange(banks.shape[1])] = 0
    filled = (weights > 0).sum(axis=1, keepdims=True)
    others = np.maximum(weights.sum(axis=1, keepdims=True) - weights, 1e-9)
    agreement = np.maximum((cosines @ weights[:, :, None])[:, :, 0] / others, 0.0) ** 2
    robust = np.where(filled > 2, weights * (agreement + 1e-6), weights)
    means = (banks * robust[:, :, None]).sum(axis=1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 0).astype(np.float32)
