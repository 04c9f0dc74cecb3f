"""Which detectors come with the program, and which one to try instead. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

BUNDLED_FOLDER = Path(__file__).parent / "weights"
DEFAULT_BUNDLED = "person_n_frames"
"""Which of the bundled weights `auto` takes."""

DEFAULT_WEIGHTS = "yolo26n.pt"
"""The official Ultralytics network that sees more, and that `auto` takes where nothing is bundled."""


def bundled_weights(weights: str) -> Path | None:
    """Return the file that comes with the program for a value of `detect.weights`, None if it stands for another."""
    name = DEFAULT_BUNDLED if weights == "auto" else weights
    file = BUNDLED_FOLDER / f"{name}.safetensors"
    return file if Path(name).name == name and file.is_file() else None
