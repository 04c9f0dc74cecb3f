"""From the distance of two appearance vectors to the probability that they show the same person.

OSNet's vectors end in a ReLU, so all of them lie in one corner of the space and strangers have a cosine near 0.9.
Subtracting the mean vector of many people first spreads them out; a monotone curve fitted on people that were not
trained on then maps a distance to P(same person). Both travel inside the checkpoint, so that every threshold in the
program is a probability. NumPy only: `app.track` uses this module.

Every probability here is **prior-balanced**: P(same) when a pair of the same person and a negative pair are
equally likely beforehand. log(P / (1 - P)) is then the log-likelihood ratio of the distance, and whoever knows more
(many candidates, a person who just left) adds the log-odds of that to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError

BIN_COUNT = 512
"""Bins of distance in [0, 2] in which pairs are counted: fine against the width of any curve, cheap at any size."""

UNKNOWN_WEIGHT = 9.0
"""How much likelier it is beforehand that somebody is none of the people compared with than any one of them. Where each
were equally likely, a good part of all strangers who look a little alike would be taken for one person."""

BLOCK_ROWS = 1024
"""Rows of the distance matrix held at once, so that memory does not grow with the square of the vectors."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How to centre vectors of one network and how to read their distances.

    center: (D,) float32, mean of unit vectors, subtracted by the embedder before it normalises to unit length.
    distances: (K,) float32, strictly increasing, cosine distances (1 - cosine) between centred unit vectors.
    probabilities: (K,) float32, non-increasing, P(same person) at those distances; linear in between.
    """

    center: NDArray[np.float32]
    distances: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.distances) != len(self.probabilities) or len(self.distances) < 2:
            raise ValueError("Calibration needs at least two distances, and as many probabilities")
        if not all(np.isfinite(part).all() for part in (self.center, self.distances, self.probabilities)):
            raise ValueError("Calibration holds numbers that are none")
        if self.probabilities.min() < 0 or self.probabilities.max() > 1:
            raise ValueError("Calibration probabilities lie between 0 and 1")
        if np.any(np.diff(self.distances) <= 0) or np.any(np.diff(self.probabilities) > 0):
            raise ValueError("Calibration distances must rise and probabilities must not")

    @classmethod
    def default(cls, dimension: int) -> Calibration:
        """Return what to assume of a network that came without statistics: no centring, a typical OSNet's curve.

        The curve is a logistic through 0.5 at a cosine distance of 0.36, where OSNet's uncentred vectors of one person
        and of two part. Other networks differ; the linker fits its own curve from the footage where it can.
        """
        distances = np.linspace(0, 2, 201, dtype=np.float32)
        return cls(np.zeros(dimension, np.float32), distances, _logistic((0.36 - distances) / 0.05))

    @classmethod
    def unknown(cls, dimension: int) -> Calibration:
        """Return what to assume of a network of which nothing is known: no centring, and hardly any opinion.

        Strangers of one network are at 0.1 (vectors that end in a ReLU), of another at 1. So probabilities fall slowly,
        from 0.82 to 0.07 at a distance of 1: no single comparison convinces, and where several people are in view
        together the footage's own scale soon has the say (`app.track.linking.pair_evidence`).
        """
        distances = np.linspace(0, 2, 201, dtype=np.float32)
        return cls(np.zeros(dimension, np.float32), distances, _logistic((0.36 - distances) / 0.24))

    def centered(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (N, D) float32 unit rows: the raw unit `vectors` (N, D) minus the centre, scaled to length 1."""
        moved = np.asarray(vectors, np.float32) - self.center
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 0)

    def probability(self, distances: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return P(same person) for cosine distances of any shape, float32 in [0, 1]."""
        return np.interp(distances, self.distances, self.probabilities).astype(np.float32)


def fit_calibration(
    vectors: NDArray[np.floating[Any]], person_ids: NDArray[np.integer[Any]], camera_ids: NDArray[np.integer[Any]]
) -> Calibration:
    """Fit centre and curve on people that the network was not trained on.

    vectors: (N, D) raw vectors as the network returns them, of any length. person_ids, camera_ids: (N,) integers.
    Pairs of one person count when they come from two cameras, or at all where every person has one camera only.
    The curve is isotonic regression (pool adjacent violators: Ayer et al., 1955) of pair counts with equal total
    weight for same and different pairs, so that its probabilities are prior-balanced.
    Raises InputError when there is no pair of one person or no negative pair.
    """
    unit = unit_rows(np.asarray(vectors, np.float32))
    center = unit.mean(axis=0) if len(unit) else np.zeros(unit.shape[1], np.float32)
    counts = pair_counts(unit_rows(unit - center), person_ids, camera_ids)
    same, different = counts.same, counts.negatives
    if not same.sum() or not different.sum():
        raise InputError("a calibration needs two pictures of one person and pictures of two people at the least")
    distances, probabilities = fit_curve(same, different)
    return Calibration(center.astype(np.float32), distances, probabilities)


def expected_calibration_error(
    calibration: Calibration,
    vectors: NDArray[np.floating[Any]],
    person_ids: NDArray[np.integer[Any]],
    camera_ids: NDArray[np.integer[Any]],
    bin_count: int = 15,
) -> float:
    """Return how far stated probabilities are from what happens, in [0, 1]: the mean gap over bins of probability.

    Takes the same kind of pairs as `fit_calibration`, of other people than it was fitted on, with the same balanced
    weights; a bin counts by the weight of its pairs (Naeini et al., 2015).
    """
    centered = calibration.centered(unit_rows(np.asarray(vectors, np.float32)))
    counts = pair_counts(centered, person_ids, camera_ids)
    same, different = counts.same, counts.negatives
    if not same.sum() or not different.sum():
        raise InputError("a calibration error needs two pictures of one person and pictures of two people at the least")
    same_weight, different_weight = same / same.sum() / 2, different / different.sum() / 2
    stated = calibration.probability((np.arange(BIN_COUNT) + 0.5) * (2 / BIN_COUNT))
    bins = np.minimum((stated * bin_count).astype(np.int64), bin_count - 1)
    weight = np.bincount(bins, same_weight + different_weight, bin_count)
    happened = np.bincount(bins, same_weight, bin_count)
    expected = np.bincount(bins, (same_weight + different_weight) * stated, bin_count)
    return float(np.abs(happened - expected)[weight > 0].sum())


def fit_curve(
    same: NDArray[np.number[Any]], different: NDArray[np.number[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (K,) distances and (K,) prior-balanced probabilities from counts of pairs in B equal bins over [0, 2].

    same, different: (B,) counts (or weights) of pairs of one person and of negative pairs.
    """
    bin_count = len(same)
    # One pair's weight on each side, spread over the bins, keeps probabilities away from 0 and 1 where data is thin.
    same_weight = (same + 1 / bin_count) / (same.sum() + 1)
    different_weight = (different + 1 / bin_count) / (different.sum() + 1)
    total = same_weight + different_weight
    occupied = (same + different) > 0
    values, widths = _pool_adjacent_violators((same_weight / total)[occupied], total[occupied])
    # A pooled block becomes one knot at its weighted middle; the line between knots makes the curve continuous.
    middles = ((np.arange(bin_count) + 0.5) * (2 / bin_count))[occupied]
    blocks = np.repeat(np.arange(len(widths)), widths)
    knots = np.bincount(blocks, total[occupied] * middles) / np.bincount(blocks, total[occupied])
    probabilities = np.clip(values, 1e-4, 1 - 1e-4)
    if len(knots) == 1:
        knots, probabilities = np.array([0.0, 2.0]), np.repeat(probabilities, 2)
    return knots.astype(np.float32), probabilities.astype(np.float32)


def _pool_adjacent_violators(
    values: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the non-increasing fit of (B,) `values` as block values and the number of entries in each block."""
    block_values: list[float] = []
    block_weights: list[float] = []
    block_counts: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        count = 1
        while block_values and block_values[-1] <= value:
            below, below_weight = block_values.pop(), block_weights.pop()
            value = (below * below_weight + value * weight) / (below_weight + weight)
            weight += below_weight
            count += block_counts.pop()
        block_values.append(value)
        block_weights.append(weight)
        block_counts.append(count)
    return np.array(block_values), np.array(block_counts, np.int64)


@dataclass(frozen=True, slots=True)
class PairCounts:
    """(BIN_COUNT,) int64 pairs by cosine distance in [0, 2]: of one person, of strangers on one camera and on two."""

    same: NDArray[np.int64]
    negatives_here: NDArray[np.int64]
    negatives_elsewhere: NDArray[np.int64]

    @property
    def negatives(self) -> NDArray[np.int64]:
        return self.negatives_here + self.negatives_elsewhere


def pair_counts(
    unit: NDArray[np.float32], person_ids: NDArray[np.integer[Any]], camera_ids: NDArray[np.integer[Any]]
) -> PairCounts:
    """Count the pairs of (N, D) unit rows. Those of one person count when they come from two cameras, or at all where
    every person has one camera only."""
    cross_camera = _anyone_in_two_cameras(person_ids, camera_ids)
    same, here, elsewhere = (np.zeros(BIN_COUNT, np.int64) for _ in range(3))
    for start in range(0, len(unit), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        distances = 1 - unit[rows] @ unit[start:].T
        bins = np.clip(distances * (BIN_COUNT / 2), 0, BIN_COUNT - 1).astype(np.int64)
        upper = np.arange(bins.shape[0])[:, None] < np.arange(bins.shape[1])[None, :]
        equal = person_ids[rows, None] == person_ids[None, start:]
        two_cameras = camera_ids[rows, None] != camera_ids[None, start:]
        same_pairs = upper & equal & two_cameras if cross_camera else upper & equal
        for counts, pairs in (
            (same, same_pairs),
            (here, upper & ~equal & ~two_cameras),
            (elsewhere, upper & ~equal & two_cameras),
        ):
            counts += np.bincount(bins[pairs], minlength=BIN_COUNT)
    return PairCounts(same, here, elsewhere)


def _anyone_in_two_cameras(person_ids: NDArray[np.integer[Any]], camera_ids: NDArray[np.integer[Any]]) -> bool:
    pairs = np.unique(np.stack([person_ids, camera_ids], axis=1), axis=0)
    return bool(len(np.unique(pairs[:, 0])) < len(pairs))


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, D) rows scaled to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _logistic(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-values))).astype(np.float32)
