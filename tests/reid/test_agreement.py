"""What speaks for and against one person: shares that add up, and lie where pictures agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.reid.agreement import CELL, GAP, HEADING, agreement_image, agreement_maps
from app.reid.calibrate import Calibration
from app.reid.checkpoint import Checkpoint, load_checkpoint
from app.reid.embedder import require_weights
from app.reid.osnet import OSNETS, Neck, Pooling
from app.reid.preprocess import Preprocessing, scale


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint(require_weights("auto", "reid.weights"))


def striped(colours: list[tuple[int, int, int]]) -> np.ndarray:
    """A picture of (H, W) 240 × 120 with bands of colour from the top to the bottom, a little noisy."""
    rows = np.repeat(np.array(colours, np.float64), 240 // len(colours), axis=0)
    noise = np.random.default_rng(0).normal(0, 6, (240, 120, 3))
    return np.clip(rows[:, None, :] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("pooling", "neck"), [("average", "relu"), ("gem", "bnneck")])
def test_shares_add_up_to_the_cosine(pooling: Pooling, neck: Neck) -> None:
    torch.manual_seed(1)
    network = OSNETS["osnet_x0_25"](pooling=pooling, neck=neck)
    center = np.random.default_rng(2).uniform(0, 0.05, 512).astype(np.float32)
    usual = Calibration.default(512)
    calibration = Calibration(center, usual.distances, usual.probabilities)
    checkpoint = Checkpoint(
        "osnet_x0_25",
        network.state_dict(),
        Preprocessing(128, 64),
        calibration,
        pooling,
        neck,
    )
    crops = [striped([(200, 30, 30), (20, 20, 20)]), striped([(30, 30, 200), (20, 20, 20)])]
    [(first, second)] = agreement_maps(checkpoint, crops, [(0, 1)])
    assert first.shape == second.shape == (8, 4)
    assert first.sum() == pytest.approx(second.sum(), abs=1e-4)
    with torch.inference_mode():
        pictures = torch.from_numpy(np.stack([scale(crop, 128, 64) for crop in crops]))
        raw = checkpoint.network()(checkpoint.preprocessing.normalise(pictures)).numpy()
    rows = calibration.centered(raw / np.linalg.norm(raw, axis=1, keepdims=True))
    assert first.sum() == pytest.approx(float(rows[0] @ rows[1]), abs=1e-4)


def test_the_half_that_differs_takes_from_the_cosine(bundled: Checkpoint) -> None:
    """Beside the same picture twice, where nothing differs, the half that was changed loses most of what is lost."""
    shirt, trousers = (60, 60, 210), (120, 60, 20)
    worn = striped([shirt, trousers])
    alike = agreement_maps(bundled, [worn], [(0, 0)])[0][0]
    half = len(alike) // 2
    for other, changed in (([shirt, (230, 230, 230)], 1), ([(60, 200, 60), trousers], 0)):
        lost = alike - agreement_maps(bundled, [worn, striped(other)], [(0, 1)])[0][0]
        by_half = (lost[:half].sum(), lost[half:].sum())
        assert by_half[changed] > by_half[1 - changed]


def test_the_picture_shows_pairs_in_colour(bundled: Checkpoint) -> None:
    crops = [striped([(60, 60, 210), (120, 60, 20)]), striped([(60, 60, 210), (230, 230, 230)])]
    sheet = agreement_image(bundled, crops, [(0, 1, "1 and 2"), (0, 0, "1 and 1")])
    assert sheet.shape == (2 * (HEADING + CELL[0] + GAP), 4 * CELL[1] + 5 * GAP, 3)
    marked = sheet[HEADING : HEADING + CELL[0], 2 * (CELL[1] + GAP) + GAP :].astype(int)
    greener = marked[..., 1] - marked[..., 2]
    half = CELL[0] // 2
    assert greener[:half].mean() > greener[half:].mean()
