"""Pictures of people from any side, rendered once and kept.

A sprite is an orthographic picture of one person in one pose, seen from one of `YAW_VIEWS` directions and from one of
a few elevations, at one of a few resolutions. A frame then only scales and blends sprites. The store forgets the
sprites that were not used for longest, so memory stays bounded however long the stream.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.simulate.clothes import build_body
from app.simulate.figure import BONES, MODEL_HEIGHT_M, Pose, pose_of
from app.simulate.looks import Look
from app.simulate.tailor import Body

YAW_VIEWS = 20
ELEVATION_STEP = np.radians(9.0)
RESOLUTIONS_PX_PER_M = (24.0, 48.0, 96.0, 192.0)
SUPERSAMPLING = 1.6
_LIGHT = np.array([[-0.234, 0.374, 0.276], [0.0, 0.11, 0.16], [0.0, 0.0, 1.0]], np.float32)
"""Rows over the sprite's axes right, up, towards the camera: strength of the main light from above left, of the sky and
of the light from the camera's side, and the direction to the camera."""
_FAR = np.float32(-9.0)


@dataclass(frozen=True, slots=True)
class Sprite:
    """image: (H, W, 4) uint8 BGR times alpha, and alpha.  foot: pixel (x, y) of the point on the ground below the
    pelvis.  px_per_m: pixels per metre across the line of sight."""

    image: NDArray[np.uint8]
    foot: tuple[float, float]
    px_per_m: float


def render_sprite(body: Body, pose: Pose, yaw: float, elevation: float, px_per_m: float) -> Sprite:
    """Render a body.

    yaw: direction in which the person faces, radians; 0 is away from the camera, pi/2 to the left of the picture.
    elevation: angle of the camera above the person's horizon, radians.
    """
    view = _view(yaw, elevation)
    scale = px_per_m * SUPERSAMPLING * body.scale
    points = np.empty_like(body.points)
    light = np.empty_like(body.normals)
    for bone in range(BONES):
        rows = slice(int(body.starts[bone]), int(body.starts[bone + 1]))
        to_view = view @ pose.rotations[bone]
        points[:, rows] = to_view @ body.points[:, rows] + (view @ pose.origins[bone])[:, None]
        light[:, rows] = (_LIGHT @ to_view) @ body.normals[:, rows]
    facing = np.flatnonzero(light[2] > -0.05)
    across, up, depth = (row[facing] for row in points)
    left, right = np.floor(float(across.min()) * scale) - 3, np.ceil(float(across.max()) * scale) + 3
    low, high = np.floor(float(up.min()) * scale) - 3, np.ceil(float(up.max()) * scale) + 3
    width, height = int(right - left) + 1, int(high - low) + 1
    pixel = (np.float32(high) - up * np.float32(scale)).astype(np.int32) * np.int32(width)
    pixel += (across * np.float32(scale) - np.float32(left)).astype(np.int32)
    # of the points that fall on one pixel the last one written stays: write the nearest last
    order = np.argsort(((depth - depth.min()) * np.float32(16000)).astype(np.uint16), kind="stable")
    winner = np.full(height * width, -1, np.int32)
    winner[pixel[order]] = order
    filled = np.flatnonzero(winner >= 0)
    chosen = winner[filled]
    shown = facing[chosen]
    lit = np.maximum(light[0][shown], 0) + light[1][shown] + np.float32(0.35)
    canvas = np.zeros((height * width, 3), np.float32)
    canvas[filled] = body.colours[shown] * lit[:, None]
    nearest = np.full(height * width, _FAR, np.float32)
    nearest[filled] = depth[chosen]
    image, mask = _solid(canvas.reshape(height, width, 3), nearest.reshape(height, width))
    size = (max(2, round(width / SUPERSAMPLING)), max(2, round(height / SUPERSAMPLING)))
    small = cv2.resize(cv2.merge([*cv2.split(image), mask]), size, interpolation=cv2.INTER_AREA)
    foot = (-float(left) * size[0] / width, float(high) * size[1] / height)
    return Sprite(np.asarray(small, np.uint8), foot, px_per_m)


