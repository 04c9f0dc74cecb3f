"""A trained network whose vectors a smaller one learns to make: what is shipped for a CPU imitates what needs a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import fuse_batch_norms, require_weights
from app.reid.train.compiling import compiled
from app.reid.train.transforms import resized


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

    @torch.no_grad()
    def vectors(self, normalised: Tensor) -> Tensor:
        """Return the (N, 512) float32 vectors of normalised (N, 3, H, W) pictures of any size."""
        return self._network(resized(normalised.float(), *self._size)).float()
