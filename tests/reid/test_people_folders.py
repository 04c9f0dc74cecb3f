"""Folders of people, cameras and splits are read as what they are, and what could be two things is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import ReidSettings, TrainSettings
from app.detect.train.photos import data_sets, read_data_set
from app.errors import InputError
from app.footage.camera_list import CameraEntry
from app.footage.recordings import open_recording
from app.reid.datasets import CropFiles, describe, open_people_data
from app.reid.evaluate import evaluate_reid
from app.reid.people_folders import read_folders
from app.reid.train.data import list_training_data
from app.reid.train.loop import train
from tests.reid.test_datasets import draw

PEOPLE, CAMERAS, PICTURES = 8, 2, 3
NAMES = ("anna", "bob", "cleo", "dan", "eve", "finn", "gus", "hal")
Name = Callable[[int, int, int], str]
"""Where a picture of a person (from 1) by a camera (from 1) lies."""

LAYOUTS: dict[str, Name] = {
    "person/cam": lambda p, c, n: f"person{p:02d}/cam{c:02d}/frame{n:03d}.jpg",
    "cam/person": lambda p, c, n: f"cam{c:02d}/person{p:02d}/cam{c:02d}_person{p:02d}_frame{n:03d}.jpg",
    "below one folder": lambda p, c, n: f"data/people/id_{p}/camera {c}/{n}.png",
    "letters": lambda p, c, n: f"cam_{'ab'[c - 1]}/{p:04d}/{n}.png",
    "names of people": lambda p, c, n: f"{NAMES[p - 1]}/cam{c}/{n}.jpg",
    "split, names": lambda p, c, n: f"{'train' if n else 'val'}/{1000 + 7 * p}/{1000 + 7 * p}_c{c}s1_{n:06d}_00.jpg",
    "split, plain": lambda p, c, n: f"{'train' if n else 'val'}/{7 * p}/x_c{c}_{n}.jpg",
    "split, cam, person": lambda p, c, n: f"{'train' if n else 'validation'}/cam{c}/person{p}/{n}.jpg",
    "Market names by camera": lambda p, c, n: f"camera{c}/{p:04d}_c{c}s1_{n:06d}_00.jpg",
    "Market names in two batches": lambda p, c, n: f"{'first' if n else 'second'}/{7 * p:04d}_c{c}s1_{n:06d}_00.jpg",
    "Market names, one camera a folder": lambda p, c, n: f"{'door' if c == 1 else 'hall'}/{p:04d}_c{c}s1_{n:06d}.jpg",
    "people in names, cameras in folders": lambda p, c, n: f"cam{c}/person{p}_{n}.jpg",
    "people in names, places in folders": lambda p, c, n: f"{'door' if c == 1 else 'hall'}/person_{p}_frame_{n}.jpg",
    "cameras in names": lambda p, c, n: f"{7 * p}/{'xy'[c - 1]}/img_c{c}_{n}.jpg",
    "tracklets": lambda p, c, n: f"person{p}/cam{c}/t{n // 2}/{n}.jpg",
}


def files(name: Name) -> dict[str, tuple[int, int]]:
    """Return the pictures of a layout with person and camera."""
    spots = np.ndindex(PEOPLE, CAMERAS, PICTURES)
    return {name(p + 1, c + 1, n): (p + 1, c + 1) for p, c, n in spots}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_picture_has_its_person_and_camera(layout: str) -> None:
    made = files(LAYOUTS[layout])
    read = read_folders(sorted(made), "data")
    assert read is not None
    assert list(read.parts) == ["train"]
    train = read.parts["train"]
    got = list(zip(train.people, train.cameras, strict=True))
    assert len(got) == len(made)
    assert len(set(train.people)) == PEOPLE
    true = [made[name] for name in train.names]
    assert len(set(zip(got, true, strict=True))) == PEOPLE * CAMERAS  # the same, but for the numbers
    assert "0" not in map(str, train.people)


@given(st.permutations(sorted(files(LAYOUTS["person/cam"]))), st.sampled_from(["", "a/", "a/b/", "train/"]))
def test_order_and_what_is_around_do_not_matter(names: list[str], above: str) -> None:
    read = read_folders([above + name for name in names], "data")
    assert read is not None
    people = dict(zip(read.parts["train"].names, read.parts["train"].people, strict=True))
    assert all(people[above + name] == int(name[6:8]) for name in names)


AMBIGUOUS: dict[str, tuple[Name, str]] = {
    "numbers in numbers": (lambda p, c, n: f"{p}/{c}/{n}.jpg", r"level 1 of folders \(8: 1, 2, 3, …\) would be taken"),
    "places of people": (lambda p, c, n: f"{'ab'[c - 1]}/person{p}/{n}.jpg", "level 2 .* would be taken for people"),
    "two levels of cameras": (lambda p, c, n: f"cam{c}/cam{p}/{n}.jpg", "would be taken"),
    "only frames of cameras": (lambda p, c, n: f"cam{c}/{10 * p + n:06d}.jpg", "don't say whom"),
    "places that count anew": (
        lambda p, c, n: f"{'xy'[c - 1]}/{p:04d}_c{n + 1}s1_{n:06d}.jpg",
        "somebody else in each",
    ),
    "sorted by hand": (
        lambda p, c, n: f"person{(p + 1) // 2}/{p:04d}_c{c}s1_{n:06d}.jpg",
        "tell 8 people .* folders 4",
    ),
}


@pytest.mark.parametrize("layout", AMBIGUOUS)
def test_what_could_be_two_things_is_refused(layout: str) -> None:
    name, said = AMBIGUOUS[layout]
    with pytest.raises(InputError, match=said):
        read_folders(sorted(files(name)), "data")


def test_query_and_gallery_folders(tmp_path: Path) -> None:
    for person in ("0002", "0007"):
        for part, camera in (("train", 1), ("train", 2), ("query", 1), ("gallery", 2), ("train_all", 1)):
            draw(tmp_path / "pytorch" / part / person / f"{person}_c{camera}s1_000001_00.jpg")
    draw(tmp_path / "pytorch/gallery/-1/-1_c2s1_000001_00.jpg")
    data = open_people_data(tmp_path)
    assert (len(data.train), data.train.people) == (2, 2)  # train_all has them all
    assert (len(data.query), len(data.gallery)) == (2, 2)
    assert data.query.person_ids.tolist() == data.gallery.person_ids.tolist() == [2, 7]
    assert "query 2 pictures of 2 people" in describe(data)


def test_a_test_part_is_not_trained_on(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for camera in (1, 2):
            for person in range(3):
                draw(tmp_path / part / f"person{person}" / f"cam{camera}" / "1.jpg")
                draw(tmp_path / part / f"person{person}" / f"cam{camera}" / "2.jpg")
    data = open_people_data(tmp_path)
    assert (len(data.train), len(data.query), len(data.gallery)) == (12, 6, 6)


def test_what_systems_leave_is_no_data(tmp_path: Path) -> None:
    draw(tmp_path / "data/ann/a_c1.jpg")
    draw(tmp_path / "data/bob/b_c2.jpg")
    apple = bytes([0, 5, 22, 7]) + bytes(60)
    for left in ("ann/._a_c1.jpg", "ann/.thumbnails/x.jpg", "@eaDir/bob/b_c2.jpg", "bob/Thumbs.db", ".DS_Store"):
        (tmp_path / "data" / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / left).write_bytes(apple)
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        for file in sorted((tmp_path / "data").rglob("*_c?.jpg")):
            name = file.relative_to(tmp_path / "data").as_posix()
            archive.write(file, name)
            archive.writestr(f"__MACOSX/{name.replace('/', '/._')}", apple)
    for path in (tmp_path / "data", tmp_path / "mac.zip"):
        assert CropFiles(path).names == ["ann/a_c1.jpg", "bob/b_c2.jpg"]
        assert open_people_data(path).train.people == 2


def test_nor_for_a_detector_nor_for_a_camera(tmp_path: Path) -> None:
    for folder in ("set", "__MACOSX/set"):
        for name in ("a", "._a") if folder == "set" else ("._a",):
            (tmp_path / folder / "images").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "labels").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "images" / f"{name}.jpg").write_bytes(b"\x00\x05\x16\x07")
            (tmp_path / folder / "labels" / f"{name}.txt").write_text("")
    draw(tmp_path / "set/images/a.jpg")
    (found,) = data_sets(tmp_path)
    assert len(list(read_data_set(found))) == 1
    assert open_recording(CameraEntry(sources=(str(tmp_path / "set/images"),)), 10.0).info.frame_count == 1


def market(folder: Path, cameras: tuple[int, ...], query: bool) -> Path:
    for person in range(1, 13):
        for number in range(4):
            camera = cameras[number % len(cameras)]
            part = "bounding_box_train" if person < 9 else "query" if number == 0 and query else "bounding_box_test"
            if query or person < 9:
                draw(folder / part / f"{person:04d}_c{camera}s1_{number:06d}_00.jpg")
    return folder


@pytest.mark.parametrize("query", [True, False])
def test_one_camera_is_refused_before_training(tmp_path: Path, query: bool) -> None:
    data = market(tmp_path / "data", (1,), query)
    settings = TrainSettings(architecture="osnet_x0_25", height_px=32, width_px=16, device="cpu", start_from="")
    with pytest.raises(InputError, match="another camera" if query else "two cameras"):
        train(settings, [data], tmp_path / "out", resume=False)
    if query:
        with pytest.raises(InputError, match=r"by 1 camera \(1\)"):
            evaluate_reid(ReidSettings(weights="osnet_x0_25", device="cpu"), data)


def test_a_damaged_test_picture_is_found_before_training(tmp_path: Path) -> None:
    data = market(tmp_path / "data", (1, 2), True)
    assert len(list_training_data([data]).person_ids) == 32
    (data / "query" / "0009_c1s1_000000_00.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(InputError, match="0009_c1s1"):
        list_training_data([data])


def test_sequences_mean_the_same_in_query_and_gallery(tmp_path: Path) -> None:
    draw(tmp_path / "query/0001_c5s1_000001_00.jpg")
    for sequence in (1, 5):
        draw(tmp_path / f"bounding_box_test/0001_c5s{sequence}_00000{sequence}_01.jpg")
    data = open_people_data(tmp_path)
    assert (data.query.camera_ids.tolist(), data.gallery.camera_ids.tolist()) == ([1], [1, 5])
