"""A scene as a stream: every camera's pictures in order of time, each with the exact truth.

`Scene.views()` never ends unless told to, takes the same memory however long it runs, and gives the same pictures for
the same settings, whatever their `seconds` is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import SimulateSettings
from app.simulate.cameras import Camera
from app.simulate.looks import look_of
from app.simulate.people import Crowd, People
from app.simulate.plan import SQUARE_M, WALL_Y_M, Plan, make_plan
from app.simulate.scenery import SUN_SHADOW, Scenery, render_scenery
from app.simulate.sprites import Sprite, SpriteStore

HIDDEN_BELOW = 0.1
"""Truth of people of whom a smaller share is visible is marked "do not count" (column 7 is 0)."""
_NEAREST_M = 1.2
_SMALLEST_PX = 8


@dataclass(frozen=True, slots=True)
class View:
    """One picture of one camera and who is in it, in rows; a person is here when a pixel could be in the picture.

    index: number of the picture, from 0.  time_s: on the scene's clock.  image: (H, W, 3) uint8 BGR.
    person_ids: (N,) int64 from 1.  boxes: (N, 4) float32 x1 y1 x2 y2 around the drawn person with what others hide,
    cut off at the picture's edge.  visibility: (N,) float32, share of the whole person's pixels that can be seen: what
    is hidden, or lies beyond the edge, does not count.  floor: (N, 2) float64 metres.
    """

    camera: Camera
    index: int
    time_s: float
    image: NDArray[np.uint8]
    person_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    visibility: NDArray[np.float32]
    floor: NDArray[np.float64]


@dataclass(slots=True)
class _Drawn:
    """A person in one picture: warped sprite with its upper left corner, and which of its pixels are the person."""

    person: int
    left: int
    top: int
    image: NDArray[np.uint8]
    solid: NDArray[np.bool_]
    depth: float
    inside: bool


class Scene:
    """A rendered world; `plan.cameras` are its cameras."""

    def __init__(self, settings: SimulateSettings) -> None:
        self.settings = settings
        self.plan: Plan = make_plan(settings)
        dress = settings.uniforms, settings.people_per_outfit
        self.looks = [look_of(settings.seed, number + 1, *dress) for number in range(settings.people)]
        self.sprites = SpriteStore()
        self._studios = [_Studio(self, camera) for camera in self.plan.cameras]

    @property
    def cameras(self) -> tuple[Camera, ...]:
        return self.plan.cameras

    def views(self, seconds: float | None = None) -> Iterator[View]:
        """Yield the pictures of all cameras in order of time; each recording is `seconds` long, endless for None."""
        settings = self.settings
        people = People(self.plan, self.looks, settings.seed, settings.mean_away_s, settings.mean_stop_s)
        queue = [(camera.frame_time(0), number, 0) for number, camera in enumerate(self.cameras)]
        heapq.heapify(queue)
        while queue:
            time_s, number, index = heapq.heappop(queue)
            camera = self.cameras[number]
            if seconds is not None and index >= frame_count(camera, seconds):
                continue
            yield self._studios[number].view(index, time_s, people.at(time_s))
            heapq.heappush(queue, (camera.frame_time(index + 1), number, index + 1))

    def frames(self, seconds: float | None = None) -> Iterator[list[View]]:
        """Yield the pictures tick by tick, at most one of each camera; the fastest camera gives the ticks."""
        tick_s = 1 / max(camera.fps for camera in self.cameras)
        tick: list[View] = []
        number = 0
        for view in self.views(seconds):
            at = int(np.floor(view.time_s / tick_s + 1e-6))
            if tick and (at != number or any(view.camera.name == seen.camera.name for seen in tick)):
                yield tick
                tick = []
            number = at
            tick.append(view)
        if tick:
            yield tick


def frame_count(camera: Camera, seconds: float) -> int:
    """Return how many pictures the camera takes in a recording of `seconds`."""
    return max(1, round(seconds * camera.fps))


class _Studio:
    """Draws the pictures of one camera."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self.scene = scene
        self.camera = camera
        self.scenery: Scenery = render_scenery(scene.plan, camera, scene.settings.seed)
        self.colours = camera.colour_table()
        self.background = cv2.LUT(self.scenery.image, self.colours)
        self.person_colours = np.dstack([self.colours, np.arange(256, dtype=np.uint8)[:, None]])
        self.owner = np.zeros((camera.height, camera.width), np.int16)
        self.shadow = _shadow_picture()
        rng = np.random.default_rng([camera.seed, 31])
        noise = rng.normal(0, max(camera.noise_level, 1e-6), (camera.height + 61, camera.width + 67, 3))
        noise = (0.8 * noise + 0.6 * noise.mean(axis=2, keepdims=True)).round()
        self.brighter = np.clip(noise, 0, 255).astype(np.uint8)
        self.darker = np.clip(-noise, 0, 255).astype(np.uint8)

    def view(self, index: int, time_s: float, crowd: Crowd) -> View:
        camera = self.camera
        drawn = self._draw_all(crowd)
        image = self.background.copy()
        for person in drawn:
            if not person.inside:
                self._drop_shadow(image, crowd.floor[person.person])
        self.owner[:] = -1
        for row, person in enumerate(drawn):
            self._blend(image, row, person)
        light = 1 + 0.012 * float(np.sin(0.21 * time_s + camera.seed % 7)) + 0.004 * float(np.sin(7.3 * time_s))
        image = cv2.convertScaleAbs(image, alpha=light)
        down, across = (index * 37 + index // 61) % 61, (index * 23 + index // 67) % 67
        rows, columns = slice(down, down + camera.height), slice(across, across + camera.width)
        cv2.add(image, self.brighter[rows, columns], dst=image)
        cv2.subtract(image, self.darker[rows, columns], dst=image)
        return self._truth(index, time_s, np.asarray(image, np.uint8), drawn, crowd)

    def _draw_all(self, crowd: Crowd) -> list[_Drawn]:
        """Return the people of whom something may be in the picture, the farthest first."""
        camera, looks = self.camera, self.scene.looks
        people = np.flatnonzero(crowd.present)
        if len(people) == 0:
            return []
        floor = crowd.floor[people]
        heights = np.array([looks[person].height_m for person in people])
        feet, depth = camera.project(np.column_stack([floor, np.zeros(len(people))]))
        heads, head_depth = camera.project(np.column_stack([floor, heights]))
        margin = np.abs(feet[:, 1] - heads[:, 1]) * 0.6
        near = np.minimum(depth, head_depth)
        inside = self._in_house(floor)
        maybe = (near > _NEAREST_M) & (feet[:, 0] + margin > 0) & (feet[:, 0] - margin < camera.width)
        maybe &= (heads[:, 1] - margin < camera.height) & (feet[:, 1] + margin > 0)
        maybe &= np.abs(feet[:, 1] - heads[:, 1]) < 6 * camera.height
        drawn = []
        for row in np.flatnonzero(maybe)[np.argsort(-depth[maybe], kind="stable")]:
            person = int(people[row])
            to_camera = camera.position - np.array([*floor[row], 0.5 * heights[row]])
            bearing = float(np.arctan2(-to_camera[1], -to_camera[0]))
            elevation = float(np.arctan2(to_camera[2], np.hypot(to_camera[0], to_camera[1])))
            upright = heads[row] - feet[row]
            px_per_m = float(np.linalg.norm(upright)) / (heights[row] * np.cos(elevation))
            sprite = self.scene.sprites.sprite(
                person,
                looks[person],
                int(crowd.poses[person]),
                float(crowd.heading[person]) - bearing,
                elevation,
                px_per_m,
            )
            drawn.append(_warp(person, sprite, feet[row], upright, px_per_m, float(depth[row]), bool(inside[row])))
        return drawn

    def _in_house(self, floor: NDArray[np.float64]) -> NDArray[np.bool_]:
        if not self.scene.plan.overlap:
            return floor[:, 1] > WALL_Y_M
        return (np.abs(floor[:, 0]) > SQUARE_M[0]) | (np.abs(floor[:, 1]) > SQUARE_M[1])

    def _blend(self, image: NDArray[np.uint8], row: int, person: _Drawn) -> None:
        """Blend one person into the picture, except where something nearer than they hides them."""
        height, width = person.image.shape[:2]
        x0, y0 = max(person.left, 0), max(person.top, 0)
        x1, y1 = min(person.left + width, self.camera.width), min(person.top + height, self.camera.height)
        if x0 >= x1 or y0 >= y1:
            return
        cut = (slice(y0 - person.top, y1 - person.top), slice(x0 - person.left, x1 - person.left))
        place = (slice(y0, y1), slice(x0, x1))
        part, solid = cv2.LUT(person.image[cut], self.person_colours), person.solid[cut]
        hidden = self._hidden(x0, y0, x1, y1, person)
        if hidden is not None:
            part = (part * (1 - hidden)[:, :, None]).astype(np.uint8)
            solid = solid & (hidden < 0.5)
        region = image[place]
        through = cv2.merge([255 - part[:, :, 3]] * 3)
        cv2.add(cv2.multiply(region, through, scale=1 / 255), part[:, :, :3], dst=region)
        self.owner[place][solid] = row

    def _hidden(self, x0: int, y0: int, x1: int, y1: int, person: _Drawn) -> NDArray[np.float32] | None:
        """Return (y1 - y0, x1 - x0) share of each pixel that is hidden by things and walls; None for nothing."""
        hidden: NDArray[np.float32] | None = None
        if person.inside:
            hidden = self.scenery.wall[y0:y1, x0:x1].copy()
        for screen in self.scenery.screens:
            height, width = screen.mask.shape
            left, top = max(x0, screen.left), max(y0, screen.top)
            right, bottom = min(x1, screen.left + width), min(y1, screen.top + height)
            if screen.depth >= person.depth or left >= right or top >= bottom:
                continue
            if hidden is None:
                hidden = np.zeros((y1 - y0, x1 - x0), np.float32)
            mask = screen.mask[top - screen.top : bottom - screen.top, left - screen.left : right - screen.left]
            region = hidden[top - y0 : bottom - y0, left - x0 : right - x0]
            np.maximum(region, mask, out=region)
        return hidden

    def _drop_shadow(self, image: NDArray[np.uint8], floor: NDArray[np.float64]) -> None:
        """Darken the ground: at the feet, and away from the sun."""
        along = np.array(SUN_SHADOW) * 1.75
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * 0.36
        start = floor - along * 0.16
        end = floor + along * 1.04
        corners = np.array([start - across, start + across, end + across, end - across])
        pixels, depths = self.camera.project(np.column_stack([corners, np.zeros(4)]))
        low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
        x0, y0 = (int(max(side, 0)) for side in np.clip(low, -1e6, 1e6))
        x1, y1 = int(min(high[0], self.camera.width)), int(min(high[1], self.camera.height))
        if depths.min() < 0.5 or x1 - x0 < 2 or y1 - y0 < 2:
            return
        height, width = self.shadow.shape
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (pixels - (x0, y0)).astype(np.float32))
        light = cv2.warpPerspective(self.shadow, matrix, (x1 - x0, y1 - y0), borderValue=255.0)
        region = image[y0:y1, x0:x1]
        cv2.multiply(region, cv2.merge([light, light, light]), dst=region, scale=1 / 255)

    def _truth(self, index: int, time_s: float, image: NDArray[np.uint8], drawn: list[_Drawn], crowd: Crowd) -> View:
        camera = self.camera
        rows: list[tuple[int, tuple[float, ...], float]] = []
        for row, person in enumerate(drawn):
            left, top = max(-person.left, 0), max(-person.top, 0)
            below, beyond = max(camera.height - person.top, 0), max(camera.width - person.left, 0)
            inside = person.solid[top:below, left:beyond]
            columns, lines = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
            if len(columns) == 0:
                continue
            x1, x2 = person.left + left + int(columns[0]), person.left + left + int(columns[-1]) + 1
            y1, y2 = person.top + top + int(lines[0]), person.top + top + int(lines[-1]) + 1
            if x2 - x1 < 2 or y2 - y1 < _SMALLEST_PX:
                continue
            seen = np.count_nonzero(self.owner[y1:y2, x1:x2] == row) / np.count_nonzero(person.solid)
            if person.inside and seen == 0:
                continue
            rows.append((person.person, (float(x1), float(y1), float(x2), float(y2)), seen))
        people = np.array([person for person, _, _ in rows], np.int64)
        return View(
            camera=camera,
            index=index,
            time_s=time_s,
            image=image,
            person_ids=people + 1,
            boxes=np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4),
            visibility=np.array([seen for _, _, seen in rows], np.float32),
            floor=crowd.floor[people],
        )


