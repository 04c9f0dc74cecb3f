from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.boxes import iou
from app.track.costs import association_cost, box_similarity, crop_qualities, height_overlap, reach_heights


def random_boxes(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 60, (count, 2))], axis=1)


def test_height_overlap_by_hand() -> None:
    tracks = np.array([[0.0, 0, 10, 100]])
    detections = np.array([[500.0, 0, 510, 100], [0, 50, 10, 150], [0, 200, 10, 300], [0, 25, 10, 75]])
    np.testing.assert_allclose(height_overlap(tracks, detections), [[1.0, 50 / 150, 0.0, 0.5]])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(0, 5), count=st.integers(0, 5), power=st.floats(0, 3))
def test_similarity_is_a_share_of_the_iou(seed: int, tracks: int, count: int, power: float) -> None:
    a, b = random_boxes(seed, tracks), random_boxes(seed + 1, count)
    similarity = box_similarity(iou(a, b), a, b, power)
    assert similarity.shape == (tracks, count)
    assert similarity.dtype == np.float64
    assert (similarity >= 0).all()
    assert (similarity <= iou(a, b) + 1e-12).all()
    np.testing.assert_allclose(box_similarity(iou(a, a), a, a, power).diagonal(), 1.0)


def test_association_cost_gates_place_and_weighs_looks() -> None:
    similarity = np.array([[0.8, 0.05, 0.4]])
    appearance = np.array([[0.0, 0.5, -0.5]])
    costs = association_cost(similarity, appearance, 0.1)
    assert costs[0, [0, 2]] == pytest.approx([0.2, 1.1])
    assert costs[0, 1] == np.inf  # looks never bring a pair into reach


def test_reach_is_measured_in_own_heights() -> None:
    distances = reach_heights(
        np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([10.0, 100.0]), np.array([[29.0, 39, 31, 41]])
    )
    np.testing.assert_allclose(distances, [[5.0], [0.5]])


def test_crop_quality_falls_with_what_a_nearer_person_hides() -> None:
    boxes = np.array([[0, 0, 10, 100], [5, 20, 15, 120], [200, 0, 210, 100]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    hidden = 0.5 * 0.8  # of the first box, by the second, whose feet are lower
    assert crop_qualities(boxes, scores) == pytest.approx([0.9 * (1 - hidden) ** 2, 0.8, 0.7])
    assert crop_qualities(boxes[:0], scores[:0]).shape == (0,)
