"""The average of the weights that a training began with and those that it ended with.

What came before knows other footage better, what came after the data that was trained on; between the two lies, for one
path of training, a network that is good at both (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022). Its activations are those of neither, so the statistics of all normalisations are taken anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.reid.checkpoint import Checkpoint

PICTURES = 1536
"""Training pictures from which the statistics are taken."""

BATCH = 128


def averaged(
    trained: Checkpoint, start: Checkpoint, share: float, pictures: NDArray[np.uint8], seed: int
) -> Checkpoint:
    """Return a checkpoint with `share` of the weights of `start` and the rest of those of `trained`.

    pictures: (N, H, W, 3) uint8 BGR, what was trained on. What `start` does not have stays as it was trained.
    """
    state = {
        name: torch.lerp(value.float(), start.state[name].float(), share)
        if value.is_floating_point() and name in start.state
        else value
        for name, value in trained.state.items()
    }
    network = replace(trained, state=state).network().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for batch in _batches(pictures, seed):
            network(trained.preprocessing.normalise(batch))
    return replace(trained, state=network.eval().state_dict())


def _batches(pictures: NDArray[np.uint8], seed: int) -> Iterator[Tensor]:
    rows = np.random.default_rng(seed).permutation(len(pictures))[:PICTURES]
    for start in range(0, len(rows), BATCH):
        chosen = rows[start : start + BATCH]
        if len(chosen) > 1:  # a batch of one has no variance
            yield torch.from_numpy(pictures[chosen])
