"""Calibration for places that a network does not know: left-out places, the file beside the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.errors import InputError
from app.reid.calibrate import UNKNOWN_WEIGHT, Calibration
from app.reid.unseen_places import (
    MOST_ACCEPTED,
    Place,
    fit_for_unseen_places,
    sidecar,
    with_sidecar,
    write_sidecar,
)

PLAIN = Calibration.default(32)


def place(seed: int, shared: float) -> Place:
    """People of whom each picture shares so much with every other of that place."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(30), 4)
    looks, of_place = rng.normal(size=(30, 32)), rng.normal(size=32)
    vectors = shared * of_place + looks[people] + 0.6 * rng.normal(size=(120, 32))
    return Place(f"place{seed}", vectors.astype(np.float32), people, np.tile([0, 0, 1, 1], 30))


PLACES = [place(1, 0.2), place(2, 0.6), place(3, 1.0), place(4, 1.6)]


def accepted(calibration: Calibration, one: Place) -> float:
    """The share of strangers with P >= 0.5 of a stranger's prior."""
    unit = one.vectors / np.linalg.norm(one.vectors, axis=1, keepdims=True)
    rows, columns = np.triu_indices(len(unit), 1)
    apart = one.person_ids[rows] != one.person_ids[columns]
    p = calibration.probability(1 - (unit @ unit.T)[rows[apart], columns[apart]])
    return float((p / (1 - p) >= UNKNOWN_WEIGHT).mean())


@pytest.mark.parametrize("left_out", range(4))
def test_strangers_of_a_place_that_was_not_fitted_are_not_taken_for_one_person(left_out: int) -> None:
    fitted = fit_for_unseen_places([one for number, one in enumerate(PLACES) if number != left_out], PLAIN)
    all_places = fit_for_unseen_places(PLACES, PLAIN)
    assert all(one.strangers <= MOST_ACCEPTED for one in (*fitted.left_out.values(), *all_places.left_out.values()))
    assert accepted(all_places.calibration, PLACES[left_out]) <= 1.5 * MOST_ACCEPTED
    assert 0 < all_places.flattening <= 1
    assert (
        all_places.calibration.probability(np.array([0.0])) > 0.5 > all_places.calibration.probability(np.array([1.9]))
    )


def test_places_are_needed_and_their_pairs() -> None:
    with pytest.raises(InputError, match="3 places"):
        fit_for_unseen_places(PLACES[:2], PLAIN)
    alone = Place("alone", PLACES[0].vectors[:4], np.zeros(4, np.int64), np.arange(4))
    with pytest.raises(InputError, match="alone: needs two pictures"):
        fit_for_unseen_places([*PLACES, alone], PLAIN)


def test_the_file_beside_the_weights_is_used_for_those_weights_only(tmp_path: Path) -> None:
    weights = tmp_path / "net.safetensors"
    assert with_sidecar(weights, "abc", PLAIN) is PLAIN
    fit = fit_for_unseen_places(PLACES, PLAIN)
    assert write_sidecar(weights, "abc", fit) == sidecar(weights)
    found = with_sidecar(weights, "abc", PLAIN)
    np.testing.assert_allclose(found.probabilities, fit.calibration.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.distances, fit.calibration.distances, atol=1e-5)
    with pytest.raises(InputError, match=r"of other weights.*calibrate-reid"):
        with_sidecar(weights, "def", PLAIN)
    sidecar(weights).write_text('{"format": "omnitrack-calibration-1", "distances": [NaN, 2], "probabilities": [1, 0]}')
    with pytest.raises(InputError, match=r"not a calibration that can be read.*calibrate-reid"):
        with_sidecar(weights, "abc", PLAIN)
