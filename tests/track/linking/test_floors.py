"""Shared floors: homographies between views, whether there is one at all, and what they say about clocks."""

from __future__ import annotations

import numpy as np
import pytest

from app.config import CameraPlace
from app.errors import InputError
from app.track.linking.floors import (
    FootPath,
    Resampled,
    calibrations,
    errors,
    fit_homography,
    fit_shared_floor,
    held_out_error,
    mapped,
    refined_shift,
    sightings,
)

TO_A = np.array([[40.0, 8.0, 100.0], [2.0, 12.0, 120.0], [0.0, 0.03, 1.0]])
TO_B = np.array([[-30.0, 14.0, 500.0], [3.0, -16.0, 400.0], [0.002, -0.02, 1.1]])
"""Homographies from the floor, 12 by 10 metres, to the pictures of two cameras."""


def crossing(seed: int, count: int, shift_s: float = 0.0, noise: float = 1.0) -> list[tuple[FootPath, FootPath]]:
    """People who cross the floor on straight ways, seen by both cameras; b's clock is `shift_s` ahead."""
    rng = np.random.default_rng(seed)
    links = []
    for number in range(count):
        times = 10.0 * number + np.arange(0, 8, 0.25)
        start, end = rng.uniform((0, 0), (12, 10)), rng.uniform((0, 0), (12, 10))
        floor = start + (end - start) * np.linspace(0, 1, len(times))[:, None]
        heights = np.full(len(times), 80.0)
        a, b = (mapped(to, floor) + rng.normal(0, noise, floor.shape) for to in (TO_A, TO_B))
        links.append((FootPath(times, a, heights), FootPath(times + shift_s, b, heights)))
    return links


def test_homography_is_recovered_from_points() -> None:
    points = np.random.default_rng(0).uniform((0, 0), (12, 10), (9, 2))
    found = fit_homography(mapped(TO_A, points), mapped(TO_B, points))
    np.testing.assert_allclose(mapped(found, mapped(TO_A, points)), mapped(TO_B, points), atol=1e-5)


def test_a_shared_floor_is_found_among_wrong_links() -> None:
    links = crossing(0, 10)
    wrong = [(a, b) for (a, _), (_, b) in zip(links[:3], crossing(5, 3), strict=True)]
    homography = fit_shared_floor(sightings([*links[3:], *wrong], 0.0), np.random.default_rng(0))
    assert homography is not None
    assert np.median(errors(homography, sightings(links, 0.0))) < 0.05


def test_links_not_seen_tell_a_shared_floor_from_none() -> None:
    rng = np.random.default_rng(0)
    assert held_out_error(sightings(crossing(1, 8), 0.0), rng) < 0.08
    strangers = [(a, b) for (a, _), (_, b) in zip(crossing(1, 8), crossing(2, 8), strict=True)]
    assert held_out_error(sightings(strangers, 0.0), rng) > 0.5
    assert fit_shared_floor(sightings(crossing(1, 1), 0.0), rng) is None


@pytest.mark.parametrize("shift_s", [0.0, -0.7, 0.3])
def test_walkers_tell_the_rest_of_the_shift(shift_s: float) -> None:
    homography = fit_shared_floor(sightings(crossing(3, 10), 0.0), np.random.default_rng(0))
    assert homography is not None
    change, uncertainty = refined_shift(homography, crossing(3, 10, shift_s), 0.0)
    assert change == pytest.approx(shift_s, abs=0.1)
    assert uncertainty < 0.1


def test_paths_are_compared_at_the_same_true_instants() -> None:
    times = np.arange(0, 10, 0.3)
    feet = np.column_stack([10 * times, times])
    early, late = FootPath(times, feet, np.ones(len(times))), FootPath(times + 5, feet, np.ones(len(times)))
    paths = Resampled.of([early, late, FootPath(times + 50, feet, np.ones(len(times)))], np.array([0.0, 2.0, 0.0]))
    one, other = paths.together(np.array([0, 0]), np.array([1, 2]), 4)
    # The second path's clock is 2 s ahead, so that its person is 3 s behind the first one, 30 pixels.
    np.testing.assert_allclose(paths.feet[one[0]] - paths.feet[other[0]], np.tile([30.0, 3.0], (4, 1)), atol=1e-9)
    assert (one[1] == -1).all()


def test_nothing_is_interpolated_over_a_long_hole() -> None:
    path = FootPath(np.array([0.0, 0.4, 5.0]), np.zeros((3, 2)), np.ones(3))
    assert path.at(np.array([-1.0, 0.2, 2.0, 5.0]))[2].tolist() == [False, True, False, False]


def test_calibration_from_four_points_or_a_matrix() -> None:
    floor = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 8.0], [0.0, 8.0]])
    points = np.column_stack([mapped(TO_A, floor), floor]).tolist()
    matrix = np.linalg.inv(TO_B).tolist()
    found = calibrations(
        {"a": CameraPlace(floor_points=points), "b": CameraPlace(image_to_floor=matrix), "c": CameraPlace()}
    )
    assert sorted(found) == ["a", "b"]
    middle = np.array([[4.0, 3.0]])
    np.testing.assert_allclose(mapped(found["a"], mapped(TO_A, middle)), middle, atol=1e-6)
    np.testing.assert_allclose(mapped(found["b"], mapped(TO_B, middle)), middle, atol=1e-6)


@pytest.mark.parametrize(
    "points", [[[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]], [[5, 5, float(n), 0.0] for n in range(4)]]
)
def test_points_on_a_line_are_no_calibration(points: list[list[float]]) -> None:
    with pytest.raises(InputError, match=r"link\.cameras\.door.*no three lie on a line"):
        calibrations({"door": CameraPlace.model_validate({"floor_points": points})})
