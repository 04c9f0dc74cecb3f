"""The end of a training: calibration on held-out people, test scores, the file to ship and its model card."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from app.config import ReidSettings, TrainSettings
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.datasets import open_people_data
from app.reid.embedder import find_weights
from app.reid.evaluate import evaluate_reid
from app.reid.train.averaging import averaged
from app.reid.train.data import TrainingData
from app.reid.train.held_out import calibrate, embed_batches, score_held_out

log = logging.getLogger(__name__)

LEAST_PEOPLE_TO_CALIBRATE = 4
"""A curve is fitted on one half of the held-out people and checked on the other; strangers need two in each."""

_CHANGES_NO_RESULT = {"device", "threads", "memory_map", "checkpoint_minutes", "compile"}
_NEWER = {
    "likeness_teachers",
    "likeness_weight",
    "unlabelled",
    "unlabelled_per_batch",
    "half_on_cpu",
    "pairs_per_batch",
    "judged_share",
    "policy_probability",
    "start_share",
    "far_probability",
    "hours",
    "teacher",
    "teacher_weight",
    "zoom_share",
}
"""Settings that came after the first weights: left out where they have their defaults, so that an older training is
still known by its recipe and can be resumed."""


def recipe_text(settings: TrainSettings) -> str:
    """Return the recipe as YAML, without the settings that only say where and how fast it runs."""
    usual = type(settings)()
    as_before = {name for name in _NEWER if getattr(settings, name) == getattr(usual, name)}
    return yaml.safe_dump({"train": settings.model_dump(exclude=_CHANGES_NO_RESULT | as_before)}, sort_keys=True)


def recipe_sha256(settings: TrainSettings, data_name: str) -> str:
    """Return what identifies a recipe applied to data."""
    return hashlib.sha256(f"{data_name}\n{recipe_text(settings)}".encode()).hexdigest()


def finish(
    checkpoint: Checkpoint, settings: TrainSettings, people: TrainingData, data: Sequence[Path], output: Path
) -> dict[str, Any]:
    """Write `output`/NAME.safetensors in half precision and the model card NAME.md; return what they record.

    Scores on the data sets' own query and gallery pictures are of the file that is shipped.
    """
    facts: dict[str, Any] = {
        "training_data": people.name,
        "pictures": len(people.train),
        "people": people.people,
        "started_from": settings.start_from,
        "teacher": settings.teacher,
        "recipe": recipe_text(settings),
        "recipe_sha256": recipe_sha256(settings, people.name),
        "test": {},
    }
    start = find_weights(settings.start_from, torch.device("cpu")) if settings.start_from else None
    if start is not None and settings.start_share:
        pictures = people.train.pictures
        checkpoint = averaged(checkpoint, load_checkpoint(start), settings.start_share, pictures, settings.seed)
    calibration = checkpoint.calibration
    if len(np.unique(people.held_out.person_ids)) >= LEAST_PEOPLE_TO_CALIBRATE:
        device = torch.device("cpu")
        network = checkpoint.network()
        vectors = embed_batches(network, people.held_out.pictures, checkpoint.preprocessing, device)
        calibration, error = calibrate(vectors, people.held_out)
        facts["held_out"] = {
            "pictures": len(people.held_out),
            **score_held_out(network, people.held_out, checkpoint.preprocessing, device),
            "expected_calibration_error": error,
        }
    else:
        calibration = load_checkpoint(start).calibration if start else calibration
        log.warning(
            "fewer than %d people are held out (train.held_out_people): the weights are not calibrated, %s is assumed",
            LEAST_PEOPLE_TO_CALIBRATE,
            f"the curve of {start}" if start else "a typical curve",
        )
    file = output / f"{settings.architecture}.safetensors"
    save_checkpoint(file, replace(checkpoint, calibration=calibration, facts=facts), half=True)
    for path in data:
        opened = open_people_data(path)
        if len(opened.query) and len(opened.gallery):
            facts["test"][opened.name] = evaluate_reid(ReidSettings(weights=str(file), device=settings.device), path)
    save_checkpoint(file, replace(checkpoint, calibration=calibration, facts=facts), half=True)
    file.with_suffix(".md").write_text(model_card(file.name, checkpoint, facts), encoding="utf-8")
    return facts


def model_card(name: str, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> str:
    """Return the text that goes beside a weight file."""
    size = checkpoint.preprocessing
    lines = [
        f"# {name}",
        "",
        f"{checkpoint.architecture}, input {size.height} × {size.width} RGB, 512 numbers a person, compared by cosine.",
        f"Made by `main.py train` on {facts['training_data']}: {facts['pictures']} pictures of {facts['people']} "
        f"people, starting from {facts['started_from'] or 'random weights'}"
        + (f" and imitating {facts['teacher']}." if facts["teacher"] else "."),
        "",
        "| tested on | rank-1 | rank-5 | rank-10 | mAP | mINP |",
        "|---|---|---|---|---|---|",
    ]
    for test, scores in facts["test"].items():
        row = " | ".join(f"{scores[key]:.1f}" for key in ("rank1", "rank5", "rank10", "mAP", "mINP"))
        lines.append(f"| {test}, {scores['queries']} queries, {scores['gallery']} gallery pictures | {row} |")
    if "held_out" in facts:
        held_out = facts["held_out"]
        lines += [
            "",
            f"Weights were chosen and calibrated on {held_out['pictures']} pictures of people kept apart from training "
            f"(rank-1 {held_out['rank1']:.1f}, mAP {held_out['mAP']:.1f}); expected calibration error "
            f"{100 * held_out['expected_calibration_error']:.1f} % when fitted on one half of them and measured on the "
            "other.",
        ]
    lines += [
        "",
        "Terms: the pictures' own terms bind what may be done with weights made from them; Market-1501, DukeMTMC-reID, "
        "CUHK03 and MSMT17 are for research only.",
        "",
        "Limits: learned from pedestrians seen by a few cameras in one place. Expect lower scores on other cameras, "
        "clothes and poses; it describes clothing more than faces, so a change of clothes is a change of person.",
        "",
        f"Recipe (sha256 with the data's name: {facts['recipe_sha256']}):",
        "",
        "```yaml",
        facts["recipe"].rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines)
