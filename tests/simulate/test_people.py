"""What the people of a scene do, without drawing them."""

from __future__ import annotations

import numpy as np
import pytest

from app.config import SimulateSettings
from app.simulate.looks import look_of
from app.simulate.people import STEP_S, People
from app.simulate.plan import make_plan


def people_of(seed: int = 0, count: int = 8, **changes: object) -> People:
    settings = SimulateSettings.model_validate({"seed": seed, "people": count, **changes})
    looks = [look_of(seed, number + 1, False) for number in range(count)]
    return People(make_plan(settings), looks, seed, settings.mean_away_s, settings.mean_stop_s)


@pytest.mark.parametrize("overlap", [False, True])
def test_what_happens_does_not_depend_on_when_it_is_looked_at(overlap: bool) -> None:
    often, seldom = people_of(overlap=overlap), people_of(overlap=overlap)
    for step in range(1, 61):
        seen = often.at(step / 7)
    late = seldom.at(60 / 7)
    np.testing.assert_array_equal(seen.floor, late.floor)
    np.testing.assert_array_equal(seen.present, late.present)
    np.testing.assert_array_equal(seen.poses, late.poses)


@pytest.mark.parametrize("overlap", [False, True])
def test_nobody_moves_faster_than_a_person_can_also_while_away(overlap: bool) -> None:
    people = people_of(overlap=overlap)
    last: dict[int, tuple[float, np.ndarray]] = {}
    for step in range(60 * 10):
        time_s = step * 0.1
        crowd = people.at(time_s)
        for person in np.flatnonzero(crowd.present):
            if person in last:
                before_s, before = last[person]
                distance = np.linalg.norm(crowd.floor[person] - before)
                assert distance <= 1.9 * (time_s - before_s) + 0.15
            last[person] = (time_s, crowd.floor[person])


def test_people_walk_at_a_natural_speed_and_also_stand() -> None:
    people = people_of()
    speeds = []
    for step in range(60 * 5):
        crowd = people.at(step * 0.2)
        speeds.append(np.linalg.norm(people.velocity[crowd.present], axis=1))
    speed = np.concatenate(speeds)
    assert 1.0 < np.median(speed[speed > 0.3]) < 1.6
    assert 0.05 < np.mean(speed < 0.1) < 0.6


def test_people_leave_and_come_back() -> None:
    people = people_of()
    present = np.array([people.at(step * 0.5).present for step in range(120)])
    returns = np.sum(~present[:-1] & present[1:], axis=0)
    leaves = np.sum(present[:-1] & ~present[1:], axis=0)
    assert returns.sum() >= 4
    assert leaves.sum() >= 4
    assert np.any((leaves >= 1) & (returns >= 1))


def test_people_go_from_one_place_to_another() -> None:
    people = people_of()
    visited = [set() for _ in range(8)]
    for step in range(180):
        crowd = people.at(step * 0.5)
        for person in np.flatnonzero(crowd.present):
            for area, (x0, _, x1, _) in enumerate(people.plan.areas):
                if x0 < crowd.floor[person, 0] < x1:
                    visited[person].add(area)
    assert sum(places == {0, 1} for places in visited) >= 5


def test_people_seldom_walk_through_each_other() -> None:
    people = people_of(count=10, overlap=True)
    close = total = 0
    for step in range(400):
        crowd = people.at(step * 0.1)
        floor = crowd.floor[crowd.present]
        apart = np.linalg.norm(floor[:, None] - floor[None], axis=2)[np.triu_indices(len(floor), 1)]
        close += int(np.sum(apart < 0.3))
        total += len(apart)
    assert close < 0.01 * total


def test_a_step_is_finer_than_a_picture() -> None:
    people = people_of()
    a, b = people.at(1.01), people.at(1.01 + STEP_S / 2)
    moved = np.linalg.norm(a.floor - b.floor, axis=1)
    assert 0 < moved.max() < 0.06
