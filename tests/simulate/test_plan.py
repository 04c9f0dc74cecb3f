"""Floor plans and cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import SimulateSettings
from app.simulate.cameras import aimed
from app.simulate.plan import WALK_DEPTH_M, make_plan


@given(
    st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(1, 8)),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 0.9)),
)
def test_a_camera_looks_at_its_target(position: tuple[float, ...], target: tuple[float, ...]) -> None:
    if np.hypot(position[0] - target[0], position[1] - target[1]) < 0.5:
        return
    K, R, t = aimed(np.array(position), np.array(target), 500.0, 640, 360)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1)
    seen = K @ (R @ np.array(target) + t)
    np.testing.assert_allclose(seen[:2] / seen[2], [320, 180], atol=1e-6)
    above = K @ (R @ (np.array(target) + np.array([0, 0, 0.5])) + t)
    assert above[1] / above[2] < 180  # up in the world is up in the picture


@pytest.mark.parametrize("overlap", [False, True])
def test_the_floor_homography_agrees_with_the_projection(overlap: bool) -> None:
    for camera in make_plan(SimulateSettings(cameras=3, overlap=overlap, seed=4)).cameras:
        floor = camera.position[:2] + np.array([[0.5, 6.0], [-1.0, 8.0], [2.0, 9.0]])
        pixels, depth = camera.project(np.column_stack([floor, np.zeros(3)]))
        mapped = np.column_stack([floor, np.ones(3)]) @ camera.floor_to_image.T
        np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], pixels)
        np.testing.assert_allclose(mapped[:, 2], depth)


@pytest.mark.parametrize("gap_m", [1.0, 12.0])
@pytest.mark.parametrize("seed", range(4))
def test_views_of_a_street_lie_apart_by_the_gap(seed: int, gap_m: float) -> None:
    plan = make_plan(SimulateSettings(cameras=4, seed=seed, gap_m=gap_m))
    for (_, _, end, _), (start, _, _, _) in zip(plan.areas, plan.areas[1:], strict=False):
        assert start - end == pytest.approx(gap_m)
    for (x0, _, x1, _), camera in zip(plan.areas, plan.cameras, strict=True):
        corners = np.array([[x, y, z] for x in (x0, x1) for y in WALK_DEPTH_M for z in (0.0, 1.9)])
        pixels, depth = camera.project(corners)
        assert np.all((pixels[:, 0] < 0) | (pixels[:, 0] > camera.width) | (depth < 0))


def test_clocks_are_wrong_by_no_more_than_asked_and_the_first_is_right() -> None:
    plan = make_plan(SimulateSettings(cameras=8, clock_offset_s=3.0, start_spread_s=2.0))
    offsets = [camera.clock_offset_s for camera in plan.cameras]
    assert offsets[0] == 0
    assert all(0 < abs(offset) <= 3 for offset in offsets[1:])
    assert min(offsets) < 0 < max(offsets)
    assert all(0 <= camera.start_s <= 2 for camera in plan.cameras)
    right = make_plan(SimulateSettings(cameras=8))
    assert all(camera.clock_offset_s == camera.start_s == 0 for camera in right.cameras)


def test_cameras_see_colours_differently_unless_told_not_to() -> None:
    shifted = make_plan(SimulateSettings(cameras=2, seed=1)).cameras
    assert np.abs(shifted[0].colour_table().astype(int) - shifted[1].colour_table()).max() > 5
    for camera in make_plan(SimulateSettings(cameras=2, seed=1, colour_shift=0.0)).cameras:
        np.testing.assert_array_equal(camera.colour_table()[:, 0], np.arange(256)[:, None].repeat(3, axis=1))
