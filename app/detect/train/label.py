"""Labels for pictures that nobody has marked, from detectors that others made: the teachers.

    OUTPUT/labels.json            the teachers, their sizes, which pictures were held out, how many boxes
    OUTPUT/answers/SET/STEM.npz   what every look of every teacher found: judged again without looking again
    OUTPUT/train/SET/…            a data set in YOLO's layout: `images/` (the files as they were), `labels/` (class 0 is
    OUTPUT/held_out/SET/…         person; a sixth number is how sure the teachers are), `ignored/` (boxes that count
                                  neither way), and `masks/` where the pictures came with them

Boxes that the pictures came with stay as they are; the teachers add who was left out.
"""

from __future__ import annotations

import fnmatch
import io
import json
import logging
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.boxes import coverage, iou
from app.detect.train.committee import Answers, Committee, judge
from app.detect.train.photos import SUFFIXES, Boxes, Place, read_labels
from app.errors import InputError
from app.system.checksum import file_sha256
from app.system.files import claim_folder
from app.system.untrusted import is_clutter

_log = logging.getLogger(__name__)

KNOWN_IOU = 0.4
"""A teacher's box that overlaps a given one more shows the person whom that one shows."""
KNOWN_COVER = 0.8
"""So does one of which a given box covers this share, or the other way round."""


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A picture to label: its data set's name, its file, and the boxes and the mask that it came with, if it did."""

    set_name: str
    file: Place
    labels: Place | None
    mask: Place | None

    @property
    def stem(self) -> str:
        return self.file.name.rpartition(".")[0]


