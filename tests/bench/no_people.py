"""Pictures on which there is nobody, for the benchmarks of searching: plain, patterned, rendered and real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import SimulateSettings
from app.footage.motchallenge import read_rows
from app.simulate.plan import make_plan
from app.simulate.scenery import render_scenery

BgrImage = NDArray[np.uint8]

SHAPES = ((128, 64), (256, 128), (320, 320), (240, 427), (480, 640), (400, 150))
"""Heights and widths in pixels: half of them as tall and narrow as a person who is cut out."""


def pictures_without_people(footage: Path | None, count: int, seed: int = 0) -> Iterator[tuple[str, BgrImage]]:
    """Yield `count` (kind, (H, W, 3) uint8 BGR picture), the kinds in turn, each of another shape, size and place.

    footage: folder of shared data with real frames (`mot/PETS09-S2L1`), of which parts without people are cut out;
    None: without these.
    """
    random = np.random.default_rng(seed)
    scenery = list(_sceneries(seed))
    makers = {
        "lawn": lambda h, w: _lawn(random, h, w),
        "rectangle": lambda h, w: _rectangles(random, h, w),
        "texture": lambda h, w: _texture(random, h, w),
        "furniture": lambda h, w: _furniture(random, h, w),
        "scenery": lambda h, w: _cut(random, scenery[random.integers(len(scenery))], h, w),
    }
    if footage is not None:
        empty = list(_empty_places(random, footage, -(-count // 6)))
        makers["background"] = lambda h, w: empty.pop()
    kinds = list(makers)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        height, width = SHAPES[(number // len(kinds)) % len(SHAPES)]
        yield kind, makers[kind](height, width)


def _noise(random: np.random.Generator, height: int, width: int, smooth_px: float) -> NDArray[np.float32]:
    noise = cv2.GaussianBlur(random.normal(size=(height, width)).astype(np.float32), (0, 0), smooth_px)
    return noise / max(float(noise.std()), 1e-6)


def _lawn(random: np.random.Generator, height: int, width: int) -> BgrImage:
    """Grass: green, finely and coarsely uneven, perhaps with a strip of sky."""
    base = np.array([40, 120, 60], np.float32) * random.uniform(0.6, 1.4)
    uneven = 18 * _noise(random, height, width, 1.0) + 12 * _noise(random, height, width, width / 8)
    picture = base + uneven[:, :, None] * np.array([0.6, 1.0, 0.7], np.float32)
    if random.random() < 0.4:
        picture[: height // 4] = np.array([230, 200, 160]) + 4 * _noise(random, height // 4, width, 9)[:, :, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _rectangles(random: np.random.Generator, height: int, width: int) -> BgrImage:
    """One grey or coloured sheet, or a few rectangles on it: also a tall one, as large as a person would be."""
    picture = np.full((height, width, 3), random.integers(0, 256, 3 if random.random() < 0.5 else 1), np.uint8)
    for _ in range(random.integers(0, 4)):
        x, y = random.integers(0, width), random.integers(0, height)
        corner = (int(x + random.integers(4, width)), int(y + random.integers(4, height)))
        cv2.rectangle(picture, (int(x), int(y)), corner, random.integers(0, 256, 3).tolist(), -1)
    return picture


def _texture(random: np.random.Generator, height: int, width: int) -> BgrImage:
    """Noise, stripes or a chessboard in two colours."""
    first, second = random.integers(0, 256, (2, 3)).astype(np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    period, turn = random.uniform(4, 40), random.uniform(0, np.pi)
    share = (
        0.5 + 0.5 * np.sin(2 * np.pi * (rows * np.sin(turn) + columns * np.cos(turn)) / period),
        ((rows // period + columns // period) % 2),
        np.clip(0.5 + 0.25 * _noise(random, height, width, period / 4), 0, 1),
    )[random.integers(3)][:, :, None]
    return np.clip(first * share + second * (1 - share), 0, 255).astype(np.uint8)


def _furniture(random: np.random.Generator, height: int, width: int) -> BgrImage:
    """A table, a chair, a lamp or a shelf, drawn plainly before a wall and on a floor."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: 2 * height // 3], picture[2 * height // 3 :] = random.integers(120, 240, 3), random.integers(40, 160, 3)
    colour, dark = random.integers(20, 160, 3), random.integers(5, 60, 3).tolist()
    fill = colour.tolist()
    left, right, top, low = width // 5, 4 * width // 5, height // 4, 9 * height // 10
    leg = max(2, width // 16)
    kind = random.integers(4)
    if kind == 0:  # table
        cv2.rectangle(picture, (left, height // 2), (right, height // 2 + leg), fill, -1)
        for x in (left, right - leg):
            cv2.rectangle(picture, (x, height // 2), (x + leg, low), fill, -1)
    elif kind == 1:  # chair
        cv2.rectangle(picture, (left, top), (left + leg, low), fill, -1)
        cv2.rectangle(picture, (left, height // 2), (right, height // 2 + leg), fill, -1)
        cv2.rectangle(picture, (right - leg, height // 2), (right, low), fill, -1)
        cv2.rectangle(picture, (left, top), (left + 2 * leg, height // 2), dark, -1)
    elif kind == 2:  # lamp
        cv2.rectangle(picture, (width // 2 - leg // 2, top), (width // 2 + leg // 2, low), dark, -1)
        shade = [
            [left, top + height // 6],
            [right, top + height // 6],
            [3 * width // 5, top // 2],
            [2 * width // 5, top // 2],
        ]
        cv2.fillConvexPoly(picture, np.array(shade), fill)
        cv2.ellipse(picture, (width // 2, low), (width // 5, height // 40 + 1), 0, 0, 360, dark, -1)
    else:  # shelf
        cv2.rectangle(picture, (left, top // 2), (right, low), fill, -1)
        for row in range(4):
            y = top // 2 + (low - top // 2) * row // 4 + leg
            cv2.rectangle(picture, (left + leg, y), (right - leg, y + (low - top // 2) // 4 - leg), dark, -1)
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32)
    return np.clip(soft + random.normal(0, 3, soft.shape), 0, 255).astype(np.uint8)


def _sceneries(seed: int) -> Iterator[BgrImage]:
    """Yield what cameras of the simulator see when nobody is there: houses, doors, cars, trees, benches, bins."""
    for scene in range(2):
        plan = make_plan(SimulateSettings(cameras=2, seed=seed + scene, width_px=854, height_px=480))
        yield from (render_scenery(plan, camera, seed + scene).image for camera in plan.cameras)


def _cut(random: np.random.Generator, image: BgrImage, height: int, width: int) -> BgrImage:
    y, x = random.integers(0, image.shape[0] - height + 1), random.integers(0, image.shape[1] - width + 1)
    return image[y : y + height, x : x + width].copy()


def _empty_places(random: np.random.Generator, footage: Path, count: int) -> Iterator[BgrImage]:
    """Yield parts of frames of PETS09-S2L1 that no box of its truth touches, some with a street lamp or a sign."""
    folder = footage / "mot" / "PETS09-S2L1"
    rows = read_rows(folder / "gt" / "gt.txt")
    video = cv2.VideoCapture(str(folder / "vtest.avi"))
    frames = []
    for index in range(0, 780, 60):
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append((rows.boxes[rows.frames == index + 1], video.read()[1]))
    for made in range(count):
        height, width = SHAPES[made % len(SHAPES)]
        share = 0.75
        while True:  # a place that is too large to be empty anywhere shrinks
            boxes, frame = frames[random.integers(len(frames))]
            high, wide = round(share * height), round(share * width)
            y, x = random.integers(0, frame.shape[0] - high), random.integers(0, frame.shape[1] - wide)
            touched = (boxes[:, 0] < x + wide) & (boxes[:, 2] > x) & (boxes[:, 1] < y + high) & (boxes[:, 3] > y)
            if not touched.any():
                break
            share *= 0.98
        yield frame[y : y + high, x : x + wide].copy()
