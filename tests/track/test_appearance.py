from __future__ import annotations

import numpy as np

from app.track.appearance import AppearanceBank, typical_vectors


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
