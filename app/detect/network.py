"""What every detection network shares: pictures go in as one batch over all cameras, boxes come out.

A picture is shrunk or enlarged to the network's input and padded with grey (a *letterbox*). Pictures that need the
same input size, from whatever cameras, run together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from app import boxes as geometry
from app.errors import InputError
from app.frames import Detections, Frame
from app.system.checksum import file_sha256

PADDING_GREY = 114
MAX_OVERLAP_IOU = 0.7
"""Boxes that overlap more are taken for one person, unless the weights or the settings say otherwise: two people who
walk side by side overlap by less."""
MAX_PEOPLE = 300
"""Most people kept in one picture, the surest ones."""
PART_INSIDE = 0.8
"""A box of the first look that lies within a close-up by this share of its area is a part of that person."""
MAX_CANDIDATES = 3000
"""Most boxes, the surest ones, among which overlaps are sought; the work grows with its square."""


class Network(Protocol):
    """A network with its way of writing boxes."""

    @property
    def name(self) -> str:
        """File and how it is run, for example `yolo26n.pt (openvino, cpu)`."""
        ...

    @property
    def weights(self) -> Path:
        """The file or folder that it was read from."""
        ...

    @property
    def max_overlap_iou(self) -> float:
        """Boxes that overlap more are one person, unless the settings say otherwise."""
        ...

    def letterbox(self, height: int, width: int) -> Letterbox:
        """Return how a picture of `height` × `width` is put into the input."""
        ...

    def find(
        self, images: NDArray[np.uint8], min_score: float
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Return boxes (K, 4) x1 y1 x2 y2 in pixels of the input, and scores (K,) ≥ min_score, for each of
        (B, height, width, 3) uint8 BGR images. People only."""
        ...


@dataclass(frozen=True, slots=True)
class CloseUps:
    """A second look at the whole picture in a smaller input, for a network that has not learned large people.

    network: the same one with that input. least_height: only people are taken from it whose share of the picture's
    longer side is more.
    """

    network: Network
    least_height: float


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture lies within a network's input of `size` (height, width).

    It takes `width` × `height` pixels with the corner at (`left`, `top`). Each side is rounded to whole pixels, so that
    the scales `scale_x` and `scale_y` may differ a little.
    """

    size: tuple[int, int]
    left: int
    top: int
    width: int
    height: int
    scale_x: float
    scale_y: float

    @classmethod
    def rectangular(cls, height: int, width: int, longer_side: int, stride: int) -> Letterbox:
        """Scale a picture to `longer_side`, in the middle of the smallest input with sides that `stride` divides."""
        scale = min(longer_side / height, longer_side / width)
        rows, columns = (max(1, round(side * scale)) for side in (height, width))
        size = (-(-rows // stride) * stride, -(-columns // stride) * stride)
        return cls._place(height, width, scale, size, centered=True)

    @classmethod
    def fixed(cls, height: int, width: int, size: tuple[int, int], centered: bool) -> Letterbox:
        """Scale a picture to fit into an input of `size`, in its middle or in its upper left corner."""
        return cls._place(height, width, min(size[0] / height, size[1] / width), size, centered)

    @classmethod
    def _place(cls, height: int, width: int, scale: float, size: tuple[int, int], centered: bool) -> Letterbox:
        rows, columns = (max(1, round(side * scale)) for side in (height, width))
        # 0.1 decides where the odd pixel goes: to the right and to the bottom, as the networks were trained.
        left = round((size[1] - columns) / 2 - 0.1) if centered else 0
        top = round((size[0] - rows) / 2 - 0.1) if centered else 0
        return cls(size, left, top, columns, rows, columns / width, rows / height)

    def draw(self, image: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
        """Write (H, W, 3) `image` into `target`, an input of `size`."""
        if self.size != (self.height, self.width):
            target[:] = PADDING_GREY
        inside = target[self.top : self.top + self.height, self.left : self.left + self.width]
        if image.shape[:2] == (self.height, self.width):
            inside[:] = image
        else:
            cv2.resize(image, (self.width, self.height), dst=inside, interpolation=cv2.INTER_LINEAR)

    def to_image(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn (N, 4) boxes in pixels of the input into pixels of the picture."""
        corner = np.array([self.left, self.top, self.left, self.top], np.float32)
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        return np.divide(found - corner, scale, dtype=np.float32)


