"""How far a run is: what a progress bar, the preview and the browser show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.runs.folder.layout import PROGRESS_FILE


@dataclass(frozen=True, slots=True)
class Progress:
    """How far stage 1 is: what a progress bar shows. `states`: what each live camera is doing; `note`: what is left out
    for want of room on the disk."""

    frames: int
    frames_total: int | None
    seconds: float
    people: int
    cameras: int
    states: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


Report = Callable[[Progress], None]

ProgressFactory = Callable[[str], AbstractContextManager[Report]]
"""Opens, for as long as something goes on, whatever shows how far it is; the text says what goes on."""


@contextmanager
def unseen(label: str) -> Iterator[Report]:
    """Show nobody how far something is."""
    yield lambda progress: None


def read_progress(folder: Path) -> Progress | None:
    """Return how far the run in `folder` is, None if nobody writes it down (any more)."""
    try:
        return Progress(**json.loads((folder / PROGRESS_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
