"""The whole trainer, on a few made-up people."""

from __future__ import annotations

import csv
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from app.config import ReidSettings, TrainSettings
from app.errors import InputError, RunError
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.embedder import BUNDLED_FOLDER, build_embedder
from app.reid.osnet import OSNETS
from app.reid.train.data import list_training_data, load_training_data
from app.reid.train.finish import recipe_sha256
from app.reid.train.loop import train
from app.reid.train.schedule import FIRST_STEPS
from app.reid.train.student import Student

SMALL = TrainSettings(
    architecture="osnet_x0_25",
    height_px=64,
    width_px=32,
    epochs=2,
    people_per_batch=4,
    pictures_per_person=2,
    held_out_people=4,
    warmup_epochs=0.5,
    learning_rate=0.003,
    evaluate_every_epochs=1,
    threads=1,
    device="cpu",
)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that a training is made of, from its saved state."""
    content = torch.load(folder / "state.pt", weights_only=True)
    found = dict(content["students"][0])
    for number, entry in content["optimiser"]["state"].items():
        found |= {f"optimiser.{number}.{name}": value for name, value in entry.items()}
    found |= {f"average.{name}": value for name, value in content["average"].items()}
    return found


def test_a_training_writes_all_that_it_promises(small_market: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"start_size_share": 0.5, "memory_map": True})
    summary = train(settings, [small_market], tmp_path, resume=False)
    assert summary["finished"]
    assert summary["test"]["small_market0"]["queries"] == 8
    assert 0 <= summary["held_out"]["expected_calibration_error"] <= 1

    checkpoint = load_checkpoint(tmp_path / "osnet_x0_25.safetensors")
    assert checkpoint.facts["test"] == summary["test"]
    assert checkpoint.facts["recipe_sha256"] == summary["recipe_sha256"]
    assert (checkpoint.preprocessing.height, checkpoint.preprocessing.width) == (64, 32)
    assert checkpoint.metric == "cosine"
    assert checkpoint.calibration.center.any()
    assert build_embedder(ReidSettings(weights=str(tmp_path / "osnet_x0_25.safetensors"), backend="torch"))

    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["height_px"] for row in rows] == ["32", "64"]
    assert all(0 <= float(row["mAP"]) <= 100 for row in rows)
    assert all(float(row["pictures_per_s"]) > 0 for row in rows)
    card = (tmp_path / "osnet_x0_25.md").read_text()
    assert "small_market0, 8 queries, 30 gallery pictures" in card
    assert "learning_rate: 0.003" in card
    assert [path.name for path in tmp_path.glob(".*")] == [".omnitrack"]  # nothing unfinished

    with pytest.raises(InputError, match="--resume"):
        train(settings, [small_market], tmp_path, resume=False)
    with pytest.raises(InputError, match="other settings"):
        train(settings.model_copy(update={"margin": 0.5}), [small_market], tmp_path, resume=True)


def test_interrupted_and_resumed_is_as_uninterrupted(small_market: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"ema_decay": 0.9, "students": 2, "center_weight": 0.01, "colour_jitter": 0.1})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(settings, [small_market], whole, resume=False, stop_after_steps=7)["step"] == 7
    train(settings, [small_market], parts, resume=False, stop_after_steps=2)
    train(settings, [small_market], parts, resume=True, stop_after_steps=5)
    train(settings, [small_market], parts, resume=True, stop_after_steps=7)
    expected, found = tensors(whole), tensors(parts)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


def test_the_process_is_left_as_it_was(small_market: Path, tmp_path: Path) -> None:
    """Thread count and the rounding of the smallest floats are the whole process's, also after a failure."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        train(SMALL, [small_market], tmp_path / "ended", resume=False, stop_after_steps=1)
        with pytest.raises(InputError):
            train(SMALL, [tmp_path / "nowhere"], tmp_path / "failed", resume=False)
        assert torch.get_num_threads() == 3
        assert sys.float_info.min / 2 > 0
        torch.set_flush_denormal(True)
        train(SMALL, [small_market], tmp_path / "flushed", resume=False, stop_after_steps=1)
        assert sys.float_info.min / 2 == 0
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def test_training_learns(small_market: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"epochs": 9, "erase_probability": 0.0, "evaluate_every_epochs": 8})
    train(settings, [small_market], tmp_path, resume=False, stop_after_steps=26)
    with (tmp_path / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_frozen_base_stays_as_it_was(small_market: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    network = OSNETS["osnet_x0_25"](neck="bnneck")
    save_checkpoint(start, Checkpoint("osnet_x0_25", network.state_dict(), neck="bnneck"))
    settings = SMALL.model_copy(update={"start_from": str(start), "frozen_epochs": 2})
    train(settings, [small_market], tmp_path / "second", resume=False, stop_after_steps=3)
    before, after = load_checkpoint(start).state, tensors(tmp_path / "second")
    for name, value in before.items():
        same = torch.equal(value, after[f"network.{name}"])
        assert same != name.startswith("fc."), name


def test_a_classifier_on_top_of_weights_knows_the_people_from_the_start(
    small_market: Path, small_weights: Path, tmp_path: Path
) -> None:
    settings = SMALL.model_copy(update={"start_from": str(small_weights), "learning_rate": 1e-9})
    train(settings, [small_market], tmp_path, resume=False, stop_after_steps=1)
    student = Student(settings, np.zeros(6, np.int64))
    student.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)["students"][0])
    student.network.load_state_dict(load_checkpoint(small_weights).state)
    people = load_training_data(list_training_data([small_market]), 64, 32, 4, 0)
    pictures = load_checkpoint(small_weights).preprocessing.normalise(torch.from_numpy(people.train.pictures))
    with torch.no_grad():
        chosen = student.eval()(pictures)[2].argmax(1).numpy()
    assert (chosen == people.train.person_ids).mean() > 0.9


