"""A small data set of made-up people: everyone has their own colours, and every picture its own noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


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
