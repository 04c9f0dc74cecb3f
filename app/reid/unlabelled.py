"""What a network's distances mean, from footage in which nobody is named: the fit behind `calibrate-reid --run`.

People in view together on one camera are strangers. The early and the late pictures of one tracklet show one person,
but on one camera, in one light and seconds apart: they are more alike than one person on two cameras ever is. So halves
do not stand for pairs across cameras; they say how far that may be. On the scale from strangers (0) to halves of one
tracklet (1) one person on two cameras was found at about 1 - r, where r is the spread (standard deviation) of halves
on that scale: whom a network hardly recognises a few seconds later it loses between cameras. Pairs of tracklets on two
cameras, of which nearly all are strangers, say by how much all distances are larger across these cameras.

Measured with people that were not fitted on, of the same place, expected calibration error of pairs across cameras (of
SARC3D and TownCentre, which have one camera, within it): Torchreid's public OSNet x0.25 3DPeS 4 %, CAVIAR4REID 8, PKU
8, SARC3D 7, TownCentre 5, Market-1501 2; three bundled networks 2 to 15, mean over all 22 pairs of network and place
7.5 (`Calibration.unknown`: 25.7). What it says is of that place: the fit of one place on people of another was off by 2
to 35 %, worst on CAVIAR4REID, whose second camera is far from everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.calibrate import Calibration

WIDENING = 1.25
"""How many times the variance of strangers is assumed, for what footage of one place does not show."""

LEAST_ACROSS, MOST_ACROSS = 0.1, 0.9
"""Bounds of where one person on two cameras lies on the scale from strangers (0) to halves of one tracklet (1)."""

LEAST_PAIRS = 30
LEAST_TRACKLETS = 5
"""So many negative pairs, and of halves, each from so many tracklets, before anything is fitted."""

MOST_LOG_ODDS = 5.0
"""No distance makes it surer than that: footage of one place has not shown everything."""


@dataclass(frozen=True, slots=True)
class FootageSample:
    """Distances (1 - cosine) of centred unit vectors, seen in footage.

    strangers: (A,) of crops of people in view together. halves: (B,) of early and late crops of one tracklet.
    across: (C,) of crops on two cameras, whosoever; C may be 0. strangers_from, halves_from: how many tracklets they
    are of.
    """

    negatives: NDArray[np.floating[Any]]
    halves: NDArray[np.floating[Any]]
    across: NDArray[np.floating[Any]]
    negatives_from: int
    halves_from: int


def fit_on_footage(sample: FootageSample, calibration: Calibration) -> Calibration:
    """Return the calibration of a network with a curve fitted on footage without names; its centre is kept.

    Raises InputError if the footage shows too few people, or if the network does not tell them apart.
    """
    for what, pairs, tracklets in (
        ("people in view together", sample.negatives, sample.negatives_from),
        ("people followed for long enough to compare early and late pictures", sample.halves, sample.halves_from),
    ):
        if len(pairs) < LEAST_PAIRS or tracklets < LEAST_TRACKLETS:
            raise InputError(
                f"too few {what}: {len(pairs)} pairs of pictures of {tracklets} tracklets, and {LEAST_PAIRS} of "
                f"{LEAST_TRACKLETS} are the least; give more runs, or footage of a busier time"
            )
    negatives, halves = float(np.mean(sample.negatives)), float(np.mean(sample.halves))
    scale = negatives - halves
    if scale <= 0:
        raise InputError(
            f"this network finds people in view together more alike ({negatives:.3f}) than one person with himself "
            f"({halves:.3f}); does it get its pictures as it was trained to?"
        )
    across = np.clip(1 - float(np.std(sample.halves)) / scale, LEAST_ACROSS, MOST_ACROSS)
    elsewhere = sample.across if len(sample.across) >= LEAST_PAIRS else sample.negatives
    # Strangers met are of one camera or of two; which, nobody knows beforehand.
    both = (negatives + float(np.mean(elsewhere))) / 2
    # Cameras can differ by more than people do; then distances say next to nothing, but never the opposite.
    same = min(float(np.mean(elsewhere)) - across * scale, both - LEAST_ACROSS * scale)
    variance = (float(np.var(sample.negatives)) + float(np.var(elsewhere))) / 2 + (negatives - both) ** 2
    distances = np.linspace(0, 2, 401)
    log_odds = (both - same) / (WIDENING * max(variance, 1e-6)) * ((both + same) / 2 - distances)
    log_odds = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    probabilities = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
    return replace(calibration, distances=distances.astype(np.float32), probabilities=probabilities)
