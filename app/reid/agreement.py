"""What a network sees alike in two pictures of people: where their similarity comes from, place by place.

The vector of an OSNet is a linear layer over the mean of its last maps, cut off at zero. For a given pair the cut-offs
are known, so the cosine of two centred vectors is a sum over the places of either picture's maps, plus what centring
takes away everywhere alike (similarity attribution: Stylianou, Souvenir and Pless, "Visualizing Deep Similarity
Networks", WACV 2019). A place that adds to the cosine speaks for one person, one that takes from it against. That is
what the network went by, and no proof of who is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.reid.checkpoint import Checkpoint
from app.reid.preprocess import scale

FOR, AGAINST = (60, 170, 40), (40, 40, 220)
"""BGR of what speaks for one person and of what speaks against."""

CELL = (256, 128)
"""Height and width, in pixels, of a crop in the picture."""

GAP = 8
"""Pixels between two crops."""

HEADING = 26
"""Height, in pixels, of the line above a pair."""

STRONGEST = 0.65
"""How much of its colour the place shows that says the most; the rest is the crop."""


def agreement_maps(
    checkpoint: Checkpoint, crops: Sequence[NDArray[np.uint8]], pairs: Sequence[tuple[int, int]]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return, for each pair of crops, the (h, w) float32 shares of their cosine in the one and in the other; those of
    either add up to it.

    crops: (H, W, 3) uint8 BGR, of any size. pairs: two rows of `crops` each. The cosine is that of the centred vectors
    (`Calibration.centered`). Raises InputError for an exported network, whose maps cannot be read.
    """
    network = checkpoint.network()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    size = (checkpoint.preprocessing.height, checkpoint.preprocessing.width)
    pictures = torch.from_numpy(np.stack([scale(crop, *size) for crop in crops]))
    with torch.no_grad():
        every_map = network.feature_maps(checkpoint.preprocessing.normalise(pictures))
    shares = []
    for pair in pairs:
        maps = every_map[list(pair)].requires_grad_(True)
        raw = network.before_and_after_neck(maps)[1]
        # The lengths are held: they scale a vector as a whole and say nothing of a place.
        unit = raw / raw.detach().norm(dim=1, keepdim=True).clamp_min(1e-12)
        moved = unit - torch.from_numpy(checkpoint.calibration.center)
        centered = moved / moved.detach().norm(dim=1, keepdim=True).clamp_min(1e-12)
        cosine = float((centered[0] @ centered[1]).detach())
        own = [_share(centered[row] @ centered[1 - row].detach(), maps, row, cosine) for row in (0, 1)]
        shares.append((own[0], own[1]))
    return shares


def _share(similarity: Tensor, maps: Tensor, row: int, cosine: float) -> NDArray[np.float32]:
    """Return what each place of the maps of one crop adds to the cosine, (h, w)."""
    (slope,) = torch.autograd.grad(similarity, maps, retain_graph=True)
    share = (slope[row] * maps[row]).sum(0).detach()
    return (share + (cosine - share.sum()) / share.numel()).numpy().astype(np.float32)


def agreement_image(
    checkpoint: Checkpoint, crops: Sequence[NDArray[np.uint8]], pairs: Sequence[tuple[int, int, str]]
) -> NDArray[np.uint8]:
    """Draw pairs of crops, one below another: both as they are, then both with what speaks for and against.

    crops: (H, W, 3) uint8 BGR.  pairs: two rows of `crops` and the line above them, in ASCII.
    Returns (H, W, 3) uint8 BGR. Green places speak for one person, red ones against, more the stronger they are.
    """
    width = 4 * CELL[1] + 5 * GAP
    rows = []
    every_map = agreement_maps(checkpoint, crops, [(first, second) for first, second, _ in pairs])
    for (first, second, heading), maps in zip(pairs, every_map, strict=True):
        strongest = max(float(np.abs(part).max()) for part in maps) or 1.0
        plain = [cv2.resize(crops[row], CELL[::-1], interpolation=cv2.INTER_AREA) for row in (first, second)]
        marked = [_marked(crop, part / strongest) for crop, part in zip(plain, maps, strict=True)]
        row = np.full((HEADING + CELL[0] + GAP, width, 3), 255, np.uint8)
        cv2.putText(row, heading, (GAP, HEADING - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        for column, cell in enumerate([*plain, *marked]):
            left = GAP + column * (CELL[1] + GAP)
            row[HEADING : HEADING + CELL[0], left : left + CELL[1]] = cell
        rows.append(row)
    return np.concatenate(rows)


def _marked(crop: NDArray[np.uint8], share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a crop of `CELL` with the colours of (h, w) shares in -1..1 laid over it."""
    smooth = cv2.resize(np.asarray(share, np.float32), CELL[::-1], interpolation=cv2.INTER_LINEAR)[:, :, None]
    grey = np.repeat(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[:, :, None], 3, axis=2).astype(np.float32)
    colour = np.where(smooth > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    weight = STRONGEST * np.abs(smooth)
    return np.clip(np.rint((1 - weight) * grey + weight * colour), 0, 255).astype(np.uint8)
