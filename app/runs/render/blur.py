"""Hiding people in frames: where somebody is or may be, what moves besides, and making it unrecognisable.

Everybody is blurred where the run found somebody, as it was recorded and after linking; a while before the first and
after the last box of a track and in its gaps, along its way; and where the detector had a doubt (`Run.untracked`).
What moves outside of all that is counted, because it may be somebody whom nobody found, and blurred if so asked.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.boxes import coverage
from app.config import RenderSettings
from app.frames import NO_ID, Frame
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations
from app.runs.ledger.identities import Identities
from app.runs.render.draw import blur_people, grown_for_blur
from app.track.carrying import carried_boxes

CARRY_S = 1.0
"""So long before its first and after its last box somebody is carried on."""

HOLD_S = 0.3
"""A box that belongs to no track holds for so long before and after; drawn live, every box does, but only after."""

OWN_SHARE = 0.7
"""An untracked box that lies by this share within the box of the person who is to be seen is a part of that person."""

_CHUNK_S = 300.0
_OVERLAP_S = 30.0
_TOLERANCE_S = 1e-6

Boxes = NDArray[np.float32]
People = NDArray[np.int64]

NOWHERE: Boxes = np.zeros((0, 4), np.float32)
"""No boxes. Nobody changes it."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is hidden in a frame.

    boxes, people: (M, 4) and (M,), where somebody is or may be, `NO_ID` where it is not known who.
    covered: (C, 4), where people who were erased are covered already.
    """

    boxes: Boxes
    people: People
    covered: Boxes


@dataclass(frozen=True, slots=True)
class _ByFrame:
    """Boxes sorted by frame: (R,) int64 frames, (R, 4) float32 boxes, (R,) int64 people, `NO_ID` for untracked ones."""

    frames: NDArray[np.int64]
    boxes: Boxes
    people: People


class Whereabouts:
    """Where in the frames of one camera of a run somebody is or may be, reading a few minutes of rows at a time."""

    def __init__(self, run: Run, identities: Identities, camera: str) -> None:
        self._run, self._identities, self._camera = run, identities, camera
        self._indices, self._times = run.frames(camera)
        self._start_s = self._end_s = math.inf
        self._found: _ByFrame | None = None

    def at(self, index: int, time_s: float) -> tuple[Boxes, People]:
        """Return (M, 4) boxes and (M,) people of a frame; frames come in the order of time."""
        if self._found is None or not self._start_s <= time_s < self._end_s:
            self._start_s, self._end_s = time_s, time_s + _CHUNK_S
            self._found = self._load(time_s - _OVERLAP_S, self._end_s + _OVERLAP_S)
        rows = slice(*np.searchsorted(self._found.frames, [index, index + 1]))
        return self._found.boxes[rows], self._found.people[rows]

    def _load(self, start_s: float, end_s: float) -> _ByFrame:
        refined = self._run.refined(self._camera, start_s, end_s)
        observed = self._run.observations(self._camera, start_s, end_s)
        parts = [self._of_tracks(refined), self._as_recorded(observed), self._untracked(start_s, end_s)]
        frames = np.concatenate([part.frames for part in parts])
        order = np.argsort(frames, kind="stable")
        return _ByFrame(
            frames[order],
            np.concatenate([part.boxes for part in parts])[order],
            np.concatenate([part.people for part in parts])[order],
        )

    def _of_tracks(self, rows: Observations) -> _ByFrame:
        """Give every track a box in each frame from a while before its first row to a while after its last."""
        frames, boxes, owners = [np.zeros(0, np.int64)], [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
        people = self._people_of(rows)
        order = np.argsort(rows.track_ids, kind="stable")
        starts = np.flatnonzero(np.diff(rows.track_ids[order])) + 1
        for own in np.split(order, starts) if len(order) else []:
            seen = rows.times[own]
            first = np.searchsorted(self._times, seen[0] - CARRY_S - _TOLERANCE_S)
            last = np.searchsorted(self._times, seen[-1] + CARRY_S + _TOLERANCE_S)
            moments = self._times[first:last]
            frames.append(self._indices[first:last])
            boxes.append(carried_boxes(seen, rows.boxes[own], moments))
            owners.append(people[own][np.clip(np.searchsorted(seen, moments, side="right") - 1, 0, None)])
        return _ByFrame(np.concatenate(frames), np.concatenate(boxes), np.concatenate(owners))

    def _as_recorded(self, rows: Observations) -> _ByFrame:
        """Linking smooths boxes: what it cut off is hidden as well."""
        return _ByFrame(rows.frames, rows.boxes, self._people_of(rows))

    def _untracked(self, start_s: float, end_s: float) -> _ByFrame:
        """Let each untracked box hold in the frames around its own."""
        times, boxes = self._run.untracked(self._camera, start_s, end_s)
        first = np.searchsorted(self._times, times - HOLD_S)
        counts = np.searchsorted(self._times, times + HOLD_S, side="right") - first
        rows = np.repeat(np.arange(len(times)), counts)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return _ByFrame(self._indices[first[rows] + place], boxes[rows], np.full(len(rows), NO_ID, np.int64))

    def _people_of(self, rows: Observations) -> People:
        return self._identities.person_of(self._camera, rows.track_ids, rows.times)


class Held:
    """Boxes of the last moments, for pictures that are drawn as they come: nobody knows yet who will be found."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Boxes, People]] = deque()

    def follow(self, boxes: Boxes, people: People, time_s: float) -> tuple[Boxes, People]:
        """Add the (N, 4) boxes and (N,) people of a frame; return all that are held, (M, 4) and (M,)."""
        self._seen.append((time_s, boxes, people))
        while self._seen[0][0] < time_s - HOLD_S:
            self._seen.popleft()
        return np.concatenate([own for _, own, _ in self._seen]), np.concatenate([who for _, _, who in self._seen])


