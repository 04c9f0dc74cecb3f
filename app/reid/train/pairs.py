"""Pairs of pictures that a human judged: `pairs.csv` beside the pictures, and which of them are kept as a test.

`main.py export --format market1501` writes both. A row is `crop_a,crop_b,same`: two paths within the data set's folder
and 1 for one person or 0 for two.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.datasets import CropFiles
from app.reid.train.data import Listing

log = logging.getLogger(__name__)

PAIRS_FILE = "pairs.csv"
_HEADER = ["crop_a", "crop_b", "same"]
_YES_NO = {"1": True, "0": False}

MOST_PEOPLE_APART = 0.4
"""Share of all people that a test of judged pairs may take away from training."""


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """Judged pairs among the pictures of a `Listing`.

    rows: (M, 2) int64, which pictures. people: (M, 2) int64, who is on them. same: (M,) bool, the judgement.
    """

    rows: NDArray[np.int64]
    people: NDArray[np.int64]
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> JudgedPairs:
        return JudgedPairs(self.rows[chosen], self.people[chosen], self.same[chosen])

    @property
    def groups(self) -> NDArray[np.int64]:
        """(M,) numbers: pairs of the same two people, or of one person, are a group and hardly separate evidence."""
        ordered = np.sort(self.people, axis=1)
        _, group = np.unique(ordered, axis=0, return_inverse=True)
        return group.astype(np.int64).ravel()


def has_pairs(data: Sequence[Path]) -> bool:
    """Return whether one of the data sets has a `pairs.csv` with at least one pair."""
    return any(len(_read(CropFiles(path))) > 0 for path in data)


def read_pairs(listing: Listing) -> JudgedPairs:
    """Read the `pairs.csv` of every data set that has one.

    Left out, and said in the log, are pairs with a picture that shows nobody (identity -1) and pairs whose judgement
    contradicts the identities in the pictures' names, which are the later word.
    Raises InputError, with the line, for a picture that isn't there and for a judgement that is neither 1 nor 0.
    """
    rows: list[tuple[int, int]] = []
    same: list[bool] = []
    before = unknown = 0
    for part in listing.parts:
        numbers = {name: before + row for row, name in enumerate(part.names)}
        known = set(part.files.names)
        for line, (crop_a, crop_b, judgement) in _read(part.files):
            for crop in (crop_a, crop_b):
                if crop not in known:
                    raise InputError(f"{part.files.path}: {PAIRS_FILE}:{line}: there is no picture {crop}")
            if crop_a in numbers and crop_b in numbers:
                rows.append((numbers[crop_a], numbers[crop_b]))
                same.append(judgement)
            else:
                unknown += 1
        before += len(part)
    pairs = np.array(rows, np.int64).reshape(-1, 2)
    found = JudgedPairs(pairs, listing.person_ids[pairs], np.array(same, bool))
    agreed = (found.people[:, 0] == found.people[:, 1]) == found.same
    if unknown or not agreed.all():
        log.warning(
            "%s: %d pairs left out because a picture shows nobody, %d because the pictures' names say otherwise",
            PAIRS_FILE,
            unknown,
            np.count_nonzero(~agreed),
        )
    return found[agreed]


def people_of_test(pairs: JudgedPairs, people: int, share: float, seed: int) -> NDArray[np.int64]:
    """Choose the people who are kept apart from training altogether, because they are on the pairs of the test.

    Pairs are drawn in an order given by `seed`, confirmed and rejected ones in turn, until the people on them cover
    `share` of either kind, or are `MOST_PEOPLE_APART` of all `people`. Returns their (K,) numbers.
    """
    random = np.random.default_rng(seed)
    order = {kind: random.permutation(np.flatnonzero(pairs.same == kind)).tolist() for kind in (True, False)}
    apart: set[int] = set()

    def enough(kind: bool) -> bool:
        covered = np.all(np.isin(pairs.people[pairs.same == kind], list(apart)), axis=1)
        return not len(covered) or float(covered.mean()) >= share

    while any(order.values()):
        for kind, left in order.items():
            if not left or enough(kind):
                left.clear()
                continue
            with_next = apart | set(pairs.people[left.pop()].tolist())
            if len(with_next) <= MOST_PEOPLE_APART * people:
                apart = with_next
    return np.array(sorted(apart), np.int64)


def _read(files: CropFiles) -> list[tuple[int, tuple[str, str, bool]]]:
    """Return (line number, (crop_a, crop_b, same)) of each row; empty without the file."""
    if PAIRS_FILE not in files.names:
        return []
    place = f"{files.path}: {PAIRS_FILE}"
    try:
        lines = list(csv.reader(io.StringIO(files.read(PAIRS_FILE).decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place}: not a CSV file in UTF-8 ({error})") from error
    if not lines or lines[0] != _HEADER:
        raise InputError(f"{place}:1: the first line must be {','.join(_HEADER)}")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(_HEADER) or cells[2] not in _YES_NO:
            raise InputError(f"{place}:{number}: expected two paths of pictures, and 1 (same person) or 0")
        rows.append((number, (cells[0], cells[1], _YES_NO[cells[2]])))
    return rows
