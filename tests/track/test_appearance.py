from __future__ import annotations

import numpy as np
import pytest

from app.reid.calibrate import Calibration
from app.track.appearance import MOST_PEOPLE, AppearanceBank, FootageAppearance, typical_noises, typical_vectors
from app.track.likeness import CENTER_SHRINKAGE

DIMENSION = 64
GULLIBLE = Calibration(
    np.zeros(DIMENSION, np.float32), np.array([0.6, 0.9], np.float32), np.array([0.99, 0.01], np.float32)
)
"""Made elsewhere: takes a cosine of 0.4 for one person."""


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def add(bank: AppearanceBank, row: int, vector: np.ndarray, quality: float, time: float) -> None:
    bank.add(np.array([row]), vector[None].astype(np.float32), np.array([quality]), time)


def test_one_bad_crop_is_outvoted() -> None:
    bank = AppearanceBank(3, 5)
    bank.extend(1)
    for time in range(4):
        add(bank, 0, unit(1, 0.1, 0), 0.5, time)
    before = bank.typical[0].copy()
    add(bank, 0, unit(0, 0, 1), 0.9, 4.0)  # somebody else, and a better picture
    assert bank.typical[0] @ before > 0.99
    assert bank.counts.tolist() == [5]


def test_noise_is_how_much_two_means_of_a_tracks_crops_differ() -> None:
    rng = np.random.default_rng(0)
    look = rng.normal(size=(400, 1, DIMENSION))
    crops = look + 0.5 * rng.normal(size=(400, 10, DIMENSION))
    banks = (crops / np.linalg.norm(crops, axis=2, keepdims=True)).astype(np.float32)
    one, other = typical_vectors(banks[:, :5], np.ones((400, 5))), typical_vectors(banks[:, 5:], np.ones((400, 5)))
    found = typical_noises(banks[:, :5], np.ones((400, 5)))
    assert found.mean() == pytest.approx(1 - (one * other).sum(axis=1).mean(), rel=0.1)
    assert typical_noises(banks[:1, :3], np.array([[0.5, 0, 0]])).tolist() == [0], "one crop tells nothing"
    bank = AppearanceBank(2, 3)
    bank.extend(2)
    for vector in (unit(1, 0), unit(1, 0.2)):
        add(bank, 0, vector, 0.5, 0.0)
    assert bank.noises[0] > 0 == bank.noises[1]
    bank.keep(np.array([1]))
    assert bank.noises.tolist() == [0]


def test_a_full_bank_gives_up_its_poorest_crop() -> None:
    bank = AppearanceBank(2, 2)
    bank.extend(1)
    add(bank, 0, unit(1, 0), 0.2, 0.0)
    add(bank, 0, unit(1, 0), 0.6, 1.0)
    add(bank, 0, unit(0, 1), 0.1, 2.0)  # poorer than both: counted, not kept
    np.testing.assert_allclose(bank.typical[0], [1, 0], atol=1e-6)
    add(bank, 0, unit(0, 1), 0.9, 3.0)
    assert bank.typical[0, 1] > bank.typical[0, 0] > 0
    assert bank.best_quality.tolist() == [np.float32(0.9)]
    assert bank.added_at.tolist() == [3.0]


def test_the_first_vector_does_not_decide_for_ever() -> None:
    bank = AppearanceBank(2, 3)
    bank.extend(1)
    add(bank, 0, unit(0, 1), 0.4, 0.0)
    for time in range(1, 4):
        add(bank, 0, unit(1, 0), 0.5, time)
    np.testing.assert_allclose(bank.typical[0], [1, 0], atol=1e-3)


def test_tracks_are_kept_apart() -> None:
    bank = AppearanceBank(2, 3)
    bank.extend(3)
    bank.add(np.array([0, 2]), np.stack([unit(1, 0), unit(0, 1)]), np.array([0.5, 0.5]), 1.0)
    bank.keep(np.array([False, True, True]))
    assert len(bank) == 2
    np.testing.assert_array_equal(bank.typical, [[0, 0], [0, 1]])
    assert bank.counts.tolist() == [0, 1]


