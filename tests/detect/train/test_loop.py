"""A training of a few steps on tiny pictures: ends in weights that load, can be resumed, refuses bad requests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from app.config import DetectorTrainSettings, DetectSettings
from app.detect import build_detector
from app.detect.train import loop
from app.detect.train.loop import train_detector
from app.detect.train.pictures import label_lines, make_images
from app.detect.yolo_weights import load_ultralytics, load_weights
from app.errors import InputError
from app.frames import Frame

SETTINGS = DetectorTrainSettings(
    name="tiny",
    size_px=64,
    pictures=4,
    held_out_pictures=2,
    scenes=0,
    epochs=2,
    batch=2,
    warmup_epochs=0,
    plain_epochs=1,
    workers=0,
    device="cpu",
    threads=1,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of one person with a mask."""
    folder = tmp_path_factory.mktemp("people")
    for kind in ("images", "labels", "masks"):
        (folder / kind).mkdir()
    image = np.full((64, 48, 3), 120, np.uint8)
    mask = np.zeros((64, 48), np.uint8)
    cv2.rectangle(mask, (16, 8), (31, 55), 255, cv2.FILLED)
    image[mask > 0] = (30, 60, 200)
    cv2.imwrite(str(folder / "images" / "a.png"), image)
    cv2.imwrite(str(folder / "masks" / "a.png"), mask)
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.3333 0.75\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "train").rglob("*.*"))}


def test_pictures_depend_on_seed_and_data_alone_and_are_completed_when_interrupted(data: Path, tmp_path: Path) -> None:
    make_images(SETTINGS, [data], tmp_path / "a")
    make_images(SETTINGS.model_copy(update={"pictures": 2}), [data], tmp_path / "b")
    make_images(SETTINGS, [data], tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 8
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(InputError, match="another seed, size, tallest person or data"):
        make_images(SETTINGS.model_copy(update={"seed": 1}), [data], tmp_path / "a")
    make_images(SETTINGS.model_copy(update={"seed": 1}), [data], tmp_path / "c")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_several_processes_compose_the_same_pictures(data: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 0), ("two", 2)):
        settings = SETTINGS.model_copy(update={"workers": workers, "scenes": 2})
        make_images(settings, [data], tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_label_lines_are_shares_of_the_picture() -> None:
    assert label_lines(np.array([[0, 32, 64, 64]], np.float32), 64) == "0 0.500000 0.750000 1.000000 0.500000\n"


def test_an_interrupted_training_is_resumed_and_ends_in_weights_that_load(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run"
    threads = torch.get_num_threads()
    told = loop._report

    def stop(trainer: object) -> None:
        if trainer.epoch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_report", stop)
    with pytest.raises(KeyboardInterrupt):
        train_detector(SETTINGS, [data], output)
    monkeypatch.setattr(loop, "_report", told)
    assert torch.get_num_threads() == threads
    assert not (output / "tiny.safetensors").exists()
    with pytest.raises(InputError, match="--resume"):
        train_detector(SETTINGS, [data], output)

    scores = train_detector(SETTINGS, [data], output, resume=True)

    assert scores["epochs"] == 2
    assert (output / "scores.json").is_file()
    model = load_weights(output / "tiny.safetensors")
    assert model.names == {0: "person"}
    assert model.yaml["largest_person_px"] == SETTINGS.largest_person_px
    assert (output / "tiny.safetensors").stat().st_size < 6e6
    fresh = load_weights(output / "tiny.safetensors").state_dict()
    assert all(torch.isfinite(tensor.float()).all() for tensor in fresh.values())
    settings = DetectSettings(weights=str(output / "tiny.safetensors"), backend="torch", device="cpu", min_score=0.0)
    (found,) = build_detector(settings, []).detect([Frame("a", 0, 0.0, np.zeros((64, 96, 3), np.uint8))])
    assert len(found.boxes) > 0
    with pytest.raises(InputError, match="holds a training already"):
        train_detector(SETTINGS, [data], output)


def test_nothing_to_resume_is_said_before_any_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        train_detector(SETTINGS, [data], tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_the_rate_falls_from_batch_to_batch_to_nearly_nothing() -> None:
    class Trainer:
        epoch = 0
        epochs = 2
        train_loader = range(4)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

    trainer = Trainer()
    trainer.optimizer.param_groups[0]["initial_lr"] = 1.0
    schedule = loop._Cosine(hours=0.0)
    rates = []
    for trainer.epoch in range(2):
        for _ in range(4):
            schedule(trainer)
            rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[4] == pytest.approx(0.5)
    assert len(set(rates)) == 8
    assert rates[-1] < 0.05


def test_a_shift_moves_every_confidence_by_its_log_odds() -> None:
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel(str(loop.NETWORK), verbose=False).eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(picture)[0][:, 4].logit()
        loop.shift_scores(model, -0.7)
        after = model(picture)[0][:, 4].logit()
    torch.testing.assert_close(after, before - 0.7, rtol=1e-3, atol=1e-3)
