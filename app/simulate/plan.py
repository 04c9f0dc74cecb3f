"""The floor plan: areas seen by cameras, walls with doors, things standing about, and where the cameras hang.

Without overlap, every camera looks at an area of its own; the areas lie in a row along a street and `gap_m` of unseen
street lies between one camera's view and the next. With overlap, all cameras look at one square from different sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.config import SimulateSettings
from app.simulate.cameras import Camera, Points, aimed

WALK_DEPTH_M = (0.6, 8.3)
"""Y range of the street in which people walk when cameras do not overlap."""
WALL_Y_M = 9.6
SQUARE_M = (11.0, 9.0)
"""Half-lengths of the walled square that overlapping cameras look at."""
PERSON_MARGIN_M = 0.7

PropKind = Literal["lamp", "planter", "pillar", "bench", "bin", "tree"]


@dataclass(frozen=True, slots=True)
class Door:
    """A door at (x, y) in a wall; (inward_x, inward_y) is the unit direction from the street into the house."""

    x: float
    y: float
    inward_x: float
    inward_y: float
    area: int


@dataclass(frozen=True, slots=True)
class Wall:
    """A house front from (x0, y0) to (x1, y1); `doors` are distances along it in metres."""

    x0: float
    y0: float
    x1: float
    y1: float
    height: float
    doors: tuple[float, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Prop:
    """A thing that stands on the floor and hides what is behind it; people keep `radius` away."""

    kind: PropKind
    x: float
    y: float
    height: float
    radius: float
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """areas: (x0, y0, x1, y1) of the ground where people stop, one for each place.  ends: points (x, y) out of every
    camera's sight where people come from and go to."""

    areas: tuple[tuple[float, float, float, float], ...]
    doors: tuple[Door, ...]
    ends: tuple[tuple[float, float], ...]
    walls: tuple[Wall, ...]
    props: tuple[Prop, ...]
    cameras: tuple[Camera, ...]
    overlap: bool


def make_plan(settings: SimulateSettings) -> Plan:
    """Return the floor plan and cameras of a scene; depends on the settings only."""
    rng = np.random.default_rng([settings.seed, 1])
    return _square(settings, rng) if settings.overlap else _street(settings, rng)


def _camera(
    settings: SimulateSettings, rng: np.random.Generator, number: int, position: Points, target: Points
) -> Camera:
    """Return camera `number` (from 0) with its own rate, size, clock and colours."""
    other = settings.mixed and number % 2 == 1
    shrink = 0.8 if other else 1.0
    width, height = (2 * round(side * shrink / 2) for side in (settings.width_px, settings.height_px))
    focal_px = float(rng.uniform(0.82, 0.95)) * width
    K, R, t = aimed(position, target, focal_px, width, height)
    cast = rng.normal(0, 0.035, 3) * settings.colour_shift
    exposure = 1 + float(rng.uniform(-0.16, 0.16)) * settings.colour_shift
    gains = np.clip(exposure * (1 + cast - cast.mean()), 0.5, 1.6)
    ahead = float(rng.uniform(-1, 1)) * settings.clock_offset_s
    late = float(rng.uniform(0, 1)) * settings.start_spread_s
    return Camera(
        name=f"cam{number + 1}",
        width=width,
        height=height,
        fps=settings.fps * (0.8 if other else 1.0),
        K=K,
        R=R,
        t=t,
        start_s=0.0 if number == 0 else round(late, 3),
        clock_offset_s=0.0 if number == 0 else round(ahead, 3),
        gains=(float(gains[0]), float(gains[1]), float(gains[2])),
        gamma=float(np.exp(rng.uniform(-0.16, 0.16) * settings.colour_shift)),
        noise_level=settings.noise_level,
        seed=int(rng.integers(2**31)),
    )


