"""Appearance vectors compared: directions, odds, and how far the footage's own statistics are to be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.frames import Tracklet
from app.reid.calibrate import UNKNOWN_WEIGHT

Vectors = NDArray[np.float32]

ASSUMED_PAIRS = 20
"""How many observed pairs the assumption counts as."""

CENTER_SHRINKAGE = 2.0
"""A camera's centre is drawn to the centre of all cameras as if by so many more tracklets."""

TYPICAL_SAME = 0.75
"""Set similarity of centred vectors of halves of one tracklet, found alike on all data tried; what to assume before the
footage has shown enough."""

NOISE_STEEPNESS = 4.0
"""How fast the log-odds of one person fall with the logarithm of how many times as much two differ as one track does
from itself, see `app.track.linking.pair_evidence`."""

FEW_PAIRS = 2.0
"""With so many pairs of people in view together the footage's own scale and what holds in general have equal say."""


def calibration_trust(mistaken: float, pairs: float) -> float:
    """Return how far the network's calibration can be believed in this footage, from 0 to 1.

    mistaken: sum of what it says, P(same), of so many `pairs` that were in view together and so are strangers. If it
    takes every second one for one person, it was made for other footage, or for another network.
    """
    return min(max(1 - 2 * mistaken / (pairs + ASSUMED_PAIRS / 2), 0.0), 1.0)


def footage_share(people: int, mistaken: float, pairs: float) -> float:
    """Return the say of the footage's own scale, from 0 to 1, where it shows so many people together, of whom each two
    are a negative pair; the rest is the calibration's. mistaken, pairs: see `calibration_trust`."""
    shown = people * (people - 1) / 2
    return shown / (shown + FEW_PAIRS * calibration_trust(mistaken, pairs)) if shown else 0.0


def open_set_probabilities(log_odds: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return (..., K) P of being each of K people; what is missing to 1 is P of being none of them.

    log_odds: (..., K) prior-balanced log-odds of being each of them, -inf for whom it cannot be. Of those who look
    equally like it each gets a share; a stranger, whose likelihood ratio is 1 on average, gets less the more are asked.
    """
    highest = np.maximum(log_odds.max(axis=-1, keepdims=True, initial=0.0), 0.0)
    ratios = np.exp(np.asarray(log_odds, np.float64) - highest)
    return np.asarray(ratios / (UNKNOWN_WEIGHT * np.exp(-highest) + ratios.sum(axis=-1, keepdims=True)))


def typical_vector(tracklet: Tracklet) -> Vectors:
    """Return the (D,) float32 unit mean of the tracklet's vectors, weighted by the quality of their crops."""
    return weighted_direction(tracklet.vectors, tracklet.qualities)


def weighted_direction(vectors: Vectors, qualities: NDArray[np.float32]) -> Vectors:
    """Return the (D,) float32 unit mean of (K, D) vectors, weighted by the (K,) qualities of their crops."""
    mean = (vectors * (qualities[:, None] + 1e-3)).sum(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log(P / (1 - P)) with P kept within 0.01 and 0.99."""
    clipped = np.clip(probabilities, 0.01, 0.99)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def probability(log_odds: NDArray[np.float32] | float) -> NDArray[np.float64]:
    """Return P, of any shape, from log(P / (1 - P))."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds, np.float64))), np.float64)


def noise_log_odds(distances: NDArray[np.float32], noise: float, at_noise: float) -> NDArray[np.float32]:
    """Return the log-odds of one person for distances, of any shape, where one track differs by `noise` from itself.

    at_noise: log-odds of two that differ no more than that.
    """
    times_noise = np.maximum(distances, 1e-3) / max(noise, 1e-3)
    return np.asarray(at_noise - NOISE_STEEPNESS * np.log(times_noise), np.float32)
