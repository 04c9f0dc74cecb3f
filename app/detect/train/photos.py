"""What training pictures are composed of: photos with boxes, people cut out of them, and rendered scenes."""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import SimulateSettings
from app.detect.train.processes import side_by_side
from app.errors import InputError
from app.simulate.scene import Scene
from app.system.untrusted import is_clutter

_log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Place = Path | zipfile.Path
"""A folder or file on disk or within a zip file."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_SCENE_PEOPLE = (4, 14)
_SCENE_PICTURES = 60
"""Two cameras, 60 s, a picture every 2 s."""
_LEAST_VISIBILITY = 0.25


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture (H, W, 3) uint8 BGR and the (N, 4) float32 x1 y1 x2 y2 boxes, in pixels, of everybody in it.

    scores: (N,) float32 in [0, 1], how sure the labels are; 1 by default. ignored: (M, 4) float32, boxes of which
    nobody knows whether they show a person; none by default.
    """

    image: Image
    boxes: Boxes
    scores: NDArray[np.float32] = field(default_factory=lambda: np.ones(0, np.float32))
    ignored: Boxes = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def __post_init__(self) -> None:
        if not len(self.scores):
            object.__setattr__(self, "scores", np.ones(len(self.boxes), np.float32))


@dataclass(frozen=True, slots=True)
class Stock:
    """All material. A photo of `portraits` shows one person with a mask, and perhaps passers-by without boxes.

    cutouts: (H, W, 4) uint8 BGRA, cut off tightly at the person.
    """

    photos: list[Photo]
    portraits: list[Photo]
    empty: list[Image]
    cutouts: list[Image]
    scenes: list[Photo]


def read_stock(data: Sequence[Path], scenes: int, seed: int, processes: int = 0) -> Stock:
    """Read the data sets and render `scenes` pictures of the simulator, in so many processes (0: in this one).

    data: folders or zip files; at any depth they hold data sets in YOLO's layout, `images/` and `labels/` side by side
    (class 0 is person), and perhaps `masks/`, PNG of the image's size, white where the person is.

    Raises InputError for a path or file that cannot be read, and if there is no person at all.
    """
    stock = fill_stock([folder for path in data for folder in data_sets(path)], scenes, seed, processes)
    if not stock.photos and not stock.cutouts:
        raise InputError(f"{', '.join(map(str, data))}: there is no person in this data; check labels/ beside images/")
    return stock


def fill_stock(folders: Sequence[Place], scenes: int, seed: int, processes: int = 0) -> Stock:
    """Read data sets found by `data_sets`; as `read_stock`."""
    photos: list[Photo] = []
    portraits: list[Photo] = []
    empty: list[Image] = []
    cutouts: list[Image] = []
    for folder in folders:
        for photo, mask in read_data_set(folder):
            if mask is not None:
                portraits.append(photo)
                cutouts.append(cut_out(photo.image, mask))
            elif len(photo.boxes):
                photos.append(photo)
            else:
                empty.append(photo.image)
    _log.info("%d photos, %d cut-out people, %d person-free pictures", len(photos), len(cutouts), len(empty))
    return Stock(photos, portraits, empty, cutouts, render_scenes(scenes, seed, processes))


