"""Who is who in folders of pictures: which level of folders are people, which cameras, which parts of a split.

A level is known by evidence: by words (`cam1`, `person_3`, `train`), by names as Market-1501's within its folders, by
`_c3` in file names, by names that come back in every folder above. Two readings that both fit are refused with a
sentence that says which would be taken, never chosen between in silence: a wrong one teaches that a person's pictures
show strangers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from app.errors import InputError

JUNK = -1
"""Identity of pictures that count neither for nor against: detections that show no whole person."""

MARKET_NAME = re.compile(r"^(-?\d+)_c(\d+)(?:s(\d+))?")

_CAMERA_IN_NAME = re.compile(r"(?:^|_)c(?:am)?_?(\d+)", re.IGNORECASE)
_PERSON_IN_NAME = re.compile(r"(?<![a-z])(?:person|pid|id|subject|people|ped)[ _-]?(\d+)", re.IGNORECASE)
_CAMERA_FOLDER = re.compile(
    r"(?:ip|web)?cam(?:era)?(?:[ _-].+|\d+|[a-z])?|(?:c|ch|channel|kamera|view|viewpoint|cctv|sensor)[ _-]?\d+",
    re.IGNORECASE,
)
_PERSON_FOLDER = re.compile(
    r"(?:person|people|pers|pedestrian|ped|pid|id|identity|subject|subj|individual|employee|worker|user|p)[ _-]?\d+"
    r"|(?:person|subject|identity)[ _-].+",
    re.IGNORECASE,
)
_PARTS = {
    "train": "train", "training": "train", "trainval": "train", "bounding_box_train": "train", "train_all": "whole",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "bounding_box_test": "test",
    "query": "query", "probe": "query", "queries": "query", "gallery": "gallery",
    "multi-query": "left out", "multi_query": "left out", "gt_bbox": "left out", "gt_query": "left out",
}  # fmt: skip
"""What the folders of a split are called, and what for each is."""

_ONE_EACH = 1.5
"""Numbers in names per folder from which on folders are no people."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is known of the pictures of one part of a data set.

    names: files.  people, cameras: a number for each picture; people from 1, 0 a distractor of a gallery, -1 junk.
    """

    names: list[str]
    people: list[int]
    cameras: list[int]


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """A data set of folders. parts: by "train", "query", "gallery" and "test".  meaning: how it was read, in words."""

    parts: Mapping[str, Labelled]
    meaning: str


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    part: str
    folders: tuple[str, ...]
    """Those of them that every picture has, without what all share and without the folder of the split."""

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


def read_folders(names: Sequence[str], where: str) -> FolderLayout | None:
    """Return who is on which of the pictures `names`, None if nothing says so.

    where: names the data set in messages. Pictures that lie beside the folders are left out.
    Raises InputError if two readings fit, with the one that would be taken.
    """
    paths = [(name, PurePosixPath(name).parts[:-1]) for name in names]
    market = [MARKET_NAME.match(PurePosixPath(name).name) for name in names]
    if any(folders for _, folders in paths) and not all(market):
        paths = [(name, folders) for name, folders in paths if folders]
    pictures, split = _split(paths)
    if not pictures:
        return None
    if all(MARKET_NAME.match(PurePosixPath(picture.name).name) for picture in pictures):
        meaning = _check_market(pictures, where)
        people = [_number(picture) for picture in pictures]
        cameras = market_cameras([picture.name for picture in pictures])
    else:
        levels = [_Level(pictures, number) for number in range(len(pictures[0].folders))]
        found = _roles(pictures, levels, bool(split), where)
        if found is None:
            return None
        person_names, cameras, meaning = found
        people = _numbers_of_people(person_names, pictures)
    parts: dict[str, Labelled] = {}
    for picture, person, camera in zip(pictures, people, cameras, strict=True):
        one = parts.setdefault(picture.part, Labelled([], [], []))
        one.names.append(picture.name)
        one.people.append(person)
        one.cameras.append(camera)
    return FolderLayout(parts, "; ".join(filter(None, [meaning, split])))


def market_cameras(names: Sequence[str], compared_with: Sequence[str] = ()) -> list[int]:
    """Return the camera in each of the names like Market-1501's; where there is one, the sequence stands for it.

    compared_with: names of other pictures whose cameras must mean the same.
    """
    found = [MARKET_NAME.match(PurePosixPath(name).name) for name in (*names, *compared_with)]
    cameras = [int(match[2]) for match in found if match]
    sequences = [int(match[3] or 0) for match in found if match]
    return (sequences if len(set(cameras)) == 1 < len(set(sequences)) else cameras)[: len(names)]


def _split(paths: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[list[_Picture], str]:
    """Return the pictures that are used, with their part and folders, and what the split is, in words."""
    depth = min((len(folders) for _, folders in paths), default=0)
    shared = next((n for n in range(depth) if len({folders[n] for _, folders in paths}) > 1), depth)
    if shared and re.fullmatch(r"(?:ip|web)?cam(?:era)?[ _-]?\d+|c\d+", paths[0][1][shared - 1], re.IGNORECASE):
        shared -= 1  # all are of this one camera
    level = next((n for n in range(shared, depth) if all(folders[n].lower() in _PARTS for _, folders in paths)), None)
    if level is None:
        return [_Picture(name, "train", folders[shared:depth]) for name, folders in paths], ""
    kinds = {_PARTS[folders[level].lower()] for _, folders in paths}
    if "whole" in kinds:  # train and val again, in one folder
        kinds -= {"train", "val"}
    part_of = {"train": "train", "whole": "train", "val": "train", "query": "query", "gallery": "gallery"}
    part_of["test"] = "gallery" if "query" in kinds and "gallery" not in kinds else "test"
    if kinds == {"test"}:
        part_of["test"] = "train"  # all that there is
    pictures, words = [], defaultdict(set)
    for name, folders in paths:
        kind = _PARTS[folders[level].lower()]
        if kind in kinds and kind in part_of:
            words[part_of[kind]].add(folders[level])
            rest = folders[shared:level] + folders[level + 1 : depth]
            pictures.append(_Picture(name, part_of[kind], rest))
    said = [f"{' and '.join(sorted(folders))} for {_FOR[part]}" for part, folders in words.items()]
    return pictures, ", ".join(said)


_FOR = {"train": "training", "query": "queries", "gallery": "the gallery", "test": "tests"}


class _Level:
    """The names of one level of folders and what speaks for what."""

    def __init__(self, pictures: Sequence[_Picture], number: int) -> None:
        self.number = number
        self.of_pictures = [picture.folders[number] for picture in pictures]
        self.names = sorted(set(self.of_pictures))
        self.are_cameras = all(_CAMERA_FOLDER.fullmatch(name) for name in self.names)
        self.are_people = not self.are_cameras and all(map(_PERSON_FOLDER.fullmatch, self.names))

    def __str__(self) -> str:
        shown = ", ".join(self.names[:3]) + (", …" if len(self.names) > 3 else "")
        return f"level {self.number + 1} of folders ({len(self.names)}: {shown})"


_Roles = tuple[list[str], list[int], str]
"""The name of the person and the number of the camera of each picture, and how that was read."""


def _roles(pictures: Sequence[_Picture], levels: Sequence[_Level], split: bool, where: str) -> _Roles | None:
    """Decide what each level is."""
    people = [level for level in levels if level.are_people]
    cameras = [level for level in levels if level.are_cameras]
    others = [level for level in levels if not level.are_people and not level.are_cameras]
    if not any(len(level.names) > 1 for level in levels):
        return None
    if len(people) > 1 or len(cameras) > 1:
        raise _ambiguous(where, "two levels of folders have names of the same kind", (people + cameras)[0], levels)
    if not people and not cameras and len(others) == 1:
        return _one_level(pictures, others[0], where)
    if not people and not cameras and len(others) > 1:
        person, camera = _by_file_names(pictures, others, where)
        people, cameras = [person], [camera]
        others = [level for level in others if level not in (person, camera)]
    if not people and len(others) > 1:
        raise _ambiguous(where, f"{cameras[0]} are cameras, and several more levels are there", others[-1], others)
    if not people and others:
        people, others = others, []
    if not people:
        return _people_in_file_names(pictures, cameras, where)
    person = people[0]
    above = [level for level in others if level.number < person.number]
    if above and len({p.folders[person.number] for p in pictures}) < len(
        {p.folders[: person.number + 1] for p in pictures}
    ):
        raise _ambiguous(where, f"the same names come back in the folders of {above[0]}", person, levels)
    return (
        person.of_pictures,
        _camera_numbers(cameras[0].of_pictures) if cameras else _cameras_in_file_names(pictures),
        f"people are {person}" + (f", cameras {cameras[0]}" if cameras else _said_of_cameras(pictures)),
    )


def _one_level(pictures: Sequence[_Picture], level: _Level, where: str) -> _Roles:
    """Folders of no telling names are people, unless their files say that they are something else."""
    said = [_PERSON_IN_NAME.search(picture.stem) for picture in pictures]
    if all(said):
        folders_of = defaultdict(set)
        for match, folder in zip(said, level.of_pictures, strict=True):
            folders_of[match[1] if match else ""].add(folder)
        several = len(pictures) > sum(map(len, folders_of.values()))  # else it may be a number of the picture
        if several and len(folders_of) > 1 and any(len(folders) > 1 for folders in folders_of.values()):
            names = [match[1] if match else "" for match in said]
            return names, _camera_numbers(level.of_pictures), f"people are in the file names, cameras are {level}"
    return (
        level.of_pictures,
        _cameras_in_file_names(pictures),
        f"people are {level}{_said_of_cameras(pictures)}",
    )


def _by_file_names(pictures: Sequence[_Picture], levels: Sequence[_Level], where: str) -> tuple[_Level, _Level]:
    """Tell people from cameras among levels without telling names by what the names of the files say."""
    tokens = [_CAMERA_IN_NAME.search(picture.stem) for picture in pictures]
    said_people = [_PERSON_IN_NAME.search(picture.stem) for picture in pictures]
    camera = _follows(levels, [match[1] for match in tokens if match] if all(tokens) else [])
    person = _follows(levels, [match[1] for match in said_people if match] if all(said_people) else [])
    if len(levels) == 2:
        camera = camera or next((level for level in levels if person and level is not person), None)
        person = person or next((level for level in levels if camera and level is not camera), None)
    if person is None or camera is None or person is camera:
        inner, outer = levels[-1], levels[-2]
        likely = outer if len(outer.names) > len(inner.names) else inner
        raise _ambiguous(
            where, f"there are {len(levels)} levels of folders, and no name says what they are", likely, levels
        )
    return person, camera


def _follows(levels: Sequence[_Level], tokens: Sequence[str]) -> _Level | None:
    """Return the only level whose folders and the tokens of the pictures go together one to one."""
    fitting = []
    for level in levels if len(set(tokens)) > 1 else ():
        pairs = set(zip(level.of_pictures, tokens, strict=True))
        if len(pairs) == len(level.names) == len(set(tokens)):
            fitting.append(level)
    return fitting[0] if len(fitting) == 1 else None


def _people_in_file_names(pictures: Sequence[_Picture], cameras: Sequence[_Level], where: str) -> _Roles | None:
    """Folders are cameras: the files themselves have to say who is who."""
    if not cameras:
        return None
    said = [_PERSON_IN_NAME.search(picture.stem) for picture in pictures]
    numbers = [re.match(r"^(\d+)[_-]", picture.stem) for picture in pictures]
    for found, may_count in ((said, False), (numbers, True)):
        people = [match[1] for match in found if match]
        if len(people) == len(pictures) and _come_back(people, cameras[0].of_pictures, may_count):
            meaning = f"people are in the file names, cameras are {cameras[0]}"
            return [str(int(one)) for one in people], _camera_numbers(cameras[0].of_pictures), meaning
    raise InputError(
        f"{where}: {cameras[0]} are cameras, and the names of the pictures ({PurePosixPath(pictures[0].name).name}) "
        "don't say whom they show; make a folder for each person in each camera's, or begin names with person and "
        "camera, as 0002_c1s1_000451_03.jpg does. Folders that are people after all: name them person_1, person_2, …"
    )


def _come_back(people: Sequence[str], folders: Sequence[str], may_count: bool) -> bool:
    """Whether there are several people of whom some are in several folders.

    may_count: whether the numbers may be those of frames, of which there is one in each folder.
    """
    places = set(zip(map(int, people), folders, strict=True))
    known = {person for person, _ in places}
    return 1 < len(known) < len(places) and not (may_count and len(places) == len(people))


def _check_market(pictures: Sequence[_Picture], where: str) -> str:
    """Say how folders and names like Market-1501's go together; refuse where they contradict each other."""
    in_folder: dict[tuple[str, ...], set[int]] = defaultdict(set)
    cameras_in: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for picture in pictures:
        match = MARKET_NAME.match(PurePosixPath(picture.name).name)
        if match and int(match[1]) > 0:
            in_folder[picture.folders].add(int(match[1]))
            cameras_in[picture.folders].add(match[2])
    meaning = "people and cameras are in the file names"
    numbers = set().union(*in_folder.values()) if in_folder else set()
    folders = [folder for folder in in_folder if folder]
    if len(folders) < 2:
        return meaning
    told = [any(map(_CAMERA_FOLDER.fullmatch, folder)) for folder in folders]
    by_people = all(_PERSON_FOLDER.fullmatch(folder[-1]) for folder in folders)
    apart = sum(map(len, in_folder.values())) == len(numbers)
    several = len(numbers) > len(folders)
    if apart and several and not all(told) and (by_people or len(numbers) <= _ONE_EACH * len(folders)):
        raise InputError(
            f"{where}: the names of the pictures tell {len(numbers)} people apart, the folders {len(folders)} "
            f"({folders[0][-1]}, …); the names would be taken. Rename the pictures if the folders are right, or put "
            "them all into one folder if the names are"
        )
    overlap = set.intersection(*cameras_in.values())
    if not apart and overlap and not all(told) and all(_counted_anew(own) for own in in_folder.values()):
        raise InputError(
            f"{where}: each folder ({', '.join(folder[-1] for folder in folders[:3])}, …) counts people from "
            f"{min(numbers)} on with pictures of the same cameras, so number {min(numbers)} may be somebody else in "
            f"each; all of a number would be taken for one person ({len(numbers)} people). Name one folder for each "
            "data set (several may be given), or put the pictures into one folder if the numbers hold everywhere"
        )
    return meaning