def label_images(
    pictures: Sequence[Path],
    teachers: Sequence[Path],
    sizes_px: Sequence[int],
    output: Path,
    hold_out: Sequence[str] = (),
    leave_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Label all pictures in `pictures`, folders or zip files, and write data sets into the folder `output`.

    hold_out: pictures whose file names match one of these patterns (`surv_g04-*`) go to `held_out`, not to `train`.
        Hold out whole cameras. leave_out: such pictures go nowhere.
    Called again, it goes on where it was; pictures that are done cost nothing.

    Returns what `labels.json` says. Raises InputError for unusable pictures or weights, and for an `output` that other
    teachers have begun.
    """
    committee = Committee(teachers, sizes_px)
    asked = {
        "teachers": {path.name: sha256 for path, sha256 in zip(teachers, committee.sha256, strict=True)},
        "sizes_px": list(sizes_px),
    }
    note = output / "labels.json"
    if note.is_file():
        before = json.loads(note.read_text(encoding="utf-8"))
        if any(before.get(key) != value for key, value in asked.items()):
            raise InputError(f"{output}: was labelled by other teachers or at other sizes; give another --output")
    claim_folder(output, "labelling of pictures", known=[note.name])
    counts = {part: {"pictures": 0, "people": 0, "disputed": 0} for part in ("train", "held_out")}
    summary = {
        **asked,
        "pictures": {path.name: file_sha256(path) for path in pictures},
        "hold_out": list(hold_out),
        "leave_out": list(leave_out),
        "counts": counts,
    }
    note.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    found = [picture for path in pictures for picture in _find(path)]
    last = time.monotonic()
    for number, picture in enumerate(found):
        if _matches(picture.file.name, leave_out):
            continue
        part = "held_out" if _matches(picture.file.name, hold_out) else "train"
        people, disputed = _label(picture, committee, output, output / part / picture.set_name)
        for key, more in (("pictures", 1), ("people", people), ("disputed", disputed)):
            counts[part][key] += more
        if time.monotonic() - last > 30:
            last = time.monotonic()
            _log.info("%d of %d pictures labelled", number + 1, len(found))
    note.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return summary


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _find(path: Path) -> Iterator[Unlabelled]:
    """Yield every picture below a folder or zip file in the order of the names. Raises InputError if there is none."""
    try:
        root: Place = path if path.is_dir() else zipfile.Path(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: neither a folder nor a readable zip file ({error})") from error
    found = []
    places = [(root, path.stem)]
    while places:
        place, name = places.pop()
        for child in place.iterdir():
            if is_clutter(child.name):
                continue
            if child.is_dir():
                if child.name not in ("labels", "masks", "ignored"):
                    places.append((child, name if child.name == "images" else child.name))
            elif f".{child.name.rpartition('.')[2].lower()}" in SUFFIXES:
                found.append(_beside(name, child, place))
    if not found:
        raise InputError(f"{path}: there are no pictures ({', '.join(SUFFIXES)}) in it")
    yield from sorted(found, key=lambda picture: (picture.set_name, picture.file.name))


def _beside(name: str, file: Any, folder: Any) -> Unlabelled:
    """Return a picture with the files of YOLO's layout that belong to it."""
    if folder.name != "images":
        return Unlabelled(name, file, None, None)
    stem = file.name.rpartition(".")[0]
    above = folder.parent
    # Some tools rename `images` within the file name too.
    labels = [above / "labels" / f"{name}.txt" for name in (stem, stem.replace("images", "labels"))]
    mask = above / "masks" / f"{stem}.png"
    return Unlabelled(
        name, file, next((place for place in labels if place.is_file()), None), mask if mask.is_file() else None
    )


def _label(picture: Unlabelled, committee: Committee, output: Path, folder: Path) -> tuple[int, int]:
    """Write one picture with its labels into the data set `folder`; return how many people and disputed boxes."""
    content = picture.file.read_bytes()
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{picture.file}: not a picture that can be read; is the file whole?")
    height, width = image.shape[:2]
    answers_file = output / "answers" / picture.set_name / f"{picture.stem}.npz"
    if not answers_file.is_file():
        _write(answers_file, _packed(committee.look(np.asarray(image, np.uint8))))
    with np.load(answers_file) as stored:
        verdict = judge(Answers(stored["boxes"], stored["scores"], stored["looks"]), committee.voices)
    people, scores, disputed = verdict.people, verdict.scores, verdict.disputed
    if picture.labels is not None:
        given = read_labels(picture.labels, width, height)
        new, unknown = _not_among(people, given), _not_among(disputed, given)
        people = np.concatenate([given, people[new]])
        scores = np.concatenate([np.ones(len(given), np.float32), scores[new]])
        disputed = disputed[unknown]
    for kind, suffix, text in (
        ("ignored", ".txt", _lines(disputed, None, width, height)),
        ("labels", ".txt", _lines(people, scores, width, height)),
    ):
        _write(folder / kind / f"{picture.stem}{suffix}", text.encode())
    if picture.mask is not None:
        _write(folder / "masks" / f"{picture.stem}.png", picture.mask.read_bytes())
    _write(folder / "images" / picture.file.name, content)
    return len(people), len(disputed)


def _not_among(boxes: Boxes, given: Boxes) -> NDArray[np.bool_]:
    """Return (N,) whether each box shows somebody whom no given box shows."""
    if not len(given):
        return np.ones(len(boxes), bool)
    same = (iou(boxes, given) > KNOWN_IOU) | (coverage(boxes, given) > KNOWN_COVER)
    same |= coverage(given, boxes).T > KNOWN_COVER
    return np.asarray(~same.any(axis=1), np.bool_)


def _lines(boxes: Boxes, scores: NDArray[np.float32] | None, width: int, height: int) -> str:
    """Return (N, 4) boxes in pixels as lines of a label file, with their scores where there are any."""
    sides = np.array([width, height], np.float64)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 / sides
    rows = np.hstack([centers, (boxes[:, 2:] - boxes[:, :2]) / sides]).clip(0, 1)
    if scores is not None:
        rows = np.hstack([rows, scores[:, None]])
    return "".join("0 " + " ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)


def _packed(answers: Answers) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, boxes=answers.boxes, scores=answers.scores, looks=answers.looks)
    return packed.getvalue()


def _write(file: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)