def _warp(
    person: int,
    sprite: Sprite,
    foot: NDArray[np.float64],
    upright: NDArray[np.float64],
    px_per_m: float,
    depth: float,
    inside: bool,
) -> _Drawn:
    """Scale and lean a sprite so that its foot point falls on `foot` and its axis on the image of the vertical."""
    zoom = px_per_m / sprite.px_per_m
    lean = upright / np.linalg.norm(upright) * zoom
    height, width = sprite.image.shape[:2]
    matrix = np.array([[zoom, -lean[0], 0.0], [0.0, -lean[1], 0.0]])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - np.array(sprite.foot)
    at = corners @ matrix[:, :2].T + foot
    left, top = (int(side) for side in np.floor(at.min(axis=0)))
    right, bottom = (int(side) for side in np.ceil(at.max(axis=0)) + 1)
    matrix[:, 2] = foot - (left, top) - matrix[:, :2] @ np.array(sprite.foot)
    # cv2 places pixel centres at whole numbers, the camera at halves
    matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    image = cv2.warpAffine(sprite.image, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    return _Drawn(person, left, top, np.asarray(image, np.uint8), image[:, :, 3] > 127, depth, inside)


def _shadow_picture() -> NDArray[np.uint8]:
    """Light that is left on the ground around a person who stands near the upper end, for a sun from above."""
    height, width = 72, 40
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = (x - (width - 1) / 2) / (width / 2)
    y = y / (height - 1)
    blob = np.exp(-((x / 0.5) ** 2) - ((y - 0.14) / 0.085) ** 2)
    body = np.clip(1 - np.abs(x) / (0.42 + 0.1 * np.sin(y * 7)), 0, 1) * np.clip((1.0 - y) / 0.25, 0, 1)
    body *= np.clip((y - 0.08) / 0.06, 0, 1)
    dark = np.clip(0.5 * blob + 0.42 * cv2.GaussianBlur(np.sqrt(body), (0, 0), 1.6), 0, 0.62)
    dark[0], dark[-1], dark[:, 0], dark[:, -1] = 0, 0, 0, 0
    return np.round(255 * (1 - dark)).astype(np.uint8)
