"""Pictures of an evaluation: the right frames around the right people, heat where the network responds, true shares."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from app.cli.parser import main
from app.reid.calibrate import Calibration
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.datasets import open_people_data
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing
from app.reid.visualize import (
    ASKED,
    CELL,
    FRAME,
    RIGHT,
    SHOWN,
    WRONG,
    activation_maps,
    ranked_lists,
    reliability,
    spaced,
)

SIDE = (CELL[0] + 3 * FRAME, CELL[1] + 3 * FRAME)


def frame_colours(sheet: np.ndarray) -> list[list[tuple[int, ...]]]:
    """Colour of each cell's frame, row by row."""
    corner = FRAME // 2 + 1
    return [
        [tuple(sheet[y + corner, x + corner].tolist()) for x in range(0, sheet.shape[1], SIDE[1])]
        for y in range(0, sheet.shape[0], SIDE[0])
    ]


def test_frames_say_who_is_right(small_market: Path) -> None:
    people = open_people_data(small_market)
    query, gallery = (np.eye(30, dtype=np.float32)[part.person_ids] for part in (people.query, people.gallery))
    colours = frame_colours(ranked_lists(people, query, gallery, count=3))
    assert len(colours) == 3
    for row in colours:  # three pictures of the person on the other camera come first, the own camera's are left out
        assert row == [ASKED, *[RIGHT] * 3, *[WRONG] * (SHOWN - 3)]


def test_heat_lies_where_the_network_responds(small_market: Path) -> None:
    people = open_people_data(small_market)
    network = OSNETS["osnet_x0_25"]().eval()

    def respond_below(pictures: torch.Tensor) -> torch.Tensor:
        maps = torch.zeros(1, 8, 4, 2)
        maps[:, :, 2:] = -3.0  # size counts, not sign
        return maps

    network.feature_maps = respond_below
    sheet = activation_maps(people, network, Preprocessing(64, 32), count=4)
    assert sheet.shape == (2 * SIDE[0], 4 * SIDE[1], 3)
    cell = sheet[: SIDE[0], SIDE[1] : 2 * SIDE[1]][2 * FRAME : -2 * FRAME, 2 * FRAME : -2 * FRAME].astype(int)
    redness = cell[:, :, 2] - cell[:, :, 0]
    assert redness[-30:].mean() > redness[:30].mean() + 60


def test_reliability_counts_what_happened(small_market: Path) -> None:
    people = open_people_data(small_market)
    query, gallery = (np.eye(30, dtype=np.float32)[part.person_ids] for part in (people.query, people.gallery))
    distances, centre = np.array([0, 0.5, 1, 2], np.float32), np.zeros(30, np.float32)
    sure = Calibration(centre, distances, np.array([0.95, 0.5, 0.05, 0.05], np.float32))
    stated, happened, weight = reliability(sure, query, gallery, people)
    assert weight[[0, 9]].tolist() == pytest.approx([0.5, 0.5])
    assert stated[[0, 9]].tolist() == pytest.approx([0.05, 0.95], abs=0.01)
    assert happened[[0, 9]].tolist() == [0.0, 1.0]
    assert np.isnan(stated[1:9]).all()
    blind = Calibration(centre, distances, np.full(4, 0.75, np.float32))
    stated, happened, weight = reliability(blind, query, gallery, people)
    assert happened[7] == pytest.approx(0.5)  # pairs of both kinds weigh the same
    assert weight[7] == pytest.approx(1)


def test_spaced_rows_are_different_and_reach_both_ends() -> None:
    assert spaced(100, 5) == [0, 24, 49, 74, 99]
    assert spaced(3, 10) == [0, 1, 2]


def test_the_command_writes_the_pictures(small_market: Path, tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    save_checkpoint(weights, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict(), Preprocessing(64, 32)))
    arguments = ["evaluate-reid", "--weights", str(weights), "--data", str(small_market), "--device", "cpu"]
    assert main([*arguments, "--set", "reid.backend=torch", "--pictures", str(tmp_path / "drawn")]) == 0
    drawn = {file.name: cv2.imread(str(file)) for file in (tmp_path / "drawn").glob("*.png")}
    assert set(drawn) == {"ranked.png", "activation.png", "reliability.png"}
    assert drawn["ranked.png"].shape == (8 * SIDE[0], 11 * SIDE[1], 3)
    assert drawn["reliability.png"].std() > 10
