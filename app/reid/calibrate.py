"""From the distance of two appearance vectors to the probability that they show the same person.

OSNet's vectors end in a ReLU, so all of them lie in one corner of the space and strangers have a cosine near 0.9.
Subtracting the mean vector of many people first spreads them out; a monotone curve fitted on people that were not
trained on then maps a distance to P(same person). Both travel inside the checkpoint, so that every threshold in the
program is a probability. NumPy only: `app.track` uses this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        if np.any(np.diff(self.distances) <= 0) or np.any(np.diff(self.probabilities) > 0):
            raise ValueError("Calibration distances must rise and probabilities must not")

    def centered(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return (N, D) float32 unit rows: the raw unit `vectors` (N, D) minus the centre, scaled to length 1."""
        moved = np.asarray(vectors, np.float32) - self.center
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 0)

    def probability(self, distances: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return P(same person) for cosine distances of any shape, float32 in [0, 1]."""
        return np.interp(distances, self.distances, self.probabilities).astype(np.float32)
