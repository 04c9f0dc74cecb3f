"""A trained network whose vectors a smaller one learns to make: what is shipped for a CPU imitates what needs a GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from app.config import ReidSettings
from app.reid.calibrate import unit_rows
from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import embedder_of, fuse_batch_norms, require_weights
from app.reid.preprocess import Preprocessing
from app.reid.train.compiling import compiled
from app.reid.train.transforms import resized

CENTERED_ON = 512
"""So many pictures, spread over the training set, say what all vectors of a teacher have in common."""


class Teacher:
    """Finished weights that answer for the very pictures that a student sees, changes and all.

    A teacher has to be "patient and consistent" (Beyer et al., "Knowledge distillation: A good teacher is patient and
    consistent", CVPR 2022): vectors of the unchanged pictures, computed once, would teach less.
    """

    def __init__(self, weights: str, device: torch.device, compile_network: bool) -> None:
        """weights: a file or a bundled name. Raises InputError if there is none, or for an exported network."""
        checkpoint = load_checkpoint(require_weights(weights, "train.teacher"))
        self._size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
        network = checkpoint.network().requires_grad_(False)
        fuse_batch_norms(network)
        network.to(device).to(memory_format=torch.channels_last)
        self._network = compiled(network, device) if compile_network else network
        self._center = torch.zeros((), device=device)

    def center_on(self, pictures: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device) -> None:
        """Answer with what sets a picture apart from these (N, H, W, 3) uint8 BGR ones.

        The paper's head ends in a ReLU, so that all its vectors point the same way: what they share would take most of
        the loss and teaches nothing.
        """
        shown = pictures[:: max(1, len(pictures) // CENTERED_ON)]
        self._center = torch.zeros((), device=device)
        batches = [torch.from_numpy(shown[start : start + 64]).to(device) for start in range(0, len(shown), 64)]
        self._center = torch.cat([self.vectors(preprocessing.normalise(batch)) for batch in batches]).mean(0)

    @torch.no_grad()
    def vectors(self, normalised: Tensor) -> Tensor:
        """Return (N, 512) float32 unit vectors, less their centre, of normalised (N, 3, H, W) pictures of any size."""
        answers = self._network(resized(normalised.float(), *self._size)).float()
        return functional.normalize(answers) - self._center


def likeness_vectors(weights: Sequence[str], pictures: NDArray[np.uint8], cache: Path) -> NDArray[np.float32]:
    """Return (N, D) rows whose products are the mean likeness that finished networks find between pictures.

    weights: files or bundled names; D is 512 for each. A likeness is a cosine about the network's own centre.
    pictures: (N, H, W, 3) uint8 BGR, as they are: however a picture is changed for the student, whom it resembles is
        said by what the unchanged one shows. That also lets a teacher be large, since each picture is read once.
    cache: a folder where the answers of each network are kept for a training that is taken up again.
    """
    if not weights:
        return np.zeros((len(pictures), 0), np.float32)
    parts = []
    for name in weights:
        path = require_weights(name, "train.likeness_teachers")
        told = hashlib.sha256(path.read_bytes())
        told.update(
            np.ascontiguousarray(pictures[:: max(1, len(pictures) // 64)]).tobytes() + str(len(pictures)).encode()
        )
        kept = cache / f"likeness_{told.hexdigest()[:16]}.npy"
        if kept.is_file():
            vectors = np.load(kept, allow_pickle=False)
        else:
            embedder = embedder_of(load_checkpoint(path), ReidSettings(weights=str(path), device="auto"))
            chunks = [embedder.raw_vectors(list(pictures[at : at + 256])) for at in range(0, len(pictures), 256)]
            vectors = unit_rows(np.concatenate([np.zeros((0, embedder.dimension), np.float32), *chunks]))
            unfinished = kept.with_suffix(".part.npy")
            np.save(unfinished, vectors)
            unfinished.replace(kept)
        parts.append(unit_rows(vectors - vectors.mean(axis=0)) if len(vectors) else vectors)
    return np.asarray(np.concatenate(parts, axis=1) / np.sqrt(len(parts)), np.float32)
