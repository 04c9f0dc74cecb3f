"""The optimiser, and the learning rate and picture size at each point of a training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from app.config import TrainSettings

FIRST_STEPS = 6
"""Steps of a process that `Clock` does not count."""


def _adam(groups: Any, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, settings.learning_rate, fused=True)


def _amsgrad(groups: Any, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, settings.learning_rate, amsgrad=True, fused=True)


def _adamw(groups: Any, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, settings.learning_rate, fused=True)


def _sgd(groups: Any, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


OPTIMISERS: dict[str, Callable[[Any, TrainSettings], torch.optim.Optimizer]] = {
    "adam": _adam,
    "amsgrad": _amsgrad,
    "adamw": _adamw,
    "sgd": _sgd,
}


def build_optimiser(
    base: Sequence[nn.Parameter], head: Sequence[nn.Parameter], settings: TrainSettings
) -> torch.optim.Optimizer:
    """Return the optimiser over the network's base and everything after it.

    Each group carries `share`: its learning rate as a share of the schedule's. Biases and normalisation are not
    decayed.
    """
    groups = []
    for parameters, share in ((base, settings.base_rate_share), (head, 1.0)):
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "share": share})
        groups.append({"params": others, "weight_decay": 0.0, "share": share})
    return OPTIMISERS[settings.optimiser](groups, settings)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def learning_rate(progress: float, settings: TrainSettings) -> float:
    """Return the rate after `progress` epochs (fractions count): warm-up, then cosine or steps.

    With `restart_epochs` the cosine starts again after that many epochs (SGDR: Loshchilov & Hutter, ICLR 2017).
    """
    if progress < settings.warmup_epochs:
        return settings.learning_rate * (0.01 + 0.99 * progress / settings.warmup_epochs)
    if settings.schedule == "steps":
        passed = sum(progress >= epoch for epoch in settings.step_epochs)
        return settings.learning_rate * settings.step_factor**passed
    length = settings.restart_epochs or settings.epochs - settings.warmup_epochs
    done = progress - settings.warmup_epochs
    share = (done % length) / length if settings.restart_epochs else min(done / length, 1.0)
    lowest = settings.final_rate_share
    return settings.learning_rate * (lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * share)))


def crop_height(epoch: int, settings: TrainSettings) -> int:
    """Return the height in pixels of an epoch's pictures: a multiple of 16 that grows from small to full size.

    Small pictures cost a fraction of the time, and what is learned on them carries over.
    """
    end = settings.grow_until_share * settings.epochs
    grown = min(1.0, epoch / end) if end else 1.0
    share = settings.start_size_share + (1 - settings.start_size_share) * grown
    return min(settings.height_px, max(32, round(settings.height_px * share / 16) * 16))


class Clock:
    """How much of a training is done: by epochs, or by time where `train.hours` says how long it may take.

    Time begins when the first steps of a process are over: in those, compilers work.
    """

    def __init__(self, settings: TrainSettings, seconds: float) -> None:
        """seconds: that were trained for by earlier processes."""
        self._epochs = settings.epochs
        self._whole_s = 3600 * settings.hours
        self._before_s = seconds
        self._steps = 0
        self._began = 0.0

    def step_done(self) -> float:
        """Count a step; return the seconds of training so far."""
        self._steps += 1
        if self._steps == FIRST_STEPS:
            self._began = time.monotonic()
        return self._seconds()

    def progress(self, epochs_done: float) -> float:
        """Return how far the schedule is, in epochs."""
        if not self._whole_s:
            return epochs_done
        return self._epochs * min(1.0, self._seconds() / self._whole_s)

    def over(self, epochs_done: int) -> bool:
        """Return whether the epoch that has just ended was the last."""
        return self._seconds() >= self._whole_s if self._whole_s else epochs_done >= self._epochs

    def _seconds(self) -> float:
        return self._before_s + (time.monotonic() - self._began if self._steps >= FIRST_STEPS else 0.0)
