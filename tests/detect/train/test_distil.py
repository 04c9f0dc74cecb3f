"""A student comes to see what its teacher sees; nothing of the teacher stays with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.detect.bundled import BUNDLED_FOLDER
from app.detect.train.distil import FeatureTeacher
from app.errors import InputError

OWN = BUNDLED_FOLDER / "person_n.safetensors"
CHANNELS = (48, 64, 128)
"""What `person_n` has in front of its head."""


def features(seed: int, channels: tuple[int, ...] = CHANNELS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, count, 12 >> level, 16 >> level, generator=generator) for level, count in enumerate(channels)]


def test_features_that_tell_the_teachers_cost_nothing_whatever_their_strength() -> None:
    pictures = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    teacher = FeatureTeacher(OWN, CHANNELS)
    for adapter in teacher.adapters:
        torch.nn.init.dirac_(adapter.weight)
        torch.nn.init.zeros_(adapter.bias)
    his = [3 * level + 1 for level in teacher._network[0](pictures)]
    assert [len(level[0]) for level in his] == list(CHANNELS)
    assert teacher.loss(pictures, his).item() == pytest.approx(0, abs=1e-4)
    assert teacher.loss(pictures, features(2)).item() == pytest.approx(1, abs=0.1)


def test_only_the_student_and_the_matrices_learn() -> None:
    teacher = FeatureTeacher(OWN, (5, 6, 7))
    own = [level.requires_grad_() for level in features(0, (5, 6, 7))]
    teacher.loss(torch.rand(2, 3, 96, 128), own).backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in own)
    assert {name.split(".")[0] for name, _ in teacher.named_parameters()} == {"adapters"}
    assert all(value.grad is None for value in teacher._network[0].parameters())


def test_teachers_of_other_kinds_and_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train_detector\.teacher.*3 levels.*has 2"):
        FeatureTeacher(OWN, (8, 8))
    (tmp_path / "stranger.pt").write_bytes(b"no weights")
    with pytest.raises(InputError, match="origin of this one is unknown"):
        FeatureTeacher(tmp_path / "stranger.pt", CHANNELS)
