"""Pictures of people whose names nobody knows: a teacher can say all the same what they look like."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.datasets import IMAGE_SUFFIXES, CropFiles
from app.reid.preprocess import crop_on_cpu

log = logging.getLogger(__name__)

LEAST_HEIGHT_PX = 36
LEAST_WIDTH_PX = 12
"""Smaller boxes show nothing that could be taught."""


def load_unlabelled(paths: Sequence[Path], height: int, width: int) -> NDArray[np.uint8]:
    """Return (N, height, width, 3) uint8 BGR pictures of people from folders or zip files.

    A path holds cut-out people, or frames in `images/` with the boxes of the people on them in `labels/`: lines of
    class, centre x, centre y, width, height as shares of the frame (YOLO), class 0 being a person.
    Raises InputError for a path that is not there, a damaged picture or box, or if there are no pictures.
    """
    people = [np.zeros((0, height, width, 3), np.uint8)]
    for path in paths:
        files = CropFiles(path)
        found = [crop_on_cpu([image], [boxes], height, width) for image, boxes in _people(files) if len(boxes)]
        if not found:
            raise InputError(f"train.unlabelled: {path}: there are no pictures of people in it")
        people += found
        log.info("%s: %d people without names", path, sum(map(len, found)))
    return np.concatenate(people)


def _people(files: CropFiles) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield each picture with the (N, 4) x1 y1 x2 y2 boxes in pixels of the people on it."""
    known = set(files.names)
    has_boxes = any("labels" in PurePosixPath(name).parts[:-1] for name in files.names)
    for name in files.names:
        path = PurePosixPath(name)
        if path.suffix.lower() not in IMAGE_SUFFIXES or (has_boxes and path.parent.name != "images"):
            continue
        boxes_file = str(path.parent.parent / "labels" / f"{path.stem}.txt")
        if has_boxes and boxes_file not in known:
            continue
        image = files.decode(name)
        high, wide = image.shape[:2]
        if not has_boxes:
            yield image, np.array([[0, 0, wide, high]], np.float32)
            continue
        yield image, _boxes(files, boxes_file, wide, high)


def _boxes(files: CropFiles, name: str, width: int, height: int) -> NDArray[np.float32]:
    boxes = []
    for number, line in enumerate(files.read(name).decode().splitlines(), 1):
        cells = line.split()
        if not cells or cells[0] != "0":
            continue
        try:
            x, y, w, h = (float(cell) for cell in cells[1:5])
        except ValueError as error:
            raise InputError(f"{files.path}: {name}:{number}: expected class, x, y, width, height") from error
        boxes.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
    found = np.array(boxes, np.float32).reshape(-1, 4)
    large = (found[:, 3] - found[:, 1] >= LEAST_HEIGHT_PX) & (found[:, 2] - found[:, 0] >= LEAST_WIDTH_PX)
    return found[large]
