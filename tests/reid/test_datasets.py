"""Layouts of data sets, from folders and zip files."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import InputError
from app.reid.datasets import (
    PUBLISHED_COUNTS,
    CropFiles,
    PeopleData,
    Pictures,
    check_counts,
    note_counts,
    open_people_data,
)


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 4, 3), 90, np.uint8))


def test_market_layout(small_market: Path) -> None:
    data = open_people_data(small_market)
    assert (len(data.train), data.train.people) == (60, 10)
    assert (len(data.query), data.query.people) == (8, 4)
    assert (len(data.gallery), sorted(set(data.gallery.person_ids.tolist()))) == (30, [0, 20, 21, 22, 23])
    assert set(data.train.camera_ids.tolist()) == {1, 2}
    assert data.train.decode(0).shape == (64, 32, 3)
    assert check_counts(data) == ""


def test_a_zip_file_is_read_as_its_folder(small_market: Path, tmp_path: Path) -> None:
    shutil.copytree(small_market, tmp_path / "top" / "inner")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "top"))
    packed, folder = open_people_data(archive), open_people_data(small_market)
    assert packed.name == "packed"
    np.testing.assert_array_equal(packed.gallery.person_ids, folder.gallery.person_ids)
    np.testing.assert_array_equal(packed.train.decode(7), folder.train.decode(7))


def test_selection_keeps_rows_together(small_market: Path) -> None:
    train = open_people_data(small_market).train
    few = train[train.person_ids == 3]
    assert (len(few), few.people) == (6, 1)
    assert all(Path(name).name.startswith("0003") for name in few.names)


def test_duke_names(tmp_path: Path) -> None:
    draw(tmp_path / "bounding_box_train" / "0005_c8_f0046985.jpg")
    data = open_people_data(tmp_path)
    assert (data.train.person_ids.tolist(), data.train.camera_ids.tolist()) == ([5], [8])


def test_msmt_layout(tmp_path: Path) -> None:
    lists = {
        "train": ["0000/0000_000_01_0303morning_0008_0.jpg 0", "0001/0001_000_05_0303noon_0008_0.jpg 1"],
        "val": ["0000/0000_001_14_0303morning_0008_1.jpg 0"],
        "query": ["0000/0000_000_02_0303morning_0008_0.jpg 0"],
        "gallery": ["0000/0000_001_03_0303morning_0009_0.jpg 0"],
    }
    for part, lines in lists.items():
        (tmp_path / f"list_{part}.txt").write_text("\n".join(lines) + "\n")
        folder = "train" if part in {"train", "val"} else "test"
        for line in lines:
            draw(tmp_path / folder / line.split()[0])
    data = open_people_data(tmp_path)
    assert data.train.person_ids.tolist() == [0, 1, 0]
    assert data.train.camera_ids.tolist() == [1, 5, 14]
    assert (data.query.camera_ids.tolist(), data.gallery.camera_ids.tolist()) == ([2], [3])


def test_msmt_list_with_a_missing_picture(tmp_path: Path) -> None:
    for part in ("train", "query", "gallery"):
        (tmp_path / f"list_{part}.txt").write_text("0000/0000_000_01_a.jpg 0\n")
    with pytest.raises(InputError, match=r"list_train\.txt:1"):
        open_people_data(tmp_path)


def test_sequences_stand_for_cameras_where_there_is_one(tmp_path: Path) -> None:
    for name in ("0001_c1s1_000001_00.jpg", "0001_c1s4_000002_00.jpg", "0002_c1s2_000001_00.jpg"):
        draw(tmp_path / name)
    assert open_people_data(tmp_path).train.camera_ids.tolist() == [1, 4, 2]
    draw(tmp_path / "0003_c2s1_000001_00.jpg")
    assert open_people_data(tmp_path).train.camera_ids.tolist() == [1, 1, 1, 2]


def test_pictures_with_market_names(tmp_path: Path) -> None:
    for name in ("0001_c1s1_1.jpg", "0001_c2s1_1.jpg", "-1_c2s1_1.jpg"):
        draw(tmp_path / name)
    data = open_people_data(tmp_path)
    assert (len(data.train), len(data.query)) == (2, 0)


def test_a_folder_for_each_person(tmp_path: Path) -> None:
    for name in ("ann/a_c3.jpg", "ann/b_c1.jpg", "bob/1.png", "bob/2.png"):
        draw(tmp_path / name)
    data = open_people_data(tmp_path)
    assert data.train.person_ids.tolist() == [1, 1, 2, 2]  # 0 would be distractors
    assert data.train.camera_ids.tolist() == [3, 1, 0, 0]


@pytest.mark.parametrize("made", [[], ["notes.txt"], ["one/picture.jpg"]])
def test_unknown_layouts_are_refused(tmp_path: Path, made: list[str]) -> None:
    for name in made:
        draw(tmp_path / name) if name.endswith("jpg") else (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match="no known layout"):
        open_people_data(tmp_path)


def test_a_name_without_a_person_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "bounding_box_train" / "holiday.jpg")
    with pytest.raises(InputError, match=r"holiday\.jpg"):
        open_people_data(tmp_path)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        open_people_data(tmp_path / "nowhere")
    (tmp_path / "bad.zip").write_bytes(b"PK not really")
    with pytest.raises(InputError, match=r"bad\.zip"):
        open_people_data(tmp_path / "bad.zip")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "0001_c1s1_1.jpg")
    (tmp_path / "0002_c1s1_1.jpg").write_bytes(b"\xff\xd8 nothing")
    data = open_people_data(tmp_path)
    with pytest.raises(InputError, match="0002_c1s1"):
        data.train.decode(1)


def test_market_has_the_published_counts(shared_data: Path) -> None:
    assert check_counts(open_people_data(shared_data / "reid" / "market1501.zip")) == "Market-1501"


def test_cuhk03_np_holds_two_data_sets_of_which_one_must_be_named(tmp_path: Path) -> None:
    for kind, people in (("detected", (3, 4)), ("labeled", (3, 5))):
        for part in ("bounding_box_train", "query", "bounding_box_test"):
            for person in people:
                draw(tmp_path / "CUHK03-NP" / kind / part / f"{person:04d}_c{1 + (part == 'query')}_{person}.png")
    folder = tmp_path / "CUHK03-NP"
    with pytest.raises(InputError, match=r"detected, .*labeled"):
        open_people_data(folder)
    archive = Path(shutil.make_archive(str(tmp_path / "cuhk03"), "zip", folder))
    with pytest.raises(InputError, match="several data sets"):
        open_people_data(archive)
    for root in (folder, archive):
        detected = open_people_data(root / "detected")
        assert detected.name == "detected"
        assert detected.train.person_ids.tolist() == [3, 4]
        assert set(detected.query.camera_ids.tolist()) == {2}
        assert detected.gallery.decode(0).shape == (8, 4, 3)
    with pytest.raises(InputError, match="no known layout"):
        open_people_data(archive / "elsewhere")


def with_counts(name: str, path: Path, counts: tuple[int, int, int, int, int]) -> PeopleData:
    """A data set of so many pictures and people, none of which exists."""
    files = CropFiles(path)

    def part(pictures: int, people: int) -> Pictures:
        return Pictures(files, ("",) * pictures, np.arange(pictures) % people, np.zeros(pictures, np.int64))

    train, train_people, query, query_people, gallery = counts
    return PeopleData(name, part(train, train_people), part(query, query_people), part(gallery, query_people))


@pytest.mark.parametrize("name", sorted(PUBLISHED_COUNTS))
def test_published_counts_are_recognised(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    complete = with_counts(name, tmp_path, PUBLISHED_COUNTS[name])
    assert check_counts(complete) == name
    train, *others = PUBLISHED_COUNTS[name]
    folder = tmp_path / name
    folder.mkdir()
    note_counts(with_counts(name, folder, (train - 1, *others)))
    assert "named like" in caplog.text
    assert f"{train - 1} training pictures" in caplog.text
    assert f"{train}, " in caplog.text  # what is published


def test_a_folder_of_ones_own_is_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    note_counts(with_counts("shop", folder, (5, 2, 1, 1, 2)))
    assert not caplog.text
