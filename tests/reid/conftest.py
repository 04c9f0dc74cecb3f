"""A small data set of made-up people: everyone has their own colours, and every picture its own noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.reid.calibrate import Calibration
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing


def picture_of(person: int, random: np.random.Generator, height: int = 64, width: int = 32) -> NDArray[np.uint8]:
    """Draw a (height, width, 3) uint8 picture of a made-up person."""
    colours = np.random.default_rng(person + 1000).integers(0, 256, (4, 2, 3)).astype(np.float32)
    flat = cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.clip(flat + random.normal(0, 20, flat.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Market-1501's layout: 10 people to train on, 4 to test on, a distractor and junk; two cameras."""
    root = tmp_path_factory.mktemp("small_market")
    random = np.random.default_rng(0)
    parts = {"bounding_box_train": range(1, 11), "query": range(20, 24), "bounding_box_test": [-1, 0, *range(20, 24)]}
    for part, people in parts.items():
        (root / part).mkdir()
        for person in people:
            for camera in (1, 2):
                for number in range(1 if part == "query" else 3):
                    # A query's own picture must not be in the gallery: pictures are numbered apart.
                    frame = number + (100 if part == "query" else 0)
                    name = (
                        f"{person:04d}_c{camera}s1_{frame:06d}_00.png" if person >= 0 else f"-1_c{camera}s1_{frame}.png"
                    )
                    cv2.imwrite(str(root / part / name), picture_of(person, random))
    return root


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small calibrated network that answers something different for different pictures."""
    torch.manual_seed(0)
    network = OSNETS["osnet_x0_25"](neck="bnneck")
    network.train()(torch.randn(16, 3, 64, 32))
    typical = Calibration.default(512)
    calibration = Calibration(np.full(512, 0.01, np.float32), typical.distances, typical.probabilities)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    size, facts = Preprocessing(64, 32), {"training_data": "nobody"}
    save_checkpoint(
        file,
        Checkpoint("osnet_x0_25", network.state_dict(), size, calibration, neck="bnneck", metric="cosine", facts=facts),
    )
    return file
