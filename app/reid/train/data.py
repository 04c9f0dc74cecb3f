"""Pictures for training: decoded and scaled once, then held in memory or memory-mapped from a file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.datasets import PeopleData, Pictures, check_evaluation, describe, note_counts, open_people_data
from app.reid.preprocess import scale

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelledCrops:
    """Decoded pictures of one size.

    pictures: (N, H, W, 3) uint8 BGR. person_ids, camera_ids: (N,) int64.
    """

    pictures: NDArray[np.uint8]
    person_ids: NDArray[np.int64]
    camera_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, slots=True)
class Listing:
    """The training pictures of one or several data sets, not decoded yet.

    parts: one for each data set. person_ids, camera_ids: (N,) int64 over all parts, distinct between data sets.
    """

    name: str
    parts: tuple[Pictures, ...]
    person_ids: NDArray[np.int64]
    camera_ids: NDArray[np.int64]

    @property
    def sets(self) -> NDArray[np.int64]:
        """(N,) int64, which of the data sets each picture is from."""
        return np.repeat(np.arange(len(self.parts)), [len(part) for part in self.parts])

    def decode(self, row: int) -> NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 BGR picture of a row, at its own size."""
        for part in self.parts:
            if row < len(part):
                return part.decode(row)
            row -= len(part)
        raise IndexError("no such row")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pictures of a `Listing` a training may use, and which it should see side by side.

    left_out: (N,) bool, pictures that are neither trained on nor held out.
    pairs: (M, 2) int64 rows, judged pairs of pictures.
    """

    left_out: NDArray[np.bool_]
    pairs: NDArray[np.int64]


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What to learn from, and people kept apart to choose the best weights by and to fit the calibration on.

    train: person ids are 0..C-1, different people in every data set; cameras are distinct between data sets too.
    held_out: some people of the training sets, none of whom is in `train`.
    person_sets: (C,) int64, the data set that each person in `train` is from.
    pairs: (M, 2) int64 rows of `train` that belong side by side in a batch.
    """

    name: str
    train: LabelledCrops
    held_out: LabelledCrops
    person_sets: NDArray[np.int64]
    pairs: NDArray[np.int64] = field(default_factory=_no_pairs)

    @property
    def people(self) -> int:
        return len(self.person_sets)


def list_training_data(folders: Sequence[Path]) -> Listing:
    """List the training pictures of data sets (folders or zip files). Raises InputError for an unknown layout."""
    sets = [open_people_data(folder) for folder in folders]
    for data in sets:
        _check(data)
    return Listing(
        " + ".join(data.name for data in sets),
        tuple(data.train for data in sets),
        _distinct([data.train.person_ids for data in sets]),
        _distinct([data.train.camera_ids for data in sets]),
    )


def load_training_data(
    listing: Listing,
    height: int,
    width: int,
    held_out_people: int,
    seed: int,
    cache: Path | None = None,
    selection: Selection | None = None,
) -> TrainingData:
    """Decode what is listed and divide it into people to train on and people kept apart.

    height, width: size in pixels that pictures are scaled to.
    held_out_people: how many people to keep apart, drawn with `seed` among those seen by two cameras or more.
    cache: a folder to memory-map decoded pictures from, for sets that do not fit in memory; written to if they are
        not there yet.
    selection: pictures to leave out, and judged pairs; by default every picture is used.
    People with one picture are left out: nothing can be learned of them.
    Raises InputError for a damaged picture, or too few people.
    """
    selection = selection or Selection(np.zeros(len(listing.person_ids), bool), _no_pairs())
    if not len(selection.pairs):  # whose test needs no cameras
        _check_cameras(listing)
    used = _without_single_crops(listing, np.flatnonzero(~selection.left_out))
    person_ids, camera_ids = listing.person_ids[used], listing.camera_ids[used]
    kept_apart = _choose_held_out(person_ids, camera_ids, held_out_people, seed)
    apart = np.isin(person_ids, kept_apart)
    numbers = np.unique(person_ids[~apart])
    if len(numbers) < 2:
        raise InputError(
            f"{listing.name}: {len(numbers)} people are left to train on after keeping {len(kept_apart)} apart "
            "(train.held_out_people)"
        )
    # Decoded in the order in which they are used, so that both parts are views of one array, in memory or mapped.
    rows = np.concatenate([used[~apart], used[apart]])
    pictures = _decode(listing, rows, height, width, cache)
    count = len(rows) - np.count_nonzero(apart)
    position = np.full(len(listing.person_ids), -1)
    position[rows[:count]] = np.arange(count)
    pairs = position[selection.pairs]
    return TrainingData(
        listing.name + (f" with {len(selection.pairs)} judged pairs" if len(selection.pairs) else ""),
        LabelledCrops(pictures[:count], np.searchsorted(numbers, person_ids[~apart]), camera_ids[~apart]),
        LabelledCrops(pictures[count:], person_ids[apart], camera_ids[apart]),
        listing.sets[used[~apart]][np.unique(person_ids[~apart], return_index=True)[1]],
        pairs[(pairs >= 0).all(axis=1)],
    )