def test_an_empty_bank_has_no_typical_vector() -> None:
    np.testing.assert_array_equal(typical_vectors(np.zeros((2, 3, 4), np.float32), np.zeros((2, 3))), np.zeros((2, 4)))


def crops(of: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(count, D) pictures of one person, a cosine near 0.8 from each other."""
    rng = np.random.default_rng(seed)
    vectors = of + rng.normal(size=(count, DIMENSION)) / np.sqrt(DIMENSION) / 2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def people_of_one_place(count: int, seed: int = 0) -> np.ndarray:
    """(count, D) unit vectors of people that share two thirds of their looks: strangers have a cosine near 0.45."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(count, DIMENSION)) / np.sqrt(DIMENSION)
    shared = rng.normal(size=DIMENSION) / np.sqrt(DIMENSION)
    vectors = 0.67 * shared + 0.74 * own
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_camera_learns_to_tell_its_people_apart() -> None:
    people = people_of_one_place(6)
    camera = FootageAppearance(GULLIBLE, DIMENSION)
    pictures = np.concatenate([crops(person, 1, seed) for seed, person in enumerate(people)])
    same, negatives = np.eye(6, dtype=bool), ~np.eye(6, dtype=bool)
    assert camera.probability(people, pictures)[negatives].mean() > 0.8  # the calibration's own opinion
    for seed in range(10, 30):
        now = np.concatenate([crops(person, 1, seed + 100 * row) for row, person in enumerate(people)])
        camera.negatives.note(people, now, negatives)
        camera.meet(now)
    learned = camera.probability(people, pictures)
    assert learned[same].min() > 0.9
    assert learned[negatives].mean() < 0.1


def test_whoever_comes_alone_again_and_again_stays_recognised() -> None:
    """Were all tracks counted as different people, what they share would be this person's own looks."""
    [person] = people_of_one_place(1)
    camera = FootageAppearance(GULLIBLE, DIMENSION)
    for visit in range(200):
        camera.meet(crops(person, 1, visit))
    assert camera.probability(crops(person, 1, 500), crops(person, 1, 501)).item() > 0.9
    assert camera.probability(person[None], -person[None]).item() < 0.1


def test_likeness_is_that_of_vectors_less_what_the_people_share() -> None:
    people = people_of_one_place(5)
    camera = FootageAppearance(Calibration.default(DIMENSION), DIMENSION)
    camera.negatives.note(people[:1], np.repeat(people[:1], 300, axis=0), np.ones((1, 300), bool))  # no trust is left
    for person in people:
        camera.meet(person[None])
    center = people.sum(axis=0) / (len(people) + CENTER_SHRINKAGE)
    moved = (people - center) / np.linalg.norm(people - center, axis=1, keepdims=True)
    expected = 1 / (1 + np.exp(-14 * (moved @ moved.T - 0.26)))
    np.testing.assert_allclose(camera.probability(people, people), expected, atol=1e-4)


def test_people_known_longest_make_room() -> None:
    rng = np.random.default_rng(0)
    camera = FootageAppearance(GULLIBLE, DIMENSION)
    for _ in range(3 * MOST_PEOPLE):
        vector = rng.normal(size=(1, DIMENSION))
        camera.meet((vector / np.linalg.norm(vector)).astype(np.float32))
    assert len(camera._people) == MOST_PEOPLE


@pytest.mark.parametrize("pairs", [0, 3])
def test_no_strangers_leave_the_calibration_believed(pairs: int) -> None:
    camera, believed = FootageAppearance(GULLIBLE, DIMENSION), FootageAppearance(GULLIBLE, DIMENSION)
    people = people_of_one_place(4)
    camera.meet(people[:1])
    believed.meet(people[:1])
    camera.negatives.note(people, people[:pairs], np.zeros((4, pairs), bool))
    np.testing.assert_array_equal(camera.probability(people, people), believed.probability(people, people))