def data_sets(path: Path) -> list[Place]:
    """Return the folders below `path`, a folder or zip file, that hold `images/`; InputError if there is none."""
    try:
        root: Place = path if path.is_dir() else zipfile.Path(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: neither a folder nor a readable zip file ({error})") from error
    found: list[Place] = []
    places = [root]
    while places:
        place = places.pop()
        if (place / "images").is_dir():
            found.append(place)
        else:
            places += [child for child in place.iterdir() if child.is_dir() and not is_clutter(child.name)]
    if not found:
        raise InputError(f"{path}: no folder with images/ and labels/ in it, the layout of YOLO data sets")
    return sorted(found, key=str)


def read_data_set(folder: Place) -> Iterator[tuple[Photo, Image | None]]:
    """Yield each picture with its boxes and, if it has one, its (H, W) uint8 mask, in the order of the names."""
    files: list[Place] = [*(folder / "images").iterdir()]
    for file in sorted(files, key=lambda file: file.name):
        stem, _, suffix = file.name.rpartition(".")
        if f".{suffix.lower()}" not in SUFFIXES or is_clutter(file.name):
            continue
        image = _decode(file, cv2.IMREAD_COLOR)
        # Some tools rename `images` within the file name too.
        labels = folder / "labels" / f"{stem}.txt"
        if not labels.is_file():
            labels = folder / "labels" / f"{stem.replace('images', 'labels')}.txt"
        if not labels.is_file():
            raise InputError(f"{file}: has no boxes, {folder / 'labels' / stem}.txt is missing (empty for nobody)")
        boxes, scores = read_scored_labels(labels, image.shape[1], image.shape[0])
        doubtful = folder / "ignored" / f"{stem}.txt"
        ignored = read_labels(doubtful, image.shape[1], image.shape[0]) if doubtful.is_file() else boxes[:0]
        photo = Photo(image, boxes, scores, ignored)
        mask_file = folder / "masks" / f"{stem}.png"
        mask = _decode(mask_file, cv2.IMREAD_GRAYSCALE) if mask_file.is_file() else None
        if mask is not None and mask.shape != image.shape[:2]:
            raise InputError(f"{mask_file}: the mask has another size than its image")
        yield photo, mask


def read_labels(file: Place, width: int, height: int) -> Boxes:
    """Return the (N, 4) boxes of class 0 in pixels. A line is: class, centre x, centre y, width, height, in shares, and
    perhaps how sure that is."""
    return read_scored_labels(file, width, height)[0]


def read_scored_labels(file: Place, width: int, height: int) -> tuple[Boxes, NDArray[np.float32]]:
    """Return the (N, 4) boxes of `read_labels` and how sure each is, (N,) in [0, 1]; 1 where the file doesn't say."""
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, x, y, w, h, *more = (float(value) for value in line.split())
            (score,) = more or (1.0,)
        except ValueError as error:
            raise InputError(
                f"{file}:{number}: not five numbers 'class x y width height', perhaps with a sixth, how sure that is"
            ) from error
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
            raise InputError(f"{file}:{number}: a box in shares of the picture lies between 0 and 1, this one does not")
        if kind == 0:
            rows.append(((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height, score))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def cut_out(image: Image, mask: Image) -> Image:
    """Return the masked pixels as (h, w, 4) BGRA, no larger than needed. Raises InputError for an empty mask."""
    solid = mask > 127
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if len(rows) == 0:
        raise InputError("a mask has no white pixel: there is no person to cut out")
    inside = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return np.dstack([image[inside], solid[inside].astype(np.uint8) * 255])


def render_scenes(count: int, seed: int, processes: int = 0) -> list[Photo]:
    """Return `count` pictures of the simulator, from many short scenes that differ in place, light and people."""
    found: list[Photo] = []
    rendered = 0
    while len(found) < count:
        numbers = range(rendered, rendered + math.ceil((count - len(found)) / _SCENE_PICTURES))
        for pictures in side_by_side(processes, partial(_scene_pictures, seed), numbers):
            found += pictures
        rendered = numbers.stop
    return found[:count]


def _scene_pictures(seed: int, number: int) -> list[Photo]:
    rng = np.random.default_rng([seed, 77, number])
    settings = SimulateSettings(
        seed=int(rng.integers(2**31)),
        cameras=2,
        people=int(rng.integers(*_SCENE_PEOPLE)),
        seconds=60,
        fps=0.5,  # people stand elsewhere in every picture
        overlap=bool(rng.random() < 0.5),
    )
    views = Scene(settings).views(settings.seconds)
    return [Photo(view.image, view.boxes[view.visibility >= _LEAST_VISIBILITY]) for view in views]


def _decode(file: Place, flags: int) -> Image:
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), flags)
    if image is None:
        raise InputError(f"{file}: not a picture that can be read; is the file whole?")
    return np.asarray(image, np.uint8)
