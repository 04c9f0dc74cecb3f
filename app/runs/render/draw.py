"""Drawing on pictures: boxes with names in one colour per person, blurring, contact sheets of people.

Sizes follow from the height of the picture, so that the same scene looks the same at any resolution. Nothing here
modifies an image that it was handed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.frames import NO_ID, BgrImage

Color = tuple[int, int, int]
"""Blue, green, red in 0 … 255."""

GREY: Color = (160, 160, 160)
DARK: Color = (28, 26, 24)
LIGHT: Color = (240, 240, 240)

_PALETTE_SIZE = 48
_BLUR_CELLS = 8
_BLUR_MARGIN = 0.15
"""Share of a box by which it is made larger on every side before it is blurred."""

_LEAST_BLUR_MARGIN_PX = 2.0


def person_color(person_id: int) -> Color:
    """Return the colour of a person, the same on every camera and in every run; grey for `NO_ID`.

    Neighbouring numbers get colours that are easy to tell apart; after 48 people the colours come again.
    """
    return GREY if person_id < 0 else _palette()[person_id % _PALETTE_SIZE]


@lru_cache(maxsize=1)
def _palette() -> tuple[Color, ...]:
    """Choose colours one after the other, each as far as possible from all before it, as the eye sees distance."""
    hue, saturation, value = np.meshgrid(np.arange(0, 180, 3), np.arange(110, 256, 29), np.arange(130, 256, 25))
    hsv = np.stack([hue.ravel(), saturation.ravel(), value.ravel()], axis=1).astype(np.uint8)[None]
    candidates = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    lab = cv2.cvtColor(candidates.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    readable = (lab[:, 0] > 50) & (lab[:, 0] < 88) & (np.hypot(lab[:, 1], lab[:, 2]) > 52)
    lab, candidates = lab[readable], candidates[0][readable]
    # Lightness counts half: two shades of one hue look like the same person in sun and shadow.
    lab = lab * np.array([0.5, 1.0, 1.0], np.float32)
    chosen = [int(np.argmin(np.abs(lab - np.array([33, 10, -55], np.float32)).sum(axis=1)))]
    distance = np.linalg.norm(lab - lab[chosen[0]], axis=1)
    while len(chosen) < _PALETTE_SIZE:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    return tuple((int(blue), int(green), int(red)) for blue, green, red in candidates[chosen])


def annotate(
    image: BgrImage,
    boxes: NDArray[np.float32],
    person_ids: NDArray[np.int64],
    track_ids: NDArray[np.int64],
    names: Mapping[int, str] | None = None,
    trails: Mapping[int, NDArray[np.float32]] | None = None,
    unseen: NDArray[np.bool_] | None = None,
) -> BgrImage:
    """Return a copy of the picture with a box and a label for each person.

    boxes: (N, 4) x1 y1 x2 y2 in pixels.  person_ids, track_ids: (N,).
    names: labels of people, by person id; others are labelled with their number.
    trails: (P, 2) points x y where somebody walked, by track id; drawn as a line.
    unseen: (N,) which boxes were not detected but filled in; only their corners are drawn.

    A track without a person gets a grey box and no label; rows without a track are not drawn.
    """
    canvas = image.copy()
    thickness = max(2, round(image.shape[0] / 320))
    text_height = max(13, round(image.shape[0] / 42))
    rows = np.flatnonzero((track_ids != NO_ID) | (person_ids != NO_ID))
    rows = rows[np.argsort(boxes[rows, 3], kind="stable")]  # nearer people are lower in the picture: on top
    for row in rows if trails else ():
        trail = trails.get(int(track_ids[row])) if trails else None
        if trail is not None and len(trail) > 1:
            _draw_trail(canvas, trail, person_color(int(person_ids[row])), thickness)
    corners = np.clip(np.rint(boxes), -30000, 30000).astype(np.int64)
    for row in rows:
        left, top, right, bottom = corners[row].tolist()
        color = person_color(int(person_ids[row]))
        if unseen is not None and unseen[row]:
            _draw_corners(canvas, (left, top, right, bottom), color, thickness)
        else:
            cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness, cv2.LINE_8)
    placed: list[tuple[int, int, int, int]] = []
    for row in rows[::-1]:
        person = int(person_ids[row])
        if person != NO_ID:
            text = _label_of(person, names)
            width, height = tag_size(text, text_height)
            left, top = int(corners[row, 0]) - thickness // 2, int(corners[row, 1]) - height + 1
            place = _free_place(left, top, width, height, image.shape[1], placed)
            placed.append(place)
            draw_tag(canvas, text, place[0], place[1], person_color(person), text_height)
    return canvas


def _free_place(
    left: int, top: int, width: int, height: int, image_width: int, placed: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom for a tag: where it is wanted, or further up where others lie there already."""
    left, top = max(0, min(left, image_width - width)), max(0, top)
    wanted = (left, top, left + width, top + height)
    for _ in range(4):
        blocking = [p for p in placed if p[0] < left + width and left < p[2] and p[1] < top + height and top < p[3]]
        if not blocking:
            return left, top, left + width, top + height
        top = min(p[1] for p in blocking) - height
        if top < 0:
            break
    return wanted


