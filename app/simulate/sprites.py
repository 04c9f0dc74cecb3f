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

from app.simulate.figure import BONES, MODEL_HEIGHT_M, Body, Pose, build_body, pose_of
from app.simulate.looks import Look

YAW_VIEWS = 20
ELEVATION_STEP = np.radians(9.0)
RESOLUTIONS_PX_PER_M = (24.0, 48.0, 96.0, 192.0)
SUPERSAMPLING = 1.6
_LIGHT = np.array([-0.45, 0.72, 0.53], np.float32)
"""Direction to the main light in the sprite's axes: right, up, towards the camera."""


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
    scale = np.float32(px_per_m * SUPERSAMPLING * body.scale)
    points = np.empty_like(body.points)
    normals = np.empty_like(body.normals)
    for bone in range(BONES):
        rows = slice(int(body.starts[bone]), int(body.starts[bone + 1]))
        to_view = (view @ pose.rotations[bone]).T
        np.matmul(body.points[rows], to_view, out=points[rows])
        points[rows] += view @ pose.origins[bone]
        np.matmul(body.normals[rows], to_view, out=normals[rows])
    facing = np.flatnonzero(normals[:, 2] > -0.05)
    points, normals = points[facing], normals[facing]
    left, low = points[:, :2].min(axis=0) * scale - 3
    right, high = points[:, :2].max(axis=0) * scale + 3
    left, high = np.floor(left), np.ceil(high)
    width, height = int(right - left) + 1, int(high - low) + 1
    column = (points[:, 0] * scale - left).astype(np.int32)
    row = (high - points[:, 1] * scale).astype(np.int32)
    depth = points[:, 2]
    order = np.argsort(((depth - depth.min()) * 16000).astype(np.uint16), kind="stable")
    pixel = (row * width + column)[order]
    lit = np.clip(normals @ _LIGHT, 0, None) * 0.52 + (0.5 + 0.5 * normals[:, 1]) * 0.22 + normals[:, 2] * 0.16 + 0.24
    colours = body.colours[facing] * lit[:, None]
    canvas = np.zeros((height * width, 3), np.float32)
    canvas[pixel] = colours[order]
    nearest = np.full(height * width, -9.0, np.float32)
    nearest[pixel] = depth[order]
    image, mask = _solid(canvas.reshape(height, width, 3), nearest.reshape(height, width))
    size = (max(2, round(width / SUPERSAMPLING)), max(2, round(height / SUPERSAMPLING)))
    bgra = np.dstack([image, mask * np.float32(255)])
    small = cv2.resize(bgra, size, interpolation=cv2.INTER_AREA)
    foot = (-float(left) * size[0] / width, float(high) * size[1] / height)
    return Sprite(np.clip(small, 0, 255).astype(np.uint8), foot, px_per_m)


def _view(yaw: float, elevation: float) -> NDArray[np.float32]:
    """Rotation from body axes to right, up and towards the camera."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    cos, sin = np.cos(elevation), np.sin(elevation)
    look = np.array([[1, 0, 0], [0, sin, cos], [0, -cos, sin]])
    return (look @ turn).astype(np.float32)


def _solid(canvas: NDArray[np.float32], depth: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Close the gaps between points, darken what lies behind something near it; return colours and a mask of 0, 1."""
    mask = (depth > -5).astype(np.float32)
    share = cv2.boxFilter(mask, -1, (3, 3))
    colour = cv2.boxFilter(canvas, -1, (3, 3)) / np.maximum(share, 1e-3)[:, :, None]
    gaps = (mask == 0) & (share > 0.5)
    canvas[gaps] = colour[gaps]
    mask[gaps] = 1
    filled = np.where(depth > -5, depth, 0).astype(np.float32)
    around = cv2.boxFilter(filled, -1, (15, 15)) / np.maximum(
        cv2.boxFilter((depth > -5).astype(np.float32), -1, (15, 15)), 1e-3
    )
    shade = np.clip(1 - 2.2 * (around - filled - 0.015), 0.55, 1.04) * mask
    return canvas * shade[:, :, None], mask


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
