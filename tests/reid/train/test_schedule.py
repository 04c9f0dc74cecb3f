"""Learning rate and picture size over a training."""

from __future__ import annotations

import pytest
import torch

from app.config import TrainSettings
from app.reid.train import schedule
from app.reid.train.schedule import (
    FIRST_STEPS,
    OPTIMISERS,
    Clock,
    build_optimiser,
    crop_height,
    learning_rate,
    set_learning_rate,
)


def test_warm_up_then_cosine() -> None:
    settings = TrainSettings(learning_rate=1.0, epochs=100, warmup_epochs=10, final_rate_share=0.01)
    rates = [learning_rate(epoch, settings) for epoch in range(101)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx((1 + 0.01) / 2)
    assert rates[100] == pytest.approx(0.01)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_cosine_with_restarts() -> None:
    settings = TrainSettings(learning_rate=1.0, epochs=40, warmup_epochs=0, restart_epochs=10, final_rate_share=0.0)
    assert [learning_rate(epoch, settings) for epoch in (0, 10, 20)] == [1.0, 1.0, 1.0]
    assert learning_rate(9.99, settings) < 0.01


def test_steps() -> None:
    settings = TrainSettings(learning_rate=1.0, warmup_epochs=0, schedule="steps", step_epochs=[5, 8], step_factor=0.1)
    assert [learning_rate(epoch, settings) for epoch in (0, 5, 8)] == pytest.approx([1.0, 0.1, 0.01])


def test_pictures_grow_to_full_size() -> None:
    settings = TrainSettings(height_px=128, width_px=64, epochs=10, start_size_share=0.5, grow_until_share=0.5)
    heights = [crop_height(epoch, settings) for epoch in range(10)]
    assert heights[0] == 64
    assert heights == sorted(heights)
    assert heights[5:] == [128] * 5
    assert all(height % 16 == 0 for height in heights)
    assert crop_height(0, TrainSettings()) == 256


@pytest.mark.parametrize("name", OPTIMISERS)
def test_groups_have_their_own_rate_and_decay(name: str) -> None:
    base, head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)
    settings = TrainSettings(optimiser=name, base_rate_share=0.1, weight_decay=0.5, learning_rate=1.0)
    optimiser = build_optimiser(list(base.parameters()), list(head.parameters()), settings)
    set_learning_rate(optimiser, 0.2)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert found[id(base.weight)] == pytest.approx((0.02, 0.5))
    assert found[id(base.bias)] == pytest.approx((0.02, 0.0))
    assert found[id(head.weight)] == pytest.approx((0.2, 0.5))


def test_without_hours_epochs_count() -> None:
    clock = Clock(TrainSettings(epochs=7), seconds=1e9)
    assert clock.progress(3.5) == 3.5
    assert not clock.over(6)
    assert clock.over(7)


def test_with_hours_the_schedule_follows_time_after_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
    clock = Clock(TrainSettings(epochs=50, hours=1.0), seconds=900)
    for _ in range(FIRST_STEPS - 1):
        now[0] += 1000  # a compiler works
        assert clock.step_done() == 900
    assert clock.progress(33) == pytest.approx(50 * 900 / 3600)
    clock.step_done()
    now[0] += 900
    assert clock.step_done() == 1800
    assert clock.progress(33) == pytest.approx(25)
    assert not clock.over(10_000)
    now[0] += 1800
    assert clock.over(1)
    now[0] += 500
    assert clock.progress(1) == 50
