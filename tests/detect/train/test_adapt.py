"""Training on, on real frames: it learns, ends in weights that load, goes on from its state, refuses bad requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from app.cli.parser import main
from app.config import DetectorTrainSettings
from app.detect.train.adapt import adapt_detector
from app.detect.yolo_weights import load_ultralytics, load_weights, save_weights
from app.errors import InputError


@pytest.fixture
def start(tmp_path: Path, small_networks: ModuleType) -> Path:
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel({**small_networks.DESCRIPTION, "nc": 1, "end2end": False, "reg_max": 1}, verbose=False)
    model.names = {0: "person"}
    save_weights(model, tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "marked" / "camera"
    for kind in ("images", "labels", "ignored"):
        (folder / kind).mkdir(parents=True)
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 255, (60, 100, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        (folder / "labels" / f"{number}.txt").write_text("0 0.3 0.5 0.2 0.6 0.75\n")
        (folder / "ignored" / f"{number}.txt").write_text("")
    return tmp_path / "marked"


def settings(start: Path, **more: object) -> DetectorTrainSettings:
    values = {"name": "tiny", "start_from": str(start), "size_px": 64, "batch": 2, "pictures": 4, "epochs": 2}
    values |= {"warmup_epochs": 0.0, "scenes": 0, "workers": 0, "threads": 1, "device": "cpu", **more}
    return DetectorTrainSettings(**values)  # type: ignore[arg-type]


def test_it_ends_in_weights_that_load_and_goes_on_from_its_state(start: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    scores = adapt_detector(settings(start), [data], output)
    assert scores["steps"] == 4
    assert json.loads((output / "scores.json").read_text())["started_from"] == "start.safetensors"
    first = load_weights(output / "tiny.safetensors").state_dict()
    assert any(not torch.equal(first[name], value) for name, value in load_weights(start).state_dict().items())
    with pytest.raises(InputError, match="--resume"):
        adapt_detector(settings(start), [data], output)
    assert adapt_detector(settings(start, epochs=3), [data], output, resume=True)["steps"] == 6


def test_a_training_cut_short_ends_as_one_that_was_not(start: Path, data: Path, tmp_path: Path) -> None:
    from app.detect.train import adapt

    whole = adapt_detector(settings(start), [data], tmp_path / "whole")
    learn = adapt._Run._learn

    def fail_later(run: adapt._Run, samples: list[adapt.Sample]) -> None:
        if run.step == 2:
            run.save(tmp_path / "cut" / "state.pt")
            raise KeyboardInterrupt
        learn(run, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapt._Run, "_learn", fail_later)
        with pytest.raises(KeyboardInterrupt):
            adapt_detector(settings(start), [data], tmp_path / "cut")
    resumed = adapt_detector(settings(start), [data], tmp_path / "cut", resume=True)
    assert resumed["steps"] == whole["steps"]
    a, b = (safetensors.torch.load_file(tmp_path / name / "tiny.safetensors") for name in ("whole", "cut"))
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-2, atol=1e-3)


def test_it_learns_wider_and_from_a_teacher_and_goes_on(start: Path, data: Path, tmp_path: Path) -> None:
    wanted = {"widen": 2.0, "teacher": str(start)}
    scores = adapt_detector(settings(start, **wanted), [data], tmp_path / "out")
    assert 0 < scores["loss"]["teacher"] < 2
    before, wide = load_weights(start), load_weights(tmp_path / "out" / "tiny.safetensors")
    assert wide.yaml["backbone"][0][3][0] > before.yaml["backbone"][0][3][0]
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    assert state["teacher"]
    again = adapt_detector(settings(start, epochs=3, **wanted), [data], tmp_path / "out", resume=True)
    assert again["steps"] == 6
    with pytest.raises(InputError, match="not the state of this training"):
        adapt_detector(settings(start, epochs=3), [data], tmp_path / "out", resume=True)


def test_bad_requests_are_refused(start: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        adapt_detector(settings(start), [data], tmp_path / "out", resume=True)
    for name in ("yolo26n.pt", "nobody", str(tmp_path / "gone.safetensors")):
        with pytest.raises(InputError, match=r"train_detector\.start_from"):
            adapt_detector(settings(start).model_copy(update={"start_from": name}), [data], tmp_path / "out")
    (tmp_path / "out").mkdir()
    torch.save({"model": {}}, tmp_path / "out" / "state.pt")
    with pytest.raises(InputError, match="not the state of this training"):
        adapt_detector(settings(start), [data], tmp_path / "out", resume=True)


def test_the_command_trains_on_where_a_start_is_set(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train-detector", "--data", str(data), "--output", str(tmp_path / "out")]
    for key, value in settings(start).model_dump().items():
        if value not in ({}, ""):
            command += ["--set", f"train_detector.{key}={value}"]
    assert main(command) == 0
    assert "tiny.safetensors" in capsys.readouterr().out


def test_weights_of_others_stay_out(small_weights: Callable[[bool], Path]) -> None:
    from app.detect.train.adapt import own_weights

    assert own_weights("person_n").name == "person_n.safetensors"
    assert own_weights(str(small_weights(False))) == small_weights(False)
