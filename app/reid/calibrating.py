"""`main.py calibrate-reid`: the pictures of several places through a network, the calibration beside its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app.config import ReidSettings
from app.reid.checkpoint import load_checkpoint
from app.reid.datasets import Pictures, open_people_data
from app.reid.embedder import NetworkEmbedder, embedder_of, require_weights
from app.reid.unseen_places import Place, fit_for_unseen_places, sidecar, write_sidecar

READ_AT_ONCE = 256


def calibrate_reid(weights: str, data: Sequence[Path], trust: bool = False) -> dict[str, Any]:
    """Fit the calibration of weights on places that they were not trained on, write it beside them, and return what
    it says as JSON values.

    data: folders or zip files as `app.reid.datasets` reads them, each one place. Of a set with queries those and its
    gallery are read, since its other pictures are what people train on. trust: see `load_checkpoint`.
    Raises InputError for weights or data that cannot be read, or too few places.
    """
    file = require_weights(weights, "--weights")
    checkpoint = load_checkpoint(file, own_curve=True, trust=trust)
    embedder = embedder_of(checkpoint, ReidSettings(weights=str(file), device="cpu", trust_weights=trust))
    fit = fit_for_unseen_places([_place(path, embedder) for path in data], embedder.calibration)
    write_sidecar(file, embedder.weights_sha256, fit)
    left_out = {name: asdict(place) for name, place in fit.left_out.items()}
    return {"file": str(sidecar(file)), "flattening": fit.flattening, "left_out": left_out}


def _place(path: Path, embedder: NetworkEmbedder) -> Place:
    opened = open_people_data(path)
    parts: list[Pictures] = [opened.query, opened.gallery] if len(opened.query) else [opened.train]
    vectors = [
        embedder.raw_vectors([part.decode(row) for row in range(start, min(start + READ_AT_ONCE, len(part)))])
        for part in parts
        for start in range(0, len(part), READ_AT_ONCE)
    ]
    person_ids = np.concatenate([part.person_ids for part in parts])
    camera_ids = np.concatenate([part.camera_ids for part in parts])
    known = person_ids > 0 if len(opened.query) else np.ones(len(person_ids), np.bool_)  # 0 are many, not one person
    return Place(path.name, np.concatenate(vectors)[known], person_ids[known], camera_ids[known])
