"""The weights between a start and an end: where they lie, and that their normalisation fits them."""

from __future__ import annotations

import numpy as np
import torch

from app.reid.checkpoint import Checkpoint
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing
from app.reid.train.averaging import averaged


def checkpoint(seed: int) -> Checkpoint:
    torch.manual_seed(seed)
    network = OSNETS["osnet_x0_25"](neck="bnneck")
    return Checkpoint("osnet_x0_25", network.state_dict(), Preprocessing(64, 32), neck="bnneck")


def test_weights_lie_between_and_statistics_are_those_of_the_pictures() -> None:
    start, trained = checkpoint(0), checkpoint(1)
    pictures = np.random.default_rng(0).integers(0, 256, (64, 64, 32, 3)).astype(np.uint8)
    before = {name: value.clone() for name, value in trained.state.items()}
    between = averaged(trained, start, 0.25, pictures, seed=0)
    name = "conv3.0.conv2b.1.conv2.weight"
    torch.testing.assert_close(between.state[name], 0.25 * start.state[name] + 0.75 * trained.state[name])
    assert all(torch.equal(value, before[name]) for name, value in trained.state.items()), "it changed its argument"
    # With statistics of its own, what leaves the last normalisation is spread as normalisation asks for.
    network = between.network().eval()
    with torch.inference_mode():
        vectors = network(between.preprocessing.normalise(torch.from_numpy(pictures)))
    assert vectors.mean(0).abs().max() < 0.05
    assert 0.9 < vectors.std(0).median() < 1.1
    again = averaged(trained, start, 0.25, pictures, seed=0)
    assert all(torch.equal(value, again.state[name]) for name, value in between.state.items())
