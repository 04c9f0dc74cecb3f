"""How far a training is, kept so that it can go on."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from app.errors import InputError
from app.reid.osnet import OSNet
from app.reid.train.student import Student


@dataclass
class State:
    """How far training has come, apart from the tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_mean_average_precision: float = -1.0
    rows: list[dict[str, float]] = field(default_factory=list)


def save_state(
    path: Path,
    state: State,
    recipe: str,
    students: Sequence[Student],
    optimiser: torch.optim.Optimizer,
    average: OSNet | None,
) -> None:
    content = {
        "recipe": recipe,
        "state": {name: getattr(state, name) for name in State.__dataclass_fields__},
        "students": [student.state_dict() for student in students],
        "optimiser": optimiser.state_dict(),
        "average": average.state_dict() if average is not None else {},
    }
    unfinished = path.with_name(f".{path.name}.part")
    torch.save(content, unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_state(
    path: Path, recipe: str, students: Sequence[Student], optimiser: torch.optim.Optimizer, average: OSNet | None
) -> State:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{path}: the saved state is damaged ({error}); start again in another --output") from error
    if content["recipe"] != recipe:
        raise InputError(f"{path}: was made with other settings or data; give those, or start in another --output")
    for student, tensors in zip(students, content["students"], strict=True):
        student.load_state_dict(tensors)
    optimiser.load_state_dict(content["optimiser"])
    if average is not None:
        average.load_state_dict(content["average"])
    return State(**content["state"])
