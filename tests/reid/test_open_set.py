"""True and false accepts, and galleries that show everyone once, against plain implementations."""

from __future__ import annotations

import numpy as np
import pytest

from app.reid.evaluate import score_vectors, squared_distances, summarise
from app.reid.open_set import DRAWS, RATES, OpenSet, single_shot_ranks


def test_accepted_pairs_are_those_nearer_than_the_first_stranger_too_many() -> None:
    random = np.random.default_rng(0)
    distances = np.round(random.random((30, 400)), 2).astype(np.float32)  # rounded: many ties
    same_person, same_camera = random.random((30, 400)) < 0.1, random.random((30, 400)) < 0.3
    negatives = np.sort(distances[~same_person])
    true_pairs = distances[same_person & ~same_camera]
    collected = OpenSet(len(negatives))
    for start in range(0, 30, 7):
        rows = slice(start, start + 7)
        collected.add(distances[rows], same_person[rows], same_camera[rows])
    for name, rate in RATES.items():
        limit = negatives[int(rate * len(negatives))]
        assert (negatives < limit).mean() <= rate
        assert collected.accepted()[f"TAR_at_FAR_{name}"] == pytest.approx(100 * (true_pairs < limit).mean())


def test_rates_of_vectors_that_part_people_perfectly_and_not_at_all() -> None:
    people = np.repeat(np.arange(1, 21), 2)
    cameras = np.tile([1, 2], 20)
    perfect = np.eye(21, dtype=np.float32)[people]
    scores = score_vectors(perfect, perfect, (people, cameras), (people, cameras), "euclidean")
    assert [scores[f"TAR_at_FAR_{name}"] for name in RATES] == [100.0] * 3
    same = np.ones_like(perfect)
    scores = score_vectors(same, same, (people, cameras), (people, cameras), "euclidean")
    assert [scores[f"TAR_at_FAR_{name}"] for name in RATES] == [0.0] * 3


def test_without_strangers_everybody_is_accepted_and_without_true_pairs_nothing_is_said() -> None:
    alone = OpenSet(0)
    alone.add(np.ones((1, 2), np.float32), np.ones((1, 2), bool), np.zeros((1, 2), bool))
    assert set(alone.accepted().values()) == {100.0}
    assert OpenSet(5).accepted() == {}


def test_single_shot_places_are_those_of_single_galleries() -> None:
    """Where everyone has one gallery picture on the other camera, every draw is the plain ranking."""
    random = np.random.default_rng(1)
    query, gallery = (random.normal(size=(20, 4)).astype(np.float32) for _ in range(2))
    people, there, here = np.arange(1, 21), np.ones(20, np.int64), np.full(20, 2)
    ranks = single_shot_ranks(squared_distances(query, gallery), (people, here), (people, there), seed=0)
    assert len(ranks) == 20 * DRAWS
    plain = score_vectors(query, gallery, (people, here), (people, there), "euclidean")
    averaged = summarise(ranks)
    for name, value in averaged.items():
        assert plain[name] == pytest.approx(value)


def test_single_shot_averages_over_the_pictures_of_a_person() -> None:
    """One query; its person has a near and a far picture, a stranger has one in between, the own camera counts not."""
    distances = np.array([[0.1, 0.9, 0.5, 0.0, 0.2]], np.float32)
    gallery = (np.array([1, 1, 2, 1, 0]), np.array([2, 2, 2, 1, 2]))  # the last one is a distractor
    ranks = single_shot_ranks([distances], (np.array([1]), np.array([1])), gallery, seed=3)
    places = np.concatenate(ranks)
    assert set(places.tolist()) == {1, 3}
    assert 0.3 < (places == 1).mean() < 0.7
    again, other = (single_shot_ranks([distances], (np.array([1]), np.array([1])), gallery, seed) for seed in (3, 4))
    assert np.concatenate(again).tolist() == places.tolist() != np.concatenate(other).tolist()


def test_single_shot_leaves_out_who_is_seen_by_one_camera_only() -> None:
    distances = np.ones((2, 2), np.float32)
    gallery = (np.array([1, 2]), np.array([1, 2]))
    ranks = single_shot_ranks([distances], (np.array([1, 2]), np.array([1, 1])), gallery, seed=0)
    assert len(ranks) == DRAWS
