"""Searching for the person in a box on a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app import stills
from app.cli import main
from app.errors import InputError
from app.runs import Run
from app.search import cut_out


@pytest.fixture
def run(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose recordings show the column in red, the row in green and the index of the frame in blue."""

    def original(camera: object, index: int, time_s: float) -> np.ndarray:
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
