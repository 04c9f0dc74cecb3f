"""Learning from a finished network: what it answers, and that a student comes to answer likewise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from app.config import TrainSettings
from app.errors import InputError
from app.reid.checkpoint import load_checkpoint
from app.reid.train.loop import train
from app.reid.train.losses import directions_apart
from app.reid.train.teacher import Teacher

CPU = torch.device("cpu")


def test_a_teacher_answers_as_its_weights_do(small_weights: Path) -> None:
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    pictures = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = load_checkpoint(small_weights).network()(pictures)
    torch.testing.assert_close(teacher.vectors(pictures), expected, rtol=1e-3, atol=1e-4)


def test_a_student_may_see_smaller_pictures_than_its_teacher(small_weights: Path) -> None:
    teacher = Teacher(str(small_weights), CPU, compile_network=False)
    pictures = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    small = functional.interpolate(pictures, (32, 16), mode="bilinear", antialias=True)
    large = functional.interpolate(small, (64, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(teacher.vectors(small), teacher.vectors(large))


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
    pictures = torch.randn(16, 3, 64, 32, generator=torch.Generator().manual_seed(0))
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