def _street(settings: SimulateSettings, rng: np.random.Generator) -> Plan:
    cameras: list[Camera] = []
    areas: list[tuple[float, float, float, float]] = []
    doors: list[Door] = []
    props: list[Prop] = []
    next_x = 0.0
    for number in range(settings.cameras):
        height = float(rng.uniform(2.9, 3.6))
        turn = float(rng.uniform(-1.6, 1.6))
        position = np.array([0.0, -4.8, height])
        trial = _camera(
            settings, np.random.default_rng([settings.seed, 2, number]), number, position, np.array([turn, 4.2, 0.75])
        )
        left, right = _sight(trial)
        shift = next_x - left
        placed = np.array([shift, 0.0, 0.0])
        camera = _camera(
            settings,
            np.random.default_rng([settings.seed, 2, number]),
            number,
            position + placed,
            np.array([turn, 4.2, 0.75]) + placed,
        )
        cameras.append(camera)
        x0, x1 = next_x, next_x + right - left
        areas.append((x0, WALK_DEPTH_M[0], x1, WALK_DEPTH_M[1]))
        middle = (x0 + x1) / 2
        for side in (-1, 1):
            door_x = middle + side * float(rng.uniform(2.2, 4.0))
            doors.append(Door(door_x, WALL_Y_M, 0.0, 1.0, number))
        kinds: list[PropKind] = ["planter", "pillar", "lamp", "tree"]
        kind = kinds[int(rng.integers(4))]
        props.append(
            _prop(
                rng,
                kind,
                middle + float(rng.choice([-1, 1])) * float(rng.uniform(1.2, 3.0)),
                float(rng.uniform(3.4, 5.0)),
            )
        )
        for near_wall in ("bench", "bin", "planter"):
            props.append(_prop(rng, near_wall, float(rng.uniform(x0 + 2, x1 - 2)), WALL_Y_M - 0.55))
        next_x = x1 + settings.gap_m
    end_x = next_x - settings.gap_m
    wall_doors = tuple(door.x + 12 for door in doors)
    wall = Wall(-12.0, WALL_Y_M, end_x + 12.0, WALL_Y_M, 7.5, wall_doors, int(rng.integers(2**31)))
    clear = tuple(p for p in props if p.y < WALL_Y_M - 1 or all(abs(p.x - door.x) > 1.6 for door in doors))
    return Plan(
        areas=tuple(areas),
        doors=tuple(doors),
        ends=((-2.5, 3.0), (-2.5, 6.0), (end_x + 2.5, 3.0), (end_x + 2.5, 6.0)),
        walls=(wall,),
        props=clear,
        cameras=tuple(cameras),
        overlap=False,
    )


def _sight(camera: Camera) -> tuple[float, float]:
    """Return the X range in which a person walking on the street can touch the camera's picture."""
    floor = np.linalg.inv(camera.floor_to_image)
    xs = []
    for column in (0.0, float(camera.width)):
        for row in np.linspace(0, camera.height, 25):
            x, y, w = floor @ np.array([column, row, 1.0])
            if w > 0 and WALK_DEPTH_M[0] - 0.6 <= y / w <= WALK_DEPTH_M[1] + 0.2:
                xs.append(x / w)
    far = WALK_DEPTH_M[1] + 0.2
    for column in (0.0, float(camera.width)):
        ray = camera.R.T @ np.linalg.inv(camera.K) @ np.array([column, camera.height / 2, 1.0])
        xs.append(camera.position[0] + ray[0] / ray[1] * (far - camera.position[1]))
    return min(xs) - PERSON_MARGIN_M, max(xs) + PERSON_MARGIN_M


def _square(settings: SimulateSettings, rng: np.random.Generator) -> Plan:
    half_x, half_y = SQUARE_M
    angles = -np.pi / 2 + 0.25 + 2 * np.pi * np.arange(settings.cameras) / max(settings.cameras, 3)
    cameras = []
    for number, angle in enumerate(angles):
        direction = np.array([np.cos(angle), np.sin(angle)])
        reach = min(half_x / max(abs(direction[0]), 1e-9), half_y / max(abs(direction[1]), 1e-9)) - 0.3
        position = np.array([*(direction * reach), float(rng.uniform(3.3, 4.2))])
        target = np.array([*rng.uniform(-0.8, 0.8, 2), 0.6])
        cameras.append(_camera(settings, np.random.default_rng([settings.seed, 2, number]), number, position, target))
    corners = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)]
    walls, doors = [], []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        along = np.array([x1 - x0, y1 - y0]) / length
        outward = np.array([along[1], -along[0]])
        places = []
        for share in (0.28, 0.72):
            place = share * length
            x, y = np.array([x0, y0]) + along * place
            if all(np.hypot(x - c.position[0], y - c.position[1]) > 2.5 for c in cameras):
                places.append(place)
                doors.append(Door(float(x), float(y), float(outward[0]), float(outward[1]), 0))
        walls.append(Wall(x0, y0, x1, y1, 8.0, tuple(places), int(rng.integers(2**31))))
    area = (-half_x + 4.2, -half_y + 3.2, half_x - 4.2, half_y - 3.2)
    kinds: tuple[PropKind, ...] = ("lamp", "planter", "tree")
    props = [
        _prop(rng, kind, float(4.0 * np.cos(turn)), float(3.0 * np.sin(turn)))
        for kind, turn in zip(kinds, rng.uniform(0, 2 * np.pi / 3, 3) + np.arange(3) * 2 * np.pi / 3, strict=True)
    ]
    return Plan((area,), tuple(doors), (), tuple(walls), tuple(props), tuple(cameras), True)


def _prop(rng: np.random.Generator, kind: PropKind, x: float, y: float) -> Prop:
    height = {"lamp": 4.2, "planter": 1.05, "pillar": 2.7, "bench": 0.85, "bin": 0.95, "tree": 3.9}[kind]
    radius = {"lamp": 0.45, "planter": 0.8, "pillar": 0.95, "bench": 0.8, "bin": 0.5, "tree": 0.55}[kind]
    return Prop(kind, x, y, height * float(rng.uniform(0.92, 1.08)), radius, int(rng.integers(2**31)))
