"""Pictures of people by identity and camera: the layouts of public data sets, and a user's own folders.

Every layout is read from a folder or, without unpacking, from a zip file (or a folder in it: `data.zip/detected`):

* Market-1501, DukeMTMC-reID, CUHK03-NP: `bounding_box_train/`, `query/`, `bounding_box_test/` with names such as
  `0002_c1s1_000451_03.jpg` (identity, camera); identity -1 is junk and left out, 0 is a distractor of the gallery
* MSMT17: `list_train.txt`, `list_val.txt`, `list_query.txt`, `list_gallery.txt` beside `train/` and `test/`
* pictures with Market-1501 names in one folder or several: all of them for training. Where all are of one camera, its
  sequences stand for cameras: they show a person at another time
* one folder for each person: all for training; the camera is read from `_c3` in a name, else it is 0 for all
* folders of people in folders of cameras or the other way round, and either in `train/`, `val/`, `query/`, `gallery/`,
  `test/`: see `app.reid.people_folders`
* the small data sets of `app.reid.small_sets`: VIPeR, PRID, GRID, i-LIDS, CUHK01, 3DPeS, CAVIAR4REID
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.reid.people_folders import JUNK, MARKET_NAME, Labelled, market_cameras, read_folders
from app.reid.small_sets import small_set_rows
from app.system.untrusted import decode_image, is_clutter, read_member, reading

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
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
    """The files of a folder or of a zip file, under names relative to it with forward slashes.

    What systems and picture programs leave there (`is_clutter`) is not listed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._inside = ""
        archive = next((parent for parent in path.parents if parent.suffix.lower() == ".zip"), None)
        if archive is not None and archive.is_file():
            self._inside, path = path.relative_to(archive).as_posix() + "/", archive
        if path.is_dir():
            names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        elif path.is_file():
            with reading(path, "this zip file"):
                self._zip = zipfile.ZipFile(path)
            names = [
                name.removeprefix(self._inside)
                for name in self._zip.namelist()
                if name.startswith(self._inside) and not name.endswith("/")
            ]
        else:
            raise InputError(f"{path}: there is no such folder or zip file")
        self.names = sorted(name for name in names if not is_clutter(name))

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
    """A data set: what to train on, and what to look for (`query`) among what (`gallery`). Parts may be empty.

    meaning: how folders and names were read, in words.
    """

    name: str
    train: Pictures
    query: Pictures
    gallery: Pictures
    meaning: str = ""


def open_people_data(path: Path) -> PeopleData:
    """Recognise the layout of a folder or zip file and list its pictures (without decoding them).

    Raises InputError that says what is wrong: no known layout, or a name that carries no identity and camera.
    """
    files = CropFiles(path)
    data = _market_layout(files) or _msmt_layout(files) or _small_set(files) or _folders(files) or _market_names(files)
    if data is None:
        raise InputError(
            f"{path}: no known layout of pictures of people. Expected bounding_box_train/, query/ and "
            "bounding_box_test/ (Market-1501, DukeMTMC-reID, CUHK03-NP), list_train.txt (MSMT17), pictures named like "
            "0002_c1s1_000451_03.jpg, one folder for each person (in folders of cameras, of train/, val/, query/, "
            "gallery/, or holding some), or VIPeR, PRID, GRID, i-LIDS, CUHK01, 3DPeS or "
            "CAVIAR4REID as published"
        )
    return data


def describe(data: PeopleData) -> str:
    """Return in one sentence how a data set was read: people, cameras and pictures of each part."""
    parts = []
    for name, part in (("train", data.train), ("query", data.query), ("gallery", data.gallery)):
        if len(part):
            known = np.unique(part.camera_ids)
            cameras = "cameras not known" if known.tolist() == [0] else f"{len(known)} camera{'s'[: len(known) > 1]}"
            parts.append(f"{name} {len(part):,} pictures of {part.people:,} people, {cameras}")
    return f"{data.name}: {'; '.join(parts)}" + (f" ({data.meaning})" if data.meaning else "")


