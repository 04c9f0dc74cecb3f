"""The motion gate: a detector isn't asked about pictures in which nothing has changed since it found nobody.

A picture is compared, small and grey, with the one at which the detector last looked. Whatever enters, however slowly,
comes to differ from that one; nothing is ever learned away by waiting. How much a place must differ is told by its own
noise, and by how much it differed at earlier looks that found nobody: leaves, rain, a clock drawn into the picture.
Once somebody is found, the detector looks at every picture until a while after it has lost the last one; and it looks
every few seconds in any case. Where it doesn't look, its last answer stands: weak boxes, too weak for a person, hide
what they hid (`render.blur`).

Decisions depend on the pictures and on what the detector found in them alone, not on the tracker, which works at its
own pace: the same recording gives the same results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from app.boxes import iou
from app.detect import Detector
from app.frames import Detections, Frame

GRID_PX = 320
"""Longer side of the small picture."""
LEAST_CHANGE = 3.5
"""Grey levels of 255 by which a place must differ, however quiet it is: a dark coat at night."""
NOISE_FACTOR = 6.0
"""And so many times its mean change from one picture to the next."""
NOISE_MEMORY = 0.02
WINDOW, LEAST_IN_WINDOW = 3, 4
"""So many of 3 × 3 neighbouring places must differ: a person is more than a speck."""
HABIT_MEMORY = 0.15
HABIT_SHARE = 0.5
"""A place that differed at this share of the latest looks that found nobody does so by habit."""
HABIT_FACTOR = 1.3
"""It has to differ by so many times more than it did then,"""
HABIT_REACH = 5
"""and so have the places within a square of so many round it."""
SAME_PERSON_IOU = 0.3


Counts = Mapping[str, Mapping[str, int]]
"""By camera: `frames` that came, and of them those that were `looked_at`."""


def counts_together(part: Counts, more: Counts) -> dict[str, dict[str, int]]:
    """Return the sum of the counts of two parts of a run."""
    kinds = ("frames", "looked_at")
    return {
        camera: {kind: part.get(camera, {}).get(kind, 0) + more.get(camera, {}).get(kind, 0) for kind in kinds}
        for camera in {**part, **more}
    }


class MotionGate:
    """Decides for the pictures of one camera, in order, whether the detector looks: `wants`, then `saw` if it did."""

    def __init__(self, every_s: float, hold_s: float, person_score: float) -> None:
        """every_s: it looks after so long in any case, seconds.  hold_s: it goes on looking for so long after it has
        lost the last person.  person_score: a box of this score shows somebody; a weaker one goes on showing whoever
        was there at the look before."""
        self._every_s, self._hold_s, self._person_score = every_s, hold_s, person_score
        self._reference: NDArray[np.float32] | None = None
        self._before: NDArray[np.float32] | None = None
        self._now: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._difference = self._noise = self._habit = self._usual = self._expected = self._now
        self._people = np.zeros((0, 4), np.float32)
        self.answer = Detections.empty()
        """What the detector found when it last looked."""
        self._seen_s = self._looked_s = -np.inf

    def wants(self, image: NDArray[np.uint8], time_s: float) -> bool:
        """Return whether the detector has to look at (H, W, 3) `image`."""
        self._now = _small(image)
        if self._reference is None or self._reference.shape != self._now.shape:
            self._start()
            return True
        assert self._before is not None
        step = cv2.absdiff(self._now, self._before)
        self._before = self._now
        # What moves is no noise: a change far beyond what was known teaches little.
        self._frames += 1
        memory = max(NOISE_MEMORY, 1 / self._frames)
        self._noise += memory * (np.minimum(step, 3 * self._noise + 0.5) - self._noise)
        self._difference = cv2.absdiff(self._now, self._reference)
        if time_s - self._seen_s <= self._hold_s or time_s - self._looked_s >= self._every_s:
            return True
        least = np.maximum(np.maximum(LEAST_CHANGE, NOISE_FACTOR * self._noise), self._expected)
        changed = (self._difference > least).astype(np.float32)
        window = cv2.boxFilter(changed, -1, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_REFLECT)
        return bool(window.max() >= LEAST_IN_WINDOW)

    def saw(self, found: Detections, time_s: float) -> None:
        """Take what the detector found in the picture of the last `wants`."""
        alive = found.scores >= self._person_score
        if len(self._people) and len(found):
            alive |= iou(found.boxes, self._people).max(axis=1) >= SAME_PERSON_IOU
        self.answer = found
        self._people = found.boxes[alive]
        self._looked_s = time_s
        if alive.any():
            self._seen_s = time_s
        elif len(self._difference):
            differs = self._difference > np.maximum(LEAST_CHANGE, NOISE_FACTOR * self._noise)
            self._habit += HABIT_MEMORY * (differs - self._habit)
            self._usual = np.where(differs, np.maximum(self._difference, 0.9 * self._usual), self._usual)
            by_habit = np.where(self._habit >= HABIT_SHARE, HABIT_FACTOR * self._usual, 0).astype(np.float32)
            self._expected = cv2.dilate(by_habit, np.ones((HABIT_REACH, HABIT_REACH), np.uint8))
        self._reference = self._now

    def _start(self) -> None:
        self._reference = self._before = self._now
        self._noise = np.ones_like(self._now)
        self._frames = 1
        self._difference = np.zeros((0, 0), np.float32)
        self._habit, self._usual, self._expected = (np.zeros_like(self._now) for _ in range(3))


class GatedDetector:
    """A detector that looks only where its gates let it; see `app.detect.Detector`."""

    def __init__(self, detector: Detector, every_s: float, hold_s: float, person_score: float) -> None:
        self.name = detector.name
        self.weights_sha256 = detector.weights_sha256
        self.counts: dict[str, dict[str, int]] = {}
        self._detector = detector
        self._settings = every_s, hold_s, person_score
        self._gates: dict[str, MotionGate] = {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the people of each frame; where the gate of its camera is closed, what was found there last."""
        wanted = [frame for frame in frames if self._wants(frame)]
        looks = self._detector.detect(wanted) if wanted else []
        for frame, seen in zip(wanted, looks, strict=True):
            self._gates[frame.camera].saw(seen, frame.time)
        return [self._gates[frame.camera].answer for frame in frames]

    def _wants(self, frame: Frame) -> bool:
        gate = self._gates.setdefault(frame.camera, MotionGate(*self._settings))
        counts = self.counts.setdefault(frame.camera, {"frames": 0, "looked_at": 0})
        wants = not frame.has_pixels or gate.wants(frame.image, frame.time)
        counts["frames"] += 1
        counts["looked_at"] += wants
        return wants


def _small(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a small grey (h, w) float32 of (H, W, 3) BGR, smoothed."""
    height, width = image.shape[:2]
    # Green is nearly the brightness; every second pixel of a large picture is enough, and the rest is averaged.
    step = 2 if max(height, width) >= 4 * GRID_PX else 1
    scale = min(1.0, GRID_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.resize(np.ascontiguousarray(image[::step, ::step, 1]), size, interpolation=cv2.INTER_AREA)
    return cv2.blur(grey.astype(np.float32), (3, 3))
