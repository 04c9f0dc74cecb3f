"""Boxes that several public detectors agree on: labels for pictures that nobody has marked.

Each detector, a *voice*, looks several times: at several input sizes, every second time at the mirrored picture. The
boxes of all looks are fused (weighted boxes fusion: Solovyev, Wang and Gabruseva, "Weighted boxes fusion", Image and
Vision Computing 107, 2021). What enough voices are sure of is a person; what only some saw, or all saw dimly, is
*disputed*: whoever learns from the picture learns nothing there, neither that somebody is there nor that nobody is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import iou
from app.config import DetectSettings
from app.detect import Detector, build_detector
from app.frames import Frame

SAME_PERSON_IOU = 0.55
"""Boxes of two looks that overlap more show one person."""
LEAST_SCORE = 0.05
"""Weaker boxes of a look say nothing."""
SEEN_SCORE = 0.25
"""From this score on, in its best look, a voice has seen somebody."""
SURE_SCORE = 0.4
"""Somebody whom two voices have seen is a person if the mean score of the two surest is at least this."""
DISPUTED_SCORE = 0.15
"""What the two surest voices give less than this on the mean is nobody."""
STRAY_IOU = 0.4
"""A disputed box that overlaps a sure one more is a second opinion on where that person's edges are."""


@dataclass(frozen=True, slots=True)
class Answers:
    """All boxes of all looks at one picture, in its pixels.

    boxes: (N, 4) float32 x1 y1 x2 y2. scores: (N,) float32. looks: (N,) int64, which look found each.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    looks: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the committee says of one picture: (N, 4) float32 `people` with (N,) `scores` in [0, 1], best first, and
    (M, 4) float32 `disputed` boxes."""

    people: NDArray[np.float32]
    scores: NDArray[np.float32]
    disputed: NDArray[np.float32]


class Committee:
    """Public detectors that look at pictures together.

    weights: one file for each voice. sizes_px: longer sides of the inputs at which each looks, every second one at the
    mirrored picture; a network that was exported for a fixed size looks at that one each time.

    `voices` (L,) int64 says of each look which voice looks.
    """

    def __init__(self, weights: Sequence[Path], sizes_px: Sequence[int]) -> None:
        self._looks: list[tuple[Detector, bool]] = []
        voices: list[int] = []
        for voice, path in enumerate(weights):
            for number, size in enumerate(sizes_px):
                settings = DetectSettings(
                    weights=str(path), image_size_px=size, close_up_size_px=0, min_score=LEAST_SCORE
                )
                self._looks.append((build_detector(settings, []), number % 2 == 1))
                voices.append(voice)
        self.voices = np.array(voices, np.int64)

    @property
    def sha256(self) -> list[str]:
        """Of the weight files, in the order of the voices."""
        first = np.unique(self.voices, return_index=True)[1]
        return [self._looks[number][0].weights_sha256 for number in first]

    def look(self, image: NDArray[np.uint8]) -> Answers:
        """Return what every look finds in (H, W, 3) BGR."""
        width = image.shape[1]
        mirrored = np.ascontiguousarray(image[:, ::-1])
        boxes, scores, looks = [], [], []
        for number, (detector, flipped) in enumerate(self._looks):
            found = detector.detect([Frame("", 0, 0.0, mirrored if flipped else image)])[0]
            own = found.boxes.copy()
            if flipped:
                own[:, [0, 2]] = width - found.boxes[:, [2, 0]]
            boxes.append(own)
            scores.append(found.scores)
            looks.append(np.full(len(own), number))
        return Answers(np.concatenate(boxes), np.concatenate(scores), np.concatenate(looks).astype(np.int64))


def judge(answers: Answers, voices: NDArray[np.int64]) -> Verdict:
    """Return who is in the picture. voices: (L,) which voice each look belongs to."""
    fused = fuse(answers.boxes, answers.scores)
    people, scores, disputed = [], [], []
    for box, members in fused:
        best = np.zeros(int(voices.max()) + 1)
        np.maximum.at(best, voices[answers.looks[members]], answers.scores[members])
        best = np.sort(best)[::-1]
        score = float(best[:2].mean())
        if np.count_nonzero(best >= SEEN_SCORE) >= min(2, len(best)) and score >= SURE_SCORE:
            people.append(box)
            scores.append(score)
        elif score >= DISPUTED_SCORE:
            disputed.append(box)
    sure = np.array(people, np.float32).reshape(-1, 4)
    doubtful = np.array(disputed, np.float32).reshape(-1, 4)
    if len(sure) and len(doubtful):
        doubtful = doubtful[iou(doubtful, sure).max(axis=1) <= STRAY_IOU]
    order = np.argsort(-np.array(scores), kind="stable")
    return Verdict(sure[order], np.array(scores, np.float32)[order], doubtful)


def fuse(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[tuple[NDArray[np.float32], NDArray[Any]]]:
    """Group (N, 4) boxes that show one person; return each group's mean box, weighted by the scores, and its rows.

    Best boxes first, each joins the group whose mean it overlaps most, or begins one.
    """
    means: list[NDArray[np.float32]] = []
    groups: list[list[int]] = []
    for row in np.argsort(-scores, kind="stable"):
        overlap = iou(boxes[row : row + 1], np.array(means, np.float32).reshape(-1, 4))[0]
        best = int(overlap.argmax()) if len(overlap) else -1
        if best >= 0 and overlap[best] > SAME_PERSON_IOU:
            groups[best].append(int(row))
            means[best] = np.average(boxes[groups[best]], axis=0, weights=scores[groups[best]]).astype(np.float32)
        else:
            means.append(boxes[row])
            groups.append([int(row)])
    return [(mean, np.array(group, np.int64)) for mean, group in zip(means, groups, strict=True)]
