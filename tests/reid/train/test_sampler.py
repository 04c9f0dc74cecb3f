"""Batches of P people with K pictures each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InputError
from app.reid.train.sampler import batches_by_set, people_batches, with_pairs, with_unlabelled


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(4, 20), st.integers(2, 4), st.integers(2, 5))
def test_every_batch_has_p_people_with_k_of_their_pictures(seed: int, people: int, per_batch: int, each: int) -> None:
    random = np.random.default_rng(seed)
    ids = random.permutation(np.repeat(np.arange(people), random.integers(2, 12, people)))
    batches = people_batches(ids, per_batch, each, seed, 0)
    assert batches.shape[1] == per_batch * each
    for batch in batches:
        groups = ids[batch].reshape(per_batch, each)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == per_batch


def test_an_epoch_uses_nearly_every_picture_once() -> None:
    ids = np.repeat(np.arange(100), np.random.default_rng(0).integers(2, 40, 100))
    used = people_batches(ids, 8, 4, 0, 0).ravel()
    assert len(np.unique(used)) > 0.85 * len(ids)
    assert 0.9 * len(ids) < len(used) < 1.15 * len(ids)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    ids = np.repeat(np.arange(20), 8)
    first = people_batches(ids, 4, 4, 0, 0)
    np.testing.assert_array_equal(first, people_batches(ids, 4, 4, 0, 0))
    assert (first[0] != people_batches(ids, 4, 4, 0, 1)[0]).any()
    assert (first[0] != people_batches(ids, 4, 4, 1, 0)[0]).any()


def test_too_few_people_is_said() -> None:
    with pytest.raises(InputError, match="people_per_batch"):
        people_batches(np.repeat(np.arange(3), 4), 4, 2, 0, 0)


def test_judged_pairs_follow_each_batch() -> None:
    batches = np.arange(24).reshape(3, 8)
    pairs = np.array([[100, 101], [102, 103], [104, 105]])
    longer = with_pairs(batches, pairs, 2, seed=1, epoch=4)
    np.testing.assert_array_equal(longer[:, :8], batches)
    assert all(pair in pairs.tolist() for pair in longer[:, 8:].reshape(-1, 2).tolist())
    np.testing.assert_array_equal(longer, with_pairs(batches, pairs, 2, seed=1, epoch=4))
    assert longer.tolist() != with_pairs(batches, pairs, 2, seed=1, epoch=5).tolist()
    np.testing.assert_array_equal(with_pairs(batches, pairs[:0], 2, 1, 4), batches)


def test_a_batch_is_of_one_data_set() -> None:
    ids = np.repeat(np.arange(20), 6)
    sets = np.repeat([0, 1], [12, 8])
    batches = batches_by_set(ids, sets, 4, 3, seed=0, epoch=2)
    assert {len(np.unique(sets[ids[batch]])) for batch in batches} == {1}
    assert set(sets[ids[batches[:, 0]]].tolist()) == {0, 1}
    assert (np.diff(sets[ids[batches[:, 0]]]) != 0).sum() > 1  # sets take turns
    np.testing.assert_array_equal(batches, batches_by_set(ids, sets, 4, 3, seed=0, epoch=2))


def test_one_data_set_is_divided_as_ever() -> None:
    ids = np.repeat(np.arange(9), 5)
    np.testing.assert_array_equal(
        batches_by_set(ids, np.zeros(9, np.int64), 4, 2, seed=3, epoch=1), people_batches(ids, 4, 2, seed=3, epoch=1)
    )


def test_pictures_without_names_come_equally_often() -> None:
    batches = np.zeros((10, 8), np.int64)
    more = with_unlabelled(batches, 7, 3, seed=0, epoch=1)
    assert more.shape == (10, 3)
    counts = np.bincount(more.ravel(), minlength=7)
    assert counts.max() - counts.min() <= 1
    assert with_unlabelled(batches, 0, 3, seed=0, epoch=1).shape == (10, 0)
    assert with_unlabelled(batches, 7, 0, seed=0, epoch=1).shape == (10, 0)
