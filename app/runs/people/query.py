"""Whom a picture shows that somebody searches with: the detector looks first, and a picture without people is refused.

A network that tells people apart gives a vector for anything, a lawn as well, and it always resembles somebody most.
So nothing is compared before a person was found. A tight crop is harder for a detector than a whole frame: it has
learnt people with something around them. It is looked at once more within a margin of its own colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app import boxes as geometry
from app.config import DetectSettings
from app.detect import FILE_PREFIX, Detector, build_detector
from app.errors import InputError
from app.frames import BgrImage, Frame

LEAST_SCORE = 0.3
"""A picture shows somebody if the detector is at least this sure."""

LEAST_SCORE_WHOLE = 0.25
"""The same for somebody who fills the picture, as seen within a margin. Some 95 % of 48 tight crops of Market-1501 and
other places reach it; at their own size, without a margin, hardly any is found."""

LEAST_SCORE_PART = 0.5
"""The same for a smaller person whom only the look within a margin has found."""

LEAST_HEIGHT_PX = 24
"""Of whoever is smaller nobody can tell who it is."""

MARGIN_SHARE = 0.25
"""What part of the enlarged picture the given one takes: a person in it is as tall as in frames of a fixed camera."""

MARGIN_PICTURE_PX = 256
"""A larger picture is shrunk for that look to this longer side: the network would do it anyway."""

WHOLE_SHARE = 0.5
"""A person whose box overlaps the whole picture by this much (intersection over union) is the picture: it was cut out
tightly, and is compared as it is, as the network has learnt people."""

CHIEF_RATIO = 3.0
"""Of several people the one is meant whose box is so many times as large as every other: the rest is background."""

AROUND = 0.5
"""A box that somebody drew is looked at with this share of its sides around it."""

LEAST_INSIDE = 0.5
"""A person whom a drawn box means has at least this share of the box's and of its own area in it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a picture. box: (4,) int64 x1 y1 x2 y2 in its pixels.  score: how sure the detector is."""

    box: NDArray[np.int64]
    score: float

    def cut_out(self, picture: BgrImage) -> BgrImage:
        x1, y1, x2, y2 = self.box.tolist()
        return picture[y1:y2, x1:x2]

    def to_json(self) -> dict[str, Any]:
        return {"box": self.box.tolist(), "score": round(self.score, 3)}


class NobodyInImage(InputError):
    """No person was found in a picture."""


class SeveralInImage(InputError):
    """Several people were found, and nobody said which one is meant. people: from the left to the right."""

    def __init__(self, people: Sequence[Person]) -> None:
        self.people = tuple(people)
        places = "; ".join(f"{number}: {' '.join(map(str, p.box.tolist()))}" for number, p in enumerate(people, 1))
        super().__init__(
            f"there are {len(people)} people in this picture; say which one with --person N (from the left; boxes in "
            f"pixels, x1 y1 x2 y2: {places}), or draw a box around one with --box"
        )