def _view(yaw: float, elevation: float) -> NDArray[np.float32]:
    """Rotation from body axes to right, up and towards the camera."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    cos, sin = np.cos(elevation), np.sin(elevation)
    look = np.array([[1, 0, 0], [0, sin, cos], [0, -cos, sin]])
    return (look @ turn).astype(np.float32)


def _solid(canvas: NDArray[np.float32], depth: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Close the gaps between points, darken what lies behind something near it; return BGR and a mask of 0 and 255."""
    there = depth > _FAR
    mask = there.astype(np.float32)
    share = cv2.boxFilter(mask, -1, (3, 3))
    gaps = np.flatnonzero(~there & (share > 0.5))
    sums = cv2.boxFilter(canvas, -1, (3, 3)).reshape(-1, 3)
    canvas.reshape(-1, 3)[gaps] = sums[gaps] / share.reshape(-1)[gaps, None]
    near = np.where(there, depth, 0).astype(np.float32)
    around = cv2.boxFilter(near, -1, (15, 15)) / np.maximum(cv2.boxFilter(mask, -1, (15, 15)), 1e-3)
    shade = np.clip(1.033 - 2.2 * (around - near), 0.55, 1.04).astype(np.float32)
    mask.reshape(-1)[gaps] = 1
    shade *= mask
    lit = cv2.convertScaleAbs(cv2.multiply(canvas, cv2.merge([shade, shade, shade])))
    # a median removes the specks where a far point shows between two near ones
    image = cv2.bitwise_and(np.asarray(cv2.medianBlur(lit, 3)), np.asarray(cv2.merge([mask * 255] * 3), np.uint8))
    return image, (mask * 255).astype(np.uint8)


class SpriteStore:
    """Makes sprites when first asked for and keeps the recently used ones.

    Bodies are kept at the resolutions in use; both stores are bounded by `max_bytes` together with a few bodies.
    """

    def __init__(self, max_bytes: int = 160 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._sprites: OrderedDict[tuple[int, int, int, int, int], Sprite] = OrderedDict()
        self._bodies: OrderedDict[tuple[int, int], Body] = OrderedDict()
        self._poses: dict[tuple[int, int], Pose] = {}

    def sprite(self, person: int, look: Look, pose: int, yaw: float, elevation: float, px_per_m: float) -> Sprite:
        """Return the sprite nearest to the view that is asked for, at least as fine as `px_per_m` if there is one."""
        level = next(
            (index for index, fine in enumerate(RESOLUTIONS_PX_PER_M) if fine >= 0.95 * px_per_m),
            len(RESOLUTIONS_PX_PER_M) - 1,
        )
        yaw_view = round(yaw / (2 * np.pi) * YAW_VIEWS) % YAW_VIEWS
        elevation_view = round(elevation / ELEVATION_STEP)
        key = (person, pose, yaw_view, elevation_view, level)
        found = self._sprites.get(key)
        if found is not None:
            self._sprites.move_to_end(key)
            return found
        made = render_sprite(
            self._body(person, look, level),
            self._pose(person, look, pose),
            yaw_view * 2 * np.pi / YAW_VIEWS,
            elevation_view * ELEVATION_STEP,
            RESOLUTIONS_PX_PER_M[level],
        )
        self._sprites[key] = made
        self.bytes += made.image.nbytes
        while self.bytes > self.max_bytes:
            _, oldest = self._sprites.popitem(last=False)
            self.bytes -= oldest.image.nbytes
        return made

    def _body(self, person: int, look: Look, level: int) -> Body:
        key = (person, level)
        if key not in self._bodies:
            fineness = RESOLUTIONS_PX_PER_M[level] * SUPERSAMPLING * look.height_m / MODEL_HEIGHT_M
            self._bodies[key] = build_body(look, spacing_m=0.95 / fineness)
            if len(self._bodies) > 64:
                self._bodies.popitem(last=False)
        self._bodies.move_to_end(key)
        return self._bodies[key]

    def _pose(self, person: int, look: Look, number: int) -> Pose:
        key = (person, number)
        if key not in self._poses:
            if len(self._poses) > 4096:
                self._poses.clear()
            self._poses[key] = pose_of(look, number)
        return self._poses[key]