def test_students_on_top_of_the_same_weights_differ(small_market: Path, small_weights: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"start_from": str(small_weights), "students": 2})
    train(settings, [small_market], tmp_path, resume=False, stop_after_steps=1)
    first, second = torch.load(tmp_path / "state.pt", weights_only=True)["students"]
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    assert not torch.equal(first["network.conv1.conv.weight"], second["network.conv1.conv.weight"])


def test_the_file_that_is_shipped_holds_its_share_of_the_start(small_market: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    network = OSNETS["osnet_x0_25"](neck="bnneck")
    save_checkpoint(start, Checkpoint("osnet_x0_25", network.state_dict(), neck="bnneck"))
    settings = SMALL.model_copy(update={"start_from": str(start), "start_share": 0.75, "epochs": 1})
    train(settings, [small_market], tmp_path / "run", resume=False)
    shipped, best = (
        load_checkpoint(tmp_path / "run" / f"{name}.safetensors").state for name in ("osnet_x0_25", "best")
    )
    name = "conv2.0.conv1.conv.weight"
    expected = 0.75 * load_checkpoint(start).state[name] + 0.25 * best[name]
    torch.testing.assert_close(shipped[name].float(), expected, atol=2e-3, rtol=2e-3)  # half precision


def test_without_a_compiler_a_training_runs_all_the_same(
    small_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    settings = SMALL.model_copy(update={"compile": True, "half": True})  # half precision is for GPUs only
    assert train(settings, [small_market], tmp_path, resume=False, stop_after_steps=1)["step"] == 1
    assert "no-such-compiler isn't there" in caplog.text


def test_a_training_by_time_ends_and_takes_up_its_time_again(small_market: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"hours": 2 / 3600, "epochs": 10_000, "evaluate_every_epochs": 10_000})
    assert not train(settings, [small_market], tmp_path, resume=False, stop_after_steps=FIRST_STEPS + 2)["finished"]
    seconds = torch.load(tmp_path / "state.pt", weights_only=True)["state"]["seconds"]
    assert seconds > 0
    assert train(settings, [small_market], tmp_path, resume=True)["finished"]
    state = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    assert state["seconds"] > 2
    assert state["epoch"] < 10_000
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["learning_rate"]) == pytest.approx(settings.learning_rate * settings.final_rate_share)
    assert rows[-1]["mAP"]  # the last epoch is evaluated, whichever it is


def test_an_exploding_loss_is_said(small_market: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"learning_rate": 9e9, "optimiser": "sgd", "warmup_epochs": 0.0})
    with pytest.raises(RunError, match="learning_rate"):
        train(settings, [small_market], tmp_path, resume=False)


