"""`main.py compare A.jpg B.jpg`: do two pictures show the same person: yes, no, or can't one say?

People are looked for first, as a search does: without a person in a picture there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import Settings
from app.errors import InputError
from app.reid.agreement import agreement_image
from app.reid.embedder import embedder_of, load_for_use, require_weights
from app.runs.people.bands import Band, band
from app.runs.people.query import Finder, NobodyInImage, SeveralInImage, choose
from app.system.untrusted import decode_image, reading

SURE = 0.9
"""“Yes” from this probability on and “no” below what is left of 1: nine to one, either way."""

MOST_PICTURES = 20
MOST_DRAWN = 28
"""Pairs that are drawn at most, the likeliest first: those of eight pictures."""

SaidOfPair = Literal["yes", "no", "can't say"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, by number from 0, and whether they show one person.

    p_same: P(the same person) where that and the opposite are equally likely beforehand.  band: the same in words.
    """

    first: int
    second: int
    p_same: float
    band: Band
    answer: SaidOfPair


@dataclass(frozen=True, slots=True)
class Comparison:
    """pictures: file and (4,) x1 y1 x2 y2 of the person in it.  pairs: each two of them, the likeliest first.
    reid: the network that compared."""

    pictures: list[tuple[str, list[int]]]
    pairs: list[Pair]
    reid: str


def compare_images(images: Sequence[str], settings: Settings, drawn: Path | None = None) -> Comparison:
    """Say of each two of several pictures whether they show the same person.

    images: files; FILE#2 means the second person from the left in FILE.  drawn: a picture file to write that shows
    which places of each pair speak for one person, and which against.
    Raises InputError for a picture that cannot be read, that shows nobody or several people of whom none is chosen,
    for fewer than two or too many pictures, and for `drawn` with an exported network, whose maps cannot be read.
    """
    if not 2 <= len(images) <= MOST_PICTURES:
        raise InputError(f"give 2 to {MOST_PICTURES} pictures to compare, not {len(images)}")
    if settings.reid.weights == "none":
        raise InputError("reid.weights: none: without a network there is nothing to compare pictures with")
    checkpoint = load_for_use(require_weights(settings.reid.weights, "reid.weights"), settings.reid)
    if drawn is not None:
        checkpoint.network()  # says no before anything is done
    finder = Finder(settings.detect)
    crops, pictures = [], []
    for image in images:
        crop, box = _person_in(image, finder)
        crops.append(crop)
        pictures.append((image, box))
    embedder = embedder_of(checkpoint, settings.reid)
    whole = [np.array([[0, 0, crop.shape[1], crop.shape[0]]], np.float32) for crop in crops]
    vectors = np.concatenate(embedder.embed(crops, whole))
    pairs = []
    for first, second in combinations(range(len(crops)), 2):
        p_same = float(embedder.calibration.probability(1 - vectors[first] @ vectors[second]))
        pairs.append(Pair(first, second, p_same, band(p_same), said_of(p_same)))
    pairs.sort(key=lambda pair: -pair.p_same)
    if drawn is not None:
        headings = [
            (pair.first, pair.second, f"{pair.first + 1} and {pair.second + 1}: {pair.answer} (P {pair.p_same:.2f})")
            for pair in pairs[:MOST_DRAWN]
        ]
        _write(drawn, agreement_image(checkpoint, crops, headings))
    return Comparison(pictures, pairs, embedder.name)


def said_of(p_same: float) -> SaidOfPair:
    """Return the answer that a probability allows."""
    if p_same >= SURE:
        return "yes"
    return "no" if p_same <= 1 - SURE else "can't say"


def comparison_table(found: Comparison) -> Any:
    """Return a rich table of what was compared."""
    from rich.console import Group
    from rich.table import Table

    table = Table("one picture", "the other", "same person?", "how sure", "P")
    names = [f"{number}: {Path(file).name}" for number, (file, _) in enumerate(found.pictures, 1)]
    for pair in found.pairs:
        table.add_row(names[pair.first], names[pair.second], pair.answer, pair.band, f"{pair.p_same:.2f}")
    return Group(table, "P is for pictures of which nothing else is known: one person and two are equally likely.")


def _person_in(image: str, finder: Finder) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the crop of the person whom FILE or FILE#N means, (H, W, 3) uint8 BGR, and its box."""
    file, number = Path(image), None
    name, mark, after = image.rpartition("#")
    if mark and after.isdigit() and not file.is_file():
        file, number = Path(name), int(after)
    with reading(file, "this picture"):
        data = file.read_bytes()
    picture = decode_image(data, str(file))
    try:
        whom = choose(finder.people(picture), number)
    except SeveralInImage as several:
        boxes = "; ".join(f"{file}#{place}: {p.box.tolist()}" for place, p in enumerate(several.people, 1))
        raise InputError(
            f"{file}: there are {len(several.people)} people in this picture; say which one, from the left ({boxes})"
        ) from several
    except NobodyInImage as nobody:
        raise NobodyInImage(f"{file}: {nobody}") from nobody
    except InputError as wrong:
        raise InputError(f"{file}: {wrong}") from wrong
    return whom.cut_out(picture), whom.box.tolist()


def _write(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture file. Raises InputError for a name or place where none can be written."""
    try:
        written = cv2.imwrite(str(file), picture)
    except cv2.error as error:
        raise InputError(f"--picture {file}: not the name of a picture file; .png or .jpg is") from error
    if not written:
        raise InputError(f"--picture {file}: cannot be written there")
