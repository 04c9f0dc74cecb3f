"""Calibration: centring, the isotonic curve, its error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InputError
from app.reid.calibrate import Calibration, expected_calibration_error, fit_calibration, fit_curve


def crops(
    seed: int, people: int = 40, cameras: int = 3, noise: float = 0.8, dimension: int = 32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of people who all look somewhat alike, as ReLU features do: (N, D) raw, (N,) person, (N,) camera."""
    rng = np.random.default_rng(seed)
    persons = np.repeat(np.arange(people), cameras * 2)
    camera = np.tile(np.repeat(np.arange(cameras), 2), people)
    looks = rng.normal(size=(people, dimension))
    vectors = 4 + looks[persons] + noise * rng.normal(size=(len(persons), dimension))
    return vectors.astype(np.float32), persons, camera


def test_strangers_spread_out_once_centred() -> None:
    vectors, persons, cameras = crops(0)
    raw = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    strangers = persons[:, None] != persons[None, :]
    assert (raw @ raw.T)[strangers].mean() > 0.85
    centered = fit_calibration(vectors, persons, cameras).centered(raw)
    assert abs((centered @ centered.T)[strangers].mean()) < 0.05
    np.testing.assert_allclose(np.linalg.norm(centered, axis=1), 1, rtol=1e-5)


def test_probabilities_hold_on_people_that_were_not_fitted() -> None:
    calibration = fit_calibration(*crops(0))
    assert expected_calibration_error(calibration, *crops(1)) < 0.05
    overconfident = Calibration(calibration.center, np.array([0, 2], np.float32), np.array([1, 0.9], np.float32))
    assert expected_calibration_error(overconfident, *crops(1)) > 0.3


def test_only_pairs_of_two_cameras_count_as_the_same_person() -> None:
    vectors, persons, cameras = crops(0, noise=0.5)
    twins = vectors.copy()
    twins[1::2] = twins[::2]  # the second crop of each camera repeats the first: too easy to learn anything from
    pairs_of_one_camera_ignored = fit_calibration(twins, persons, cameras)
    assert pairs_of_one_camera_ignored.distances[0] > 0.01
    every_pair = fit_calibration(twins, persons, np.zeros_like(cameras))
    assert every_pair.distances[0] < 0.01


def test_prior_is_balanced() -> None:
    """A hundred times as many strangers do not change what a distance means."""
    same = np.array([60, 30, 10, 0])
    different = np.array([0, 10, 30, 60])
    few = fit_curve(same, different)
    many = fit_curve(same, different * 100)
    np.testing.assert_allclose(few[1], many[1], atol=0.02)
    assert few[1][0] > 0.9
    assert few[1][-1] < 0.1


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=40))
def test_curve_is_always_a_valid_calibration(counts: list[tuple[int, int]]) -> None:
    table = np.array(counts)
    if not table.any():
        table[0] = 1
    distances, probabilities = fit_curve(table[:, 0], table[:, 1])
    calibration = Calibration(np.zeros(4, np.float32), distances, probabilities)
    stated = calibration.probability(np.linspace(-1, 3, 50))
    assert np.all(np.diff(stated) <= 0)
    assert 0 < stated.min() <= stated.max() < 1


def test_too_few_people_or_pictures() -> None:
    vectors = np.eye(3, dtype=np.float32)
    zeros = np.zeros(3, np.int64)
    with pytest.raises(InputError, match="two pictures of one person"):
        fit_calibration(vectors, zeros, zeros)
    with pytest.raises(InputError, match="two pictures of one person"):
        fit_calibration(vectors, np.arange(3), zeros)


def test_default_curve_of_a_network_without_statistics() -> None:
    calibration = Calibration.default(16)
    raw = np.eye(16, dtype=np.float32)
    np.testing.assert_array_equal(calibration.centered(raw), raw)
    near, middle, far = calibration.probability(np.array([0.1, 0.36, 0.6]))
    assert near > 0.95
    assert middle == pytest.approx(0.5, abs=0.01)
    assert far < 0.05


def test_rising_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Calibration(np.zeros(2, np.float32), np.array([0, 1], np.float32), np.array([0, 1], np.float32))
