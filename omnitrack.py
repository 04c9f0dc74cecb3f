"""OmniTrack from Python: `import omnitrack`, and ask for a name of `__all__`.

Importing this loads nothing else; a name loads what it needs when it is asked for. What you give and cannot be used is
an `InputError` whose text says what to do; `RunError` is for what fails later.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from app.config import Settings, load_settings
    from app.detect import build_detector
    from app.errors import InputError, RunError
    from app.frames import Detections, Frame
    from app.pipeline.step import Pipeline
    from app.reid.embedder import build_embedder
    from app.runs.evaluate.scores import evaluate_run
    from app.runs.export.supervision import to_supervision
    from app.runs.export.write import export_run
    from app.runs.folder.progress import Progress, Report
    from app.runs.folder.run import Run
    from app.runs.people.linking import link_run
    from app.runs.people.search import search_run
    from app.track.follower import Follower
    from app.track.tracker import CameraTracker

__all__ = [
    "CameraTracker",
    "Detections",
    "Follower",
    "Frame",
    "InputError",
    "Pipeline",
    "Run",
    "RunError",
    "build_detector",
    "build_embedder",
    "evaluate_run",
    "export_run",
    "link_run",
    "load_settings",
    "search_run",
    "to_supervision",
    "track",
]

_HOME = {
    "CameraTracker": "app.track.tracker",
    "Detections": "app.frames",
    "Follower": "app.track.follower",
    "Frame": "app.frames",
    "InputError": "app.errors",
    "Pipeline": "app.pipeline.step",
    "Run": "app.runs.folder.run",
    "RunError": "app.errors",
    "build_detector": "app.detect",
    "build_embedder": "app.reid.embedder",
    "evaluate_run": "app.runs.evaluate.scores",
    "export_run": "app.runs.export.write",
    "link_run": "app.runs.people.linking",
    "load_settings": "app.config",
    "search_run": "app.runs.people.search",
    "to_supervision": "app.runs.export.supervision",
}
"""The module in which each name stands; `track` stands here."""


# Else Python prints warnings for whoever has not said what is to become of them.
logging.getLogger("app").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def track(
    sources: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] = (),
    engine: str = "local",
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Find, follow and recognise the people of some cameras, and return the finished run. Prints nothing.

    sources: as for `main.py track --sources`: files, folders, streams, a YAML list; one or several.
    output: the folder of the run; None makes one under `runs/` named after the time.
    settings: of `load_settings`, or by name as in `main.py settings`; the defaults without them.
    names: of the cameras, one for each source.  engine: "local" or "ray".
    progress: gets a `Progress` (frames, frames_total, seconds, people, …) again and again.

    `run.summary` says how it went; warnings go to the logger `app`. Raises InputError for what cannot be used, RunError
    if it was stopped early, which `main.py track --resume` goes on with.

    >>> run = track(sources, output / "monday", {"detect.weights": "file:det/det.txt", "reid.weights": "none"})
    >>> run.table("boxes").column_names[:5]
    ['camera', 'frame', 'time_s', 'track_id', 'person_id']
    """
    import os
    from contextlib import contextmanager
    from pathlib import Path

    from app.config import Settings, load_settings
    from app.errors import InputError
    from app.pipeline.job import Job
    from app.pipeline.stages import ENGINES, new_folder
    from app.pipeline.stages import track as run_job
    from app.runs.folder.run import Run

    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
    if not isinstance(settings, Settings):
        settings = load_settings(options={name: ("settings", value) for name, value in (settings or {}).items()})
    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    folder = new_folder() if output is None else Path(output)

    @contextmanager
    def reports(_label: str) -> Iterator[Report]:
        yield progress or (lambda _progress: None)

    run_job(Job(tuple(map(str, given)), tuple(names), settings), folder, engine, reports)
    return Run.open(folder)
