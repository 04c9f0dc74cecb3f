"""Carrying a track beyond its boxes: whoever walks on is inside, and what was seen stays as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.track.carrying import carried_boxes


def walk(moments: np.ndarray, speed: float, fps_error: float = 0.0) -> np.ndarray:
    lefts = 200 + speed * moments + fps_error * np.sin(40 * moments)
    return np.stack([lefts, 0 * lefts + 100, lefts + 30, 0 * lefts + 180], axis=1)


@given(st.floats(-140, 140), st.floats(0, 2), st.integers(2, 40))
def test_whoever_walks_on_is_inside(speed: float, jitter: float, count: int) -> None:
    times = 5 + np.arange(count) / 12.5
    moments = np.arange(4.0, times[-1] + 1.0, 0.04)
    found = carried_boxes(times, walk(times, speed, jitter if count > 6 else 0.0), moments)
    true = walk(moments, speed)
    outside = (moments < times[0]) | (moments > times[-1])
    slack = 3 * jitter + 0.01
    assert (found[outside, :2] <= true[outside, :2] + slack).all()
    assert (found[outside, 2:] >= true[outside, 2:] - slack).all()
    assert (found[outside, 2] - found[outside, 0] <= 30 + 2 * 0.25 * 80 * 1.05 + 0.1).all(), "and not much more"


@given(arrays(np.float64, (7, 4), elements=st.floats(0, 1000)), st.integers(1, 7))
def test_boxes_that_were_seen_stay(boxes: np.ndarray, count: int) -> None:
    times = np.sort(np.array([0.0, 0.1, 0.1, 0.5, 2.0, 2.1, 4.0])[:count])
    known = np.unique(times, return_index=True)[1]
    at = carried_boxes(times, boxes[:count], times[known])
    assert np.isfinite(at).all()
    alone = [row for row in known if (times == times[row]).sum() == 1]
    np.testing.assert_allclose(
        carried_boxes(times, boxes[:count], times[alone]), boxes[alone].astype(np.float32), rtol=1e-5, atol=1e-3
    )


def test_somebody_who_was_seen_once_is_looked_for_around() -> None:
    box = np.array([[100.0, 100, 130, 180]])
    found = carried_boxes(np.array([1.0]), box, np.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(found, [[90, 90, 140, 190], [100, 100, 130, 180], [80, 80, 150, 200]])