class Finder:
    """Finds the people in a picture."""

    def __init__(self, settings: DetectSettings) -> None:
        """settings: of the detector; boxes from a file say nothing of another picture, so that `auto` is taken then."""
        weights = "auto" if settings.weights.startswith(FILE_PREFIX) else settings.weights
        lowest = min(settings.min_score, LEAST_SCORE_WHOLE)
        own = settings.model_copy(update={"weights": weights, "min_score": lowest})
        self._detector: Detector = build_detector(own, [])

    def people(self, picture: BgrImage) -> list[Person]:
        """Return the people in an (H, W, 3) uint8 BGR picture, from the left to the right."""
        height, width = picture.shape[:2]
        whole = np.array([[0, 0, width, height]], np.float32)
        boxes, scores = self._look(picture, LEAST_SCORE)
        if not len(boxes) or geometry.iou(boxes, whole).max() < WHOLE_SHARE:
            # Nobody, or only parts of somebody who fills the picture? Once more with something around it.
            nearer, sure = self._look_within_margin(picture)
            fills = geometry.iou(nearer, whole)[:, 0] >= WHOLE_SHARE
            if fills.any():
                boxes, scores = whole, sure[fills].max(keepdims=True)
            elif not len(boxes):
                boxes, scores = nearer[sure >= LEAST_SCORE_PART], sure[sure >= LEAST_SCORE_PART]
        boxes = geometry.clip(boxes, width, height)
        if len(boxes) and geometry.iou(boxes, whole).max() >= WHOLE_SHARE and len(boxes) == 1:
            boxes = whole
        order = np.argsort(boxes[:, 0], kind="stable")
        return [Person(np.rint(boxes[row]).astype(np.int64), float(scores[row])) for row in order.tolist()]

    def person_in_box(self, picture: BgrImage, box: NDArray[np.int64]) -> Person:
        """Return the person whom somebody has drawn a box around: the box as drawn, if there is somebody in it.

        box: (4,) x1 y1 x2 y2 within the picture. Raises NobodyInImage.
        """
        x1, y1, x2, y2 = box.tolist()
        across, down = round(AROUND * (x2 - x1)), round(AROUND * (y2 - y1))
        left, top = max(0, x1 - across), max(0, y1 - down)
        part = picture[top : y2 + down, left : x2 + across]
        drawn = box[None].astype(np.float32)
        boxes, scores = self._look(part, LEAST_SCORE)
        boxes = boxes + np.array([left, top, left, top], np.float32)
        meant = geometry.coverage(boxes, drawn)[:, 0] * geometry.coverage(drawn, boxes)[0]
        if len(boxes) and meant.max() >= LEAST_INSIDE**2:
            return Person(box, float(scores[meant.argmax()]))
        inside = self.people(picture[y1:y2, x1:x2])
        if not inside:
            raise NobodyInImage("there is nobody in this box: no person was found in it")
        return Person(box, max(person.score for person in inside))

    def _look(self, picture: BgrImage, least_score: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (N, 4) boxes and (N,) scores of the people in a picture."""
        found = self._detector.detect([Frame("picture", 0, 0.0, np.ascontiguousarray(picture))])[0]
        tall = found.boxes[:, 3] - found.boxes[:, 1] >= LEAST_HEIGHT_PX
        sure = tall & (found.scores >= least_score)
        return found.boxes[sure], found.scores[sure]

    def _look_within_margin(self, picture: BgrImage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the same, looking at the picture in the middle of a square of its blurred edges; boxes in the
        picture's own pixels."""
        scale = min(1.0, MARGIN_PICTURE_PX / max(picture.shape[:2]))
        small = picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        side = round(max(height, width) / MARGIN_SHARE)
        top, left = (side - height) // 2, (side - width) // 2
        across = (left, side - width - left)
        around = cv2.copyMakeBorder(small, top, side - height - top, *across, cv2.BORDER_REPLICATE)
        wide = cv2.GaussianBlur(around, (0, 0), side / 40)
        wide[top : top + height, left : left + width] = small
        boxes, scores = self._look(np.asarray(wide, np.uint8), LEAST_SCORE_WHOLE)
        boxes = geometry.clip(boxes - np.array([left, top, left, top], np.float32), width, height) / np.float32(scale)
        real = geometry.areas(boxes) > 0
        return boxes[real], scores[real]


def choose(found: Sequence[Person], number: int | None = None) -> Person:
    """Return whom of the people in a picture is meant. number: from 1 at the left.

    Raises NobodyInImage, SeveralInImage without a number, InputError for a number that is not there.
    """
    if not found:
        raise NobodyInImage(_NOBODY)
    if number is not None:
        if not 1 <= number <= len(found):
            raise InputError(
                f"there are {len(found)} people in this picture, numbered from 1 at the left: not {number}"
            )
        return found[number - 1]
    areas = geometry.areas(np.array([person.box for person in found], np.float64))
    chief = int(areas.argmax())
    if len(found) > 1 and areas[chief] < CHIEF_RATIO * np.delete(areas, chief).max():
        raise SeveralInImage(found)
    return found[chief]


_NOBODY = (
    "there is nobody in this picture: no person was found in it, and without one everybody looks a little like it. "
    "Give a picture that shows a whole person, or another detector (--set detect.weights=FILE)"
)
