"""Rendered pictures and their truth."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from app.config import SimulateSettings
from app.simulate.figure import GAIT_PHASES
from app.simulate.people import Crowd
from app.simulate.scene import Scene, View, _Studio


def tiny(**changes: object) -> SimulateSettings:
    small = {"width_px": 192, "height_px": 108, "fps": 4.0, "people": 4, "seconds": 3.0, "seed": 5}
    return SimulateSettings.model_validate({**small, **changes})


def crowd_at(*places: tuple[float, float], heading: float = -np.pi / 2) -> Crowd:
    count = len(places)
    return Crowd(
        floor=np.array(places),
        heading=np.full(count, heading),
        poses=np.full(count, GAIT_PHASES),
        present=np.ones(count, np.bool_),
    )


@pytest.fixture(scope="module")
def stage() -> Scene:
    """One camera with a clear picture, to place people before by hand."""
    return Scene(tiny(cameras=1, people=3, noise_level=0.0, colour_shift=0.0, width_px=320, height_px=180))


def show(scene: Scene, crowd: Crowd) -> View:
    return scene._studios[0].view(0, 0.0, crowd)


def middle(scene: Scene) -> tuple[float, float]:
    """A free place on the floor in the middle of the picture."""
    x = float(scene.cameras[0].position[0])
    return x, 2.0


def test_same_seed_gives_the_same_pictures_however_long_the_recording() -> None:
    once = list(islice(Scene(tiny()).views(3.0), 16))
    again = list(islice(Scene(tiny(seconds=500.0)).views(None), 16))
    for a, b in zip(once, again, strict=True):
        assert (a.camera.name, a.index) == (b.camera.name, b.index)
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.person_ids, b.person_ids)


def test_another_seed_gives_other_pictures() -> None:
    a, b = (next(Scene(tiny(seed=seed)).views()) for seed in (1, 2))
    assert np.mean(a.image != b.image) > 0.5


def test_a_camera_repeats_its_background_up_to_noise(stage: Scene) -> None:
    nobody = Crowd(np.zeros((3, 2)), np.zeros(3), np.zeros(3, np.int64), np.zeros(3, np.bool_))
    first, later = (stage._studios[0].view(index, index / 4, nobody) for index in (0, 9))
    assert len(first.person_ids) == 0
    assert np.abs(first.image.astype(int) - later.image).max() <= 6


def test_box_encloses_exactly_the_drawn_pixels(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Studio, "_drop_shadow", lambda *_: None)
    studio = stage._studios[0]
    x, y = middle(stage)
    empty = Crowd(np.zeros((3, 2)), np.zeros(3), np.zeros(3, np.int64), np.zeros(3, np.bool_))
    for place in ((x, y), (x - 0.8, y + 1.0), (x + 1.0, y - 0.5)):
        view = studio.view(0, 0.0, crowd_at(place))
        changed = np.abs(view.image.astype(int) - studio.view(0, 0.0, empty).image).max(axis=2) > 24
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert np.abs(view.boxes[0] - drawn).max() <= 3
        assert view.visibility[0] > 0.97


def test_floor_position_projects_to_the_foot_of_the_box(stage: Scene) -> None:
    x, y = middle(stage)
    for place in ((x, y), (x - 1.5, y + 2.5), (x + 2.0, y + 4.0)):
        view = show(stage, crowd_at(place))
        (foot,), _ = view.camera.project(np.array([[*place, 0.0]]))
        x1, y1, x2, y2 = view.boxes[0]
        assert abs(foot[1] - y2) < 0.06 * (y2 - y1)
        assert abs(foot[0] - (x1 + x2) / 2) < 0.15 * (y2 - y1)
        assert np.allclose(view.floor[0], place)


def test_height_of_the_box_is_the_height_of_the_person(stage: Scene) -> None:
    x, y = middle(stage)
    view = show(stage, crowd_at((x, y)))
    ends, _ = view.camera.project(np.array([[x, y, 0.0], [x, y, stage.looks[0].height_m]]))
    assert view.boxes[0, 3] - view.boxes[0, 1] == pytest.approx(abs(ends[1, 1] - ends[0, 1]), rel=0.08)


def test_visibility_falls_when_somebody_steps_in_front(stage: Scene) -> None:
    x, y = middle(stage)
    alone = show(stage, crowd_at((x, y + 1.6)))
    both = show(stage, crowd_at((x, y + 1.6), (x, y)))
    behind = both.person_ids.tolist().index(1)
    before = both.person_ids.tolist().index(2)
    assert alone.visibility[0] > 0.95
    assert both.visibility[behind] < 0.6
    assert both.visibility[before] > 0.95
    np.testing.assert_array_equal(both.boxes[behind], alone.boxes[0])  # the hidden part belongs to the box


def test_visibility_counts_what_lies_beyond_the_edge(stage: Scene) -> None:
    camera = stage.cameras[0]
    seen = []
    for column in (30.0, 6.0, 0.0):
        x, y, w = np.linalg.inv(camera.floor_to_image) @ [column, 0.7 * camera.height, 1.0]
        view = show(stage, crowd_at((x / w, y / w)))
        seen.append(float(view.visibility[0]))
    assert seen[0] > 0.97
    assert seen[0] > seen[1] + 0.1 > seen[2] + 0.2 > 0.25
    assert view.boxes[0, 0] == 0


def test_people_behind_a_wall_are_not_in_the_truth(stage: Scene) -> None:
    door = stage.plan.doors[0]
    in_the_door = show(stage, crowd_at((door.x, door.y + 0.3)))
    assert in_the_door.visibility.tolist() == pytest.approx([0.9], abs=0.11)
    beside_it = show(stage, crowd_at((door.x + 3.0, door.y + 0.3)))
    assert len(beside_it.person_ids) == 0


def test_without_overlap_nobody_is_seen_by_two_cameras_at_once() -> None:
    scene = Scene(tiny(cameras=3, people=9, fps=2.0, width_px=96, height_px=64))
    sightings = 0
    for tick in scene.frames(30.0):
        ids = np.concatenate([view.person_ids for view in tick])
        assert len(set(ids.tolist())) == len(ids)
        sightings += len(ids)
    assert sightings > 100


def test_with_overlap_cameras_see_the_same_people_at_the_same_place() -> None:
    scene = Scene(tiny(cameras=2, people=6, overlap=True, fps=2.0))
    shared = 0
    for left, right in scene.frames(8.0):
        both = set(left.person_ids.tolist()) & set(right.person_ids.tolist())
        shared += len(both)
        for person in both:
            a = left.floor[left.person_ids.tolist().index(person)]
            b = right.floor[right.person_ids.tolist().index(person)]
            np.testing.assert_allclose(a, b)
    assert shared > 20


def test_cameras_keep_their_own_rate_size_and_start() -> None:
    scene = Scene(tiny(cameras=2, mixed=True, start_spread_s=2.0, fps=10.0))
    views = list(scene.views(2.0))
    first, second = scene.cameras
    assert [v.time_s for v in views] == sorted(v.time_s for v in views)
    assert sum(v.camera is first for v in views) == 20
    assert sum(v.camera is second for v in views) == 16
    assert {v.image.shape for v in views if v.camera is second} == {(86, 154, 3)}
    assert min(v.time_s for v in views if v.camera is second) == second.start_s > 0
    assert second.fps == 8.0


def test_a_tick_has_at_most_one_picture_of_each_camera() -> None:
    scene = Scene(tiny(cameras=3, mixed=True, start_spread_s=1.0, people=0, width_px=96, height_px=64))
    ticks = list(scene.frames(4.0))
    assert all(len({v.camera.name for v in tick}) == len(tick) for tick in ticks)
    assert sum(len(tick) for tick in ticks) == sum(round(4.0 * camera.fps) for camera in scene.cameras)
