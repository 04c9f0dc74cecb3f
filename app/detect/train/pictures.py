"""Training pictures on disk, in the layout that Ultralytics' trainer reads.

DIR/recipe.json           what the pictures depend on; other pictures are refused
DIR/{train,val}/images/   000000.jpg …
DIR/{train,val}/labels/   000000.txt …  class, centre x, centre y, width, height in shares of the picture
DIR/data.yaml             where they are, for the trainer
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import yaml

from app.config import DetectorTrainSettings
from app.detect.train.compose import compose
from app.detect.train.photos import Boxes, Stock, read_stock
from app.detect.train.processes import side_by_side
from app.errors import InputError
from app.system.checksum import file_sha256

_log = logging.getLogger(__name__)


def make_images(settings: DetectorTrainSettings, data: Sequence[Path], folder: Path) -> Path:
    """Compose all pictures that `folder` does not have yet; return its `data.yaml`.

    Each picture depends on the data, the seed and its own number alone, so that an interrupted call is carried on by
    the next one. Raises InputError if the folder's pictures were made of other data or with other settings.
    """
    recipe = {
        "size_px": settings.size_px,
        "largest_person_px": settings.largest_person_px,
        "seed": settings.seed,
        "scenes": settings.scenes,
        "data": [file_sha256(path) if path.is_file() else str(path.resolve()) for path in data],
    }
    note = folder / "recipe.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) != recipe:
        raise InputError(
            f"{folder}: these training pictures were made with another seed, size, tallest person or data; remove the "
            "folder, or give another --output"
        )
    wanted = [("train", number) for number in range(settings.pictures)]
    wanted += [("val", number) for number in range(settings.held_out_pictures)]
    missing = [(part, number) for part, number in wanted if not _files(folder, part, number)[1].is_file()]
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(recipe, indent=1), encoding="utf-8")
    if missing:
        stock = read_stock(data, settings.scenes, settings.seed, settings.workers)
        _log.info("composing %d training pictures in %s", len(missing), folder)
        for _ in side_by_side(settings.workers, partial(_make, settings, stock, folder), missing):
            pass
    listing = folder / "data.yaml"
    described = {"path": str(folder.resolve()), "train": "train/images", "val": "val/images", "names": {0: "person"}}
    listing.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return listing


def _files(folder: Path, part: str, number: int) -> tuple[Path, Path]:
    return folder / part / "images" / f"{number:06d}.jpg", folder / part / "labels" / f"{number:06d}.txt"


def _make(settings: DetectorTrainSettings, stock: Stock, folder: Path, wanted: tuple[str, int]) -> None:
    """Compose and write one picture; its labels come last and say that it is complete."""
    part, number = wanted
    rng = np.random.default_rng([settings.seed, part == "val", number])
    photo = compose(rng, stock, settings.size_px, settings.largest_person_px)
    image_file, label_file = _files(folder, part, number)
    quality = int(rng.integers(35, 96))
    _, encoded = cv2.imencode(".jpg", photo.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    image_file.write_bytes(encoded.tobytes())
    label_file.write_text(label_lines(photo.boxes, settings.size_px), encoding="utf-8")


def label_lines(boxes: Boxes, size: int) -> str:
    """Return the (N, 4) boxes x1 y1 x2 y2 in a square picture of `size` pixels as lines of a label file."""
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / (2 * size), (boxes[:, 2:] - boxes[:, :2]) / size
    rows = np.hstack([centers, sides])
    return "".join(f"0 {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for x, y, w, h in rows)
