"""Searching for the person in a box on a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import search, stills
from app.cli import main
from app.errors import InputError
from app.reid.calibrate import Calibration
from app.runs import Run
from app.search import cut_out, search_vector
from app.track.appearance import MOST_PEOPLE
from app.tracklet_parts import TrackletSummary


@pytest.fixture
def run(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose recordings show the column in red, the row in green and the index of the frame in blue."""

    def original(run: object, camera: object, index: int, time_s: float) -> np.ndarray:
        rows, columns = np.mgrid[:240, :255]
        return np.stack([np.full_like(rows, index), rows, columns], axis=2).astype(np.uint8)

    monkeypatch.setattr(stills, "_read_original", original)
    return Run.open(make_run())


def test_a_box_is_cut_out_of_the_frame_shown_at_a_time(run: Run) -> None:
    picture = cut_out(run, "left", 0.55, [20.4, 30, 60, 99.6])  # 10 frames/s: frame 5 is shown
    assert picture.shape == (70, 40, 3)
    assert picture[0, 0].tolist() == [5, 30, 20]
    assert cut_out(run, "left", 99.0, [-5, 200, 60, 999]).shape == (40, 60, 3)  # the last frame; cut at the border


@pytest.mark.parametrize("box", [[60, 30, 20, 90], [20, 30, 22, 90], [400, 30, 500, 90], [20, 30, np.nan, 90]])
def test_a_box_that_holds_nobody_is_refused(run: Run, box: list[float]) -> None:
    with pytest.raises(InputError, match="box"):
        cut_out(run, "left", 0.5, box)


def test_a_search_is_for_a_picture_or_for_a_box(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(run.folder)
    for words in ([], ["--camera", "left", "--at", "1"], ["a.jpg", "--at", "1"]):
        assert main(["search", folder, *words]) == 2
        assert "IMAGE, or all of --camera" in capsys.readouterr().err


class Town:
    """A run of two cameras in which everybody shares two thirds of their looks; person p is track p of each camera."""

    def __init__(self, people: int) -> None:
        self.folder = Path("town")
        self.cameras = [SimpleNamespace(name="left"), SimpleNamespace(name="right")]
        rng = np.random.default_rng(0)
        self.looks = 0.6 * np.eye(1, 256) + 0.8 * np.eye(people, 256, 1)
        self.read = 0
        noisy = self.looks[:, None] + rng.normal(size=(people, 8, 256)) / 40
        self.crops = (noisy / np.linalg.norm(noisy, axis=2, keepdims=True)).astype(np.float32)

    def tracklet_stretches(self, camera: str) -> Iterator[TrackletSummary]:
        shown = slice(0, 4) if camera == "left" else slice(4, 8)
        for person, vectors in enumerate(self.crops[:, shown], 1):
            self.read += 1
            crops = tuple(f"crops/{camera}/{person}_{number}.jpg" for number in range(4))
            yield TrackletSummary(camera, person, 10.0 * person, 10.0 * person + 5, 50, crops, vectors, np.ones(4, "f"))

    def identities(self) -> Any:
        return SimpleNamespace(person_of=lambda camera, track_ids, times: track_ids, names={2: "Ada"})

    def crop_path(self, reference: str) -> Path:
        return self.folder / reference


def test_people_who_share_the_light_of_a_place_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's calibration takes their cosine of 0.36 for one person, in 9 of 10 cases."""
    gullible = Calibration(
        np.zeros(256, np.float32), np.array([0.6, 1.0], np.float32), np.array([0.95, 0.01], np.float32)
    )
    monkeypatch.setattr(search, "run_calibration", lambda run: gullible)
    town: Any = Town(6)
    found = search_vector(town, town.crops[1, 0], 10)
    assert (found[0]["person"], found[0]["name"]) == (2, "Ada")
    assert found[0]["p_same"] > 0.95
    assert len(found) == 6
    assert max(entry["p_same"] for entry in found[1:]) < 0.2
    nobody = np.eye(1, 256, 0)[0] * 0.6 + np.eye(1, 256, 200)[0] * 0.8
    assert search_vector(town, nobody.astype(np.float32), 1)[0]["p_same"] < 0.2


def test_few_people_are_enough_to_learn_the_looks_of_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "run_calibration", lambda run: Calibration.default(256))
    town: Any = Town(200)
    search.run_looks(town, town.identities(), 256)
    assert town.read <= 1.5 * MOST_PEOPLE + 2  # half of them on the first camera, then past those to the other half