def remove_overlaps(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], max_iou: float
) -> NDArray[np.int64]:
    """Return the rows to keep, best first: each (N, 4) box that overlaps no better kept box by more than `max_iou`."""
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    overlap = geometry.iou(boxes[order], boxes[order]) > max_iou
    alive = np.ones(len(order), np.bool_)
    for row in range(len(order)):
        if alive[row]:
            alive[row + 1 :] &= ~overlap[row, row + 1 :]
    return order[alive]


class NetworkDetector:
    """Finds people with a network. Boxes below `min_score` are dropped, and boxes that overlap a better one by more
    than `max_overlap_iou`, by default the network's own. That goes for end-to-end networks too: they mean to give one
    box to each person, and now and then give two."""

    def __init__(
        self, network: Network, min_score: float, max_overlap_iou: float | None, close_ups: CloseUps | None = None
    ) -> None:
        self.name = network.name
        self.weights_sha256 = file_sha256(network.weights)
        self._network = network
        self._min_score = min_score
        self._max_overlap_iou = max_overlap_iou or network.max_overlap_iou
        self._close_ups = close_ups

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        for frame in frames:
            if not frame.has_pixels:
                raise InputError(
                    f"{frame.camera}: this source has no pictures, so {self.name} cannot look for people in it; "
                    "use detections made elsewhere: --detector file:det/det.txt"
                )
        found = self._look(self._network, frames)
        if self._close_ups is None:
            return found
        closer = self._look(self._close_ups.network, frames)
        share = self._close_ups.least_height
        return [self._with_close_ups(*both, share) for both in zip(frames, found, closer, strict=True)]

    def _look(self, network: Network, frames: Sequence[Frame]) -> list[Detections]:
        letterboxes = [network.letterbox(frame.height, frame.width) for frame in frames]
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, letterbox in enumerate(letterboxes):
            groups[letterbox.size].append(position)
        results: list[Detections] = [Detections.empty()] * len(frames)
        for size, positions in groups.items():
            images = np.empty((len(positions), *size, 3), np.uint8)
            for position, image in zip(positions, images, strict=True):
                letterboxes[position].draw(frames[position].image, image)
            found = network.find(images, self._min_score)
            for position, (boxes, scores) in zip(positions, found, strict=True):
                results[position] = self._finish(boxes, scores, letterboxes[position], frames[position])
        return results

    def _finish(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], letterbox: Letterbox, frame: Frame
    ) -> Detections:
        """Turn what the network found in one input into the people of the frame, best first."""
        rows = remove_overlaps(boxes, scores, self._max_overlap_iou)[:MAX_PEOPLE]
        boxes = geometry.clip(letterbox.to_image(boxes[rows]), frame.width, frame.height)
        rows = rows[real := geometry.areas(boxes) > 0]
        return Detections(boxes[real], scores[rows])

    def _with_close_ups(self, frame: Frame, first: Detections, second: Detections, least_height: float) -> Detections:
        """Return the people of the first look, and of the second one those who were too large for the first.

        What the first look took for people within them, a head or a half of a body, goes.
        """
        least_px = least_height * max(frame.height, frame.width)
        large = second.boxes[:, 3] - second.boxes[:, 1] > least_px
        boxes, scores = second.boxes[large], second.scores[large]
        parts = (geometry.coverage(first.boxes, boxes) > PART_INSIDE) & (first.scores[:, None] <= scores)
        kept = ~parts.any(axis=1)
        boxes = np.concatenate([first.boxes[kept], boxes])
        scores = np.concatenate([first.scores[kept], scores])
        rows = remove_overlaps(boxes, scores, self._max_overlap_iou)[:MAX_PEOPLE]
        return Detections(boxes[rows], scores[rows])
