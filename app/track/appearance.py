"""Appearance as a tracker knows it: a few good vectors of each track, the typical one, how to compare in its camera.

A single first vector would decide a track for ever, and a running mean is spoilt by a person who walks through. So each
track keeps a small bank of its best crops, and its typical appearance is their mean, weighted by crop quality and by
how well each agrees with the others: one bad crop is outvoted.

A network's calibration answers for people in general. In one camera, seconds apart, a person resembles himself far more
than that, and in some places all people resemble each other more. So each camera has a reading of its own,
`FootageAppearance`, which it learns from people who are in view together, and so are different whatever the network
says of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.reid.calibrate import Calibration
from app.track.likeness import CENTER_SHRINKAGE, footage_share, log_odds, open_set_probabilities, probability

Vectors = NDArray[np.float32]

FOOTAGE_MIDDLE = 0.26
FOOTAGE_STEEPNESS = 14.0
"""Cosine of a crop and a track, less what the camera's people have in common, at which one person and two are equally
likely, and how fast the log-odds rise with it. Three networks on footage rendered and real mostly agree: strangers are
around -0.05, a person seconds later around 0.63 (tests/bench/ablate_tracking.md)."""

MOST_PEOPLE = 64
"""So many people tell what all have in common; later ones take the places of the earliest."""

MOST_PAIRS = 500
"""Of strangers seen together the last few hundred pairs count: light changes."""


class AppearanceBank:
    """The remembered vectors of T tracks, row i always the same track.

    typical: (T, D) float32 unit rows, or zero rows where nothing is known yet.
    counts: (T,) int64, vectors that were added so far.
    best_quality: (T,) float64, quality of the best crop in the bank, 0 without one.
    added_at: (T,) float64, seconds, when the last vector was added; -inf without one.
    noises: (T,) float64, see `typical_noises`; 0 with less than two vectors.
    """

    def __init__(self, dimension: int, size: int) -> None:
        self._vectors = np.zeros((0, size, dimension), np.float32)
        self._qualities = np.zeros((0, size), np.float32)
        self.typical = np.zeros((0, dimension), np.float32)
        self.counts = np.zeros(0, np.int64)
        self.best_quality = np.zeros(0)
        self.added_at = np.zeros(0)
        self.noises = np.zeros(0)

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
        self.noises = np.concatenate([self.noises, np.zeros(count)])

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all tracks but `rows`, an index array or a boolean mask."""
        self._vectors = self._vectors[rows]
        self._qualities = self._qualities[rows]
        self.typical = self.typical[rows]
        self.counts = self.counts[rows]
        self.best_quality = self.best_quality[rows]
        self.added_at = self.added_at[rows]
        self.noises = self.noises[rows]

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
        self.noises[rows] = typical_noises(banks, held)


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


