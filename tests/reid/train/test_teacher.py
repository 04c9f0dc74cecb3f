"""Learning from a finished network: what it answers, and that a student comes to answer likewise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from app.config import TrainSettings
from app.errors import InputError
from app.reid.checkpoint import load_checkpoint
from app.reid.preprocess import Preprocessing
from app.reid.train.data import list_training_data, load_training_data
from app.reid.train.loop import train
from app.reid.train.losses import directions_apart
from app.reid.train.teacher import Teacher, likeness_vectors

CPU = torch.device("cpu")


def test_a_teacher_answers_as_its_weights_do(small_weights: Path) -> None:
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    pictures = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = functional.normalize(load_checkpoint(small_weights).network()(pictures))
    torch.testing.assert_close(teacher.vectors(pictures), expected, rtol=1e-3, atol=1e-4)


def test_a_student_may_see_smaller_pictures_than_its_teacher(small_weights: Path) -> None:
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    pictures = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    small = functional.interpolate(pictures, (32, 16), mode="bilinear", antialias=True)
    large = functional.interpolate(small, (64, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(teacher.vectors(small), teacher.vectors(large))


def test_what_all_pictures_share_is_no_part_of_the_lesson(small_weights: Path) -> None:
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    shown = np.random.default_rng(0).integers(0, 256, (20, 64, 32, 3), np.uint8)
    teacher.center_on(shown, Preprocessing(64, 32), CPU)
    lesson = teacher.vectors(Preprocessing(64, 32).normalise(torch.from_numpy(shown)))
    torch.testing.assert_close(lesson.mean(0), torch.zeros(512), rtol=0, atol=1e-5)
    assert lesson.norm(dim=1).min() > 1e-3


def test_likenesses_of_several_networks_are_averaged_and_kept(small_weights: Path, tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (10, 64, 32, 3), np.uint8)
    one = likeness_vectors([str(small_weights)], shown, tmp_path)
    assert one.shape == (10, 512)
    both = likeness_vectors([str(small_weights), str(small_weights)], shown, tmp_path)
    np.testing.assert_allclose(both @ both.T, one @ one.T, atol=1e-5)  # the mean of the same twice
    np.testing.assert_allclose((one @ one.T).diagonal(), 1, atol=1e-5)
    (kept,) = tmp_path.iterdir()
    np.save(kept, np.zeros((10, 512), np.float32))
    assert not likeness_vectors([str(small_weights)], shown, tmp_path).any()  # read, not computed again
    assert likeness_vectors([str(small_weights)], shown[:5], tmp_path).any()  # other pictures, another file
    assert likeness_vectors([], shown, tmp_path).shape == (10, 0)


def test_all_that_teaches_goes_together_and_a_stopped_training_goes_on_as_if_it_had_not(
    small_market: Path, small_weights: Path, tmp_path: Path
) -> None:
    settings = TrainSettings(
        architecture="osnet_x0_25", height_px=64, width_px=32, epochs=2, people_per_batch=4, pictures_per_person=2,
        held_out_people=4, evaluate_every_epochs=2, threads=1, device="cpu", teacher=str(small_weights),
        likeness_teachers=[str(small_weights)], unlabelled=[str(small_market / "bounding_box_test")],
        unlabelled_per_batch=3,
    )  # fmt: skip
    data = [small_market, small_market / "bounding_box_train"]
    train(settings, data, tmp_path / "whole", resume=False)
    assert not train(settings, data, tmp_path / "parts", resume=False, stop_after_steps=3)["finished"]
    train(settings, data, tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "osnet_x0_25.safetensors").state for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)


def test_only_the_direction_counts_and_only_the_student_learns() -> None:
    taught = torch.randn(5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert directions_apart(3 * taught, taught).item() == pytest.approx(0, abs=1e-6)
    assert directions_apart(-taught, taught).item() == pytest.approx(2)
    own = torch.ones(5, 8, requires_grad=True)
    directions_apart(own, taught).backward()
    assert own.grad is not None
    assert own.grad.abs().sum() > 0
    assert taught.grad is None


def test_an_imitating_student_comes_nearer_to_its_teacher(
    small_market: Path, small_weights: Path, tmp_path: Path
) -> None:
    """The same steps from the same beginning, with and without a teacher."""
    settings = TrainSettings(
        architecture="osnet_x0_25", height_px=64, width_px=32, epochs=6, people_per_batch=4, pictures_per_person=2,
        held_out_people=4, warmup_epochs=0.5, learning_rate=0.003, evaluate_every_epochs=6, erase_probability=0.0,
        threads=1, device="cpu",
    )  # fmt: skip
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    shown = load_training_data(list_training_data([small_market]), 64, 32, 4, seed=0)
    teacher.center_on(shown.train.pictures, Preprocessing(64, 32), CPU)
    # Of the people it learned from: ten are too few to say how others differ from them.
    pictures = Preprocessing(64, 32).normalise(torch.from_numpy(shown.train.pictures))
    apart = {}
    for name, update in (("alone", {}), ("taught", {"teacher": str(small_weights), "teacher_weight": 10.0})):
        train(settings.model_copy(update=update), [small_market], tmp_path / name, resume=False)
        network = load_checkpoint(tmp_path / name / "osnet_x0_25.safetensors").network()
        with torch.no_grad():
            apart[name] = directions_apart(network(pictures), teacher.vectors(pictures)).item()
    assert apart["taught"] < apart["alone"] - 0.05
    assert f"and imitating {small_weights}." in (tmp_path / "taught" / "osnet_x0_25.md").read_text()


def test_a_teacher_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody"):
        Teacher("nobody.safetensors", CPU, compile_network=False)
