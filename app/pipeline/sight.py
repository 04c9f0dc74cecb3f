"""Was a run blind? What moved and was nobody, who was doubtful, who was too small: counted while cameras are followed.

A detector that does not know a place finds nobody there and is sure of it. What moves in the picture knows better: a
camera on which things move for minutes while nobody is followed wants another detector or a larger input, and whoever
reads that nobody was there must be told. Moments half a second apart are looked at, in a picture of 64 × 36 cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app import boxes as geometry
from app.config import DetectSettings, TrackSettings
from app.detect import FILE_PREFIX
from app.detect.bundled import DEFAULT_WEIGHTS, bundled_weights
from app.frames import NO_ID, FrameResult

EVERY_S = 0.5
GRID = (36, 64)
"""Rows and columns of the cells that are compared."""

CHANGED_LEVELS = 12
"""A cell has moved if its mean brightness changed by so many of 255, beyond what the whole picture did."""

LEAST_CELLS = 6
"""Something moved if so many cells did, about as many as a person covers in two looks who is a tenth as tall as the
picture."""

MOST_SHARE = 0.5
"""Where more of the picture changed, the camera moved or a lamp was switched, and it says nothing of people."""

LEAST_DOUBT = 0.15
"""Boxes of a lower score are noise."""

PART_OF_TRACKED = 0.5
"""A doubtful box that lies by this share within that of somebody who is followed is a part of that person."""

SMALL_PX = 24
"""As the network sees them, lower people are mostly missed (see the cards of the bundled weights)."""

LEAST_MOMENTS = 8
"""Of fewer moments nothing is said."""

NEARLY_NOBODY = 0.02
SHARE_MOVING = 0.1
"""Nobody, or nearly nobody, is followed in so small a share of the moments, while something moves in so large a one."""

HALF = 0.5

Seen = Mapping[str, Mapping[str, Any]]
"""By camera the fields of a `Sight`, as JSON values."""

OTHER_DETECTOR = f"--detector {DEFAULT_WEIGHTS} (a download)"


@dataclass(slots=True)
class Sight:
    """What one camera's moments showed.

    moments: how many were looked at.  followed: in how many somebody was followed.  moved: in how many something
    moved outside everybody who was followed.  doubtful: in how many a box that moved was too doubtful to be followed;
    best_score: the highest score of such a box.  people: boxes of people; small: those lower than `SMALL_PX`.
    """

    moments: int = 0
    followed: int = 0
    moved: int = 0
    doubtful: int = 0
    best_score: float = 0.0
    people: int = 0
    small: int = 0

    def add(self, other: Sight) -> None:
        """Add what other moments of the same camera showed."""
        for field in fields(Sight):
            one, two = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, max(one, two) if field.name == "best_score" else one + two)


class SightWatch:
    """A sink that looks at every camera now and then."""

    def __init__(self, image_size_px: int) -> None:
        """image_size_px: the longer side of the network's input."""
        self._size_px = image_size_px
        self._seen: dict[str, Sight] = {}
        self._last: dict[str, tuple[float, NDArray[np.float32]]] = {}

    def write(self, result: FrameResult) -> None:
        """See `app.pipeline.step.Sink`."""
        frame = result.frame
        last = self._last.get(frame.camera)
        if not frame.has_pixels or (last is not None and frame.time - last[0] < EVERY_S):
            return
        cells = cv2.cvtColor(cv2.resize(frame.image, GRID[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        grey = cells.astype(np.float32)
        self._last[frame.camera] = (frame.time, grey)
        if last is not None:
            sight = self._seen.setdefault(frame.camera, Sight())
            sight.add(_moment(result, _moved(last[1], grey), self._size_px))

    def seen(self) -> dict[str, dict[str, Any]]:
        """Return by camera what its moments showed, as JSON values."""
        return {camera: asdict(sight) for camera, sight in self._seen.items()}


def together(parts: Seen, more: Seen) -> dict[str, dict[str, Any]]:
    """Return by camera the sum of two answers of `SightWatch.seen`."""
    whole = {camera: Sight(**sight) for camera, sight in parts.items()}
    for camera, sight in more.items():
        whole.setdefault(camera, Sight()).add(Sight(**sight))
    return {camera: asdict(sight) for camera, sight in whole.items()}


def blind_spots(seen: Seen, detect: DetectSettings, track: TrackSettings) -> dict[str, str]:
    """Return by camera a sentence on what it may have missed and what to try; nothing where all looks well.

    seen: see `SightWatch.seen`.
    """
    if detect.weights.startswith(FILE_PREFIX):
        return {}  # boxes made elsewhere: nothing here would see more
    larger = f"a larger image, --set detect.image_size_px={2 * detect.image_size_px}"
    tries = f"{OTHER_DETECTOR} or {larger}" if bundled_weights(detect.weights) else larger
    said = {}
    for camera, counts in seen.items():
        text = _sentence(Sight(**counts), track.confident_score)
        if text:
            said[camera] = f"{text}; try {tries}"
    return said


def _sentence(sight: Sight, least_score: float) -> str:
    if sight.moments < LEAST_MOMENTS:
        return ""
    best = f" (the surest box has a score of {sight.best_score:.2f}, people begin at {least_score:g})"
    if sight.followed <= NEARLY_NOBODY * sight.moments and sight.moved >= SHARE_MOVING * sight.moments:
        whom = "nobody was followed" if not sight.followed else "hardly anybody was followed"
        moved = f"although something moved in {100 * sight.moved / sight.moments:.0f} % of the time"
        return f"{whom}, {moved}{best if sight.best_score else ''}"
    if sight.doubtful >= LEAST_MOMENTS and sight.doubtful > sight.followed:
        share = 100 * sight.doubtful / sight.moments
        return f"in {share:.0f} % of the time something moved that looks like a person, but too doubtful{best}"
    if sight.people and sight.small > HALF * sight.people:
        share = 100 * sight.small / sight.people
        return (
            f"{share:.0f} % of the people are lower than {SMALL_PX} pixels in the detector's input: it misses many such"
        )
    return ""


def _moment(result: FrameResult, moved: NDArray[np.bool_], size_px: int) -> Sight:
    """Return what one moment showed. moved: (rows, columns) of `GRID`."""
    frame, found = result.frame, result.detections
    followed = result.track_ids != NO_ID
    people = geometry.clip(found.boxes[followed], frame.width, frame.height)
    others = geometry.clip(found.boxes[~followed], frame.width, frame.height)
    scores = found.scores[~followed]
    loose = scores >= LEAST_DOUBT
    if len(people) and len(others):
        loose &= geometry.coverage(others, people).max(axis=1) < PART_OF_TRACKED
    sight = Sight(moments=1, followed=int(len(people) > 0), people=len(people))
    shrunk = min(1.0, size_px / max(frame.width, frame.height))
    sight.small = int(((people[:, 3] - people[:, 1]) * shrunk < SMALL_PX).sum())
    if not LEAST_CELLS <= moved.sum() <= MOST_SHARE * moved.size:
        return sight
    left = moved.copy()
    for rows, columns in _cells(people, frame.width, frame.height, 1):
        left[rows, columns] = False
    sight.moved = int(left.sum() >= LEAST_CELLS)
    if sight.moved:
        moving = [bool(left[rows, columns].any()) for rows, columns in _cells(others, frame.width, frame.height, 0)]
        doubtful = loose & np.array(moving, np.bool_)
        sight.doubtful = int(doubtful.any())
        sight.best_score = round(float(scores[doubtful].max(initial=0.0)), 3)
    return sight


def _moved(before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which cells moved. What the whole picture did, as when the exposure changes, is taken out."""
    change = now - before
    return np.asarray(np.abs(change - np.median(change)) > CHANGED_LEVELS)


def _cells(boxes: NDArray[np.float32], width: int, height: int, around: int) -> list[tuple[slice, slice]]:
    """Return the rows and columns of `GRID` that each (N, 4) box touches, and so many `around` it."""
    rows, columns = GRID
    scale = np.array([columns / width, rows / height] * 2)
    first = np.floor(boxes[:, :2] * scale[:2]).astype(int) - around
    last = np.ceil(boxes[:, 2:] * scale[2:]).astype(int) + around
    return [
        (slice(max(0, y1), max(0, y2)), slice(max(0, x1), max(0, x2)))
        for (x1, y1), (x2, y2) in zip(first.tolist(), last.tolist(), strict=True)
    ]
