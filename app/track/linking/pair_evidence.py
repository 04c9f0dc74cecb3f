"""How likely two tracklets show the same person, judged by their appearance.

Three things make this more than a cosine (each is the result of an ablation, see the end):

* **Sets, not means.** Every crop of one tracklet looks for its best match in the other and the matches are averaged,
  in both directions. A person seen from two sides matches by whichever side both tracklets show.
* **Each camera's own centre.** Light, lens and viewpoint move all vectors of a camera the same way. Subtracting the
  mean of the camera's own tracklets takes most of that away, without labels.
* **A scale from the footage itself.** People in view together are free negative pairs, two halves of one tracklet
  are a free pair of the same person. A similarity is read between the two: 0 is how alike strangers look, 1 how alike
  one person looks within a tracklet. On that scale one curve serves every network and camera that was tried.

The footage's own statistics need several people who are known to be different, and the only ones are those in view
together: to count as different whoever the network finds different would be to let it confirm itself. Where few were
ever together, `unfamiliar_log_odds` speaks instead, which believes no more than is known of people in general, unless
it takes people in view together for one person.

Ablation: IDF1 over tracklets, with the same clustering, mean over six data sets (two trackers' tracklets of
`campus_people`, `vtest`, `pets_virtual`, and 24 worlds with random Market-1501 test people in the place of the painted
ones): as here 92.9; centres shrunk harder 91.7; mean vectors blended in 92.1; whitened by within-tracklet scatter
90.8 to 91.5; k-reciprocal re-ranking (Zhong et al., 2017) at its best setting 92.9, at others less. Mean average
precision of the ranking on `campus_people`: uncentred means 0.74, one centre 0.73, centres by camera 0.88.
All of it was measured before only people in view together counted, where that gave the footage nearly all the say; what
is made of footage without any is in tests/bench/bench_strangers.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.frames import Tracklet
from app.reid.calibrate import UNKNOWN_WEIGHT, Calibration, unit_rows
from app.track.likeness import (
    ASSUMED_PAIRS,
    CENTER_SHRINKAGE,
    TYPICAL_SAME,
    Vectors,
    footage_share,
    log_odds,
    noise_log_odds,
)
from app.track.linking.neighbours import MAX_EXACT, nearest_pairs, project
from app.track.linking.presence import Presence, co_present_pairs, least_people

SCALE_MIDDLE = 0.37
"""Where on the scale from strangers (0) to one tracklet (1) the same person and a stranger are equally likely."""

SCALE_STEEPNESS = 6.5
"""Log-odds from one end of that scale to the other. It orders nothing; it makes the probabilities honest."""

TYPICAL_NEGATIVE = 0.05
"""Set similarity of centred vectors of strangers, as `TYPICAL_SAME` is that of halves of a tracklet."""

NOISE_LOG_ODDS = 3.0
"""Log-odds of two tracklets that differ as much as halves of one tracklet do on average; `NOISE_STEEPNESS` says how
fast they fall with the logarithm of how many times as much they differ. Over six data sets and three networks
(bench_strangers.py) strangers on one camera differ 2.2 to 3.7 times as much as halves (medians), 2 % of them less than
0.7 to 2.7 times; somebody who comes again 1.3 to 2.9 times."""

ABSENT_LOG_ODDS = -SCALE_STEEPNESS * SCALE_MIDDLE
"""What a pair counts that is not among the most similar ones: typical strangers, P(same) = 0.08."""

MAX_SAMPLED_PAIRS = 4000

COMPARED_DIMENSION = 128
"""Of very many tracklets, sets are compared in so many principal directions: reading vectors is what takes the time."""

BLOCK_SETS = 4096


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """Sparse evidence: the pairs that look alike enough to matter.

    rows, columns: (E,) int64 indices of tracklets, rows < columns, each pair once, in rising order.
    log_odds: (E,) float32, log(P / (1 - P)) of being the same person, prior-balanced.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    log_odds: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scale:
    """What a set similarity means in this footage: the similarity of strangers, and of halves of one tracklet."""

    negatives: float = TYPICAL_NEGATIVE
    same: float = TYPICAL_SAME

    @classmethod
    def of(cls, negatives: NDArray[np.floating[Any]], same: NDArray[np.floating[Any]]) -> Scale:
        """Return the scale from observed similarities, (A,) of strangers and (B,) of one person's halves."""
        low = (negatives.sum() + ASSUMED_PAIRS * TYPICAL_NEGATIVE) / (len(negatives) + ASSUMED_PAIRS)
        high = (same.sum() + ASSUMED_PAIRS * TYPICAL_SAME) / (len(same) + ASSUMED_PAIRS)
        return cls(float(low), float(max(high, low + 0.1)))

    def log_odds(self, similarities: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the prior-balanced log-odds of set similarities of any shape."""
        position = (similarities - self.negatives) / (self.same - self.negatives)
        return np.asarray(SCALE_STEEPNESS * (position - SCALE_MIDDLE), np.float32)


def pair_evidence(
    tracklets: Sequence[Tracklet], presences: Sequence[Presence], calibration: Calibration, neighbours: int
) -> PairEvidence:
    """Return the evidence between each tracklet with vectors and its `neighbours` most similar ones.

    presences: aligned with the tracklets. calibration: that of the network, for footage with few people.
    """
    seen = [index for index, tracklet in enumerate(tracklets) if tracklet.vectors.size]
    if len(seen) < 2:
        return PairEvidence(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    sets = Sets.of([tracklets[index].vectors for index in seen])
    footage = Footage.of(sets, [tracklets[index] for index in seen], [presences[index] for index in seen], calibration)
    rows, columns = nearest_pairs(unit_rows(footage.typical - footage.centers), neighbours)
    evidence = np.zeros(len(rows), np.float32)
    if footage.share < 1:
        unfamiliar = unfamiliar_log_odds(sets.similarities(rows, columns), sets.halves(), calibration, len(seen) - 2)
        evidence += (1 - footage.share) * unfamiliar
    sets.subtract(footage.centers)
    if len(seen) > MAX_EXACT:
        sets = Sets(unit_rows(project(sets.vectors, COMPARED_DIMENSION)), sets.counts)
    evidence += footage.share * footage.scale(sets).log_odds(sets.similarities(rows, columns))
    index_of = np.array(seen, np.int64)
    return PairEvidence(index_of[rows], index_of[columns], evidence)


@dataclass(frozen=True, slots=True)
class Footage:
    """What the footage tells of itself without labels, of n tracklets with vectors.

    typical: (n, D) unit typical vectors. centers: (n, D) the centre of each one's camera. strangers: pairs (rows,
    columns) that were in view together. share: the say of the footage's own scale; the rest is the calibration's.
    """

    typical: Vectors
    centers: Vectors
    negatives: tuple[NDArray[np.int64], NDArray[np.int64]]
    share: float

    @classmethod
    def of(
        cls, sets: Sets, tracklets: Sequence[Tracklet], presences: Sequence[Presence], calibration: Calibration
    ) -> Footage:
        """sets: the vectors of the tracklets, not centred."""
        cameras = np.unique([tracklet.camera for tracklet in tracklets], return_inverse=True)[1]
        typical = sets.directions(np.concatenate([tracklet.qualities for tracklet in tracklets]))
        negatives = co_present_pairs(presences, MAX_SAMPLED_PAIRS)
        mistaken = calibration.probability(1 - sets.similarities(*negatives))
        share = footage_share(least_people(presences), float(mistaken.sum()), len(mistaken))
        return cls(typical, camera_centers(typical, cameras)[cameras], negatives, share if share < 0.9 else 1.0)

    def scale(self, sets: Sets) -> Scale:
        """Return the scale of the footage from the same sets as before, now centred."""
        return Scale.of(sets.similarities(*self.negatives), sets.halves())


@dataclass(frozen=True, slots=True)
class Sets:
    """The vectors of many tracklets one after another: (M, D) float32 unit rows, (n,) int64 how many of each."""

    vectors: Vectors
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, sets: Sequence[Vectors]) -> Sets:
        return cls(np.concatenate(sets), np.array([len(vectors) for vectors in sets], np.int64))

    def subtract(self, centers: Vectors) -> None:
        """Subtract from the vectors of each set its row of `centers` (n, D) and bring them back to unit length, in
        place: the vectors of a long recording fill a good part of the memory, once."""
        for sets, vectors in self._blocks():
            part = self.vectors[vectors]
            part -= np.repeat(centers[sets], self.counts[sets], axis=0)
            part[:] = unit_rows(part)

    def directions(self, qualities: NDArray[np.float32]) -> Vectors:
        """Return (n, D) float32 typical vectors: the unit mean of each set, weighted by the (M,) qualities."""
        parts = []
        for sets, vectors in self._blocks():
            counts = self.counts[sets]
            weighted = self.vectors[vectors] * (qualities[vectors, None] + 1e-3)
            parts.append(unit_rows(np.add.reduceat(weighted, np.cumsum(counts) - counts, axis=0)))
        return np.concatenate(parts)

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Yield the ranges of a block of sets and of their vectors, so that what is computed of all needs little."""
        ends = np.cumsum(self.counts)
        for begin in range(0, len(self.counts), BLOCK_SETS):
            stop = min(begin + BLOCK_SETS, len(self.counts))
            yield slice(begin, stop), slice(int(ends[begin] - self.counts[begin]), int(ends[stop - 1]))

    def similarities(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (E,) set similarities of pairs of sets: each vector's best match in the other set, averaged.

        rows: (E,) in rising order, since each row's pairs are computed together. columns: (E,).
        """
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        result = np.zeros(len(rows), np.float32)
        own_rows, first = np.unique(rows, return_index=True)
        bounds = np.append(first, len(rows))
        for row, begin, end in zip(own_rows, bounds[:-1], bounds[1:], strict=True):
            others = columns[begin:end]
            counts = self.counts[others]
            offsets = np.cumsum(counts) - counts
            inside = np.arange(counts.sum()) - np.repeat(offsets, counts)
            matches = (
                self.vectors[starts[row] : starts[row + 1]] @ self.vectors[np.repeat(starts[others], counts) + inside].T
            )
            there = np.maximum.reduceat(matches, offsets, axis=1).mean(axis=0)
            back = np.add.reduceat(matches.max(axis=0), offsets) / counts
            result[begin:end] = (there + back) / 2
        return result

    def halves(self) -> NDArray[np.float32]:
        """Return (H,) similarities between the even and the odd vectors of each set that has two or more."""
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        several = np.flatnonzero(self.counts >= 2)
        chosen = several[:: max(1, len(several) // MAX_SAMPLED_PAIRS)]
        result = np.zeros(len(chosen), np.float32)
        for position, index in enumerate(chosen):
            vectors = self.vectors[starts[index] : starts[index + 1]]
            result[position] = set_similarity(vectors[::2] @ vectors[1::2].T)
        return result


def set_similarity(cosines: NDArray[np.float32]) -> float:
    """Return the similarity of two sets from the (A, B) cosines of their vectors: the mean of the best matches."""
    return float(cosines.max(axis=0).mean() + cosines.max(axis=1).mean()) / 2


def camera_centers(typical: Vectors, cameras: NDArray[np.integer[Any]]) -> Vectors:
    """Return (C, D) centres: the mean typical vector of each camera's tracklets, drawn towards the mean of all.

    typical: (n, D) unit rows. cameras: (n,) camera numbers from 0 to C - 1.
    """
    overall = typical.mean(axis=0)
    sums = np.zeros((int(cameras.max()) + 1, typical.shape[1]))
    np.add.at(sums, cameras, typical)
    counts = np.bincount(cameras, minlength=len(sums))[:, None]
    return np.asarray((sums + CENTER_SHRINKAGE * overall) / (counts + CENTER_SHRINKAGE), np.float32)


def unfamiliar_log_odds(
    similarities: NDArray[np.float32], halves: NDArray[np.float32], calibration: Calibration, others: int
) -> NDArray[np.float32]:
    """Return the log-odds of one person for set similarities, of any shape, where no two people were ever together.

    halves: (H,) similarities of halves of its tracklets. others: tracklets besides two that either of the two might
    belong to as well.

    Two things must both speak for it: how alike the network finds people in places that it does not know
    (`calibration`), and how alike this very footage finds one and the same tracklet. In a place where all look alike,
    because floor and light are in every picture, the one deceives; where people stand still the other one does not.
    Prior is that of a stranger, see `UNKNOWN_WEIGHT`.
    """
    noise = 1 - max(TYPICAL_SAME, float(halves.mean()) if len(halves) else 0.0)
    by_noise = noise_log_odds(1 - similarities, noise, NOISE_LOG_ODDS)
    balanced = np.minimum(log_odds(calibration.probability(1 - similarities)), by_noise)
    return np.asarray(balanced - np.log(UNKNOWN_WEIGHT + max(others, 0)), np.float32)
