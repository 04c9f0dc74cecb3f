"""One job from sources to a finished run: follow every camera, link, draw, and say what came out."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from app.errors import InputError, RunError
from app.pipeline.job import Engine, Job, Outcome
from app.pipeline.local import follow
from app.pipeline.on_ray import follow_on_ray
from app.pipeline.summary import summarize
from app.runs.folder.layout import CAMERAS_FOLDER
from app.runs.folder.progress import ProgressFactory, unseen

logger = logging.getLogger(__name__)

ENGINES: dict[str, Engine] = {"local": follow, "ray": follow_on_ray}


def track(
    job: Job,
    output: Path | None,
    engine: str = "local",
    progress: ProgressFactory = unseen,
    show: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run a job and return its summary, which is what `--json` prints. Its `exit_status` is 1 if a live camera was not
    seen at the end: it was lost, frozen or refused, or never came.

    A job that resumes a run begins with the first stage that is not through (`app.runs.folder.state`).
    output: the run folder; None makes one under `runs/` named after the time.
    progress: gives, for what is going on, where it is reported how far that is.
    show: gets the summary, also of a job that was stopped early.
    """
    folder = output or new_folder()
    if job.settings.gallery.folder and engine == "ray":
        raise InputError("--gallery recognises people while all cameras are followed together, which Ray does not do")
    from app.runs.people.known import locked_gallery, remember_run

    reached = _reached(folder) if job.resume else ""
    if reached == "finished":
        raise InputError(f"{folder}: this run is finished; give another --output")
    with locked_gallery(job.settings.gallery) as gallery:
        if reached:
            outcome = _recorded_outcome(folder)
        else:
            with progress("following") as report:
                outcome = ENGINES[engine](job, folder, report)
        seconds = dict(outcome.seconds)
        if job.settings.link.enabled and not outcome.stopped and reached in ("", "followed"):
            from app.runs.people.linking import link_run

            start = time.perf_counter()
            link_run(folder, job.settings.link)
            seconds["link"] = seconds.get("link", 0.0) + time.perf_counter() - start
        if gallery is not None and not outcome.stopped and reached != "drawn":
            from app.runs.folder.run import Run

            remember_run(Run.open(folder), job.settings.gallery, job.resume)
    start = time.perf_counter()
    sheet, blurred = (None, {}) if outcome.stopped else _draw(job, folder, outcome, reached, progress)
    if job.settings.run.save_video:
        seconds["video"] = time.perf_counter() - start
    made = {"seconds": seconds, "contact_sheet": str(sheet or ""), "blurred": blurred}
    return _conclude(folder, outcome, made, show)


def new_folder() -> Path:
    """Return the folder of a run that was given none: it is named after the time."""
    return Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")


def how_to_go_on(folder: Path) -> str:
    """Return what is said of a run that was stopped before everything was done."""
    begun = (folder / "run.json").exists()
    return f"stopped early; to go on: main.py track --resume {folder}" if begun else "stopped"


def _reached(folder: Path) -> str:
    """Return the state of a run whose cameras are all through, an empty text before."""
    from app.runs.folder.layout import RUN_FILE
    from app.runs.folder.run import Run
    from app.runs.folder.state import FOLLOWED

    state = str(Run.open(folder).header["state"]) if (folder / RUN_FILE).is_file() else ""
    return state if state in FOLLOWED else ""


def _recorded_outcome(folder: Path) -> Outcome:
    """Return how stage 1 went, of a run in which it is through, and take away what it may have left behind."""
    from app.runs.folder.run import Run

    shutil.rmtree(folder / CAMERAS_FOLDER, ignore_errors=True)
    names = {field.name for field in fields(Outcome)}
    return Outcome(**{name: value for name, value in Run.open(folder).summary.items() if name in names})


def _draw(
    job: Job, folder: Path, outcome: Outcome, reached: str, progress: ProgressFactory
) -> tuple[Path | None, dict[str, dict[str, Any]]]:
    """Draw the videos that are wanted and not there yet; return the sheet of people, and by camera what was blurred."""
    from app.runs.folder.layout import VIDEO_FOLDER
    from app.runs.folder.run import Run
    from app.runs.folder.state import reach
    from app.runs.people.contact_sheet import write_contact_sheet
    from app.runs.render.blurred import read_blurred
    from app.runs.render.videos import render_run

    sheet: Path | None = None
    if job.settings.run.save_video and not outcome.live:
        if reached != "drawn":
            with progress("drawing") as report:
                render_run(Run.open(folder), job.settings.render, job.settings.run.video_height_px, report)
            reach(folder, "drawn")
        if not job.settings.render.blur:
            sheet = write_contact_sheet(Run.open(folder))
    reach(folder, "finished")
    return sheet, {camera: asdict(one) for camera, one in read_blurred(folder / VIDEO_FOLDER).items()}


def _conclude(
    folder: Path, outcome: Outcome, made: dict[str, Any], show: Callable[[dict[str, Any]], None] | None
) -> dict[str, Any]:
    """Say what came out; `made` becomes part of it. Raises RunError if it was stopped early."""
    from app.runs.folder.layout import VIDEO_FOLDER
    from app.runs.folder.run import Run

    videos = [str(video) for video in sorted((folder / VIDEO_FOLDER).glob("*.mp4"))]
    summary = summarize(Run.open(folder), outcome) | made | {"videos": videos}
    if show is not None:
        show(summary)
    blind = {name: state for name, state in outcome.states.items() if state != "live"}
    for name, state in blind.items():
        logger.warning("%s was %s at the end", name, state)
    if outcome.stopped:
        raise RunError(how_to_go_on(folder))
    return summary | {"exit_status": 1 if blind else 0}
