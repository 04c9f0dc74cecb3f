"""Pictures of people without names, from both layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import InputError
from app.reid.train.unlabelled import load_unlabelled


def draw(path: Path, height: int, width: int, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))


def test_crops_are_taken_whole(tmp_path: Path) -> None:
    for number, grey in enumerate((40, 90)):
        draw(tmp_path / f"{number}.png", 120, 50, grey)
    people = load_unlabelled([tmp_path], 64, 32)
    assert people.shape == (2, 64, 32, 3)
    assert [int(person.mean()) for person in people] == [40, 90]


def test_people_are_cut_out_of_frames_and_small_ones_and_other_things_left_out(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png", 200, 100, 10)
    image = cv2.imread(str(tmp_path / "images" / "a.png"))
    image[50:150, 20:60] = 200
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    (tmp_path / "labels").mkdir()
    lines = ["0 0.4 0.5 0.4 0.5", "1 0.5 0.5 1 1", "0 0.5 0.5 0.05 0.1", ""]
    (tmp_path / "labels" / "a.txt").write_text("\n".join(lines))
    draw(tmp_path / "images" / "not_labelled.png", 200, 100, 10)
    people = load_unlabelled([tmp_path], 64, 32)
    assert people.shape == (1, 64, 32, 3)
    assert people.min() == 200


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    assert load_unlabelled([], 64, 32).shape == (0, 64, 32, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures of people"):
        load_unlabelled([tmp_path / "empty"], 64, 32)
    draw(tmp_path / "images" / "a.png", 200, 100, 10)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.4 0.5 0.4 0.5\n0 a b c d\n")
    with pytest.raises(InputError, match=r"a\.txt:2"):
        load_unlabelled([tmp_path], 64, 32)
