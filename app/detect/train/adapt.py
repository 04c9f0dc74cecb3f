"""Training our own detector on, on real frames.

Ultralytics' loss, optimiser groups and moving average; the loop is ours, because its trainer knows neither doubtful
labels nor a training that ends at a time and goes on another day.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import DetectorTrainSettings
from app.detect.bundled import BUNDLED_FOLDER
from app.detect.train.distil import FeatureTeacher
from app.detect.train.frames import Sample, batches, read_material
from app.detect.train.loop import shift_scores
from app.detect.train.widen import widen
from app.detect.yolo_weights import find_weights, load_ultralytics, load_weights, save_weights
from app.errors import InputError
from app.system.device import choose_device
from app.system.files import claim_folder
from app.system.memory import keep_freed_memory

_log = logging.getLogger(__name__)

LAST_RATE_SHARE = 0.02
EMA_DECAY = 0.999
EMA_WARMUP_STEPS = 300
STATE_EVERY_S = 300.0
REPORT_EVERY_S = 60.0
LARGEST_GRADIENT = 10.0
WIDENING_NOISE = 0.05
"""In standard deviations of the weights: copies of a channel part, and what was learned is not lost."""


def adapt_detector(
    settings: DetectorTrainSettings, data: Sequence[Path], output: Path, resume: bool = False
) -> dict[str, Any]:
    """Train the weights `settings.start_from` on, on frames with boxes; return what `scores.json` says.

    output gets `state.pt`, from which a training that was cut short goes on, and in the end
    `settings.name`.safetensors with its `.yaml`, and `scores.json`.
    resume: go on from the state.

    Raises InputError for unusable data or weights, for an output folder in use, and if there is nothing to resume.
    """
    state_file, weights = output / "state.pt", output / f"{settings.name}.safetensors"
    if resume and not state_file.is_file():
        raise InputError(f"{output}: nothing to resume, there is no {state_file.name}; leave --resume out")
    if not resume and (state_file.is_file() or weights.is_file()):
        raise InputError(f"{output}: holds a training already; go on with --resume, or give another --output")
    device = choose_device(settings.device, "train_detector.device")
    start = own_weights(settings.start_from)
    claim_folder(output, "training of detector weights", known=[state_file.name])
    model = load_weights(start)
    if settings.widen > 1:
        model = widen(model, settings.widen, WIDENING_NOISE, settings.seed)
    material = read_material(settings, data)
    before = torch.get_num_threads()
    if settings.threads and device.type == "cpu":
        torch.set_num_threads(settings.threads)
    denormals_flushed = torch.set_flush_denormal(True)
    try:
        with keep_freed_memory():
            run = _Run(settings, model, device)
            if resume:
                run.restore(state_file)
            run.train(batches(settings, material, run.step), state_file)
    finally:
        torch.set_num_threads(before)
        if denormals_flushed:
            torch.set_flush_denormal(False)
    finished = run.average.ema.float().eval().cpu()
    finished.names = {0: "person"}
    shift_scores(finished, settings.score_shift)
    save_weights(finished, weights)
    scores = {
        "weights": str(weights),
        "started_from": start.name,
        "steps": run.step,
        "seconds": round(run.seconds, 1),
        "loss": run.loss,
        "settings": settings.model_dump(),
    }
    (output / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return scores


def own_weights(name: str) -> Path:
    """Return the file of bundled weights by name, or of our own weights by path. Raises InputError if not there."""
    bundled = BUNDLED_FOLDER / f"{name}.safetensors"
    path = bundled if bundled.is_file() else Path(name)
    if path.suffix != ".safetensors" or not path.is_file():
        raise InputError(
            f"train_detector.start_from: {name} is neither bundled weights nor a .safetensors file; training goes on "
            "from our own weights only"
        )
    return path


class _Run:
    """A training under way. `step` counts batches, `seconds` the time that all its sessions took."""

    def __init__(self, settings: DetectorTrainSettings, model: Any, device: torch.device) -> None:
        load_ultralytics()
        from ultralytics.cfg import get_cfg
        from ultralytics.utils.torch_utils import ModelEMA

        from app.detect.train.loss import FrameLoss

        self._settings = settings
        self._device = device
        # Without tiles for bfloat16 a CPU is slower with it than without.
        self._half = settings.half and (device.type == "cuda" or torch.cpu._is_amx_tile_supported())
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.model.requires_grad_(True)
        self.model.args = get_cfg()  # the weights of the parts of the loss
        self.average = ModelEMA(self.model, decay=EMA_DECAY, tau=EMA_WARMUP_STEPS)
        self._loss = FrameLoss(self.model)
        self._teacher = None
        if settings.teacher:
            channels = [branch[0].conv.in_channels for branch in self.model.model[-1].cv2]
            self._teacher = FeatureTeacher(find_weights(settings.teacher), channels).to(device)
        trained = [*self.model.parameters(), *(self._teacher.parameters() if self._teacher else ())]
        decayed = [p for p in trained if p.ndim > 1]
        rest = [p for p in trained if p.ndim <= 1]
        self._optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=settings.learning_rate,
        )
        self.step = 0
        self.seconds = 0.0
        self.loss: dict[str, float] = {}

    def train(self, source: Iterator[list[Sample]], state_file: Path) -> None:
        """Train until the time or the pictures are used up; write the state now and then, and at the end."""
        begun = saved = reported = time.monotonic()
        before = self.seconds
        while (done := self._done()) < 1:
            for group in self._optimizer.param_groups:
                group["lr"] = self._settings.learning_rate * self._rate(done)
            self._learn(next(source))
            now = time.monotonic()
            self.seconds = before + now - begun
            if now - reported > REPORT_EVERY_S:
                reported = now
                parts = ", ".join(f"{name} {value:.3f}" for name, value in self.loss.items())
                _log.info("step %d, %.0f s, %.0f %%: %s", self.step, self.seconds, 100 * self._done(), parts)
            if now - saved > STATE_EVERY_S:
                saved = now
                self.save(state_file)
        self.save(state_file)

    def _done(self) -> float:
        """Return the share of the training that lies behind, by time where `hours` are set, else by pictures."""
        settings = self._settings
        if settings.hours:
            return self.seconds / (3600 * settings.hours)
        return self.step * settings.batch / (settings.epochs * settings.pictures)

    def _rate(self, done: float) -> float:
        warmup = self._settings.warmup_epochs * self._settings.pictures / self._settings.batch
        cosine = LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return cosine * min(1.0, (self.step + 1) / max(warmup, 1.0))

    def _learn(self, samples: list[Sample]) -> None:
        pictures = _pictures([sample.image for sample in samples], self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            predicted = self.model(pictures)
            if self._teacher is not None:
                clean = [sample.image if sample.clean is None else sample.clean for sample in samples]
                likeness = self._teacher.loss(_pictures(clean, self._device), predicted["feats"])
        loss, parts = self._loss.of(_to_float(predicted), samples)
        if self._teacher is not None:
            loss = loss + self._settings.teacher_weight * likeness
            parts["teacher"] = float(likeness.detach())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch doesn't say what it takes
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self._optimizer.step()
        self.average.update(self.model)
        self.step += 1
        for name, value in parts.items():
            self.loss[name] = value if name not in self.loss else 0.98 * self.loss[name] + 0.02 * value

    def save(self, file: Path) -> None:
        part = file.with_name(file.name + ".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.ema.state_dict(),
                "teacher": self._teacher.adapters.state_dict() if self._teacher is not None else {},
                "updates": self.average.updates,
                "optimizer": self._optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "loss": self.loss,
            },
            part,
        )
        os.replace(part, file)

    def restore(self, file: Path) -> None:
        """Go on from a state. Raises InputError if it belongs to another network."""
        try:
            state = torch.load(file, map_location=self._device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.ema.load_state_dict(state["average"])
            if self._teacher is not None:
                self._teacher.adapters.load_state_dict(state["teacher"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError, EOFError) as error:
            raise InputError(f"{file}: not the state of this training ({str(error).splitlines()[0]})") from error
        self.average.updates = state["updates"]
        self.step, self.seconds, self.loss = state["step"], state["seconds"], state["loss"]


def _pictures(images: Sequence[NDArray[np.uint8]], device: torch.device) -> torch.Tensor:
    """Return (B, 3, H, W) float32 RGB in [0, 1], channels-last, of (H, W, 3) BGR images."""
    return torch.from_numpy(np.stack(images)).to(device).flip(-1).permute(0, 3, 1, 2).float().div_(255)


def _to_float(predicted: Any) -> Any:
    """Return what the network gives, as float32."""
    if isinstance(predicted, torch.Tensor):
        return predicted.float()
    if isinstance(predicted, dict):
        return {name: _to_float(part) for name, part in predicted.items()}
    return type(predicted)(_to_float(part) for part in predicted)
