"""The record of a training, read back as its users read it."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.reid.train.record import COLUMNS, epoch_record


def row(epoch: int, loss: float, **scores: float) -> dict[str, float]:
    return {"epoch": epoch, "loss": loss, "learning_rate": 0.1, "height_px": 64, "pictures_per_s": 5.0, **scores}


def test_a_resumed_training_is_recorded_as_an_uninterrupted_one(tmp_path: Path) -> None:
    with epoch_record(tmp_path, 0) as record:
        record([row(1, 9.0)])
        record([row(1, 9.0), row(2, 8.0)])
    time.sleep(1.1)  # TensorBoard orders files by the second in their names
    with epoch_record(tmp_path, 1) as record:  # epoch 2 was not saved before the interruption, and is repeated
        record([row(1, 9.0), row(2, 7.0, mAP=50.0, rank1=60.0)])

    with (tmp_path / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert [line["loss"] for line in lines] == ["9.0", "7.0"]
    assert [line["mAP"] for line in lines] == ["", "50.0"]
    assert not list(tmp_path.glob(".*"))

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 9.0), (2, 7.0)]
    assert [(event.step, event.value) for event in events.Scalars("mAP")] == [(2, 50.0)]
