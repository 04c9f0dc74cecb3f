"""Pictures of what a network does: whom it finds, where it looks, and whether its probabilities hold.

`main.py evaluate-reid --pictures DIR` writes them. They show people of the data set: the data's terms bind them too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from app.reid.calibrate import BIN_COUNT, Calibration
from app.reid.datasets import PeopleData
from app.reid.osnet import OSNet
from app.reid.preprocess import Preprocessing, scale

CELL = (128, 64)
"""Height and width, in pixels, of one person in the sheets."""

FRAME = 4
"""Width of the frames, in pixels; the gap between pictures is as wide."""

RIGHT, WRONG, ASKED = (80, 170, 40), (50, 50, 210), (200, 120, 40)
"""BGR of frames: the same person, somebody else, the picture that is looked for."""

SHOWN = 10
"""Gallery pictures in a ranked list."""

BLOCK_ROWS = 256


def ranked_lists(
    people: PeopleData, query: NDArray[np.float32], gallery: NDArray[np.float32], count: int = 12
) -> NDArray[np.uint8]:
    """Draw `count` queries, evenly spaced over the data set, each with the ten gallery pictures nearest to it.

    query, gallery: (Q, D) and (G, D) vectors, compared by Euclidean distance. Gallery pictures that do not count (same
    person, same camera) are left out, as in the scores. Green frames are right and red ones wrong.
    Returns a (H, W, 3) uint8 BGR sheet.
    """
    rows = []
    for number in spaced(len(query), count):
        person, camera = people.query.person_ids[number], people.query.camera_ids[number]
        counted = np.flatnonzero((people.gallery.person_ids != person) | (people.gallery.camera_ids != camera))
        distances = ((gallery[counted] - query[number]) ** 2).sum(axis=1)
        nearest = counted[np.argsort(distances, kind="stable")[:SHOWN]]
        cells = [_framed(people.query.decode(number), ASKED)]
        for found in nearest.tolist():
            right = people.gallery.person_ids[found] == person
            cells.append(_framed(people.gallery.decode(found), RIGHT if right else WRONG))
        cells += [np.full_like(cells[0], 255)] * (1 + SHOWN - len(cells))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


@torch.inference_mode()
def activation_maps(
    people: PeopleData, network: OSNet, preprocessing: Preprocessing, count: int = 12
) -> NDArray[np.uint8]:
    """Draw queries beside where the network responds: the mean absolute activation of its last maps, from blue to red.

    As in the OSNet paper's figure; each picture is scaled to its own range. Returns a (H, W, 3) uint8 BGR sheet.
    """
    rows = []
    for number in spaced(len(people.query), count):
        picture = people.query.decode(number)
        crop = torch.from_numpy(scale(picture, preprocessing.height, preprocessing.width))[None]
        response = network.feature_maps(preprocessing.normalise(crop)).abs().mean(1)[0].numpy()
        spread = max(float(np.ptp(response)), 1e-12)
        grey = np.rint(255 * (response - response.min()) / spread).astype(np.uint8)
        heat = cv2.applyColorMap(cv2.resize(grey, CELL[::-1], interpolation=cv2.INTER_CUBIC), cv2.COLORMAP_JET)
        plain = cv2.resize(picture, CELL[::-1], interpolation=cv2.INTER_AREA)
        mixed = cv2.addWeighted(plain, 0.5, heat, 0.5, 0)
        rows.append(np.concatenate([_framed(plain, ASKED), _framed(np.asarray(mixed, np.uint8), ASKED)], axis=1))
    half = -(-len(rows) // 2)
    columns = [np.concatenate(part) for part in (rows[:half], rows[half:]) if part]
    tallest = max(len(column) for column in columns)
    padded = [np.pad(c, ((0, tallest - len(c)), (0, 0), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(padded, axis=1)


def reliability(
    calibration: Calibration,
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    people: PeopleData,
    bins: int = 10,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compare stated probabilities with what is so, over all pairs of a query and a gallery picture of another camera.

    query, gallery: unit vectors, not centred. Pairs of one person and negative pairs weigh half each in all, since
    P(same) is prior-balanced. Returns (bins,) mean stated P(same), share that was the same person, and weight; the
    first two are NaN in empty bins.
    """
    centered = calibration.centered(gallery)
    same, different = np.zeros(BIN_COUNT), np.zeros(BIN_COUNT)
    for start in range(0, len(query), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        distances = 1 - calibration.centered(query[rows]) @ centered.T
        cells = np.clip(distances * (BIN_COUNT / 2), 0, BIN_COUNT - 1).astype(np.int64)
        equal = people.query.person_ids[rows, None] == people.gallery.person_ids
        elsewhere = people.query.camera_ids[rows, None] != people.gallery.camera_ids
        same += np.bincount(cells[equal & elsewhere], minlength=BIN_COUNT)
        different += np.bincount(cells[~equal & elsewhere], minlength=BIN_COUNT)
    yes, no = same / max(same.sum(), 1) / 2, different / max(different.sum(), 1) / 2
    stated = calibration.probability((np.arange(BIN_COUNT) + 0.5) * (2 / BIN_COUNT)).astype(np.float64)
    place = np.minimum((stated * bins).astype(np.int64), bins - 1)
    weight = np.bincount(place, yes + no, bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean_stated = np.bincount(place, (yes + no) * stated, bins) / weight
        return mean_stated, np.bincount(place, yes, bins) / weight, weight


def write_reliability_diagram(
    file: Path, stated: NDArray[np.float64], happened: NDArray[np.float64], weight: NDArray[np.float64]
) -> None:
    """Draw `reliability` as a picture file: on the diagonal, a probability means what it says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    error = float(np.nansum(np.abs(stated - happened) * weight))
    figure = Figure(figsize=(5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    curve, amount = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    filled = weight > 0
    curve.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="as stated")
    curve.plot(stated[filled], happened[filled], marker="o", color="tab:blue", label="these weights")
    curve.set(ylabel="share that was the same person", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    curve.set_title(f"expected calibration error {100 * error:.1f} %")
    curve.legend(loc="upper left")
    edges = np.linspace(0, 1, len(weight) + 1)
    amount.bar(edges[:-1], 100 * weight, width=edges[1], align="edge", color="tab:blue", edgecolor="white")
    amount.set(xlabel="stated P(same person), both kinds of pairs equally likely", ylabel="pairs, %")
    figure.savefig(file, dpi=120)


def spaced(length: int, count: int) -> list[int]:
    """Return up to `count` different row numbers, evenly spaced over `length` rows."""
    chosen: list[Any] = np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64)).tolist()
    return chosen


def _framed(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture at the size of a cell, in a frame, with a white gap around it."""
    cell = cv2.resize(picture, CELL[::-1], interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(cell, FRAME, FRAME, FRAME, FRAME, cv2.BORDER_CONSTANT, value=colour)
    gap = FRAME // 2
    return np.asarray(cv2.copyMakeBorder(framed, gap, gap, gap, gap, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
