"""What people who were kept apart from training say of a network: how well it ranks, and what its distances mean."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from app.reid.calibrate import Calibration, expected_calibration_error, fit_calibration
from app.reid.evaluate import score_vectors
from app.reid.osnet import OSNet
from app.reid.preprocess import Preprocessing
from app.reid.train.data import LabelledCrops

BATCH = 64


def score_held_out(
    network: OSNet, held_out: LabelledCrops, preprocessing: Preprocessing, device: torch.device
) -> dict[str, float]:
    """Return rank1 and mAP in percent on held-out people; empty without any."""
    if not len(held_out):
        return {}
    query, gallery = queries_and_gallery(held_out)
    vectors = embed_batches(network, held_out.pictures, preprocessing, device)
    scores = score_vectors(
        vectors[query],
        vectors[gallery],
        (held_out.person_ids[query], held_out.camera_ids[query]),
        (held_out.person_ids[gallery], held_out.camera_ids[gallery]),
        "cosine",
    )
    return {"rank1": float(scores["rank1"]), "mAP": float(scores["mAP"])}


def queries_and_gallery(held_out: LabelledCrops) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide held-out pictures for evaluation: the first picture of each person and camera asks, the others answer."""
    both = np.stack([held_out.person_ids, held_out.camera_ids], axis=1)
    _, query = np.unique(both, axis=0, return_index=True)
    return query, np.setdiff1d(np.arange(len(held_out)), query)


@torch.inference_mode()
def embed_batches(
    network: OSNet, pictures: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    """Return (N, 512) vectors of (N, H, W, 3) uint8 BGR pictures; the network is left in the mode it was found in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    vectors = [
        network(preprocessing.normalise(torch.from_numpy(pictures[start : start + BATCH]).to(device))).cpu()
        for start in range(0, len(pictures), BATCH)
    ]
    for module, mode in modes.items():
        module.training = mode
    return torch.cat(vectors).numpy()


def calibrate(vectors: NDArray[np.float32], held_out: LabelledCrops) -> tuple[Calibration, float]:
    """Fit the calibration on all held-out people, and say how good such a fit is.

    vectors: (N, 512) of the held-out pictures. Returns the calibration, and the expected calibration error of one that
    is fitted on one half of the people and tested on the other half, averaged over both ways round.
    """
    people = np.unique(held_out.person_ids)
    first = np.isin(held_out.person_ids, people[::2])
    errors = []
    for fitted, tested in ((first, ~first), (~first, first)):
        half = fit_calibration(vectors[fitted], held_out.person_ids[fitted], held_out.camera_ids[fitted])
        errors.append(
            expected_calibration_error(half, vectors[tested], held_out.person_ids[tested], held_out.camera_ids[tested])
        )
    calibration = fit_calibration(vectors, held_out.person_ids, held_out.camera_ids)
    return calibration, float(np.mean(errors))