def _check(data: PeopleData) -> None:
    """Find before hours of training what would end it after the last epoch."""
    if not len(data.train):
        raise InputError(f"{data.train.files.path}: there are no pictures to train on")
    log.info("%s", describe(data))
    note_counts(data)
    check_evaluation(data)
    if len(data.query) and len(data.gallery):
        with ThreadPoolExecutor(4) as pool:
            for part in (data.query, data.gallery):
                for _ in pool.map(part.decode, range(len(part)), chunksize=64):
                    pass
    elif len(data.query) or len(data.gallery):
        log.warning("%s: has queries or a gallery, not both: the weights are not scored on it", data.name)


def _check_cameras(listing: Listing) -> None:
    """Raise InputError if what is known of cameras says that nobody was seen by two of them."""
    for part in listing.parts:
        pairs = np.unique(np.stack([part.person_ids, part.camera_ids], axis=1), axis=0)
        if len(pairs) > len(np.unique(pairs[:, 0])):
            return
    known = {int(camera) for part in listing.parts for camera in np.unique(part.camera_ids)} - {0}
    if known:
        raise InputError(
            f"{listing.name}: nobody was seen by two cameras (the cameras are {', '.join(map(str, sorted(known)))}): "
            "the network would not learn to know people again elsewhere, and nothing could be held out to choose "
            "weights by. Add pictures by a second camera, or another data set beside this one"
        )
    log.warning(
        "%s: the cameras are not known, so nobody is held out: the last weights are kept and not calibrated. Say "
        "them in file names (_c1, _c2) or by folders (cam1, cam2)",
        listing.name,
    )


def single_crops(person_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) bool: which pictures are the only one of their person."""
    _, position, counts = np.unique(person_ids, return_inverse=True, return_counts=True)
    return counts[position] < 2


def _without_single_crops(listing: Listing, used: NDArray[np.int64]) -> NDArray[np.int64]:
    single = single_crops(listing.person_ids[used])
    if single.any():
        names = [name for part in listing.parts for name in part.names]
        log.warning(
            "%s: %d people have one picture only, so nothing can be learned of them: they are left out (the first is "
            "%s)",
            listing.name,
            np.count_nonzero(single),
            names[used[single][0]],
        )
    return used[~single]


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


def _decode(
    listing: Listing, rows: NDArray[np.int64], height: int, width: int, cache: Path | None
) -> NDArray[np.uint8]:
    """Return (len(rows), height, width, 3) uint8 BGR pictures, decoded now or by an earlier run into `cache`."""
    shape = (len(rows), height, width, 3)
    if cache is None:
        pictures = np.empty(shape, np.uint8)
    else:
        names = [f"{part.files.path.resolve()}\0{name}" for part in listing.parts for name in part.names]
        identity = "\n".join([str(shape), *(names[row] for row in rows)])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        file = cache / f"pictures_{height}x{width}_{digest}.bin"
        if file.is_file():
            return np.memmap(file, np.uint8, "c", shape=shape)  # "r" makes PyTorch warn of what nobody does: writing
        unfinished = file.with_name(f".{file.name}.part")
        pictures = np.memmap(unfinished, np.uint8, "w+", shape=shape)

    def decode(number: int) -> None:
        pictures[number] = scale(listing.decode(int(rows[number])), height, width)

    with ThreadPoolExecutor(4) as pool:  # OpenCV decodes outside Python's lock
        for _ in pool.map(decode, range(len(rows)), chunksize=64):
            pass
    if cache is not None:
        pictures.flush()  # type: ignore[attr-defined]
        unfinished.rename(file)
    return pictures
