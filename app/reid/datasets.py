"""Pictures of people by identity and camera: the layouts of public data sets, and a user's own folders.

Every layout is read from a folder or, without unpacking, from a zip file (or a folder in it: `data.zip/detected`):

* Market-1501, DukeMTMC-reID, CUHK03-NP: `bounding_box_train/`, `query/`, `bounding_box_test/` with names such as
  `0002_c1s1_000451_03.jpg` (identity, camera); identity -1 is junk and left out, 0 is a distractor of the gallery
* MSMT17: `list_train.txt`, `list_val.txt`, `list_query.txt`, `list_gallery.txt` beside `train/` and `test/`
* pictures with Market-1501 names in one folder: all of them for training. Where all are of one camera, its sequences
  stand for cameras: they show a person at another time
* one folder for each person: all for training; the camera is read from `_c3` in a name, else it is 0 for all
* the small data sets of `app.reid.small_sets`: VIPeR, PRID, GRID, i-LIDS, CUHK01, 3DPeS, CAVIAR4REID
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.small_sets import small_set_rows
from app.system.untrusted import decode_image, read_member, reading

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
JUNK = -1
"""Identity of pictures that count neither for nor against: detections that show no whole person."""

_MARKET_NAME = re.compile(r"^(-?\d+)_c(\d+)(?:s(\d+))?")
_CAMERA = re.compile(r"_c(\d+)")

PUBLISHED_COUNTS: dict[str, tuple[int, int, int, int, int]] = {
    "Market-1501": (12_936, 751, 3_368, 750, 15_913),
    "DukeMTMC-reID": (16_522, 702, 2_228, 702, 17_661),
    "CUHK03-NP (detected)": (7_365, 767, 1_400, 700, 5_332),
    "CUHK03-NP (labeled)": (7_368, 767, 1_400, 700, 5_328),
    "MSMT17": (32_621, 1_041, 11_659, 3_060, 82_161),
}
"""Training pictures and people, query pictures and people, gallery pictures (without junk)."""

_USUAL_NAMES = {"market": "Market-1501", "duke": "DukeMTMC-reID", "cuhk03": "CUHK03-NP", "msmt17": "MSMT17"}
"""What the folder or zip file of a published data set has in its name."""


class CropFiles:
    """The files of a folder or of a zip file, under names relative to it with forward slashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._inside = ""
        archive = next((parent for parent in path.parents if parent.suffix.lower() == ".zip"), None)
        if archive is not None and archive.is_file():
            self._inside, path = path.relative_to(archive).as_posix() + "/", archive
        if path.is_dir():
            self.names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        elif path.is_file():
            with reading(path, "this zip file"):
                self._zip = zipfile.ZipFile(path)
            self.names = sorted(
                name.removeprefix(self._inside)
                for name in self._zip.namelist()
                if name.startswith(self._inside) and not name.endswith("/")
            )
        else:
            raise InputError(f"{path}: there is no such folder or zip file")

    def read(self, name: str) -> bytes:
        try:
            if self._zip:
                return read_member(self._zip, self._inside + name)
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot read {name} ({error})") from error

    def decode(self, name: str) -> NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 BGR picture. Raises InputError if it is none."""
        return decode_image(self.read(name), f"{self.path}: {name}")


@dataclass(frozen=True, slots=True)
class Pictures:
    """A list of pictures of people.

    names: N file names within `files`. person_ids, camera_ids: (N,) int64.
    """

    files: CropFiles
    names: tuple[str, ...]
    person_ids: NDArray[np.int64]
    camera_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: NDArray[Any]) -> Pictures:
        """Select rows by index array or boolean mask."""
        numbers = np.arange(len(self))[rows].tolist()
        names = tuple(self.names[number] for number in numbers)
        return Pictures(self.files, names, self.person_ids[rows], self.camera_ids[rows])

    def decode(self, row: int) -> NDArray[np.uint8]:
        return self.files.decode(self.names[row])

    @property
    def people(self) -> int:
        return len(np.unique(self.person_ids))


@dataclass(frozen=True, slots=True)
class PeopleData:
    """A data set: what to train on, and what to look for (`query`) among what (`gallery`). Parts may be empty."""

    name: str
    train: Pictures
    query: Pictures
    gallery: Pictures


def open_people_data(path: Path) -> PeopleData:
    """Recognise the layout of a folder or zip file and list its pictures (without decoding them).

    Raises InputError that says what is wrong: no known layout, or a name that carries no identity and camera.
    """
    files = CropFiles(path)
    data = (
        _market_layout(files)
        or _msmt_layout(files)
        or _small_set(files)
        or _person_folders(files)
        or _market_names(files)
    )
    if data is None:
        raise InputError(
            f"{path}: no known layout of pictures of people. Expected bounding_box_train/, query/ and "
            "bounding_box_test/ (Market-1501, DukeMTMC-reID, CUHK03-NP), list_train.txt (MSMT17), pictures named like "
            "0002_c1s1_000451_03.jpg, one folder for each person, or VIPeR, PRID, GRID, i-LIDS, CUHK01, 3DPeS or "
            "CAVIAR4REID as published"
        )
    return data


def check_counts(data: PeopleData) -> str:
    """Return the published data set whose counts these are, or an empty string."""
    return next((name for name, published in PUBLISHED_COUNTS.items() if published == _counts(data)), "")


def note_counts(data: PeopleData) -> None:
    """Say in the log whether a data set is a published one, and warn if it is named like one but is not complete."""
    published = check_counts(data)
    if published:
        log.info("%s has the counts of %s", data.name, published)
        return
    name = str(data.train.files.path).lower()
    usual = next((title for part, title in _USUAL_NAMES.items() if part in name), None)
    if usual is not None:
        expected = [f"{title}: {counts}" for title, counts in PUBLISHED_COUNTS.items() if title.startswith(usual)]
        log.warning(
            "%s is named like %s but has other counts, so scores can't be compared with published ones: "
            "%s training pictures of %s people, %s queries of %s people, %s gallery pictures; published are %s",
            data.train.files.path,
            usual,
            *_counts(data),
            "; ".join(expected),
        )


def _counts(data: PeopleData) -> tuple[int, int, int, int, int]:
    return len(data.train), data.train.people, len(data.query), data.query.people, len(data.gallery)


def _market_layout(files: CropFiles) -> PeopleData | None:
    parts: dict[str, list[str]] = {"bounding_box_train": [], "query": [], "bounding_box_test": []}
    roots = set()
    for name in files.names:
        folder = PurePosixPath(name).parent
        if folder.name in parts and _is_image(name):
            parts[folder.name].append(name)
            roots.add(folder.parent.as_posix())
    if not parts["bounding_box_train"] and not parts["query"]:
        return None
    if len(roots) > 1:
        raise InputError(
            f"{files.path}: holds several data sets; name one: "
            + ", ".join(str(files.path / root) for root in sorted(roots))
        )
    train, query, gallery = (_by_market_name(files, names) for names in parts.values())
    return PeopleData(_label(files), train, query, gallery)


def _market_names(files: CropFiles) -> PeopleData | None:
    names = [name for name in files.names if _is_image(name)]
    if not names or not any(_MARKET_NAME.match(PurePosixPath(name).name) for name in names):
        return None
    train = _by_market_name(files, names)
    return PeopleData(_label(files), train, _none(files), _none(files))


def _small_set(files: CropFiles) -> PeopleData | None:
    rows = small_set_rows([name for name in files.names if _is_image(name)])
    if not rows:
        return None
    names, people, cameras = zip(*rows, strict=True)
    return PeopleData(_label(files), _pictures(files, names, people, cameras), _none(files), _none(files))


def _person_folders(files: CropFiles) -> PeopleData | None:
    names = [name for name in files.names if _is_image(name) and len(PurePosixPath(name).parts) > 1]
    folders = sorted({str(PurePosixPath(name).parent) for name in names})
    if len(folders) < 2:
        return None
    number = {folder: position for position, folder in enumerate(folders)}
    people = [number[str(PurePosixPath(name).parent)] for name in names]
    cameras = [int(found[1]) if (found := _CAMERA.search(PurePosixPath(name).name)) else 0 for name in names]
    return PeopleData(_label(files), _pictures(files, names, people, cameras), _none(files), _none(files))


def _msmt_layout(files: CropFiles) -> PeopleData | None:
    lists = {PurePosixPath(name).name: name for name in files.names if PurePosixPath(name).name.startswith("list_")}
    if not {"list_train.txt", "list_query.txt", "list_gallery.txt"} <= set(lists):
        return None
    root = str(PurePosixPath(lists["list_train.txt"]).parent)
    known = set(files.names)

    def listed(list_name: str, folders: Sequence[str]) -> Pictures:
        names, people, cameras = [], [], []
        for number, line in enumerate(files.read(lists[list_name]).decode().splitlines(), 1):
            if not line.strip():
                continue
            place = f"{files.path}: {lists[list_name]}:{number}"
            cells = line.split()
            fields = PurePosixPath(cells[0]).name.split("_")
            if len(cells) != 2 or len(fields) < 3 or not cells[1].isdigit() or not fields[2].isdigit():
                raise InputError(f"{place}: expected 'picture person', and the camera third in the picture's name")
            candidates = [str(PurePosixPath(root, folder, cells[0])) for folder in folders]
            name = next((candidate for candidate in candidates if candidate in known), None)
            if name is None:
                raise InputError(f"{place}: {cells[0]} is not in {' or '.join(folders)}")
            names.append(name)
            people.append(int(cells[1]))
            cameras.append(int(fields[2]))
        return _pictures(files, names, people, cameras)

    train = listed("list_train.txt", ("train", "mask_train_v2"))
    if "list_val.txt" in lists:
        held_back = listed("list_val.txt", ("train", "mask_train_v2"))
        train = Pictures(
            files,
            train.names + held_back.names,
            np.concatenate([train.person_ids, held_back.person_ids]),
            np.concatenate([train.camera_ids, held_back.camera_ids]),
        )
    query = listed("list_query.txt", ("test", "mask_test_v2"))
    return PeopleData(_label(files), train, query, listed("list_gallery.txt", ("test", "mask_test_v2")))


def _by_market_name(files: CropFiles, names: Iterable[str]) -> Pictures:
    kept, people, cameras, sequences = [], [], [], []
    for name in names:
        found = _MARKET_NAME.match(PurePosixPath(name).name)
        if found is None:
            raise InputError(
                f"{files.path}: {name}: a name starts with person and camera, as in 0002_c1s1_000451_03.jpg"
            )
        if int(found[1]) == JUNK:
            continue
        kept.append(name)
        people.append(int(found[1]))
        cameras.append(int(found[2]))
        sequences.append(int(found[3] or 0))
    return _pictures(files, kept, people, sequences if len(set(cameras)) == 1 < len(set(sequences)) else cameras)


def _pictures(files: CropFiles, names: Sequence[str], people: Sequence[int], cameras: Sequence[int]) -> Pictures:
    return Pictures(files, tuple(names), np.array(people, np.int64), np.array(cameras, np.int64))


def _none(files: CropFiles) -> Pictures:
    return _pictures(files, [], [], [])


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _label(files: CropFiles) -> str:
    return files.path.stem if files.path.is_file() else files.path.name