class CameraBlur:
    """Makes the people of one camera unrecognisable, frame by frame in the order of time.

    frames, frames_outside: how many were blurred, and how many of those had movement outside every hidden place.
    """

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._movement = Movement()
        self.frames = 0
        self.frames_outside = 0

    def hide(self, frame: Frame, hidden: Hidden) -> NDArray[np.uint8]:
        """Return the image with everybody blurred but `render.blur_except_person`."""
        keep = self._settings.blur_except_person
        boxes, people = without_own(hidden.boxes, hidden.people, keep)
        grown = grown_for_blur(boxes, frame.width, frame.height)
        moving = self._movement.step(frame.image, frame.time, np.concatenate([grown, hidden.covered]))
        self.frames += 1
        self.frames_outside += bool(len(moving.outside))
        if self._settings.blur_moving:
            extra, nobody = without_own(moving.boxes, np.full(len(moving.boxes), NO_ID), keep, boxes[people == keep])
            boxes, people = np.concatenate([boxes, extra]), np.concatenate([people, nobody])
        return blur_people(frame.image, boxes, people, keep)


def without_own(boxes: Boxes, people: People, keep: int, shown: Boxes | None = None) -> tuple[Boxes, People]:
    """Return boxes and people without those boxes of nobody that show a part of the person `keep`.

    shown: (K, 4) where that person is; by default where `boxes` say so.
    """
    if keep == NO_ID:
        return boxes, people
    shown = boxes[people == keep] if shown is None else shown
    part = (people == NO_ID) & (coverage(boxes, shown) >= OWN_SHARE).any(axis=1)
    return boxes[~part], people[~part]


@dataclass(frozen=True, slots=True)
class Moving:
    """What moves in a frame: (M, 4) and (K, 4) float32 boxes, pixels; `outside` are those outside hidden places."""

    boxes: Boxes
    outside: Boxes


class Movement:
    """Finds what moves in the pictures of a camera that stands still: what is not as it was a moment before.

    A picture is compared with one of `_STEP_S` before, both small and smooth. What is different by more than the noise
    of the picture and large enough is one place of movement.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, NDArray[np.int16], Boxes]] = deque()

    def step(self, image: NDArray[np.uint8], time_s: float, hidden: Boxes) -> Moving:
        """Return what moves. hidden: (N, 4) pixels, the places of this image that are made unrecognisable."""
        scale = min(1.0, _SMALL_PX / max(image.shape[:2]))
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (5, 5), 0).astype(np.int16)
        places = hidden * np.float32(scale)
        while len(self._seen) > 1 and self._seen[1][0] <= time_s - _STEP_S:
            self._seen.popleft()
        before = self._seen[0] if self._seen and time_s - self._seen[0][0] <= _LONGEST_STEP_S else None
        self._seen.append((time_s, small, places))
        if before is None:
            return Moving(NOWHERE, NOWHERE)
        difference = np.abs(small - before[1]).max(axis=2)
        least = max(_LEAST_DIFFERENCE, _NOISES * float(np.median(difference)))
        moved = cv2.morphologyEx((difference > least).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        moved = cv2.morphologyEx(moved, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        seen_by_nobody = _mask_of(np.concatenate([places, before[2]]), size)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(moved, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        unseen = np.bincount(labels.ravel(), weights=seen_by_nobody.ravel(), minlength=count)
        corner, span = stats[:, :2].astype(np.float32), stats[:, 2:4].astype(np.float32)
        boxes = np.concatenate([corner, corner + span], axis=1) / np.float32(scale)
        large = areas >= _LEAST_SHARE * moved.size
        large[0] = False  # what does not move
        return Moving(boxes[large], boxes[large & (unseen <= _HIDDEN_SHARE * areas)])


_SMALL_PX = 320
_STEP_S = 0.2
_LONGEST_STEP_S = 2.0
_LEAST_DIFFERENCE = 12.0
"""Grey levels of 255 by which a moving pixel differs at least."""

_NOISES = 6.0
_LEAST_SHARE = 0.0004
"""Of the picture; somebody of a twentieth of its height takes a little more."""

_HIDDEN_SHARE = 0.5
"""Movement of which more is hidden belongs to somebody who is: a shadow, a bag."""


def _mask_of(boxes: Boxes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (height, width) uint8, 1 inside the boxes."""
    mask = np.zeros(size[::-1], np.uint8)
    for left, top, right, bottom in np.clip(np.rint(boxes), 0, 2 * max(size)).astype(int).tolist():
        mask[top:bottom, left:right] = 1
    return mask
