"""What a network's distances mean in places that it has never seen: `main.py calibrate-reid`.

A network spreads the people of the place that it was trained in; in another place strangers look more alike, by how
much nobody knows beforehand. So its curve is fitted on several other places together, each with the same weight, and
is then flattened until it deceives nobody in a place that was left out of the fit: at P >= 0.5 at most 2 % of the
negative pairs of any left-out place are taken for one person, with the prior that `UNKNOWN_WEIGHT` says.
The left-out places choose how flat, so a place that had no say in that may do worse: of six, one had 6 to 13 % with
three networks, the others nearly none.

The result lies beside the weights, in `WEIGHTS.calibration.json`; it is used in the place of the curve inside the file,
which keeps its sha256, so that runs and galleries made with it stay readable.
`app.reid.unlabelled` makes one of footage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.calibrate import BIN_COUNT, UNKNOWN_WEIGHT, Calibration, fit_curve, pair_counts, unit_rows
from app.system.files import write_atomically
from app.system.untrusted import read_json

FORMAT = "omnitrack-calibration-1"
LEAST_PLACES = 3
"""One is left out, and what two say of it differs."""

MOST_ACCEPTED = 0.02
"""Share of a left-out place's negative pairs that may be taken for one person."""

COUNTED_PAIRS = 20_000
"""How many pairs the places together count as: pairs of a place share people, so that many more tell little more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Pictures of the people of one place: (N, D) raw vectors, (N,) person_ids and (N,) camera_ids."""

    name: str
    vectors: NDArray[np.float32]
    person_ids: NDArray[np.int64]
    camera_ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a curve fitted on the other places says of a place at P >= 0.5: the share of its negative pairs, and of
    one person, that it takes for one person."""

    strangers: float
    same: float


@dataclass(frozen=True, slots=True)
class GeneralFit:
    """flattening: by what the log-odds of the pooled curve were multiplied, from 0 to 1. left_out: by place."""

    calibration: Calibration
    flattening: float
    left_out: Mapping[str, LeftOut]


@dataclass(frozen=True, slots=True)
class _Spread:
    """Of one place, (BIN_COUNT,) densities over distance: pairs of one person, and strangers."""

    same: NDArray[np.float64]
    strangers: NDArray[np.float64]

    @classmethod
    def of(cls, place: Place, calibration: Calibration) -> _Spread:
        centered = calibration.centered(unit_rows(np.asarray(place.vectors, np.float32)))
        counts = pair_counts(centered, place.person_ids, place.camera_ids)
        # On one camera strangers share light and floor, across cameras they do not: both happen, whatever was counted.
        strangers = [part / part.sum() for part in (counts.negatives_here, counts.negatives_elsewhere) if part.sum()]
        if not strangers or not counts.same.sum():
            raise InputError(f"{place.name}: needs two pictures of one person and pictures of two people at the least")
        return cls(counts.same / counts.same.sum(), np.mean(strangers, axis=0))


def fit_for_unseen_places(places: Sequence[Place], calibration: Calibration) -> GeneralFit:
    """Fit the curve on all places and check it on each of them, left out in turn.

    places: none of them may have been trained on. calibration: of the network; its centre is kept.
    Raises InputError for fewer than `LEAST_PLACES`, or a place without pairs.
    """
    if len(places) < LEAST_PLACES:
        raise InputError(f"a calibration for unseen places needs people of {LEAST_PLACES} places at the least")
    spreads = [_Spread.of(place, calibration) for place in places]
    middles = (np.arange(BIN_COUNT) + 0.5) * (2 / BIN_COUNT)
    others = [_pooled(spreads[:row] + spreads[row + 1 :]) for row in range(len(spreads))]
    found = [np.interp(middles, distances, log_odds) for distances, log_odds in others]

    def accepted(flattening: float) -> list[LeftOut]:
        taken = [flattening * log_odds >= np.log(UNKNOWN_WEIGHT) for log_odds in found]
        return [
            LeftOut(float(spread.strangers[own].sum()), float(spread.same[own].sum()))
            for spread, own in zip(spreads, taken, strict=True)
        ]

    flattening = next(
        value
        for value in (*np.arange(100, 0, -1) / 100, 0.0)
        if all(place.strangers <= MOST_ACCEPTED for place in accepted(float(value)))
    )
    distances, log_odds = _pooled(spreads)
    probabilities = 1 / (1 + np.exp(-flattening * log_odds))
    fitted = replace(calibration, distances=distances, probabilities=probabilities.astype(np.float32))
    names = [place.name for place in places]
    return GeneralFit(fitted, float(flattening), dict(zip(names, accepted(float(flattening)), strict=True)))


def _pooled(spreads: Sequence[_Spread]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return (K,) distances and (K,) log-odds of the curve of several places."""
    same, strangers = (np.mean([getattr(spread, kind) for spread in spreads], axis=0) for kind in ("same", "strangers"))
    distances, probabilities = fit_curve(COUNTED_PAIRS * same, COUNTED_PAIRS * strangers)
    exact = probabilities.astype(np.float64)
    return distances, np.log(exact / (1 - exact))


def sidecar(weights: Path) -> Path:
    """Return the file beside a weight file that holds its calibration for unseen places."""
    return weights.with_name(f"{weights.name}.calibration.json")


def write_sidecar(weights: Path, sha256: str, fit: GeneralFit) -> Path:
    """Write the calibration of a weight file beside it, in one step, and return that file."""
    left_out = {name: asdict(place) for name, place in fit.left_out.items()}
    facts = {"fitted_on": list(fit.left_out), "flattening": fit.flattening, "left_out": left_out}
    return _write(weights, sha256, fit.calibration, facts)


def write_footage_sidecar(weights: Path, sha256: str, fitted: Calibration, facts: Mapping[str, Any]) -> Path:
    """Do the same for a calibration that was fitted on footage without names (`app.reid.unlabelled`); facts: on what,
    as JSON values."""
    return _write(weights, sha256, fitted, {"fitted_on": "footage without names", **facts})


def _write(weights: Path, sha256: str, fitted: Calibration, facts: Mapping[str, Any]) -> Path:
    content = {
        "format": FORMAT,
        "weights_sha256": sha256,
        **facts,
        "distances": [round(float(value), 6) for value in fitted.distances],
        "probabilities": [round(float(value), 6) for value in fitted.probabilities],
    }
    file = sidecar(weights)
    if file.exists() and not _is_calibration(file):
        raise InputError(f"{file}: is there already and no calibration of this program; move it away")
    write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())
    return file


def _is_calibration(file: Path) -> bool:
    try:
        return bool(read_json(file, "a calibration").get("format") == FORMAT)
    except InputError:
        return False


def with_sidecar(weights: Path, sha256: str, calibration: Calibration) -> Calibration:
    """Return the calibration for unseen places that lies beside a weight file; `calibration` where there is none.

    Raises InputError if it is damaged or belongs to other weights.
    """
    file = sidecar(weights)
    if not file.is_file():
        return calibration
    again = f"run main.py calibrate-reid for {weights} again, or delete it"
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        curve = (np.array(content[name], np.float32) for name in ("distances", "probabilities"))
        found = Calibration(calibration.center, *curve)
        if not all(np.isfinite(values).all() for values in (found.distances, found.probabilities)):
            raise ValueError("numbers that are not finite")
        owner = content["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a calibration that can be read ({error}); {again}") from error
    if owner != sha256:
        raise InputError(
            f"{file}: is of other weights (sha256 {str(owner)[:12]}…, the file has {sha256[:12]}…); {again}"
        )
    return found
