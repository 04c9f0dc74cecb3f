"""The small data sets of person re-identification: other places than the large ones, and too few people to train on.

They are how a network's worth elsewhere is measured (Zhou et al., ICCV 2019, table 4 has VIPeR and GRID): nobody in
them was trained on, and each was recorded with cameras of its own. Their layouts, as their authors publish them:

* VIPeR: `cam_a/000_45.bmp`, `cam_b/000_90.bmp`; person, viewpoint
* PRID 2011: `single_shot/cam_a/person_0001.png`, `cam_b/…`; the first 200 numbers are the same people in both, later
  ones of `cam_b` are distractors
* GRID: `probe/0001_1_….jpeg`, `gallery/0001_2_….jpeg`; person 0 is a distractor
* 3DPeS: `100_3_FRAME_26_RGB.bmp`; person, tracklet, which stands for the camera
* CUHK01: `0001001.png`; four pictures of each of 971 people, two by each camera
* i-LIDS, CAVIAR4REID: `0001001.jpg`; person, number; the first ten of twenty of a person in CAVIAR are by one camera,
  and in i-LIDS every picture counts as of a camera of its own
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

DISTRACTOR = 0
PRID_SHARED = 200
CUHK01_PICTURES = 4
CAVIAR_PICTURES = 10

Row = tuple[str, int, int]
"""A picture's name, person and camera; person 0 is a distractor."""

_FLAT = re.compile(r"^(\d{4})(\d{3})$")
_TRACKLET = re.compile(r"^(\d+)_(\d+)_FRAME_\d+", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")


def small_set_rows(names: list[str]) -> list[Row] | None:
    """Return person and camera of each of the pictures `names`, or None if they have none of the layouts."""
    parents = {PurePosixPath(name).parent for name in names}
    folders = {parent.name for parent in parents}
    if len(parents) > len(folders):
        return None  # the same names come back below others: folders of people or cameras
    stems = [PurePosixPath(name).stem for name in names]
    if {"cam_a", "cam_b"} <= folders:
        return list(_two_folders(names, "cam_a", "cam_b"))
    if {"probe", "gallery"} <= folders:
        return list(_two_folders(names, "probe", "gallery"))
    if len(parents) > 1:
        return None
    if stems and all(map(_TRACKLET.match, stems)):
        found = [_TRACKLET.match(stem) for stem in stems]
        return [(name, 1 + int(match[1]), int(match[2])) for name, match in zip(names, found, strict=True) if match]
    if stems and all(map(_FLAT.match, stems)):
        return _flat(names, stems)
    return None


def _two_folders(names: list[str], first: str, second: str) -> Iterator[Row]:
    for name in names:
        path = PurePosixPath(name)
        number = _NUMBER.search(path.stem)
        if path.parent.name not in (first, second) or number is None:
            continue
        camera = 1 if path.parent.name == first else 2
        person = int(number[1]) + (1 if first == "cam_a" else 0)  # VIPeR counts from 0, which means somebody else here
        if path.stem.startswith("person_") and int(number[1]) > PRID_SHARED:
            if camera == 1:
                continue
            person = DISTRACTOR
        yield name, person, camera


def _flat(names: list[str], stems: list[str]) -> list[Row]:
    pictures: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for name, stem in zip(names, stems, strict=True):
        pictures[1 + int(stem[:4])].append((int(stem[4:]), name))
    two_by_two = all(len(own) == CUHK01_PICTURES for own in pictures.values())
    ten_by_ten = {len(own) for own in pictures.values()} == {CAVIAR_PICTURES, 2 * CAVIAR_PICTURES}
    each = CUHK01_PICTURES // 2 if two_by_two else CAVIAR_PICTURES if ten_by_ten else 1
    return [
        (name, person, 1 + place // each)
        for person, own in pictures.items()
        for place, (_, name) in enumerate(sorted(own))
    ]
