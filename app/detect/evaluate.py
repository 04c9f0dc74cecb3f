"""How well a detector finds people: average precision, over all and by height.

Average precision is COCO's (Lin et al., ECCV 2014; 101 points of the precision-recall curve): AP50 counts a box as
found from an overlap of 0.5, AP50-95 is the mean over 0.50, 0.55, …, 0.95. For a range of heights, people of other
heights, and unmatched boxes of other heights, count neither way. People marked "do not count" never do, nor do boxes
in places of which the labels say that nobody knows.

Beside it: how many are found, and how many boxes are right, from the confidence on with which a track may begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from app.boxes import coverage, iou, to_square_pixels
from app.config import DetectSettings
from app.detect import build_detector
from app.detect.train.photos import data_sets, read_data_set
from app.errors import InputError
from app.footage.camera import file_scale
from app.footage.motchallenge import read_rows
from app.footage.video import VideoReader, probe_video
from app.frames import Detections, Frame

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm")
OVERLAPS = np.arange(0.5, 1.0, 0.05)
HEIGHTS_PX = (0, 32, 64, 128, 256)
"""Ends of the ranges of heights, in pixels of the picture; the last one is open."""
CONFIDENT_SCORE = 0.5
"""The default of `track.confident_score`."""
IN_DOUBT = 0.5
"""A box of which this share lies where nobody knows is not held against the detector."""
_LEAST_SCORE = 0.01
_BATCH = 4


@dataclass(frozen=True, slots=True)
class Truth:
    """People of one picture: (N, 4) float32 x1 y1 x2 y2, and (N,) bool whether each is to be found.

    unknown: (M, 4) float32, where nobody knows whether there is a person: boxes that lie in one of them mostly count
    neither way.
    """

    boxes: NDArray[np.float32]
    counted: NDArray[np.bool_]
    unknown: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def evaluate_detector(settings: DetectSettings, data: Sequence[Path], every: int = 1) -> dict[str, dict[str, Any]]:
    """Return scores for each data set: {"pictures", "people", "AP50", "AP50_95", "found", "right",
    "by_height": {"32-64": {…}, …}}.

    found, right: share of the people with a box of at least `CONFIDENT_SCORE`, and of such boxes those that show one.

    data: folders or zip files with data sets in YOLO's layout, or videos with MOTChallenge truth in `gt/gt.txt` beside
        the video or in the folder of its name. Of videos every n-th picture is taken.
    Scores lie in [0, 1]; None where there are no people. Raises InputError for data without truth.
    """
    # The whole curve of precision and recall takes weak boxes too.
    detector = build_detector(settings.model_copy(update={"min_score": _LEAST_SCORE}), [])
    scores: dict[str, dict[str, Any]] = {}
    for path in data:
        for name, pictures in _sets(path, every):
            found: list[Detections] = []
            truths: list[Truth] = []
            frames: list[Frame] = []
            for image, truth in pictures:
                truths.append(truth)
                frames.append(Frame(name, len(truths) - 1, float(len(truths)), image))
                if len(frames) == _BATCH:
                    found += detector.detect(frames)
                    frames = []
            if frames:
                found += detector.detect(frames)
            scores[_free_name(name, scores)] = score(truths, found)
    return scores


def mean_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the mean of each score over data sets that have it, each data set counting the same."""
    means: dict[str, float | None] = {}
    for name in ("AP50", "AP50_95", "found", "right"):
        values = [own[name] for own in scores.values() if own[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that no other data set has: two may come from folders of one name."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def score(truths: Sequence[Truth], found: Sequence[Detections]) -> dict[str, Any]:
    """Return the scores of one data set, one entry per picture."""
    ranges = list(zip(HEIGHTS_PX, [*HEIGHTS_PX[1:], np.inf], strict=True))
    by_height = {}
    for low, high in ranges:
        within = [replace(truth, counted=truth.counted & _within(truth.boxes, low, high)) for truth in truths]
        people = int(sum(truth.counted.sum() for truth in within))
        name = f"{low}-{high}" if np.isfinite(high) else f"{low}-"
        by_height[name] = {"people": people, "AP50": _average_precision(within, found, (low, high))[0]}
    values = _average_precision(truths, found, (0, np.inf))
    return {
        "pictures": len(truths),
        "people": int(sum(truth.counted.sum() for truth in truths)),
        "AP50": values[0],
        "AP50_95": None if values[0] is None else float(np.mean(values)),
        **_confident(truths, found),
        "by_height": by_height,
    }


def _confident(truths: Sequence[Truth], found: Sequence[Detections]) -> dict[str, float | None]:
    """Return the shares of people found and of boxes that are right, among confident boxes, at an overlap of 0.5."""
    people = hits = boxes = 0
    for truth, detections in zip(truths, found, strict=True):
        order = np.argsort(-detections.scores, kind="stable")
        order = order[detections.scores[order] >= CONFIDENT_SCORE]
        hit, ignored = _match(truth, detections.boxes[order], np.ones(len(order), bool))
        people += int(truth.counted.sum())
        hits += int(hit[0].sum())
        boxes += int((~ignored[0]).sum())
    return {"found": hits / people if people else None, "right": hits / boxes if boxes else None}


def detector_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the scores as a table, in percent, with the mean of several data sets."""
    table = Table("data", "pictures", "people", "AP50", "AP50-95", "found", "right")
    for name, own in scores.items():
        table.add_row(name, str(own["pictures"]), str(own["people"]), *_cells(own))
    if len(scores) > 1:
        table.add_section()
        table.add_row("mean", "", "", *_cells(mean_scores(scores)))
    return table


def heights_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return AP50 by people's height in pixels, in percent, each with the number of people."""
    heights = next(iter(scores.values()))["by_height"] if scores else {}
    table = Table("AP50 by height", *(f"{name} px" for name in heights))
    for name, own in scores.items():
        parts = own["by_height"].values()
        table.add_row(name, *(f"{_cell(part['AP50'])} of {part['people']}" if part["people"] else "" for part in parts))
    return table


def _cells(own: Mapping[str, Any]) -> list[str]:
    return [_cell(own[name]) for name in ("AP50", "AP50_95", "found", "right")]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _sets(path: Path, every: int) -> Iterator[tuple[str, Iterator[tuple[NDArray[np.uint8], Truth]]]]:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        yield path.stem, _video(path, every)
        return
    for folder in data_sets(path):
        yield folder.name, _photos(folder)


def _photos(folder: Any) -> Iterator[tuple[NDArray[np.uint8], Truth]]:
    for photo, _ in read_data_set(folder):
        yield photo.image, Truth(photo.boxes, np.ones(len(photo.boxes), bool), photo.ignored)


def _video(path: Path, every: int) -> Iterator[tuple[NDArray[np.uint8], Truth]]:
    places = (path.with_suffix("") / "gt" / "gt.txt", path.parent / "gt" / "gt.txt")
    truth_file = next((place for place in places if place.is_file()), None)
    if truth_file is None:
        raise InputError(f"{path}: no truth for this video; expected {places[0]} or {places[1]}")
    rows = read_rows(truth_file)
    video = VideoReader(probe_video(path))
    boxes = to_square_pixels(rows.boxes, file_scale(video.file.width, video.file.height, video.file.reading))
    for picture in video.video_frames():
        if picture.index % every == 0:
            own = rows.frames == picture.index + 1
            yield picture.image, Truth(boxes[own], rows.scores[own] > 0)


def _within(boxes: NDArray[np.float32], low: float, high: float) -> NDArray[np.bool_]:
    heights = boxes[:, 3] - boxes[:, 1]
    return (heights >= low) & (heights < high)


def _average_precision(
    truths: Sequence[Truth], found: Sequence[Detections], heights: tuple[float, float]
) -> list[float] | list[None]:
    """Return the average precision at each of `OVERLAPS`; None for each if nobody is to be found."""
    people = sum(int(truth.counted.sum()) for truth in truths)
    if people == 0:
        return [None] * len(OVERLAPS)
    scores, hits, counts = [], [], []
    for truth, detections in zip(truths, found, strict=True):
        order = np.argsort(-detections.scores, kind="stable")
        boxes = detections.boxes[order]
        hit, ignored = _match(truth, boxes, _within(boxes, *heights))
        scores.append(detections.scores[order])
        hits.append(hit)
        counts.append(~ignored)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, counted = np.concatenate(hits, axis=1)[:, order], np.concatenate(counts, axis=1)[:, order]
    values: list[float] = []
    for own_hit, own_counted in zip(hit, counted, strict=True):
        true = np.cumsum(own_hit[own_counted])
        precision = true / np.arange(1, len(true) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision at this recall or a higher one
        places = np.searchsorted(true / people, np.linspace(0, 1, 101))
        values.append(float(np.append(precision, 0.0)[places].mean()))
    return values


def _match(
    truth: Truth, boxes: NDArray[np.float32], right_height: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (overlaps, N) whether each box, best first, finds somebody, and whether it counts neither way."""
    hit = np.zeros((len(OVERLAPS), len(boxes)), bool)
    ignored = np.zeros_like(hit)
    overlap = iou(boxes, truth.boxes)
    in_doubt = np.any(coverage(boxes, truth.unknown) >= IN_DOUBT, axis=1)
    for level, least in enumerate(OVERLAPS):
        free = np.ones(len(truth.boxes), bool)
        for row in range(len(boxes)):
            for wanted in (truth.counted, ~truth.counted):  # somebody who counts first
                usable = np.where(free & wanted, overlap[row], 0.0)
                best = int(usable.argmax()) if len(usable) else -1
                if best >= 0 and usable[best] >= least:
                    free[best] = False
                    hit[level, row] = truth.counted[best]
                    ignored[level, row] = not truth.counted[best]
                    break
            else:
                ignored[level, row] = in_doubt[row] or not right_height[row]
    return hit, ignored
