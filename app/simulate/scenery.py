"""The unmoving part of a camera's picture: sky, ground, house fronts and things that stand about, in perspective.

Every pixel's line of sight is cut with the ground and with the walls; what is hit is coloured by functions of the place
in metres, so that overlapping cameras see the same paving, doors and windows. Rendered once for each camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from app.simulate.cameras import Camera
from app.simulate.plan import Plan, Prop, Wall
from app.simulate.props import draw_prop

Float = NDArray[np.float32]
SUN_SHADOW = (0.55, 0.42)
"""Floor vector of the shadow of something one metre high."""
DOOR_WIDTH_M = 1.5
DOOR_HEIGHT_M = 2.35
_FINER = 2


@dataclass(frozen=True, slots=True)
class Screen:
    """Something that hides people who are farther from the camera than `depth`.

    mask: (h, w) float32, 1 where it hides, of the rectangle with its upper left corner at pixel (left, top).
    depth: metres along the line of sight.
    """

    left: int
    top: int
    mask: Float
    depth: float


@dataclass(frozen=True, slots=True)
class Scenery:
    """image: (H, W, 3) uint8 BGR without people.  screens: from things before which and behind which people pass.
    wall: (H, W) float32, 1 on house fronts except in open doors: hides people who are inside a house."""

    image: NDArray[np.uint8]
    screens: tuple[Screen, ...]
    wall: Float


def render_scenery(plan: Plan, camera: Camera, seed: int) -> Scenery:
    """Render what the camera sees when nobody is there."""
    rays = _rays(camera)
    height, width = rays.shape[:2]
    sky = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(np.array([236, 214, 190], np.float32) * (0.9 + 0.1 * sky), (height, width, 3)).copy()
    nearest = np.full((height, width), np.inf, np.float32)
    wall_mask = np.zeros((height, width), np.float32)
    _paint_ground(image, nearest, rays, camera, plan, seed)
    for wall in plan.walls:
        _paint_wall(image, nearest, wall_mask, rays, camera, wall)
    small = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    wall_small = cv2.resize(wall_mask, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    screens = []
    by_distance = sorted(plan.props, key=lambda prop: -_depth(camera, prop))
    for prop in by_distance:
        screen = _paint_prop(small, camera, prop)
        if screen is not None:
            screens.append(screen)
    fine = np.random.default_rng([seed, 21, camera.seed]).normal(0, 1.6, small.shape[:2]).astype(np.float32)
    small += cv2.GaussianBlur(fine, (0, 0), 0.7)[:, :, None]
    return Scenery(np.clip(small, 0, 255).astype(np.uint8), tuple(screens), wall_small)


def _rays(camera: Camera) -> NDArray[np.float64]:
    """Return (H, W, 3) world directions of the lines of sight, scaled to depth 1, on the finer grid."""
    xs = (np.arange(camera.width * _FINER) + 0.5) / _FINER
    ys = (np.arange(camera.height * _FINER) + 0.5) / _FINER
    local = np.empty((len(ys), len(xs), 3))
    local[..., 0] = ((xs - camera.K[0, 2]) / camera.K[0, 0])[None, :]
    local[..., 1] = ((ys - camera.K[1, 2]) / camera.K[1, 1])[:, None]
    local[..., 2] = 1
    return local @ camera.R


@lru_cache(maxsize=32)
def _noise_table(seed: int, cells: int) -> Float:
    """A (512, 512) table of smooth noise around 0 that can be repeated side by side."""
    coarse = np.random.default_rng([seed, 22, cells]).normal(0, 1, (cells, cells)).astype(np.float32)
    wrapped = np.pad(coarse, 2, mode="wrap")
    cell = 512 // cells
    large = cv2.resize(wrapped, (512 + 4 * cell, 512 + 4 * cell), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[2 * cell : 2 * cell + 512, 2 * cell : 2 * cell + 512])


def _noise(x: Float, y: Float, seed: int) -> Float:
    """Noise of several sizes at places in metres, standard deviation about 1."""
    total = np.zeros(x.shape, np.float32)
    for cells, size_m, weight in ((16, 32.0, 0.6), (64, 16.0, 0.5), (128, 4.0, 0.55)):
        table = _noise_table(seed, cells)
        column = (x * np.float32(512 / size_m)).astype(np.int32) & 511
        row = (y * np.float32(512 / size_m)).astype(np.int32) & 511
        total += np.float32(weight) * table[row, column]
    return total


def _paint_ground(
    image: Float, nearest: Float, rays: NDArray[np.float64], camera: Camera, plan: Plan, seed: int
) -> None:
    origin = camera.position
    down = rays[..., 2] < -1e-4
    depth = np.where(down, -origin[2] / np.where(down, rays[..., 2], -1), np.inf)
    hit = down & (depth < 80)
    x = (origin[0] + rays[..., 0][hit] * depth[hit]).astype(np.float32)
    y = (origin[1] + rays[..., 1][hit] * depth[hit]).astype(np.float32)
    image[hit] = _ground_colour(x, y, plan, seed)
    nearest[hit] = depth[hit]


def _ground_colour(x: Float, y: Float, plan: Plan, seed: int) -> Float:
    """Return (N, 3) colours of the ground: slabs with joints, a darker lane or grass, stains, shadows at walls."""
    stone = np.array([150, 158, 164], np.float32)
    slab = 0.9
    column, row = np.floor(x / slab), np.floor(y / slab)
    tone = np.sin(column * 12.9898 + row * 78.233 + seed % 97) * 43758.547
    tone = (tone - np.floor(tone) - 0.5) * 0.12
    edge = np.maximum(np.abs(np.mod(x / slab, 1) - 0.5), np.abs(np.mod(y / slab, 1) - 0.5)) > 0.485
    colour = stone * (1 + tone + 0.045 * _noise(x, y, seed))[:, None]
    colour[edge] *= 0.8
    if plan.overlap:
        ring = np.hypot(x / 1.25, y)
        brick = (ring > 3.6) & (ring < 4.3)
        colour[brick] = (
            np.array([96, 112, 150], np.float32) * (1 + 0.07 * _noise(x[brick] * 3, y[brick] * 3, seed))[:, None]
        )
        return colour
    lane = y < -0.6
    colour[lane] = np.array([96, 97, 98], np.float32) * (1 + 0.06 * _noise(x[lane] * 2, y[lane] * 2, seed))[:, None]
    kerb = np.abs(y + 0.6) < 0.09
    colour[kerb] = np.array([176, 180, 182], np.float32)
    bed = np.sin(x * 0.21 + seed % 13) + 0.55 * np.sin(x * 0.53) > 0.62
    grass = bed & (y > 8.75)
    blades = 1 + 0.22 * _noise(x[grass] * 6, y[grass] * 6, seed + 1)
    colour[grass] = np.array([62, 116, 88], np.float32) * blades[:, None]
    shade = np.clip((y - 8.2) / 1.4, 0, 1) * 0.22
    colour *= (1 - shade)[:, None]
    return colour


def _paint_wall(
    image: Float, nearest: Float, mask: Float, rays: NDArray[np.float64], camera: Camera, wall: Wall
) -> None:
    origin = camera.position
    along = np.array([wall.x1 - wall.x0, wall.y1 - wall.y0])
    length = float(np.linalg.norm(along))
    along /= length
    normal = np.array([-along[1], along[0]])
    toward = rays[..., :2] @ normal
    ahead = float((np.array([wall.x0, wall.y0]) - origin[:2]) @ normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = ahead / toward
        s = (origin[:2] @ along - np.array([wall.x0, wall.y0]) @ along) + depth * (rays[..., :2] @ along)
        z = origin[2] + depth * rays[..., 2]
        hit = (depth > 0.2) & (depth < nearest) & (s >= 0) & (s <= length) & (z >= 0) & (z <= wall.height)
    colours, solid = _front_colour(s[hit].astype(np.float32), z[hit].astype(np.float32), wall)
    image[hit] = colours
    nearest[hit] = depth[hit]
    mask[hit] = solid


def _front_colour(s: Float, z: Float, wall: Wall) -> tuple[Float, Float]:
    """Return (N, 3) colours and (N,) 1 where the front is solid, at distances `s` along and heights `z`."""
    rng = np.random.default_rng(wall.seed)
    house_m = 6.4
    house = np.floor(s / house_m).astype(int)
    palette = np.array(
        [[150, 176, 200], [176, 186, 190], [112, 132, 176], [168, 168, 160], [140, 160, 178], [120, 140, 150]],
        np.float32,
    )
    order = rng.integers(0, len(palette), int(s.max(initial=0.0) / house_m) + 2)
    rough = _noise(s * 1.5, z * 1.5, wall.seed % 100000)
    colour = palette[order[house]] * (1 + 0.035 * rough)[:, None]
    bricked = order[house] == 2
    course = np.mod(z, 0.16) < 0.018
    header = np.mod(s + 0.2 * np.mod(np.floor(z / 0.16), 2), 0.4) < 0.022
    colour[bricked & (course | header)] *= 1.16
    base = z < 0.45
    colour[base] *= 0.7
    band = np.abs(z - 3.25) < 0.1
    colour[band] *= 1.1
    within = np.mod(s, house_m)
    _windows(colour, s, z, within, wall.seed)
    _shops(colour, s, z, within, house, rng)
    solid = np.ones(len(s), np.float32)
    for place in wall.doors:
        frame = (np.abs(s - place) < DOOR_WIDTH_M / 2 + 0.14) & (z < DOOR_HEIGHT_M + 0.14)
        colour[frame] = np.array([188, 192, 194], np.float32)
        opening = (np.abs(s - place) < DOOR_WIDTH_M / 2) & (z < DOOR_HEIGHT_M)
        depth = 0.55 + 0.45 * np.abs(s[opening] - place) / DOOR_WIDTH_M + 0.12 * z[opening] / DOOR_HEIGHT_M
        colour[opening] = np.array([52, 50, 50], np.float32) * depth[:, None]
        step = (np.abs(s - place) < DOOR_WIDTH_M / 2) & (z < 0.06)
        colour[step] = np.array([120, 124, 126], np.float32)
        solid[opening] = 0
    return colour, solid


def _windows(colour: Float, s: Float, z: Float, within: Float, seed: int) -> None:
    """Upper floors: two windows in each house front and floor, with frames, sills and a reflection of the sky."""
    u = np.mod(within - 0.9, 3.2)
    for sill in (3.7, 6.0):
        frame = (u < 1.42) & (z > sill - 0.08) & (z < sill + 1.62) & (within > 0.8)
        colour[frame] = np.array([206, 208, 208], np.float32)
        glass = (u > 0.08) & (u < 1.34) & (z > sill) & (z < sill + 1.54) & (np.abs(u - 0.71) > 0.035) & (within > 0.8)
        shine = 0.75 + 0.35 * (z[glass] - sill) / 1.5 + 0.1 * _noise(s[glass], z[glass], seed % 1000)
        colour[glass] = np.array([112, 92, 76], np.float32) * shine[:, None]


def _shops(
    colour: Float, s: Float, z: Float, within: Float, house: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Ground floors: shop windows with goods behind glass, a sign above, an awning here and there."""
    hues = rng.uniform(40, 190, (int(house.max(initial=0)) + 1, 3)).astype(np.float32)
    frame = (within > 0.55) & (within < 5.85) & (z > 0.45) & (z < 2.75)
    colour[frame] = hues[house[frame]] * 0.55 + 20
    pane = frame & (np.mod(within - 0.65, 1.72) > 0.1) & (z > 0.6) & (z < 2.62)
    goods = _noise(s[pane] * 4, z[pane] * 2.5, 77)
    glass = np.array([88, 80, 72], np.float32) * (0.75 + 0.18 * goods + 0.2 * (z[pane] - 0.6))[:, None]
    shelf = np.mod(z[pane], 0.55) < 0.05
    glass[shelf] *= 1.35
    lean = np.mod(s[pane] - 0.6 * z[pane], 2.9) < 0.45
    glass[lean] = glass[lean] * 0.8 + 42
    colour[pane] = glass
    sign = (within > 0.55) & (within < 5.85) & (z >= 2.78) & (z < 3.14)
    colour[sign] = hues[house[sign]]
    letters = sign & (np.mod(s * 5.3, 1.0) < 0.62) & (np.abs(z - 2.96) < 0.1) & (within > 1.6) & (within < 4.6)
    colour[letters] = np.array([225, 228, 230], np.float32)


