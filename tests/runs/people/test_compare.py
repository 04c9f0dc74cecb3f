"""Two pictures: the same person, yes, no, or can't say; whom of several; and no answer without anybody."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.parser import main
from app.runs.people import compare
from app.runs.people.compare import SURE, said_of
from app.runs.people.query import Person

QUICK = ["--set", "reid.backend=torch"]  # no network is converted for so little


class FakeFinder:
    """Finds somebody in each block of 60 columns, as wide as one; nobody in a picture that is black."""

    def __init__(self, settings: object) -> None:
        pass

    def people(self, picture: np.ndarray) -> list[Person]:
        height, width = picture.shape[:2]
        count = width // 60 if picture.any() else 0
        return [Person(np.array([60 * n, 0, 60 * n + 60, height]), 0.9) for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compare, "Finder", FakeFinder)
    random = np.random.default_rng(3)
    reds, greens = ([*c] for c in ((40, 40, 200), (60, 200, 60)))
    people = {
        name: np.clip(np.array(c) + random.normal(0, 8, (140, 60, 3)), 0, 255).astype(np.uint8)
        for name, c in (("red", reds), ("green", greens))
    }
    for name, picture in people.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    cv2.imwrite(str(tmp_path / "both.png"), np.concatenate([people["green"], people["red"]], axis=1))
    cv2.imwrite(str(tmp_path / "nobody.png"), np.zeros((140, 60, 3), np.uint8))
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["compare", "--json", *arguments, *QUICK]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_who_stands_second_from_the_left_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red, both = str(folder / "red.png"), str(folder / "both.png")
    found = answer(capsys, red, f"{both}#2", f"{both}#1", "--picture", str(folder / "drawn.png"))
    assert [box for _, box in found["pictures"]] == [[0, 0, 60, 140], [60, 0, 120, 140], [0, 0, 60, 140]]
    best, *others = found["pairs"]
    assert (best["first"], best["second"], best["answer"]) == (0, 1, "yes")
    assert all(pair["p_same"] < best["p_same"] for pair in others)
    assert cv2.imread(str(folder / "drawn.png")) is not None


@pytest.mark.parametrize(
    ("images", "more", "said"),
    [
        (["red.png"], [], "2 to 20 pictures"),
        (["red.png", "nobody.png"], [], "nobody.png: there is nobody in this picture"),
        (["red.png", "both.png"], [], "both.png#2"),
        (["red.png", "both.png#3"], [], "numbered from 1"),
        (["red.png", "lost.png"], [], "lost.png"),
        (["red.png", "green.png"], ["--picture", "drawn.doc"], "--picture"),
        (["red.png", "green.png"], ["--reid", "none"], "reid.weights"),
    ],
)
def test_what_cannot_be_compared_is_said(
    folder: Path, images: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(folder / part) if part.startswith("drawn") else part for part in more]
    assert main(["compare", *(str(folder / image) for image in images), *more, *QUICK]) == 2
    assert said in capsys.readouterr().err


def test_a_picture_without_people_has_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the real detector: two grey rectangles are the most alike of all pictures."""
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 120, 3), 128, np.uint8))
    assert main(["compare", *2 * [str(tmp_path / "grey.png")], "--set", "detect.backend=torch"]) == 2
    assert "nobody in this picture" in capsys.readouterr().err


@given(st.floats(0, 1))
def test_the_answer_is_as_sure_as_the_help_says(p: float) -> None:
    odds = float("inf") if p == 1 else p / (1 - p)
    expected = "yes" if p >= SURE else "no" if p <= 1 - SURE else "can't say"
    assert said_of(p) == expected
    assert (odds > 8.99) is (said_of(p) == "yes") or abs(odds - 9) < 0.02
