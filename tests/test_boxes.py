"""Box geometry against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from app import boxes as geometry


def some_boxes(low: int = 0, high: int = 6) -> st.SearchStrategy[NDArray[np.float64]]:
    """(N, 4) boxes x1 y1 x2 y2 of positive size, with N between `low` and `high`."""
    corner = st.integers(-500, 500).map(float)
    side = st.integers(1, 400).map(float)
    box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
    return st.lists(box, min_size=low, max_size=high).map(lambda rows: np.array(rows, float).reshape(-1, 4))


def plain_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@given(some_boxes(), some_boxes())
def test_iou_equals_plain_arithmetic(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    expected = np.array([[plain_iou(x, y) for y in b] for x in a]).reshape(len(a), len(b))
    assert geometry.iou(a, b) == pytest.approx(expected)
    assert np.array_equal(geometry.iou(a, b), geometry.iou(b, a).T)


@given(some_boxes(1))
def test_a_box_overlaps_itself_wholly(a: NDArray[np.float64]) -> None:
    assert np.diag(geometry.iou(a, a)) == pytest.approx(1.0)
    assert np.diag(geometry.coverage(a, a)) == pytest.approx(1.0)


@given(some_boxes())
def test_center_size_is_undone(a: NDArray[np.float64]) -> None:
    assert geometry.from_center_size(geometry.to_center_size(a)) == pytest.approx(a)


@given(some_boxes(), st.integers(1, 300), st.integers(1, 300))
def test_clipped_boxes_lie_in_the_picture(a: NDArray[np.float64], width: int, height: int) -> None:
    cut = geometry.clip(a, width, height)
    assert (cut[:, [0, 2]] >= 0).all()
    assert (cut[:, [0, 2]] <= width).all()
    assert (cut[:, [1, 3]] >= 0).all()
    assert (cut[:, [1, 3]] <= height).all()
    assert geometry.clip(cut, width, height) == pytest.approx(cut)


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)))
def test_no_function_changes_its_input(a: NDArray[np.float32]) -> None:
    before = a.copy()
    geometry.areas(a)
    geometry.iou(a, a)
    geometry.coverage(a, a)
    geometry.clip(a, 50, 50)
    geometry.to_center_size(a)
    assert np.array_equal(a, before)


def test_coverage_is_of_the_first_box() -> None:
    small = np.array([[10.0, 10, 20, 20]])
    large = np.array([[0.0, 0, 20, 100]])
    assert geometry.coverage(small, large)[0, 0] == 1.0
    assert geometry.coverage(large, small)[0, 0] == pytest.approx(100 / 2000)


def test_empty_boxes_overlap_nothing_and_do_not_warn() -> None:
    point = np.array([[5.0, 5, 5, 5]])
    assert geometry.iou(point, point)[0, 0] == 0.0
    assert geometry.iou(np.zeros((0, 4)), point).shape == (0, 1)
