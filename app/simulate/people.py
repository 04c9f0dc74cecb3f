"""What the people of a scene do: come, walk between goals, stop, meet, avoid each other, leave and return.

The crowd moves in steps of a twentieth of a second on its own clock, whatever the cameras' rates, and is interpolated
in between; everyone draws from a random stream of their own. So what happens depends on the seed and the plan only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.simulate.figure import GAIT_PHASES, STANDING_POSES
from app.simulate.looks import Look
from app.simulate.plan import WALK_DEPTH_M, Door, Plan

STEP_S = 0.05
PERSONAL_SPACE_M = 0.95
_REACHED_M = 0.3
_DOORSTEP_M = 0.85


@dataclass(frozen=True, slots=True)
class Crowd:
    """Everybody at one time; row i is person i + 1.

    floor: (P, 2) metres.  heading: (P,) radians of the floor plan.  poses: (P,) int64, see `figure.pose_of`.
    present: (P,) bool, False while away or inside a house.
    """

    floor: NDArray[np.float64]
    heading: NDArray[np.float64]
    poses: NDArray[np.int64]
    present: NDArray[np.bool_]


@dataclass(slots=True)
class _Person:
    """The mind of one person: what is left of the way, and what happens at its end."""

    rng: np.random.Generator
    speed_mps: float
    way: deque[tuple[float, float]] = field(default_factory=deque)
    area: int = 0
    leaving: bool = False
    stops: bool = False
    meets: int = -1
    wait_until_s: float = 0.0
    away: bool = False
    entry: list[tuple[float, float]] = field(default_factory=list)
    stuck_s: float = 0.0


class People:
    """The crowd of one scene. Ask for times that do not fall."""

    def __init__(self, plan: Plan, looks: list[Look], seed: int, mean_away_s: float, mean_stop_s: float) -> None:
        self.plan = plan
        self.mean_away_s = mean_away_s
        self.mean_stop_s = mean_stop_s
        count = len(looks)
        self.time_s = 0.0
        self.steps = 0
        self.floor = np.zeros((count, 2))
        self.velocity = np.zeros((count, 2))
        self.heading = np.zeros(count)
        self.cycle = np.zeros(count)
        self.stride_m = np.array([1.45 * look.stride_swing / 0.44 * look.height_m / 1.75 for look in looks])
        self.minds = [
            _Person(np.random.default_rng([seed, 3, index]), look.walking_speed_mps) for index, look in enumerate(looks)
        ]
        self.obstacles = np.array([[p.x, p.y] for p in plan.props]).reshape(-1, 2)
        self.obstacle_radii = np.array([p.radius for p in plan.props])
        for index, mind in enumerate(self.minds):
            self._place(index, mind)
        self.before = self._now()
        self.after = self.before

    def at(self, time_s: float) -> Crowd:
        """Return the crowd at a scene time, which must not lie before that of the last call."""
        while self.time_s < time_s - 1e-9:
            self.before = self.after
            self._step()
            self.after = self._now()
        share = 1 - (self.time_s - time_s) / STEP_S if self.steps else 1.0
        turn = np.angle(np.exp(1j * (self.after.heading - self.before.heading)))
        moved = (1 - share) * self.before.floor + share * self.after.floor
        present = self.before.present & self.after.present
        return Crowd(moved, self.before.heading + share * turn, self.after.poses, present)

    def _now(self) -> Crowd:
        speeds = np.linalg.norm(self.velocity, axis=1)
        phases = np.floor(self.cycle * GAIT_PHASES).astype(np.int64) % GAIT_PHASES
        standing = np.array(
            [STANDING_POSES[int(mind.meets < 0 and index % 3 == 0)] for index, mind in enumerate(self.minds)], np.int64
        ).reshape(-1)
        poses = np.where(speeds > 0.25, phases, standing) if len(speeds) else phases
        present = np.array([not mind.away for mind in self.minds], np.bool_)
        return Crowd(self.floor.copy(), self.heading.copy(), poses, present)

    def _place(self, index: int, mind: _Person) -> None:
        """Start a person somewhere in the scene, or away and about to come."""
        rng = mind.rng
        mind.area = int(rng.integers(len(self.plan.areas)))
        self.floor[index] = self._spot(mind.area, rng)
        self.cycle[index] = rng.random()
        self.heading[index] = rng.uniform(-np.pi, np.pi)
        if rng.random() < 0.3:
            self._go_away(index, mind, float(rng.uniform(0.5, 0.5 + 0.5 * self.mean_away_s)))
        else:
            self._decide(index, mind)

    def _spot(self, area: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return a random free place in an area that its camera sees."""
        x0, y0, x1, y1 = self.plan.areas[area]
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        for _ in range(20):
            x, y = float(rng.uniform(x0, x1)), float(rng.uniform(y0, y1))
            clear = np.all(np.hypot(self.obstacles[:, 0] - x, self.obstacles[:, 1] - y) > self.obstacle_radii + 0.5)
            if clear and self._in_view(area, x, y):
                break
        return x, y

    def _in_view(self, area: int, x: float, y: float) -> bool:
        if self.plan.overlap:
            return True
        camera = self.plan.cameras[area]
        pixels, depth = camera.project(np.array([[x, y, 0.0], [x, y, 1.8]]))
        margin = 0.08 * camera.width
        inside_x = np.all((pixels[:, 0] > margin) & (pixels[:, 0] < camera.width - margin))
        return bool(inside_x and pixels[0, 1] < camera.height and pixels[1, 1] > 0 and depth[0] > 0)

    def _decide(self, index: int, mind: _Person) -> None:
        """Choose the next goal, and what to do there."""
        rng = mind.rng
        mind.leaving = mind.stops = False
        mind.meets = -1
        mind.stuck_s = 0.0
        areas = len(self.plan.areas)
        roll = float(rng.random())
        if roll < 0.2:
            self._leave(index, mind)
            return
        if areas > 1 and roll < 0.6:
            mind.area = (mind.area + int(rng.integers(1, areas))) % areas
            mind.stops = rng.random() < 0.4
        else:
            mind.stops = rng.random() < 0.65
        goal = self._spot(mind.area, rng)
        other = self._someone_standing(index, mind)
        if other >= 0 and rng.random() < 0.5:
            angle = float(rng.uniform(0, 2 * np.pi))
            spot = self.floor[other] + 0.9 * np.array([np.cos(angle), np.sin(angle)])
            if self._in_view(mind.area, float(spot[0]), float(spot[1])):
                goal = (float(spot[0]), float(spot[1]))
                mind.stops, mind.meets = True, other
        mind.way.append(goal)

    def _someone_standing(self, index: int, mind: _Person) -> int:
        """Return somebody who stands in the area of the goal, or -1."""
        for other, theirs in enumerate(self.minds):
            free = other != index and not theirs.away and theirs.meets < 0 and theirs.wait_until_s > self.time_s + 1
            if free and theirs.area == mind.area:
                return other
        return -1

    def _leave(self, index: int, mind: _Person) -> None:
        mind.leaving = True
        exits: list[tuple[float, float]] = list(self.plan.ends)
        here = self.floor[index]
        ways: list[list[tuple[float, float]]] = [[end] for end in exits]
        ways += [_through(door) for door in self.plan.doors]
        distances = np.array([np.hypot(way[0][0] - here[0], way[0][1] - here[1]) for way in ways])
        chances = np.exp(-distances / 6.0)
        way = ways[int(mind.rng.choice(len(ways), p=chances / chances.sum()))]
        mind.way.extend(way)

    def _go_away(self, index: int, mind: _Person, at_least_s: float) -> None:
        """Vanish here, and choose where to come back: not sooner than one could have walked there."""
        entries: list[list[tuple[float, float]]] = [[end] for end in self.plan.ends]
        entries += [list(reversed(_through(door))) for door in self.plan.doors]
        distances = np.array([np.hypot(*(self.floor[index] - entry[0])) for entry in entries])
        chances = np.exp(-distances / 15.0)
        chosen = int(mind.rng.choice(len(entries), p=chances / chances.sum()))
        mind.entry = entries[chosen]
        walk_s = float(distances[chosen]) / mind.speed_mps
        mind.wait_until_s = self.time_s + max(at_least_s, walk_s)
        mind.away = True
        mind.meets = -1
        mind.way.clear()
        self.velocity[index] = 0

    def _return(self, index: int, mind: _Person) -> None:
        start = mind.entry[0]
        mind.away = mind.leaving = False
        self.floor[index] = start
        mind.area = int(np.argmin([abs((x0 + x1) / 2 - start[0]) for x0, _, x1, _ in self.plan.areas]))
        mind.stops = mind.rng.random() < 0.2
        mind.way.extend([*mind.entry[1:], self._spot(mind.area, mind.rng)])
        self.heading[index] = float(np.arctan2(mind.way[0][1] - start[1], mind.way[0][0] - start[0]))

    def _step(self) -> None:
        self.steps += 1
        self.time_s = self.steps * STEP_S
        walking = np.zeros(len(self.minds), np.bool_)
        target = np.zeros_like(self.floor)
        for index, mind in enumerate(self.minds):
            if mind.away:
                if self.time_s < mind.wait_until_s:
                    continue
                self._return(index, mind)
            if not mind.way:
                if self.time_s < mind.wait_until_s:
                    continue
                self._decide(index, mind)
            near = float(np.hypot(*(self.floor[index] - mind.way[0])))
            close = _REACHED_M if mind.stuck_s < 1.5 else 0.3 + 0.5 * mind.stuck_s
            if near < close:
                mind.way.popleft()
                mind.stuck_s = 0.0
                if not mind.way:
                    self._arrive(index, mind)
            if mind.way and not mind.away:
                walking[index] = True
                target[index] = mind.way[0]
        self._move(walking, target)

    def _arrive(self, index: int, mind: _Person) -> None:
        if mind.leaving:
            self._go_away(index, mind, float(mind.rng.exponential(self.mean_away_s)) + 1.0)
            return
        if not mind.stops:
            self._decide(index, mind)
            return
        stay = float(mind.rng.uniform(0.5, 1.5)) * self.mean_stop_s
        mind.wait_until_s = self.time_s + stay
        if mind.meets >= 0:
            friend = self.minds[mind.meets]
            if not friend.away and not friend.way:
                friend.wait_until_s = max(friend.wait_until_s, mind.wait_until_s)
                friend.meets = index

    def _move(self, walking: NDArray[np.bool_], target: NDArray[np.float64]) -> None:
        here = np.array([not mind.away for mind in self.minds], np.bool_)
        toward = target - self.floor
        distance = np.linalg.norm(toward, axis=1)
        speed = np.array([mind.speed_mps for mind in self.minds]) * (
            1 + 0.05 * np.sin(0.7 * self.time_s + self.stride_m)
        )
        wanted = toward / np.maximum(distance, 1e-9)[:, None] * np.minimum(speed, distance / 0.25)[:, None]
        wanted += _push(self.floor, self.floor, np.full(len(self.floor), PERSONAL_SPACE_M), here)
        if len(self.obstacles):
            wanted += _push(
                self.floor, self.obstacles, self.obstacle_radii + 0.35, np.ones(len(self.obstacles), np.bool_)
            )
        length = np.linalg.norm(wanted, axis=1)
        wanted *= (np.minimum(length, 1.15 * speed) / np.maximum(length, 1e-9))[:, None]
        wanted[~walking] = 0
        self.velocity += (wanted - self.velocity) * 0.35
        self.velocity[~walking] *= 0.4
        step = self.velocity * STEP_S
        self.floor += step
        if not self.plan.overlap:
            outdoors = here & (self.floor[:, 1] < WALK_DEPTH_M[1])
            self.floor[outdoors, 1] = np.maximum(self.floor[outdoors, 1], WALK_DEPTH_M[0])
        travelled = np.linalg.norm(step, axis=1)
        self.cycle = np.mod(self.cycle + travelled / self.stride_m, 1.0)
        aim = np.arctan2(self.velocity[:, 1], self.velocity[:, 0])
        for index, mind in enumerate(self.minds):
            if walking[index]:
                mind.stuck_s = (
                    mind.stuck_s + STEP_S if travelled[index] < 0.3 * STEP_S else max(0.0, mind.stuck_s - STEP_S)
                )
            if mind.meets >= 0 and not walking[index] and not self.minds[mind.meets].away:
                to_friend = self.floor[mind.meets] - self.floor[index]
                aim[index] = np.arctan2(to_friend[1], to_friend[0])
            elif travelled[index] < 0.15 * STEP_S:
                aim[index] = self.heading[index]
        self.heading += np.clip(np.angle(np.exp(1j * (aim - self.heading))), -4.0 * STEP_S, 4.0 * STEP_S)


def _through(door: Door) -> list[tuple[float, float]]:
    """Return the way from the doorstep into the house."""
    return [
        (door.x - door.inward_x * _DOORSTEP_M, door.y - door.inward_y * _DOORSTEP_M),
        (door.x + door.inward_x * _DOORSTEP_M, door.y + door.inward_y * _DOORSTEP_M),
    ]


def _push(
    floor: NDArray[np.float64], others: NDArray[np.float64], reach_m: NDArray[np.float64], counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the (P, 2) velocity, metres per second, by which everyone gives way to `others` within `reach_m`."""
    apart = floor[:, None, :] - others[None, :, :]
    distance = np.linalg.norm(apart, axis=2)
    strength = np.clip(1 - distance / reach_m[None, :], 0, None) * 2.2 * counts[None, :]
    strength[distance < 1e-6] = 0
    direction = apart / np.maximum(distance, 1e-6)[:, :, None]
    sidestep = np.stack([direction[..., 1], -direction[..., 0]], axis=2)
    return ((direction + 0.6 * sidestep) * strength[:, :, None]).sum(axis=1)
