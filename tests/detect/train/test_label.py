"""Labels by teachers: whole data sets with given boxes kept, cameras held out, carried on where they were left."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.cli.parser import main
from app.detect.train import label as labelling
from app.detect.train.committee import Answers, Committee
from app.detect.train.label import label_images
from app.detect.train.photos import read_data_set
from app.errors import InputError

SURE = (10.0, 10.0, 30.0, 50.0)
DIM = (50.0, 10.0, 70.0, 50.0)


class Told:
    """A committee of two that says the same of each picture."""

    voices = np.array([0, 1])
    sha256 = ("a", "b")
    looked = 0

    def __init__(self, weights: Any, sizes_px: Any) -> None:
        pass

    def look(self, image: Any) -> Answers:
        Told.looked += 1
        boxes = np.array([SURE, SURE, DIM], np.float32)
        return Answers(boxes, np.array([0.9, 0.7, 0.4], np.float32), np.array([0, 1, 1]))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[Told]:
    monkeypatch.setattr(labelling, "Committee", Told)
    Told.looked = 0
    return Told


def write_picture(path: Path, width: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((60, width, 3), 90, np.uint8))


def label(pictures: Path, output: Path, **more: Any) -> dict[str, Any]:
    return label_images([pictures], [Path("a.pt"), Path("b.pt")], [640], output, **more)


def test_pictures_become_data_sets_and_whole_cameras_are_held_out(tmp_path: Path, told: type[Told]) -> None:
    for name in ("cam1-1.png", "cam2-1.png", "cam2-2.png", "other-1.png"):
        write_picture(tmp_path / "shop" / name)
    summary = label(tmp_path / "shop", tmp_path / "out", hold_out=["cam2-*"], leave_out=["other*"])
    assert summary["counts"]["train"] == {"pictures": 1, "people": 1, "disputed": 1}
    assert summary["counts"]["held_out"] == {"pictures": 2, "people": 2, "disputed": 2}
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == summary
    ((photo, mask),) = read_data_set(tmp_path / "out" / "train" / "shop")
    np.testing.assert_allclose(photo.boxes, [SURE], atol=1e-3)
    np.testing.assert_allclose(photo.scores, [0.8], atol=1e-5)
    np.testing.assert_allclose(photo.ignored, [DIM], atol=1e-3)
    assert mask is None
    assert [file.name for file in sorted((tmp_path / "out" / "held_out" / "shop" / "images").iterdir())] == [
        "cam2-1.png",
        "cam2-2.png",
    ]


def test_given_boxes_and_masks_stay_and_only_others_are_added(tmp_path: Path, told: type[Told]) -> None:
    packed = tmp_path / "people.zip"
    write_picture(tmp_path / "a.png")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(tmp_path / "a.png", "street/images/a.png")
        archive.write(tmp_path / "a.png", "street/masks/a.png")
        archive.writestr("street/labels/a.txt", "0 0.62 0.5 0.2 0.7\n")  # whom the teachers dispute
    label(packed, tmp_path / "out")
    ((photo, mask),) = read_data_set(tmp_path / "out" / "train" / "street")
    np.testing.assert_allclose(photo.boxes, [[52, 9, 72, 51], SURE], atol=1e-3)
    np.testing.assert_allclose(photo.scores, [1, 0.8], atol=1e-5)
    assert len(photo.ignored) == 0
    assert mask is not None


def test_it_goes_on_where_it_was(tmp_path: Path, told: type[Told]) -> None:
    write_picture(tmp_path / "in" / "a.png")
    label(tmp_path / "in", tmp_path / "out")
    write_picture(tmp_path / "in" / "b.png")
    summary = label(tmp_path / "in", tmp_path / "out")
    assert told.looked == 2
    assert summary["counts"]["train"]["pictures"] == 2
    with pytest.raises(InputError, match="other teachers"):
        label_images([tmp_path / "in"], [Path("a.pt"), Path("b.pt")], [320], tmp_path / "out")


def test_pictures_that_are_not_there_are_refused(tmp_path: Path, told: type[Told]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        label(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"broken\.zip"):
        label(tmp_path / "broken.zip", tmp_path / "out")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.jpg"):
        label(tmp_path / "bad", tmp_path / "out")


def test_mirrored_looks_return_boxes_of_the_picture_as_it_is(
    small_weights: Callable[[bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    committee = Committee([small_weights(False), small_weights(True)], [96, 96])
    assert committee.voices.tolist() == [0, 0, 1, 1]
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    straight = committee.look(picture)
    mirrored = committee.look(np.ascontiguousarray(picture[:, ::-1]))
    for voice in (0, 1):
        ours = straight.boxes[straight.looks == 2 * voice]
        theirs = mirrored.boxes[mirrored.looks == 2 * voice + 1]
        assert len(ours)
        np.testing.assert_allclose(theirs, np.stack([96 - ours[:, 2], ours[:, 1], 96 - ours[:, 0], ours[:, 3]], 1))


def test_the_command_labels_and_refuses_odd_sizes(
    tmp_path: Path, small_weights: Callable[[bool], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "in" / "a.png")
    command = ["label", "--pictures", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--teachers"]
    command += [str(small_weights(False)), str(small_weights(True)), "--sizes"]
    assert main([*command, "100"]) == 2
    assert "multiples of 32" in capsys.readouterr().err
    assert main([*command, "96"]) == 0
    assert "train: 1 pictures" in capsys.readouterr().out
    assert (tmp_path / "out" / "train" / "in" / "labels" / "a.txt").is_file()


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path, told: type[Told]) -> None:
    write_picture(tmp_path / "shop" / "cam1-1.png")
    (tmp_path / "out" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match=r"out holds files that are of no labelling of pictures \(train\)"):
        label(tmp_path / "shop", tmp_path / "out")
    assert told.looked == 0
