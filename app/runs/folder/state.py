"""How far a run is: `state` in its `run.json`. Whatever stops a run, it goes on from there.

running     cameras are being followed; with nobody at work the run was interrupted
failed      following them broke
cancelled   Ctrl-C ended it before the footage did
followed    every frame was followed; people are not linked yet
linked      people are linked; videos are not drawn yet
drawn       the videos are drawn; the sheet of people is not
finished    all that was asked for is there
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from app.runs.folder.header import read_header, write_header
from app.runs.folder.layout import RUN_FILE
from app.runs.folder.locks import lock_run
from app.runs.folder.run import Run

State = Literal["running", "failed", "cancelled", "followed", "linked", "drawn", "finished"]

FOLLOWED = ("followed", "linked", "drawn", "finished")
"""States in which the cameras of a run are through, in their order."""


def reach(folder: Path, state: State) -> None:
    """Note that a run has come to a state."""
    with lock_run(folder, "noting how far this run is"):
        write_state(Run.open(folder), state)


def write_state(run: Run, state: str) -> None:
    """Note the same, for whoever keeps others from changing the run already."""
    write_header(run.folder, {**read_header(run.folder / RUN_FILE), "state": state})