def _depth(camera: Camera, prop: Prop) -> float:
    return float(camera.project(np.array([[prop.x, prop.y, 0.0]]))[1][0])


def _paint_prop(image: Float, camera: Camera, prop: Prop) -> Screen | None:
    """Paint a thing with its shadow into `image`; return what it hides, or None when it is out of the picture."""
    pixels, depths = camera.project(np.array([[prop.x, prop.y, 0.0], [prop.x, prop.y, prop.height]]))
    if depths.min() < 0.8:
        return None
    picture = draw_prop(prop)
    scale = float(np.linalg.norm(pixels[1] - pixels[0])) / picture.shape[0]
    size = (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = round(float(pixels[0, 0]) - size[0] / 2), round(float(pixels[0, 1]) - size[1])
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + size[0], camera.width), min(top + size[1], camera.height)
    if x0 >= x1 or y0 >= y1:
        return None
    _prop_shadow(image, camera, prop)
    part = small[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    mask = part[:, :, 3] / 255
    region = image[y0:y1, x0:x1]
    region *= (1 - mask)[:, :, None]
    region += part[:, :, :3]
    return Screen(x0, y0, mask, float(depths[0]))


def _prop_shadow(image: Float, camera: Camera, prop: Prop) -> None:
    width = prop.radius * 0.45 if prop.kind != "lamp" else 0.08
    length = min(prop.height, 3.0)
    across = np.array([-SUN_SHADOW[1], SUN_SHADOW[0]]) / np.hypot(*SUN_SHADOW) * width
    base = np.array([prop.x, prop.y])
    tip = base + np.array(SUN_SHADOW) * length
    corners = np.array([base - across, base + across, tip + across, tip - across])
    pixels, depths = camera.project(np.column_stack([corners, np.zeros(4)]))
    if depths.min() < 0.5 or np.abs(pixels).max() > 8 * max(camera.width, camera.height):
        return
    dark = np.zeros((camera.height, camera.width), np.float32)
    cv2.fillConvexPoly(dark, np.round(pixels).astype(np.int32), 0.34, cv2.LINE_AA)
    image *= 1 - cv2.GaussianBlur(dark, (0, 0), max(1.0, camera.width / 300))[:, :, None]
