"""Real frames with boxes as training pictures: pieces of them at many scales, as many cameras would have taken them.

What the labels call disputed, and people of whom too little is left in the piece, are *ignored*: the loss is silent
there (`loss`). People cut out of photos join those who are there (see `compose`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.boxes import areas, clip
from app.config import DetectorTrainSettings
from app.detect.network import PADDING_GREY
from app.detect.train.compose import LEAST_VISIBLE, Canvas, compose, dress, paste
from app.detect.train.degrade import record, watch
from app.detect.train.photos import Boxes, Photo, Stock, data_sets, fill_stock, read_data_set
from app.errors import InputError

COMPOSED = "composed"
"""Name under which `draw` counts pictures composed by `compose`."""
SCALES = (0.4, 1.7)
LEAST_HEIGHT_PX = 10.0
"""Lower people are ignored: there is too little to see in them."""
PASTE_PROBABILITY = 0.3
WIDE_PROBABILITY = 0.4
"""Of a batch: pictures as wide as a whole frame, not a square piece of one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A training picture: (H, W, 3) uint8 BGR `image`, (N, 4) float32 `boxes` with (N,) float32 `scores` in [0, 1],
    how sure the labels are, and (M, 4) float32 `ignored` boxes. `clean`: the picture before it was degraded, where it
    was."""

    image: NDArray[np.uint8]
    boxes: Boxes
    scores: NDArray[np.float32]
    ignored: Boxes
    clean: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """Frames by the name of their data set, what pictures are composed of, and how often each kind is drawn.

    kinds: names of data sets, and perhaps `COMPOSED`. shares: (K,) which add up to 1.
    """

    frames: Mapping[str, Sequence[Photo]]
    stock: Stock
    kinds: Sequence[str]
    shares: NDArray[np.float64]


def read_material(settings: DetectorTrainSettings, data: Sequence[Path]) -> Material:
    """Read data sets in YOLO's layout. Those with a folder `ignored/` (see `label`) and those that `draw` names are
    learned from as they are; of those without `ignored/` pictures are composed.

    Raises InputError for unusable data, and if `train_detector.draw` names a data set that is not there.
    """
    frames: dict[str, list[Photo]] = {}
    others = []
    for path in data:
        for folder in data_sets(path):
            judged = (folder / "ignored").is_dir()
            if judged or folder.name in settings.draw:
                frames.setdefault(folder.name, []).extend(photo for photo, _ in read_data_set(folder))
            if not judged:
                others.append(folder)
    if not frames:
        raise InputError(
            f"{', '.join(map(str, data))}: no frames to learn from; name data sets in train_detector.draw, or label "
            "pictures first"
        )
    stock = fill_stock(others, settings.scenes if others else 0, settings.seed, settings.workers)
    kinds = [*frames, *([COMPOSED] if stock.photos or stock.cutouts else [])]
    unknown = sorted(set(settings.draw) - set(kinds))
    if unknown:
        raise InputError(f"train_detector.draw: {unknown[0]} is not among the data, which has {', '.join(kinds)}")
    weights = np.array([settings.draw.get(kind, 1.0) for kind in kinds])
    return Material(frames, stock, kinds, weights / weights.sum())


def batches(settings: DetectorTrainSettings, material: Material, first: int) -> Iterator[list[Sample]]:
    """Yield batches of samples of one size without end, from number `first` on; each depends on its number and the
    seed alone."""
    number = first
    while True:
        rng = np.random.default_rng([settings.seed, 5, number])
        side = settings.size_px
        width, height = (side, side) if rng.random() >= WIDE_PROBABILITY else _wide(side)
        yield [draw(rng, material, width, height, settings.mosaic_probability) for _ in range(settings.batch)]
        number += 1


def _wide(side: int) -> tuple[int, int]:
    """Return width and height of about as many pixels as a square, in the shape of most frames."""
    return round(side * 1.43 / 32) * 32, round(side * 0.86 / 32) * 32


def draw(rng: np.random.Generator, material: Material, width: int, height: int, mosaic: float) -> Sample:
    """Return a training picture of `width` × `height`; the same for the same state of `rng`."""
    kind = material.kinds[rng.choice(len(material.kinds), p=material.shares)]
    if kind == COMPOSED:
        side = max(width, height)
        photo = compose(rng, material.stock, side, float(side))
        return _crop(Sample(photo.image, photo.boxes, np.ones(len(photo.boxes), np.float32), _NONE), width, height)
    if rng.random() < mosaic:
        sample = _mosaic(rng, material, kind, width, height)
    else:
        sample = piece(rng, _pick(rng, material.frames[kind]), width, height)
    if material.stock.cutouts and rng.random() < PASTE_PROBABILITY:
        sample = add_people(rng, sample, material.stock.cutouts)
    image = record(rng, watch(rng, sample.image))
    return Sample(image, sample.boxes, sample.scores, sample.ignored, sample.image)


def _pick(rng: np.random.Generator, frames: Sequence[Photo]) -> Photo:
    return frames[int(rng.integers(len(frames)))]


def piece(rng: np.random.Generator, photo: Photo, width: int, height: int) -> Sample:
    """Return a piece of `width` × `height` of a frame: scaled, mirrored, turned, stretched a little."""
    own_height, own_width = photo.image.shape[:2]
    fit = min(width / own_width, height / own_height)
    if rng.random() < 0.5:
        scale = fit * float(np.exp(rng.uniform(np.log(0.8), np.log(1.3))))  # about the whole frame
    else:
        scale = 640 / max(own_width, own_height) * float(np.exp(rng.uniform(*np.log(SCALES))))
    stretch = float(np.exp(rng.normal(0, 0.06)))
    scale_x, scale_y = scale * stretch, scale / stretch
    kind = rng.random()
    turn = np.deg2rad(rng.uniform(-50, 50) if kind < 0.06 else rng.uniform(-5, 5) if kind < 0.4 else 0.0)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([scale_x * mirror, scale_y])
    # Where the frame is larger than the piece, anywhere within it; where it is smaller, anywhere within the piece.
    room = np.array([width - own_width * scale_x, height - own_height * scale_y])
    middle = np.array([width, height]) / 2 + rng.uniform(-0.5, 0.5, 2) * np.abs(room)
    shift = middle - linear @ np.array([own_width / 2, own_height / 2])
    matrix = np.hstack([linear, shift[:, None]])
    image = photo.image
    if scale < 0.6:  # a warp takes single pixels: the rest of what a smaller picture would average is lost
        image = cv2.blur(image, (round(1 / scale),) * 2)
    image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(PADDING_GREY,) * 3)
    boxes, ignored = _moved(photo.boxes, matrix), _moved(photo.ignored, matrix)
    return _clip(Sample(np.asarray(image, np.uint8), boxes, photo.scores, ignored), width, height)


def _moved(boxes: Boxes, matrix: NDArray[np.float64]) -> Boxes:
    """Return boxes round the ellipses that fill (N, 4) `boxes`, after a (2, 3) map; exact where nothing is turned."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(((boxes[:, None, 2:] - boxes[:, None, :2]) / 2 * matrix[None, :, :2]) ** 2 @ np.ones(2))
    return np.hstack([centers - half, centers + half]).astype(np.float32)


