"""The wall: places of the cameras, the time, and what is shown of a camera that is silent."""

from __future__ import annotations

import numpy as np
import pytest

from app.runs.render.wall import Wall, WallCamera, grid


@pytest.mark.parametrize(
    ("count", "aspect", "expected"),
    [
        (1, 16 / 9, (1, 1)),
        (2, 4 / 3, (2, 1)),
        (3, 16 / 9, (2, 2)),
        (4, 16 / 9, (2, 2)),
        (6, 4 / 3, (3, 2)),
        (9, 16 / 9, (3, 3)),
        (2, 9 / 16, (2, 1)),
        (4, 9 / 16, (4, 1)),
    ],
)
def test_grid_is_about_16_to_9(count: int, aspect: float, expected: tuple[int, int]) -> None:
    assert grid(count, aspect) == expected


@pytest.mark.parametrize("count", [1, 2, 5, 16, 64])
def test_every_camera_has_a_place_of_its_own(count: int) -> None:
    cameras = [WallCamera(f"c{number}", 320, 240, 10.0) for number in range(count)]
    wall = Wall(cameras, 720)
    for number, camera in enumerate(cameras):
        wall.show(camera.name, np.full((240, 320, 3), 20 + 3 * number, np.uint8), 0.0)
    picture = wall.picture(0.0)
    assert picture.shape == (wall.height, wall.width, 3)
    assert wall.height % 2 == wall.width % 2 == 0
    assert 0.9 * 720 <= wall.height <= 1.05 * 720
    levels, counts = np.unique(picture[..., 0][(picture == picture[..., :1]).all(axis=2)], return_counts=True)
    shown = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    tile = wall.tile_width * wall.tile_height
    assert all(shown[20 + 3 * number] > 0.5 * tile for number in range(count))


def test_silent_cameras_are_dimmed() -> None:
    wall = Wall([WallCamera("a", 320, 240, 10.0), WallCamera("slow", 320, 240, 0.5)], 360)
    light = np.full((240, 320, 3), 200, np.uint8)

    def corner_levels(time: float) -> tuple[int, int]:
        picture = wall.picture(time)
        return int(picture[-10, 10, 0]), int(picture[-10, -10, 0])

    wall.show("a", light, 0.0)
    assert corner_levels(0.0) == (200, pytest.approx(10, abs=12))
    wall.show("slow", light, 0.1)
    assert corner_levels(0.9) == (200, 200)
    assert corner_levels(1.5) == (70, 200), "a is silent after a second, the slow camera after three of its periods"
    assert corner_levels(1.6) == (70, 200), "dimmed once"
    wall.show("a", light, 1.7)
    assert corner_levels(1.7) == (200, 200)
    assert corner_levels(7.0) == (70, 70)


def test_time_is_written_above() -> None:
    wall = Wall([WallCamera("a", 320, 240, 10.0)], 360)
    first = wall.picture(1.0).copy()
    second = wall.picture(2.0).copy()
    changed = np.flatnonzero((first != second).any(axis=(1, 2)))
    assert len(changed)
    assert changed.max() < wall.height - wall.tile_height