@pytest.mark.parametrize("classification", ["am_softmax", "circle"])
def test_margin_losses_run(small_market: Path, tmp_path: Path, classification: str) -> None:
    settings = SMALL.model_copy(update={"classification": classification, "neck": "relu", "pooling": "gem"})
    assert train(settings, [small_market], tmp_path, resume=False, stop_after_steps=2)["step"] == 2


def test_starting_from_another_architecture_is_refused(small_market: Path, tmp_path: Path, shared_data: Path) -> None:
    public = str(shared_data / "weights" / "osnet_x1_0_msmt17.pth")
    with pytest.raises(InputError, match="osnet_x1_0"):
        train(SMALL.model_copy(update={"start_from": public}), [small_market], tmp_path, resume=False)


@pytest.mark.parametrize("file", sorted(BUNDLED_FOLDER.glob("*.safetensors")), ids=lambda file: file.stem)
def test_a_shipped_recipe_is_still_known(file: Path) -> None:
    """Settings that came later must not turn an older training into another one."""
    facts = load_checkpoint(file).facts
    settings = TrainSettings(**yaml.safe_load(facts["recipe"])["train"])
    assert recipe_sha256(settings, facts["training_data"]) == facts["recipe_sha256"]
    assert facts["recipe_sha256"] in file.with_suffix(".md").read_text()


def test_decoded_pictures_are_mapped_from_a_file(small_market: Path, tmp_path: Path) -> None:
    listing = list_training_data([small_market])
    made = load_training_data(listing, 64, 32, 4, 0, tmp_path)
    (file,) = tmp_path.iterdir()
    changed = file.stat().st_mtime_ns
    again = load_training_data(listing, 64, 32, 4, 0, tmp_path)
    in_memory = load_training_data(listing, 64, 32, 4, 0)
    for part in ("train", "held_out"):
        np.testing.assert_array_equal(getattr(made, part).pictures, getattr(in_memory, part).pictures)
        np.testing.assert_array_equal(getattr(again, part).pictures, getattr(in_memory, part).pictures)
        assert isinstance(getattr(again, part).pictures, np.memmap)
    assert file.stat().st_mtime_ns == changed
    load_training_data(listing, 64, 32, 4, 1, tmp_path)  # other people are held out: another order, another file
    assert len(list(tmp_path.iterdir())) == 2


def test_two_data_sets_keep_their_people_apart(small_market: Path) -> None:
    data = load_training_data(list_training_data([small_market, small_market]), 64, 32, 4, seed=0)
    assert data.people == 16
    assert len(set(data.held_out.person_ids.tolist())) == 4
    assert len(data.train) + len(data.held_out) == 120


def test_a_person_with_one_picture_is_left_out_and_named(
    small_market: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = sorted((small_market / "bounding_box_train").iterdir())[:30]
    for name in (*(file.name for file in known), "0077_c1s1_000001_00.png"):
        (tmp_path / name).write_bytes(known[0].read_bytes())
    with caplog.at_level(logging.WARNING):
        data = load_training_data(list_training_data([tmp_path]), 64, 32, 0, seed=0)
    assert "1 people have one picture only" in caplog.text
    assert "0077_c1s1" in caplog.text
    assert len(data.train) == 30


TWO_PROCESSES = """
import os, sys
from pathlib import Path
import torch
from app.config import TrainSettings
from app.reid.train import loop

made = []

class Kept(loop.Student):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        made.append(self)

loop.Student = Kept
settings = TrainSettings.model_validate_json(sys.argv[1])
data, output, rank = Path(sys.argv[2]), Path(sys.argv[3]), os.environ["RANK"]
loop.train(settings, [data], output, resume=True, stop_after_steps=3)
torch.save(dict(made[0].named_parameters()), output / f"rank{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_stay_in_step(small_market: Path, tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    arguments = [str(script), SMALL.model_dump_json(), str(small_market), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments], env=environment, check=True, timeout=120)
    first, second = (torch.load(tmp_path / "out" / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    torch.manual_seed(SMALL.seed)
    start = dict(Student(SMALL, np.zeros(6, np.int64)).named_parameters())
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)
    assert not torch.equal(first["network.conv1.conv.weight"], start["network.conv1.conv.weight"])
