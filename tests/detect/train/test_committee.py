"""Which boxes of several detectors make a person, and which are left open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.detect.train.committee import Answers, fuse, judge

VOICES = np.array([0, 0, 1, 1, 2, 2])
"""Three detectors, two looks each."""
A = (10.0, 10.0, 30.0, 70.0)
B = (100.0, 10.0, 120.0, 70.0)


def answers(*rows: tuple[tuple[float, ...], float, int]) -> Answers:
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Answers(boxes, scores, np.array([look for _, _, look in rows], np.int64))


@pytest.mark.parametrize(
    ("rows", "people", "disputed"),
    [
        ([], 0, 0),
        ([(A, 0.9, 0), (A, 0.8, 2)], 1, 0),  # two voices
        ([(A, 0.9, 0), (A, 0.9, 1)], 0, 1),  # one voice, twice
        ([(A, 0.9, 0), (A, 0.1, 2)], 0, 1),  # the second one hardly
        ([(A, 0.3, 0), (A, 0.3, 2), (A, 0.3, 4)], 0, 1),  # all of them dimly
        ([(A, 0.5, 1), (A, 0.4, 5)], 1, 0),  # the best look of each counts
        ([(A, 0.1, 0), (A, 0.1, 2)], 0, 0),  # nobody
        ([(A, 0.9, 0), (A, 0.8, 2), (B, 0.7, 4)], 1, 1),
    ],
)
def test_who_is_a_person(rows: list[tuple[tuple[float, ...], float, int]], people: int, disputed: int) -> None:
    verdict = judge(answers(*rows), VOICES)
    assert (len(verdict.people), len(verdict.disputed)) == (people, disputed)
    assert len(verdict.scores) == people


def test_people_come_best_first_with_the_mean_score_of_the_two_surest_voices() -> None:
    verdict = judge(answers((A, 0.6, 0), (A, 0.5, 2), (A, 0.1, 4), (B, 0.9, 0), (B, 0.8, 3)), VOICES)
    np.testing.assert_allclose(verdict.people, [B, A])
    np.testing.assert_allclose(verdict.scores, [0.85, 0.55])


def test_one_detector_alone_decides_alone() -> None:
    assert len(judge(answers((A, 0.9, 0)), np.array([0])).people) == 1


def test_another_opinion_on_a_sure_persons_edges_is_not_disputed() -> None:
    waist_up = (10.0, 10.0, 30.0, 40.0)  # overlaps by half
    verdict = judge(answers((A, 0.9, 0), (A, 0.8, 2), (waist_up, 0.6, 4)), VOICES)
    assert (len(verdict.people), len(verdict.disputed)) == (1, 0)


def test_fused_boxes_lie_nearer_to_the_surer_ones() -> None:
    ((mean, rows),) = fuse(np.array([[0, 0, 20, 40], [4, 0, 24, 40]], np.float32), np.array([0.9, 0.3], np.float32))
    np.testing.assert_allclose(mean, [1, 0, 21, 40])
    assert rows.tolist() == [0, 1]


@given(st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_every_box_belongs_to_one_person(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (count, 2))], axis=1).astype(np.float32)
    groups = fuse(boxes, random.uniform(0.05, 1, count).astype(np.float32))
    assert sorted(row for _, rows in groups for row in rows) == list(range(count))
    for mean, rows in groups:
        assert (mean >= boxes[rows].min(axis=0) - 1e-3).all()
        assert (mean <= boxes[rows].max(axis=0) + 1e-3).all()