def _counted_anew(numbers: set[int]) -> bool:
    return min(numbers) <= 1 and len(numbers) >= 0.8 * (max(numbers) - min(numbers) + 1) and len(numbers) > 1


def _ambiguous(where: str, why: str, likely: _Level, levels: Sequence[_Level]) -> InputError:
    others = ", ".join(str(level) for level in levels if level is not likely)
    return InputError(
        f"{where}: {why}; {likely} would be taken for people" + (f", not {others}" if others else "")
        + ". Say it by names: folders of cameras cam1, cam2, …, folders of people person_1, person_2, …, "
        "one level of each"
    )  # fmt: skip


def _number(picture: _Picture) -> int:
    match = MARKET_NAME.match(PurePosixPath(picture.name).name)
    return int(match[1]) if match else JUNK


def _numbers_of_people(names: Sequence[str], pictures: Sequence[_Picture]) -> list[int]:
    """Return a number from 1 for each name; where people are numbers, a gallery's -1 is junk and its 0 nobody asked
    for."""
    number = {name: place for place, name in enumerate(sorted(set(names)), 1)}
    if not all(re.fullmatch(r"-?\d+", name) for name in names):
        return [number[name] for name in names]
    return [
        number[name] if picture.part == "train" or int(name) > 0 else max(int(name), JUNK)
        for name, picture in zip(names, pictures, strict=True)
    ]


def _camera_numbers(names: Sequence[str]) -> list[int]:
    """Return the number in each camera's name, or its place if those don't tell cameras apart."""
    known = sorted(set(names))
    digits = [re.findall(r"\d+", name) for name in known]
    numbers = [int(found[-1]) if found else -1 for found in digits]
    if -1 in numbers or len(set(numbers)) < len(known):
        numbers = list(range(1, len(known) + 1))
    number = dict(zip(known, numbers, strict=True))
    return [number[name] for name in names]


def _cameras_in_file_names(pictures: Sequence[_Picture]) -> list[int]:
    found = [_CAMERA_IN_NAME.search(PurePosixPath(picture.name).name) for picture in pictures]
    return [int(match[1]) if match else 0 for match in found]


def _said_of_cameras(pictures: Sequence[_Picture]) -> str:
    return ", cameras are in the file names" if any(_cameras_in_file_names(pictures)) else ", cameras are not known"
