"""Calibration from footage without names: honest across cameras, though all that it saw was within one."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import InputError
from app.reid.calibrate import Calibration, expected_calibration_error
from app.reid.unlabelled import FootageSample, fit_on_footage

DIMENSION, PEOPLE = 32, 60


def people(seed: int, looks: float, common: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of people on two cameras, four pictures on each: (N, D), who, where. looks: how much people differ."""
    random = np.random.default_rng(seed)
    who, where = np.repeat(np.arange(PEOPLE), 8), np.tile([0, 0, 0, 0, 1, 1, 1, 1], PEOPLE)
    shared = common * np.ones(DIMENSION) / np.sqrt(DIMENSION)  # all lie in one corner, as after a ReLU
    person = looks * random.normal(size=(PEOPLE, DIMENSION)) / np.sqrt(DIMENSION)
    view = 0.55 * random.normal(size=(PEOPLE, 2, DIMENSION)) / np.sqrt(DIMENSION)
    noise = 0.35 * random.normal(size=(len(who), DIMENSION)) / np.sqrt(DIMENSION)
    return (shared + person[who] + view[who, where] + noise).astype(np.float32), who, where


def sample(vectors: np.ndarray, who: np.ndarray, where: np.ndarray) -> FootageSample:
    """What a tracker could say of camera 0: pictures of one tracklet, and of two people in view together."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances, same = 1 - unit @ unit.T, who[:, None] == who
    here, upper = where[:, None] == where, np.triu(np.ones_like(same), 1).astype(bool)
    kinds = (upper & here & ~same, upper & here & same, upper & ~here)
    return FootageSample(*(distances[kind] for kind in kinds), PEOPLE, PEOPLE)


@pytest.mark.parametrize("looks", [0.8, 1.2, 2.0])
def test_it_is_honest_about_other_people_on_two_cameras(looks: float) -> None:
    plain = Calibration.unknown(DIMENSION)
    fitted = fit_on_footage(sample(*people(1, looks)), plain)
    held_out = people(2, looks)
    assert expected_calibration_error(fitted, *held_out) <= 0.08
    assert expected_calibration_error(fitted, *held_out) < expected_calibration_error(plain, *held_out)
    assert 0.5 < fitted.probability(np.array([0.0]))[0] <= 0.994
    np.testing.assert_array_equal(fitted.center, plain.center)


def test_too_little_footage_and_a_network_that_sees_nothing_are_said() -> None:
    plain, seen = Calibration.unknown(DIMENSION), sample(*people(1, 1.0))
    with pytest.raises(InputError, match="too few people in view together: 10 pairs"):
        fit_on_footage(FootageSample(seen.negatives[:10], seen.halves, seen.across, 4, 60), plain)
    with pytest.raises(InputError, match=r"too few people followed for long enough.*of 2 tracklets"):
        fit_on_footage(FootageSample(seen.negatives, seen.halves, seen.across, 60, 2), plain)
    with pytest.raises(InputError, match=r"more alike .* than one person with himself"):
        fit_on_footage(FootageSample(seen.halves, seen.negatives, seen.across, 60, 60), plain)
