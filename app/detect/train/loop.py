"""Training the detector with Ultralytics' trainer, and its finished weights."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from app.config import DetectorTrainSettings
from app.detect.train.pictures import make_images
from app.detect.yolo_weights import load_ultralytics, save_weights
from app.errors import InputError
from app.system.device import choose_device
from app.system.files import claim_folder
from app.system.memory import keep_freed_memory

_log = logging.getLogger(__name__)

NETWORK = Path(__file__).parent / "network.yaml"
LAST_RATE_SHARE = 0.005


def train_detector(
    settings: DetectorTrainSettings, data: Sequence[Path], output: Path, resume: bool = False
) -> dict[str, Any]:
    """Train a person detector and write it into the folder `output`; return its scores.

    output gets `pictures/`, `state/` (Ultralytics' checkpoints and table of epochs), and in the end
    `settings.name`.safetensors with its `.yaml`, and `scores.json`.
    resume: go on after the last finished epoch of an interrupted training.

    Raises InputError for unusable data, for an output folder in use, and if there is nothing to resume.
    """
    state = output / "state" / "weights" / "last.pt"
    weights = output / f"{settings.name}.safetensors"
    if resume and not state.is_file():
        raise InputError(f"{output}: nothing to resume, there is no {state.relative_to(output)}; leave --resume out")
    if not resume and (state.is_file() or weights.is_file()):
        raise InputError(f"{output}: holds a training already; go on with --resume, or give another --output")
    known = [str(state.relative_to(output)), "pictures/recipe.json"]
    claim_folder(output, "training of detector weights", known=known)
    listing = make_images(settings, data, output / "pictures")
    load_ultralytics()
    before = torch.get_num_threads()
    denormals_flushed = torch.set_flush_denormal(True)
    try:
        with keep_freed_memory():
            trainer = _trainer(settings, listing, output, state if resume else None)
            trainer.train()
    finally:
        torch.set_num_threads(before)
        if denormals_flushed:
            torch.set_flush_denormal(False)
    model = trainer.ema.ema.float().eval()
    model.names = {0: "person"}
    shift_scores(model, settings.score_shift)
    model.yaml["largest_person_px"] = settings.largest_person_px
    save_weights(model, weights)
    scores = {
        "weights": str(weights),
        "pictures": settings.pictures,
        "epochs": int(trainer.epoch) + 1,
        "seconds": round(time.time() - trainer.train_time_start, 1),
        "composed_AP50": round(float(trainer.metrics["metrics/mAP50(B)"]), 4),
        "composed_AP50_95": round(float(trainer.metrics["metrics/mAP50-95(B)"]), 4),
        "settings": settings.model_dump(),
    }
    (output / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return scores


def shift_scores(model: Any, log_odds: float) -> None:
    """Add `log_odds` to those of every confidence of an `ultralytics` DetectionModel, in place.

    Composed pictures are easier than footage: what is a person in nine of ten boxes there may be one in five elsewhere.
    """
    for branch in model.model[-1].cv3:
        branch[-1].bias.data += log_odds


def _trainer(settings: DetectorTrainSettings, listing: Path, output: Path, state: Path | None) -> Any:
    """Return Ultralytics' DetectionTrainer, ready to go."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    device = choose_device(settings.device, "train_detector.device")
    on_cpu = device.type == "cpu"
    overrides: dict[str, Any] = {
        "model": str(NETWORK),
        "data": str(listing),
        "project": str(output.resolve()),
        "name": "state",
        "exist_ok": True,
        "imgsz": settings.size_px,
        "batch": settings.batch,
        "nbs": settings.batch,  # a step of the optimiser after every batch
        "epochs": settings.epochs,
        "time": settings.hours or None,
        "optimizer": "AdamW",
        "lr0": settings.learning_rate,
        "lrf": LAST_RATE_SHARE,
        "cos_lr": True,
        "momentum": 0.9,
        "weight_decay": settings.weight_decay,
        "warmup_epochs": settings.warmup_epochs,
        "warmup_bias_lr": 0.0,
        "mosaic": settings.mosaic_probability,
        "close_mosaic": settings.plain_epochs,
        "scale": 0.3,
        "translate": 0.1,
        "hsv_h": 0.015,
        "hsv_s": 0.5,
        "hsv_v": 0.3,
        "fliplr": 0.5,
        "erasing": 0.0,
        "workers": settings.workers,
        "seed": settings.seed,
        "deterministic": False,  # on a CPU every step is so as it is; a GPU would take far longer
        "device": str(device) if on_cpu else str(device.index or 0),
        "amp": "bf16" if settings.half and not on_cpu else False,  # True would fetch weights for a check
        "pretrained": False,
        "val": False,
        "plots": False,
        "verbose": False,
        "patience": 0,
    }
    if state is not None:
        overrides["resume"] = str(state)
    trainer = DetectionTrainer(overrides=overrides)
    if on_cpu:
        trainer.add_callback("on_train_start", lambda trainer: _settle_on_cpu(trainer, settings.threads))
    trainer.add_callback("on_train_batch_start", _Cosine(settings.hours))
    trainer.add_callback("on_train_epoch_end", _report)
    return trainer


class _Cosine:
    """Lets the learning rate fall batch by batch; Ultralytics would do it once in an epoch, of which there may be few.

    With `hours`, it falls with the time that has passed, so that it ends low at whatever speed.
    """

    def __init__(self, hours: float) -> None:
        self._hours = hours
        self._epoch = -1
        self._batch = 0

    def __call__(self, trainer: Any) -> None:
        self._batch = self._batch + 1 if trainer.epoch == self._epoch else 0
        self._epoch = trainer.epoch
        if self._hours:
            done = (time.time() - trainer.train_time_start) / (self._hours * 3600)
        else:
            done = (trainer.epoch + self._batch / len(trainer.train_loader)) / trainer.epochs
        share = max(LAST_RATE_SHARE, (1 + math.cos(math.pi * min(done, 1.0))) / 2)
        for group in trainer.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share


def _settle_on_cpu(trainer: Any, threads: int) -> None:
    """Set the threads, which the trainer has chosen for itself by now, and the order of pixels that is fastest."""
    if threads:
        torch.set_num_threads(threads)
    trainer.model.to(memory_format=torch.channels_last)


def _report(trainer: Any) -> None:
    losses = ", ".join(f"{name} {value:.3f}" for name, value in trainer.label_loss_items(trainer.tloss).items())
    seconds = time.time() - trainer.epoch_time_start
    _log.info("epoch %d of %d: %s (%.0f s)", trainer.epoch + 1, trainer.epochs, losses, seconds)