def check_evaluation(data: PeopleData) -> None:
    """Raise InputError if queries and a gallery are there and nobody can be found again by another camera."""
    if not len(data.query) or not len(data.gallery):
        return
    people = np.intersect1d(data.query.person_ids, data.gallery.person_ids)
    for person in people[people > 0].tolist():
        asking = data.query.camera_ids[data.query.person_ids == person]
        answering = data.gallery.camera_ids[data.gallery.person_ids == person]
        if len(np.union1d(asking, answering)) > 1:
            return
    cameras = np.union1d(data.query.camera_ids, data.gallery.camera_ids)
    raise InputError(
        f"{data.query.files.path}: no query has a picture of the same person from another camera in the gallery, so "
        f"nothing can be scored: {len(people)} people are in both, by {len(cameras)} camera{'s'[: len(cameras) > 1]} "
        f"({', '.join(map(str, cameras[:6].tolist()))}). Add pictures by a second camera, or take both parts away"
    )


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
    train_names, query_names, gallery_names = parts.values()
    return PeopleData(
        _label(files),
        _by_market_name(files, train_names),
        _by_market_name(files, query_names, gallery_names),
        _by_market_name(files, gallery_names, query_names),
        "people and cameras are in the file names",
    )


def _market_names(files: CropFiles) -> PeopleData | None:
    names = [name for name in files.names if _is_image(name)]
    if not names or not any(MARKET_NAME.match(PurePosixPath(name).name) for name in names):
        return None
    train = _by_market_name(files, names)
    return PeopleData(_label(files), train, _none(files), _none(files))


def _small_set(files: CropFiles) -> PeopleData | None:
    rows = small_set_rows([name for name in files.names if _is_image(name)])
    if not rows:
        return None
    names, people, cameras = zip(*rows, strict=True)
    return PeopleData(_label(files), _pictures(files, names, people, cameras), _none(files), _none(files))


def _folders(files: CropFiles) -> PeopleData | None:
    layout = read_folders([name for name in files.names if _is_image(name)], str(files.path))
    if layout is None:
        return None
    parts = {part: _labelled(files, labelled) for part, labelled in layout.parts.items()}
    none = _none(files)
    query, gallery = parts.get("query", none), parts.get("gallery", none)
    if "test" in parts and not len(query) and not len(gallery):
        asks = _first_of_each(parts["test"])
        query, gallery = parts["test"][asks], parts["test"][~asks]
    return PeopleData(_label(files), parts.get("train", none), query, gallery, layout.meaning)


def _labelled(files: CropFiles, labelled: Labelled) -> Pictures:
    pictures = _pictures(files, labelled.names, labelled.people, labelled.cameras)
    return pictures[pictures.person_ids != JUNK]


def _first_of_each(pictures: Pictures) -> NDArray[np.bool_]:
    """Return (N,) bool: which pictures are the first of their person and camera."""
    first = np.zeros(len(pictures), np.bool_)
    both = np.stack([pictures.person_ids, pictures.camera_ids], axis=1)
    first[np.unique(both, axis=0, return_index=True)[1]] = True
    return first


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


def _by_market_name(files: CropFiles, names: Iterable[str], compared_with: Sequence[str] = ()) -> Pictures:
    kept, people = [], []
    for name in names:
        found = MARKET_NAME.match(PurePosixPath(name).name)
        if found is None:
            raise InputError(
                f"{files.path}: {name}: a name starts with person and camera, as in 0002_c1s1_000451_03.jpg"
            )
        if int(found[1]) != JUNK:
            kept.append(name)
            people.append(int(found[1]))
    return _pictures(files, kept, people, market_cameras(kept, compared_with))


def _pictures(files: CropFiles, names: Sequence[str], people: Sequence[int], cameras: Sequence[int]) -> Pictures:
    return Pictures(files, tuple(names), np.array(people, np.int64), np.array(cameras, np.int64))


def _none(files: CropFiles) -> Pictures:
    return _pictures(files, [], [], [])


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _label(files: CropFiles) -> str:
    return files.path.stem if files.path.is_file() else files.path.name
