"""Recognising a person by appearance: OSNet, its preprocessing, checkpoints, embedding and evaluation.

`Embedder` is the seam. Importing this package imports no torch; the modules that need it do so themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.reid.calibrate import Calibration


class Embedder(Protocol):
    """Turns boxes in pictures into appearance vectors."""

    name: str
    """What the embedder is, for the closing table and `run.json`: for example `osnet_x0_25 (openvino, cpu)`."""

    weights_sha256: str
    """sha256 of the weight file: a run must not mix two of them."""

    dimension: int
    """Length D of a vector."""

    calibration: Calibration
    """How a distance between two of its vectors becomes a probability."""

    def embed(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating[Any]]]
    ) -> list[NDArray[np.float32]]:
        """Embed boxes of several pictures as one batch.

        images: full frames, (H, W, 3) uint8 BGR each, of any sizes.
        boxes: for each picture its (Ni, 4) x1 y1 x2 y2 in pixels; may reach beyond the picture's edges.
        Returns for each picture (Ni, D) float32 unit rows, centred if the checkpoint knows its centre.
        """
        ...
