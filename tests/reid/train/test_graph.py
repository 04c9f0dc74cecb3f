"""Recording steps of a training: the order of things with a stand-in for CUDA, and on a GPU that nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from app.reid.train import graph
from app.reid.train.graph import PLAIN_STEPS, RecordedStep


class Stream:
    def wait_stream(self, other: Any) -> None:
        pass


class Recording:
    """Stands in for a CUDA graph: replaying it does again what was recorded."""

    fails = False
    now: Recording | None = None

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def replay(self) -> None:
        for work in self.work:
            work()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> tuple[RecordedStep, list[str]]:
    """A step whose loss is the sum of what it is given, and what became of each call of it."""
    told: list[str] = []

    @contextmanager
    def record(recording: Recording, stream: Stream) -> Iterator[None]:
        Recording.now = recording
        yield
        Recording.now = None
        if Recording.fails:
            raise RuntimeError("not permitted when stream is capturing")

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        yield

    for name, value in (("Stream", Stream), ("CUDAGraph", Recording), ("graph", record), ("stream", on)):
        monkeypatch.setattr(graph.torch.cuda, name, value)
    monkeypatch.setattr(graph.torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(Recording, "fails", False)

    def total(pictures: Tensor, labels: Tensor) -> Tensor:
        told.append("recorded" if Recording.now else "ran")
        loss = torch.zeros(())

        def work() -> None:
            loss.copy_(pictures.sum() + labels.sum())

        if Recording.now:
            Recording.now.work.append(work)
        else:
            work()
        return loss

    return RecordedStep(total), told


def losses(step: RecordedStep, count: int, size: int = 2, frozen: bool = False) -> list[float]:
    found = [step((torch.full((size, 3, 4, 2), float(n)), torch.full((size,), n)), frozen) for n in range(count)]
    return [loss.item() / size for loss in found]  # read in the end: a replay must not overwrite earlier losses


def test_later_steps_replay_a_recording_with_their_own_pictures(step: tuple[RecordedStep, list[str]]) -> None:
    recorded, told = step
    assert losses(recorded, PLAIN_STEPS + 5) == [25.0 * n for n in range(PLAIN_STEPS + 5)]
    assert told == ["ran"] * PLAIN_STEPS + ["recorded"]


def test_another_size_or_thawed_parameters_are_recorded_anew(step: tuple[RecordedStep, list[str]]) -> None:
    recorded, told = step
    for size, frozen in ((2, True), (2, False), (3, False)):
        assert losses(recorded, PLAIN_STEPS + 2, size, frozen)[-1] == 25.0 * (PLAIN_STEPS + 1)
    assert told == (["ran"] * PLAIN_STEPS + ["recorded"]) * 3


def test_where_recording_fails_training_goes_on(
    step: tuple[RecordedStep, list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorded, told = step
    monkeypatch.setattr(Recording, "fails", True)
    assert losses(recorded, PLAIN_STEPS + 4) == [25.0 * n for n in range(PLAIN_STEPS + 4)]
    assert told.count("recorded") == 1
    assert "not permitted when stream is capturing" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_recorded_training_is_as_one_step_after_another() -> None:
    found = []
    for record in (False, True):
        torch.manual_seed(0)
        layer = torch.nn.Linear(12, 5).cuda()
        optimiser = torch.optim.SGD(layer.parameters(), 0.1)

        def run(pictures: Tensor, labels: Tensor, layer: Any = layer, optimiser: Any = optimiser) -> Tensor:
            optimiser.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(layer(pictures.flatten(1)), labels)
            loss.backward()
            return loss.detach()

        recorded = RecordedStep(run) if record else None
        random = torch.Generator("cuda").manual_seed(1)
        for _ in range(10):
            pictures = torch.randn((8, 3, 2, 2), generator=random, device="cuda")
            labels = torch.randint(0, 5, (8,), generator=random, device="cuda")
            _ = recorded(pictures, labels, False) if recorded else run(pictures, labels)
            optimiser.step()
        found.append(layer.weight.detach().cpu())
    torch.testing.assert_close(found[1], found[0])