def _clip(sample: Sample, width: int, height: int) -> Sample:
    """Cut everything off at the edges. People of whom too little is left are ignored, ones quite outside are gone."""
    boxes = clip(sample.boxes, width, height)
    left = areas(boxes) / np.maximum(areas(sample.boxes), 1e-6)
    tall = boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT_PX
    kept = (left >= LEAST_VISIBLE) & tall
    lost = ~kept & (areas(boxes) > 0)
    ignored = clip(np.concatenate([sample.ignored, boxes[lost]]), width, height)
    return Sample(sample.image, boxes[kept], sample.scores[kept], ignored[areas(ignored) > 0])


def _crop(sample: Sample, width: int, height: int) -> Sample:
    """Return the upper left part of a picture that is at least as large."""
    return _clip(
        Sample(np.ascontiguousarray(sample.image[:height, :width]), sample.boxes, sample.scores, sample.ignored),
        width,
        height,
    )


def _mosaic(rng: np.random.Generator, material: Material, kind: str, width: int, height: int) -> Sample:
    """Return four pieces, of frames of one data set, that meet at a random point."""
    x, y = int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.3, 0.7))
    image = np.empty((height, width, 3), np.uint8)
    parts = []
    for left, top, right, bottom in ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)):
        part = piece(rng, _pick(rng, material.frames[kind]), right - left, bottom - top)
        image[top:bottom, left:right] = part.image
        shift = np.array([left, top, left, top], np.float32)
        parts.append((part.boxes + shift, part.scores, part.ignored + shift))
    return Sample(image, *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def add_people(rng: np.random.Generator, sample: Sample, cutouts: Sequence[NDArray[np.uint8]]) -> Sample:
    """Paste one to three people, mostly as tall as those who are there. Whom they hide too much is ignored."""
    height, width = sample.image.shape[:2]
    canvas = Canvas.empty(sample.image.copy())
    for x1, y1, x2, y2 in sample.boxes:
        columns, rows = slice(int(x1), int(np.ceil(x2))), slice(int(y1), int(np.ceil(y2)))
        canvas.owner[rows, columns] = len(canvas.boxes)
        canvas.boxes.append((float(x1), float(y1), float(x2), float(y2)))
        canvas.whole.append(int(0.6 * (x2 - x1) * (y2 - y1)))  # boxes cover each other without hiding anybody
    heights = sample.boxes[:, 3] - sample.boxes[:, 1]
    for _ in range(rng.integers(1, 4)):
        tall = float(np.exp(rng.uniform(np.log(20), np.log(1.1 * height))))
        if len(heights) and rng.random() < 0.7:
            tall = float(heights[rng.integers(len(heights))] * np.exp(rng.normal(0, 0.25)))
        tall = float(np.clip(tall, 14, 1.5 * height))
        foot = rng.uniform(0.3, 1.2) * height + 0.3 * tall
        paste(canvas, dress(rng, cutouts[int(rng.integers(len(cutouts)))], tall), rng.uniform(0, width), foot)
    seen = canvas.seen()
    boxes = clip(np.array(canvas.boxes, np.float32).reshape(-1, 4), width, height)
    scores = np.concatenate([sample.scores, np.ones(len(boxes) - len(sample.scores), np.float32)])
    tall_enough = boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT_PX
    kept = seen & tall_enough
    lost = ~kept & (areas(boxes) > 0)
    return Sample(canvas.image, boxes[kept], scores[kept], np.concatenate([sample.ignored, boxes[lost]]))


_NONE: Any = np.zeros((0, 4), np.float32)
