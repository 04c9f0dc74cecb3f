"""Pictures of the things that stand about: lamps, planters, advertising pillars, benches, bins and trees."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from app.simulate.plan import Prop

PX_PER_M = 110
Sprite = NDArray[np.uint8]


@lru_cache(maxsize=64)
def draw_prop(prop: Prop) -> Sprite:
    """Return (H, W, 4) uint8 BGR times alpha, and alpha; the bottom row is the ground, H is the prop's height."""
    rng = np.random.default_rng(prop.seed)
    height = round(prop.height * PX_PER_M)
    width = {"lamp": 0.5, "planter": 1.3, "pillar": 1.25, "bench": 1.8, "bin": 0.55, "tree": 2.9}[prop.kind]
    colour = np.zeros((height, round(width * PX_PER_M), 3), np.float32)
    mask = np.zeros(colour.shape[:2], np.float32)
    draw = {"lamp": _lamp, "planter": _planter, "pillar": _pillar, "bench": _bench, "bin": _bin, "tree": _tree}[
        prop.kind
    ]
    draw(colour, mask, rng)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.8)
    rough = np.asarray(rng.normal(0, 1, mask.shape), np.float32)
    grain = 1 + 0.05 * cv2.GaussianBlur(rough, (0, 0), 1.5)
    lit = (
        np.clip(cv2.GaussianBlur(colour * grain[:, :, None], (0, 0), 0.6), 0, 255) * np.minimum(soft, mask)[:, :, None]
    )
    picture: Sprite = np.dstack([lit, np.minimum(soft, mask) * 255]).astype(np.uint8)
    picture.setflags(write=False)
    return picture


def _round_shade(width: int) -> NDArray[np.float32]:
    """Light across an upright cylinder, lit from the left."""
    x = np.linspace(-1, 1, max(width, 2), dtype=np.float32)
    towards_sun = np.sqrt(1 - np.clip(x + 0.35, -1, 1) ** 2)
    light: NDArray[np.float32] = np.clip(0.62 + 0.5 * towards_sun - 0.3 * np.clip(x, 0, 1), 0.25, 1.15)
    return light


def _column(
    colour: NDArray[np.float32],
    mask: NDArray[np.float32],
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    paint: tuple[float, float, float],
) -> None:
    colour[y0:y1, x0:x1] = np.asarray(paint, np.float32) * _round_shade(x1 - x0)[None, :, None]
    mask[y0:y1, x0:x1] = 1


def _lamp(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    paint = (58.0, 60.0, 56.0)
    _column(colour, mask, width // 2 - 6, width // 2 + 7, height // 8, height, paint)
    _column(colour, mask, width // 2 - 11, width // 2 + 12, height - 60, height, paint)
    head = np.array(
        [[width // 2 - 22, 12], [width // 2 + 22, 12], [width // 2 + 12, height // 8], [width // 2 - 12, height // 8]]
    )
    cv2.fillConvexPoly(colour, head, (214.0, 226.0, 230.0))
    cv2.fillConvexPoly(mask, head, 1.0)


def _leaves(
    colour: NDArray[np.float32],
    mask: NDArray[np.float32],
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    count: int,
    size: float,
) -> None:
    """Fill an ellipse with leaves, the sunlit ones above left painted last."""
    angle = rng.uniform(0, 2 * np.pi, count)
    reach = np.sqrt(rng.uniform(0, 1, count))
    x, y = centre[0] + radii[0] * reach * np.cos(angle), centre[1] + radii[1] * reach * np.sin(angle)
    light = 0.5 + 0.5 * ((centre[0] - x) / radii[0] * 0.4 + (centre[1] - y) / radii[1] * 0.8)
    light = np.clip(light + rng.normal(0, 0.22, count), 0.05, 1.1)
    green = np.array([44, 96, 70]) + rng.normal(0, 8, 3)
    for index in np.argsort(light):
        at = (int(x[index]), int(y[index]))
        axes = (max(2, int(size * rng.uniform(0.6, 1.2))), max(2, int(size * rng.uniform(0.3, 0.7))))
        turn = float(rng.uniform(0, 180))
        paint = tuple(float(c) for c in green * (0.35 + 0.95 * light[index]))
        cv2.ellipse(colour, at, axes, turn, 0, 360, paint, -1)
        cv2.ellipse(mask, at, axes, turn, 0, 360, 1.0, -1)


def _planter(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    top = round(height * 0.55)
    paint = tuple(float(c) for c in np.array([128, 134, 140]) + rng.normal(0, 12, 3))
    _column(colour, mask, 8, width - 8, top, height, (paint[0], paint[1], paint[2]))
    colour[top : top + 8, 8 : width - 8] *= 1.15
    colour[height - 10 :] *= 0.6
    _leaves(colour, mask, rng, (width / 2, height * 0.36), (width * 0.46, height * 0.33), 420, 9)


def _pillar(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    _column(colour, mask, 6, width - 6, 26, height, (122.0, 132.0, 128.0))
    for _ in range(14):
        y, x = int(rng.integers(50, height - 90)), int(rng.integers(6, width - 50))
        h, w = int(rng.integers(40, 85)), int(rng.integers(26, 48))
        poster = rng.uniform(50, 215, 3).astype(np.float32)
        shade = _round_shade(width - 12)[x - 6 : x - 6 + w]
        w = len(shade)
        colour[y : y + h, x : x + w] = poster * shade[None, :, None]
        for line in range(y + 8, y + h - 4, 9):
            colour[line : line + 3, x + 4 : x + w - 4] *= 0.6
    cap = np.array([[0, 34], [width, 34], [width - 22, 6], [22, 6]])
    cv2.fillConvexPoly(colour, cap, (70.0, 82.0, 72.0))
    cv2.fillConvexPoly(mask, cap, 1.0)
    colour[height - 22 :] *= 0.55


def _bench(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    wood = np.array([58, 92, 134], np.float32) + rng.normal(0, 8, 3).astype(np.float32)
    for y in (6, 24, 46, 52):
        colour[y : y + 12, 4 : width - 4] = wood * (0.8 + 0.3 * (y == 46))
        mask[y : y + 12, 4 : width - 4] = 1
    for x in (16, width - 26):
        colour[4:height, x : x + 9] = 46
        mask[4:height, x : x + 9] = 1


def _bin(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    paint = ((62.0, 92.0, 58.0), (72.0, 74.0, 76.0), (96.0, 74.0, 52.0))[int(rng.integers(3))]
    _column(colour, mask, 4, width - 4, 12, height - 4, paint)
    colour[16:28, 8 : width - 8] *= 0.35
    colour[4:12, 2 : width - 2] = 60
    mask[4:12, 2 : width - 2] = 1


def _tree(colour: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
    height, width = mask.shape
    _column(colour, mask, width // 2 - 11, width // 2 + 12, height // 2, height, (52.0, 68.0, 84.0))
    _leaves(colour, mask, rng, (width / 2, height * 0.3), (width * 0.46, height * 0.28), 1500, 10)