def typical_noises(banks: Vectors, weights: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return (M,) cosine distances at which two means of as many crops of one track as these are expected; 0 where
    there is one crop only. banks: (M, K, D) unit rows. weights: (M, K), 0 where a row is empty."""
    counts = (weights > 0).sum(axis=1)
    sums = np.where(weights[:, :, None] > 0, banks, 0).sum(axis=1)
    squares = np.einsum("md,md->m", sums, sums)
    # Of the squared length of a sum of K crops, K is each crop with itself; what is left is what crops share.
    shared = np.clip((squares - counts) / np.maximum(counts * (counts - 1), 1), 0, 1)
    alike = counts * shared / np.maximum(1 + (counts - 1) * shared, 1e-9)
    return np.where(counts > 1, np.maximum(1 - alike, 1e-3), 0.0)


class NegativePairs:
    """Pairs of people seen together, who must be strangers, and what a network's calibration says of them."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._mistaken = 0.0
        self._pairs = 0.0
        self._together = 0

    def note(self, known: Vectors, seen: Vectors, together: NDArray[np.bool_]) -> None:
        """Take note of the pairs that `together` (T, N) marks among (T, D) and (N, D) unit rows. Each column counts
        once."""
        per_column = together.sum(axis=0)
        counted = per_column > 0
        if not counted.any():
            return
        self._together = max(self._together, int(per_column.max()) + 1)
        taken_for_one = self._calibration.probability(1 - known @ seen.T)
        self._mistaken += float(((taken_for_one * together).sum(axis=0)[counted] / per_column[counted]).sum())
        self._pairs += int(counted.sum())
        if self._pairs > MOST_PAIRS:
            self._mistaken, self._pairs = self._mistaken / 2, self._pairs / 2

    def footage_share(self) -> float:
        """Return the say of the footage's own scale, from 0 to 1: the more people it showed together, the more."""
        return footage_share(self._together, self._mistaken, self._pairs)


class FootageAppearance:
    """How to read the likeness of two crops of one footage, learnt from the people it shows.

    What all its people share (light, lens, background) is subtracted before vectors are compared. That takes several
    people who are known to be different; while few were in view together the network's calibration speaks, unless they
    showed that it takes strangers for one person here. Footage of people who come one by one keeps to the calibration.
    """

    def __init__(self, calibration: Calibration, dimension: int) -> None:
        self._calibration = calibration
        self.negatives = NegativePairs(calibration)
        self._people = np.zeros((0, dimension), np.float32)

    def probability(self, known: Vectors, seen: Vectors) -> NDArray[np.float64]:
        """Return (T, N) P(same person), prior-balanced, of (T, D) and (N, D) unit rows."""
        return probability(self.log_odds(known, seen))

    def return_probability(self, known: Vectors, seen: Vectors) -> NDArray[np.float64]:
        """Return (T, N) P that each of N vectors shows each of T people who were out of sight; it may be none of them.

        Where a place fits, one box and one track are alike likely to be one person; of somebody who was away nothing
        but appearance is known, and anybody may have come instead. How often that misleads, people in view together
        tell.
        """
        balanced = self.log_odds(known, seen)
        share = self.negatives.footage_share()
        unfamiliar = open_set_probabilities(balanced.T).T
        return np.asarray(share * probability(balanced) + (1 - share) * unfamiliar)

    def know(self, people: Vectors) -> None:
        """Start with (M, D) typical vectors of people who are known to be different, `MOST_PEOPLE` at the most."""
        self._people = people[-MOST_PEOPLE:]
        self.negatives.note(people, people, ~np.eye(len(people), dtype=np.bool_))

    def meet(self, typical: Vectors) -> None:
        """Take note of people in view, (M, D) typical vectors of their tracks: new ones, or known ones as they look
        now."""
        for vector in typical:
            likeness = self.log_odds(self._people, vector[None])[:, 0]
            if len(likeness) and likeness.max() > 0:
                self._people[likeness.argmax()] = vector
            else:
                self._people = np.concatenate([self._people[1 - MOST_PEOPLE :], vector[None]])

    def log_odds(self, known: Vectors, seen: Vectors) -> NDArray[np.float32]:
        """Return (T, N) prior-balanced log-odds of (T, D) and (N, D) unit rows."""
        cosines = known @ seen.T
        by_calibration = log_odds(self._calibration.probability(1 - cosines))
        share = self.negatives.footage_share()
        if share == 0 or not len(self._people):
            return by_calibration
        center = self._people.sum(axis=0) / (len(self._people) + CENTER_SHRINKAGE)
        # The cosine of two vectors less the centre, without writing either anew.
        length = center @ center
        of_known, of_seen = known @ center, seen @ center
        lengths = np.maximum(np.outer(1 - 2 * of_known + length, 1 - 2 * of_seen + length), 1e-12)
        centered = (cosines - of_known[:, None] - of_seen + length) / np.sqrt(lengths)
        by_footage = FOOTAGE_STEEPNESS * (centered - FOOTAGE_MIDDLE)
        return np.asarray(share * by_footage + (1 - share) * by_calibration, np.float32)
