"""A job: what to follow, with which settings, and how stage 1 of it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from app.config import Settings
from app.errors import InputError
from app.footage.camera import Source
from app.footage.sources import open_sources
from app.runs.folder.locks import refuse_foreign_folder
from app.runs.folder.progress import Report


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of each recording, that is followed by itself. number: its place among them, from 0.

    first_index, end_index: the number of its first frame and of the first one after it, None for all that come.
    """

    number: int
    first_index: int
    end_index: int | None


WHOLE = Chunk(0, 0, None)


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: the words of the command line with the settings resolved.

    cameras: if not empty, only these of the cameras that the sources hold.
    chunk: the frames that are wanted of each.
    preview: keep a picture of the run going on, see `app.runs.render.preview`.
    """

    sources: tuple[str, ...]
    names: tuple[str, ...]
    settings: Settings
    resume: bool = False
    cameras: tuple[str, ...] = ()
    chunk: Chunk = WHOLE
    preview: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How stage 1 went. `seconds` is time by stage, `problems` what went wrong with a camera's pictures, by camera,
    `stopped` that Ctrl-C ended it before the footage did, `live` that the cameras were, `states` what each of them was
    doing at the end (`app.runs.folder.camera_states`), `sight` by camera what moved and was nobody
    (`app.pipeline.sight`), `looked` by camera how many frames the motion gate let through (`app.detect.gate`),
    `blind_spots` what was probably missed there, and what to try."""

    detector: str
    reid: str
    frames: int
    wall_s: float
    seconds: Mapping[str, float]
    problems: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False
    live: bool = False
    states: Mapping[str, str] = field(default_factory=dict)
    sight: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    looked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    blind_spots: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Runs stage 1 of a job into a run folder."""

    def __call__(self, job: Job, folder: Path, report: Report) -> Outcome: ...


def open_job(job: Job) -> list[Source]:
    """Open the sources of a job. Raises InputError that lists every source that cannot be used, or every camera that
    the settings speak of and that is not there."""
    sources = open_sources(job.sources, job.names, job.settings.sources, wait=job.resume)
    if job.settings.link.enabled:  # said now, not after hours of following people
        job.settings.link.refuse_unknown_cameras([source.info.camera for source in sources])
    if job.cameras:
        sources = [source for source in sources if source.info.camera in job.cameras]
    for source in sources:
        source.end_index = job.chunk.end_index
    return sources


def refuse_used_folder(folder: Path, resume: bool) -> None:
    """Raise InputError if `folder` holds a run and should not, or should and does not."""
    holds_run = (folder / "run.json").exists()
    if holds_run and not resume:
        raise InputError(f"{folder} already holds a run; give another --output, or --resume to go on with it")
    if resume and not holds_run:
        raise InputError(f"{folder} holds no run to resume; leave out --resume to start one")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give another --output")
    if not resume:
        refuse_foreign_folder(folder)
