"""Pictures for training: decoded and scaled once, then held in memory or memory-mapped from a file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.datasets import PeopleData, Pictures, check_counts, open_people_data
from app.reid.preprocess import scale

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """Decoded pictures of one size.

    pictures: (N, H, W, 3) uint8 BGR. person_ids, camera_ids: (N,) int64.
    """

    pictures: NDArray[np.uint8]
    person_ids: NDArray[np.int64]
    camera_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What to learn from, and people kept apart to choose the best weights by and to fit the calibration on.

    train: person ids are 0..C-1, different people in every data set; cameras are distinct between data sets too.
    held_out: some people of the training sets, none of whom is in `train`.
    """

    name: str
    train: LabelledPictures
    held_out: LabelledPictures

    @property
    def people(self) -> int:
        return int(self.train.person_ids.max()) + 1


def load_training_data(
    folders: Sequence[Path], height: int, width: int, held_out_people: int, seed: int, cache: Path | None = None
) -> TrainingData:
    """Read and decode the training parts of one or several data sets (folders or zip files).

    height, width: size in pixels that pictures are scaled to.
    held_out_people: how many people to keep apart, drawn with `seed` among those seen by two cameras or more.
    cache: a file to memory-map decoded pictures from, for sets that do not fit in memory; written if it is absent.
    Raises InputError for an unknown layout, a damaged picture, a person with one picture, or too few people.
    """
    sets = [open_people_data(folder) for folder in folders]
    for data in sets:
        _check(data)
    person_ids = _distinct([data.train.person_ids for data in sets])
    camera_ids = _distinct([data.train.camera_ids for data in sets])
    pictures = _decode_all([data.train for data in sets], height, width, cache)

    kept_apart = _choose_held_out(person_ids, camera_ids, held_out_people, seed)
    apart = np.isin(person_ids, kept_apart)
    numbers = np.unique(person_ids[~apart])
    if len(numbers) < 2:
        raise InputError(
            f"{folders[0]}: {len(numbers)} people are left to train on after keeping {held_out_people} apart"
        )
    return TrainingData(
        " + ".join(data.name for data in sets),
        LabelledPictures(pictures[~apart], np.searchsorted(numbers, person_ids[~apart]), camera_ids[~apart]),
        LabelledPictures(pictures[apart], person_ids[apart], camera_ids[apart]),
    )


def _check(data: PeopleData) -> None:
    if not len(data.train):
        raise InputError(f"{data.train.files.path}: there are no pictures to train on")
    people, counts = np.unique(data.train.person_ids, return_counts=True)
    single = people[counts < 2]
    if len(single):
        example = data.train.names[int(np.flatnonzero(data.train.person_ids == single[0])[0])]
        raise InputError(
            f"{data.train.files.path}: {len(single)} people have one picture only, so nothing can be learned of them; "
            f"remove them, or add pictures (the first is {example})"
        )
    published = check_counts(data)
    log.info(
        "%s: %d pictures of %d people%s",
        data.name,
        len(data.train),
        data.train.people,
        f" (complete: counts are those of {published})" if published else " (counts of no published data set)",
    )


def _distinct(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Renumber ids so that no two parts share one."""
    renumbered, used = [], 0
    for ids in parts:
        values, position = np.unique(ids, return_inverse=True)
        renumbered.append(position + used)
        used += len(values)
    return np.concatenate(renumbered).astype(np.int64)


def _choose_held_out(
    person_ids: NDArray[np.int64], camera_ids: NDArray[np.int64], count: int, seed: int
) -> NDArray[np.int64]:
    pairs = np.unique(np.stack([person_ids, camera_ids], axis=1), axis=0)
    people, cameras = np.unique(pairs[:, 0], return_counts=True)
    candidates = people[cameras >= 2]
    return np.random.default_rng(seed).permutation(candidates)[:count]


def _decode_all(parts: Sequence[Pictures], height: int, width: int, cache: Path | None) -> NDArray[np.uint8]:
    shape = (sum(len(part) for part in parts), height, width, 3)
    if cache is not None and cache.is_file() and cache.stat().st_size == np.prod(shape, dtype=np.int64):
        return np.memmap(cache, np.uint8, "r", shape=shape)
    if cache is None:
        pictures = np.empty(shape, np.uint8)
    else:
        unfinished = cache.with_name(f".{cache.name}.part")
        pictures = np.memmap(unfinished, np.uint8, "w+", shape=shape)
    rows = [(part, row) for part in parts for row in range(len(part))]

    def decode(number: int) -> None:
        part, row = rows[number]
        pictures[number] = scale(part.decode(row), height, width)

    with ThreadPoolExecutor(4) as pool:  # OpenCV decodes outside Python's lock
        for _ in pool.map(decode, range(len(rows)), chunksize=64):
            pass
    if cache is not None:
        unfinished.rename(cache)
    return pictures