def blur_boxes(image: BgrImage, boxes: NDArray[np.float32]) -> BgrImage:
    """Return a copy in which nobody inside the (N, 4) boxes can be recognised.

    Each box, made larger (`grown_for_blur`), is replaced by the averages of at most 8 cells along its longer side, so
    that the details are gone from the picture and not only hidden.
    """
    canvas = image.copy()
    grown = grown_for_blur(boxes, image.shape[1], image.shape[0]).astype(np.int64)
    # The largest last: the fine cells of a box around a face must not show in the coarse ones of the whole person.
    for left, top, right, bottom in grown[np.argsort((grown[:, 2:] - grown[:, :2]).max(axis=1), kind="stable")]:
        if right > left and bottom > top:
            # Averages come from the untouched picture, so the order of the boxes does not matter.
            region = image[top:bottom, left:right]
            longest = max(region.shape[:2])
            cells = tuple(max(1, round(_BLUR_CELLS * side / longest)) for side in (right - left, bottom - top))
            small = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
            canvas[top:bottom, left:right] = cv2.resize(
                small, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_LINEAR
            )
    return canvas


def grown_for_blur(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return the (N, 4) boxes larger by `_BLUR_MARGIN` on every side, in whole pixels of a picture of that size."""
    margin = np.maximum(_BLUR_MARGIN * np.maximum(boxes[:, 2:] - boxes[:, :2], 0), _LEAST_BLUR_MARGIN_PX)
    grown = np.concatenate([np.floor(boxes[:, :2] - margin), np.ceil(boxes[:, 2:] + margin)], axis=1)
    return np.clip(grown, 0, np.array([width, height, width, height])).astype(np.float32)


def blur_people(
    image: BgrImage, boxes: NDArray[np.float32], person_ids: NDArray[np.int64], keep_person: int = NO_ID
) -> BgrImage:
    """Return a copy with everybody blurred but `keep_person`; where somebody else overlaps that person, both are."""
    others = person_ids != keep_person if keep_person != NO_ID else np.ones(len(boxes), np.bool_)
    return blur_boxes(image, boxes[others])


def contact_sheet(
    people: Mapping[int, Mapping[str, Sequence[BgrImage]]],
    names: Mapping[int, str] | None = None,
    crops_per_camera: int = 4,
    crop_height_px: int = 128,
) -> BgrImage:
    """Return one picture of all people: a row for each person, a block of columns for each camera.

    people: crops by camera and person, best first.  names: labels of people; others show their number.
    """
    cameras = sorted({camera for crops in people.values() for camera in crops})
    crop_width, gap = crop_height_px // 2, max(4, crop_height_px // 16)
    text_height = max(12, crop_height_px // 8)
    margin = max([_text_mask(_label_of(person, names), text_height).shape[1] for person in people] or [0]) + 5 * gap
    counts = {
        camera: min(crops_per_camera, max(len(crops.get(camera, ())) for crops in people.values()))
        for camera in cameras
    }
    widths = {
        camera: max(count * (crop_width + gap), _text_mask(camera, text_height).shape[1] + gap) + 2 * gap
        for camera, count in counts.items()
    }
    header = text_height + 3 * gap
    row_height = crop_height_px + 2 * gap
    sheet = np.full((header + row_height * len(people), margin + sum(widths.values()), 3), DARK, np.uint8)
    lefts = dict(zip(cameras, np.cumsum([margin, *widths.values()])[:-1].tolist(), strict=True))
    for camera, left in lefts.items():
        draw_text(sheet, camera, left, gap, LIGHT, text_height)
    for number, (person, crops) in enumerate(people.items()):
        top = header + number * row_height
        color = person_color(person)
        cv2.rectangle(sheet, (0, top), (gap - 1, top + crop_height_px - 1), color, cv2.FILLED)
        draw_text(sheet, _label_of(person, names), 2 * gap, top, LIGHT, text_height)
        for camera, left in lefts.items():
            for place, crop in enumerate(crops.get(camera, ())[:crops_per_camera]):
                x = left + place * (crop_width + gap)
                sheet[top : top + crop_height_px, x : x + crop_width] = fit(crop, crop_width, crop_height_px)
    return sheet


def fit(image: BgrImage, width: int, height: int) -> BgrImage:
    """Return the picture scaled into (height, width) with its proportions kept, on a dark ground."""
    scaled = resize(image, min(width / image.shape[1], height / image.shape[0]))[:height, :width]
    inner_height, inner_width = scaled.shape[:2]
    if (inner_height, inner_width) == (height, width):
        return scaled
    ground = np.full((height, width, 3), DARK, np.uint8)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    ground[top : top + inner_height, left : left + inner_width] = scaled
    return ground


def resize(image: BgrImage, scale: float) -> BgrImage:
    """Return the picture scaled; the picture itself where that changes nothing."""
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if (height, width) == image.shape[:2]:
        return image
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def draw_text(canvas: BgrImage, text: str, left: int, top: int, color: Color, text_height: int) -> None:
    """Draw text into `canvas` (which is changed), its upper left corner at (left, top)."""
    _blend(canvas, _text_mask(text, text_height), left, top, color)


def draw_tag(canvas: BgrImage, text: str, left: int, top: int, color: Color, text_height: int) -> None:
    """Draw text on a filled ground into `canvas` (which is changed), moved inside the picture where it would leave."""
    tag_width, tag_height = tag_size(text, text_height)
    pad = max(2, text_height // 5)
    height, width = canvas.shape[:2]
    left, top = max(0, min(left, width - tag_width)), max(0, min(top, height - tag_height))
    canvas[top : top + tag_height, left : left + tag_width] = color
    luminance = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2]
    _blend(canvas, _text_mask(text, text_height), left + pad, top + pad, DARK if luminance > 120 else LIGHT)


def tag_size(text: str, text_height: int) -> tuple[int, int]:
    """Return the width and height of a tag in pixels."""
    mask = _text_mask(text, text_height)
    pad = max(2, text_height // 5)
    return mask.shape[1] + 2 * pad, mask.shape[0] + 2 * pad


def _draw_trail(canvas: BgrImage, points: NDArray[np.float32], color: Color, thickness: int) -> None:
    fixed = np.rint(np.clip(points, -30000, 30000) * 8).astype(np.int32)
    cv2.polylines(canvas, [fixed[:, None, :]], False, color, thickness, cv2.LINE_AA, shift=3)


def _draw_corners(canvas: BgrImage, box: tuple[int, int, int, int], color: Color, thickness: int) -> None:
    """Draw a fifth of each side from each corner."""
    left, top, right, bottom = box
    wide, high = (right - left) // 5, (bottom - top) // 5
    for x, inward in ((left, wide), (right, -wide)):
        for y, down in ((top, high), (bottom, -high)):
            cv2.line(canvas, (x, y), (x + inward, y), color, thickness, cv2.LINE_8)
            cv2.line(canvas, (x, y), (x, y + down), color, thickness, cv2.LINE_8)


def _blend(canvas: BgrImage, mask: NDArray[np.uint8], left: int, top: int, color: Color) -> None:
    """Paint `color` through an (h, w) mask of opacity, whatever part of it lies inside the canvas."""
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + mask.shape[1]), min(height, top + mask.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    opacity = mask[y1 - top : y2 - top, x1 - left : x2 - left, None].astype(np.uint16)
    region = canvas[y1:y2, x1:x2]
    painted = np.array(color, np.uint16) * opacity + region * (255 - opacity)
    canvas[y1:y2, x1:x2] = (painted // 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _font(text_height: int) -> Any:
    """Return DejaVu Sans, which comes with Matplotlib and has Latin, Greek and Cyrillic letters, else plain ASCII."""
    matplotlib = find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin is not None:
        file = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), text_height)
    return ImageFont.load_default(size=float(text_height))


@lru_cache(maxsize=4096)
def _text_mask(text: str, text_height: int) -> NDArray[np.uint8]:
    """Return the (h, w) opacity of a line of text; h is the same for all texts of one height."""
    font = _font(text_height)
    width = max(1, int(np.ceil(font.getlength(text))))
    image = Image.new("L", (width, round(text_height * 1.15)), 0)
    ImageDraw.Draw(image).text((0, round(text_height * 0.9)), text, fill=255, font=font, anchor="ls")
    mask = np.asarray(image, np.uint8).copy()
    mask.flags.writeable = False
    return mask


def _label_of(person: int, names: Mapping[int, str] | None) -> str:
    return names.get(person, str(person)) if names else str(person)
