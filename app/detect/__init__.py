"""Finding people in pictures.

`Detector` is the seam; `build_detector` picks an implementation from the settings. This package is, with `app.reid`,
the only place where torch may be imported, and `yolo.py` the only importer of ultralytics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.frames import Detections, Frame


class Detector(Protocol):
    """Finds people in a batch of frames, which may come from different cameras and differ in size."""

    name: str
    """What the detector is, for the closing table and `run.json`: for example `yolo26n.pt (openvino, cpu)`."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the people of each frame, in the order of the frames; boxes in pixels of that frame."""
        ...
