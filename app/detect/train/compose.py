"""The data recipe: one training picture, composed of many photos, with exact boxes.

People cut out along their masks are pasted, several at a time and hiding one another, over pieces of photos with real
small people, person-free places and rendered scenes (after Dwibedi, Misra and Hebert, "Cut, Paste and Learn", 2017,
and Ghiasi and others, "Simple Copy-Paste", 2021). People get the heights in pixels that they have in use.

A box encloses the whole person, what others hide included, cut off at the picture's edge, as the truth of tracking
benchmarks does. Somebody of whom less than `LEAST_VISIBLE` can be seen gets no box.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from app.detect.train.degrade import change_light, record
from app.detect.train.photos import Boxes, Image, Photo, Stock

LEAST_VISIBLE = 0.25
LEAST_HEIGHT_PX = 10
USUAL_HEIGHTS_PX = (24.0, 120.0)
SMALLEST_PERSON_PX = 12.0


@dataclass(slots=True)
class Canvas:
    """A picture in the making. `owner` (H, W) int16 says which person a pixel belongs to, −1 for none.

    Of person i, `boxes[i]` is x1 y1 x2 y2 and `whole[i]` the pixels that it has, hidden ones and ones beyond the edge
    included.
    """

    image: Image
    owner: NDArray[np.int16]
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls, image: Image) -> Canvas:
        return cls(image, np.full(image.shape[:2], -1, np.int16))

    def truth(self) -> Boxes:
        """Return the (N, 4) boxes, within the picture, of everybody of whom enough can be seen."""
        height, width = self.owner.shape
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
        kept = self.seen() & (boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT_PX)
        return boxes[kept & (boxes[:, 2] - boxes[:, 0] >= 3)]

    def seen(self) -> NDArray[np.bool_]:
        """Return (N,) of whom enough can be seen."""
        pixels = np.bincount(self.owner.ravel() + 1, minlength=len(self.boxes) + 1)[1:]
        return np.asarray(pixels >= LEAST_VISIBLE * np.array(self.whole), np.bool_)


def compose(rng: np.random.Generator, stock: Stock, size: int, largest: float) -> Photo:
    """Return a training picture of `size` × `size` pixels with people of up to `largest` pixels; the same for the same
    state of `rng`."""
    canvas = Canvas.empty(_empty_place(rng, stock, size))
    kind = rng.random()
    if kind < 0.25 and stock.scenes:
        _place_window(rng, canvas, stock.scenes[rng.integers(len(stock.scenes))], rng.uniform(0.55, 1.4))
    elif kind < 0.75:
        for _ in range(rng.integers(1, 5)):
            _place_piece(rng, canvas, stock, largest)
    if stock.cutouts and rng.random() < 0.85:
        _paste_crowd(rng, canvas, stock, largest)
    truth = canvas.truth()
    image = record(rng, canvas.image)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        truth[:, [0, 2]] = size - truth[:, [2, 0]]
    return Photo(image, truth)


def random_height(rng: np.random.Generator, largest: float) -> float:
    """Return the height of a person in pixels: every size within a range is as likely as its double."""
    low, high = USUAL_HEIGHTS_PX if rng.random() < 0.75 else (SMALLEST_PERSON_PX, largest)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


# --- What lies behind ------------------------------------------------------------------------------------------------


def _empty_place(rng: np.random.Generator, stock: Stock, size: int) -> Image:
    """Return (size, size, 3) without people: a person-free picture, or a part of a photo beside its people."""
    photos = stock.photos
    if photos and (not stock.empty or rng.random() < 0.7):
        for _ in range(8):
            photo = photos[rng.integers(len(photos))]
            window = _free_window(rng, photo)
            if window is not None:
                return _enlarge(rng, window, size)
    if stock.empty:
        return _enlarge(rng, stock.empty[rng.integers(len(stock.empty))], size)
    grey = rng.integers(40, 200, 3).astype(np.uint8)
    return np.full((size, size, 3), grey, np.uint8)


def _free_window(rng: np.random.Generator, photo: Photo) -> Image | None:
    """Return a part of the photo that no box touches, or None if a few tries find none."""
    height, width = photo.image.shape[:2]
    for share in (0.8, 0.6, 0.45):
        side_x, side_y = int(width * share), int(height * share)
        x, y = int(rng.integers(width - side_x + 1)), int(rng.integers(height - side_y + 1))
        x1, y1, x2, y2 = photo.boxes.T
        if not np.any((x1 < x + side_x) & (x2 > x) & (y1 < y + side_y) & (y2 > y)):
            return photo.image[y : y + side_y, x : x + side_x]
    return None


def _enlarge(rng: np.random.Generator, image: Image, size: int) -> Image:
    """Return a random square part of the image, scaled to `size`, perhaps mirrored and with other light."""
    height, width = image.shape[:2]
    side = int(min(height, width) * rng.uniform(0.6, 1.0))
    x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    part = image[y : y + side, x : x + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return change_light(rng, np.asarray(cv2.resize(np.ascontiguousarray(part), (size, size)), np.uint8))


def _place_piece(rng: np.random.Generator, canvas: Canvas, stock: Stock, largest: float) -> None:
    """Put a photo with a real person at a random height somewhere onto the canvas, as a piece of a mosaic."""
    portraits = stock.portraits if rng.random() < 0.3 or not stock.photos else stock.photos
    if not portraits:
        return
    photo = portraits[rng.integers(len(portraits))]
    x1, y1, x2, y2 = photo.boxes[rng.integers(len(photo.boxes))]
    scale = float(np.clip(random_height(rng, largest) / (y2 - y1), 0.06, 1.3))
    if portraits is stock.portraits:  # people without boxes may pass behind: keep to the person's surroundings
        around = 0.25 * (x2 - x1)
        left, right = int(max(x1 - around, 0)), int(min(x2 + around, photo.image.shape[1]))
        photo = Photo(photo.image[:, left:right], photo.boxes - np.array([left, 0, left, 0], np.float32))
    _place_window(rng, canvas, photo, scale)


def _place_window(rng: np.random.Generator, canvas: Canvas, photo: Photo, scale: float) -> None:
    """Scale a photo and put it, or the part that fits, at a random place; who is hidden by it, is hidden."""
    size = canvas.image.shape[0]
    scale = max(scale, 24 / min(photo.image.shape[:2]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(photo.image, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    boxes = photo.boxes * scale
    height, width = min(image.shape[0], size), min(image.shape[1], size)
    from_y = int(rng.integers(image.shape[0] - height + 1))
    from_x = int(rng.integers(image.shape[1] - width + 1))
    to_y, to_x = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    place = (slice(to_y, to_y + height), slice(to_x, to_x + width))
    canvas.image[place] = change_light(rng, image[from_y : from_y + height, from_x : from_x + width], 0.5)
    canvas.owner[place] = -1
    # A photo's people have boxes only: each counts as its box. Whom the photo's edge cuts ends there.
    shift = np.array([to_x - from_x, to_y - from_y] * 2, np.float32)
    for x1, y1, x2, y2 in np.rint(boxes + shift).astype(int):
        whole = max((x2 - x1) * (y2 - y1), 1)
        x1, x2 = np.clip((x1, x2), to_x, to_x + width)
        y1, y2 = np.clip((y1, y2), to_y, to_y + height)
        canvas.owner[y1:y2, x1:x2] = len(canvas.boxes)
        overlapped = 0.6 * whole  # boxes of a crowd cover each other without hiding anybody
        canvas.boxes.append((float(x1), float(y1), float(x2), float(y2)))
        canvas.whole.append(int(overlapped))


# --- Pasted people ---------------------------------------------------------------------------------------------------


def _paste_crowd(rng: np.random.Generator, canvas: Canvas, stock: Stock, largest: float) -> None:
    """Paste people from back to front, most of them as one camera would see them: the lower, the nearer, the taller."""
    size = canvas.image.shape[0]
    count = 1 + min(int(rng.geometric(0.2)), 12)
    perspective = rng.random() < 0.7
    usual = random_height(rng, largest)
    horizon = rng.uniform(-0.6, 0.3) * size
    feet = np.sort(rng.uniform(0.15, 1.15, count)) * size
    middle = 0.6 * size
    x = rng.uniform(0, size)
    for foot in feet:
        height = usual * (foot - horizon) / (middle - horizon) if perspective else random_height(rng, largest)
        height = float(np.clip(height * np.exp(rng.normal(0, 0.06)), SMALLEST_PERSON_PX, largest))
        beside = rng.random() < 0.4  # goes with, or passes, the one before
        x = x + rng.choice([-1, 1]) * rng.uniform(0.1, 0.5) * height if beside else rng.uniform(-0.02, 1.02) * size
        paste(canvas, dress(rng, stock.cutouts[rng.integers(len(stock.cutouts))], height), x, float(foot))


def dress(rng: np.random.Generator, cutout: Image, height: float) -> Image:
    """Return a cut-out person as (h, w, 4) BGRA of about `height` pixels: mirrored, squeezed, in other light."""
    scale = height / cutout.shape[0]
    squeeze = np.exp(rng.normal(0, 0.1))
    shape = (max(2, round(cutout.shape[1] * scale * squeeze)), max(4, round(height * rng.uniform(0.85, 1.0))))
    person = cutout[:, ::-1] if rng.random() < 0.5 else cutout
    if rng.random() < 0.12:  # things of all kinds hide legs
        person = person[: int(person.shape[0] * rng.uniform(0.45, 0.9))]
        shape = (shape[0], max(4, round(shape[1] * person.shape[0] / cutout.shape[0])))
    solid = person[:, :, 3:] // 255
    colours = change_light(rng, np.ascontiguousarray(person[:, :, :3]), 0.9) * solid  # premultiplied
    joined = np.dstack([colours, person[:, :, 3]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    joined = np.asarray(cv2.resize(joined, shape, interpolation=method), np.uint8)
    if rng.random() < 0.3:
        joined = np.asarray(cv2.GaussianBlur(joined, (0, 0), rng.uniform(0.3, 0.9)), np.uint8)
    return joined


def paste(canvas: Canvas, person: Image, x: float, foot: float) -> None:
    """Blend (h, w, 4) BGRA with premultiplied colours so that it stands on the line `foot`, `x` being its middle.

    Its box is tight around its pixels of at least half opacity.
    """
    size_y, size_x = canvas.owner.shape
    solid = person[:, :, 3] > 127
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if len(rows) == 0:
        return
    left, top = round(x - person.shape[1] / 2), round(foot - person.shape[0])
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + person.shape[1], size_x), min(top + person.shape[0], size_y)
    if x0 >= x1 or y0 >= y1:
        return
    part = person[y0 - top : y1 - top, x0 - left : x1 - left]
    region = canvas.image[y0:y1, x0:x1]
    through = cv2.merge([255 - part[:, :, 3]] * 3)
    cv2.add(cv2.multiply(region, through, scale=1 / 255), np.ascontiguousarray(part[:, :, :3]), dst=region)
    canvas.owner[y0:y1, x0:x1][part[:, :, 3] > 127] = len(canvas.boxes)
    canvas.boxes.append(
        (float(left + columns[0]), float(top + rows[0]), float(left + columns[-1] + 1), float(top + rows[-1] + 1))
    )
    canvas.whole.append(int(np.count_nonzero(solid)))
