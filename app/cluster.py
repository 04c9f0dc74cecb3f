"""Stage 1 on a Ray cluster: a task for each camera, on any machine that sees the same files.

Each task writes a run folder of its own below the real one, in `.cameras`. The real run takes their parts over once
all cameras are through, so a job that was stopped or killed can be resumed camera by camera: what a camera's own
folder holds is never done again.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from app.engines import Job, Outcome, Progress, Report, follow, open_job, refuse_used_folder
from app.errors import InputError, RunError
from app.interrupt import interruptions
from app.sources import SourceInfo

CAMERAS_FOLDER = ".cameras"
_POLL_S = 0.5


def follow_on_ray(job: Job, folder: Path, report: Report) -> Outcome:
    """Run stage 1 with one Ray task for each camera. RAY_ADDRESS names the cluster; without it, Ray starts here.

    Every machine must see the sources, the weights and the run folder under the same paths. A camera whose task fails
    is named in the outcome; the others go on. Raises InputError for what Ray cannot do, RunError if Ctrl-C stopped it
    (resumable) or no camera could be processed.
    """
    infos = [source.info for source in open_job(job)]
    parts = {info.camera: folder / CAMERAS_FOLDER / str(number) for number, info in enumerate(infos)}
    if not (job.resume and (folder / CAMERAS_FOLDER).is_dir()):
        refuse_used_folder(folder, job.resume)
    if not job.settings.link.enabled:
        raise InputError("--engine ray finds people on one camera at a time, so it needs linking: leave out --no-link")
    start = time.perf_counter()
    outcomes, problems = _follow_all(job, parts, report)
    if not outcomes:
        raise RunError("no camera could be processed:\n  " + "\n  ".join(problems.values()))
    for outcome in outcomes.values():
        problems |= outcome.problems
    first = next(iter(outcomes.values()))
    stages = sorted({stage for outcome in outcomes.values() for stage in outcome.seconds})
    whole = Outcome(
        detector=first.detector,
        reid=first.reid,
        frames=sum(outcome.frames for outcome in outcomes.values()),
        wall_s=time.perf_counter() - start,
        seconds={stage: sum(outcome.seconds.get(stage, 0.0) for outcome in outcomes.values()) for stage in stages},
        problems=problems,
    )
    _bring_together(job, folder, infos, [parts[camera] for camera in outcomes], whole)
    shutil.rmtree(folder / CAMERAS_FOLDER)
    return whole


def _follow_all(job: Job, parts: Mapping[str, Path], report: Report) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Return by camera how its task went, in the cameras' order, and what made the others fail."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'omnitrack[ray]'") from error
    start = time.perf_counter()
    outcomes = {camera: outcome for camera, part in parts.items() if (outcome := _finished(part)) is not None}
    problems: dict[str, str] = {}
    ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)
    try:
        remote_follow = ray.remote(max_retries=0)(_follow_one_camera)
        tasks = {}
        for camera, part in parts.items():
            if camera not in outcomes:
                own_job = replace(job, cameras=(camera,), resume=(part / "run.json").exists(), preview=False)
                tasks[remote_follow.remote(own_job, part)] = camera
        waiting = list(tasks)
        with interruptions() as interrupted:
            while waiting:
                ready, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL_S)
                if interrupted.is_set():
                    raise RunError("stopped early; to go on, give the same options with --resume and this --output")
                for task in ready:
                    try:
                        outcomes[tasks[task]] = ray.get(task)
                    except ray.exceptions.RayTaskError as error:
                        problems[tasks[task]] = f"camera {tasks[task]} failed: {error.cause}"
                    except ray.exceptions.RayError as error:  # its machine or process is gone
                        problems[tasks[task]] = f"camera {tasks[task]} failed: {error}"
                frames = sum(outcome.frames for outcome in outcomes.values())
                total = None if waiting else frames
                report(Progress(frames, total, time.perf_counter() - start, 0, len(outcomes)))
    finally:
        ray.shutdown()
    return {camera: outcomes[camera] for camera in parts if camera in outcomes}, problems


def _follow_one_camera(job: Job, folder: Path) -> Outcome:
    """What a Ray task runs."""
    return follow(job, folder, lambda progress: None)


def _finished(part: Path) -> Outcome | None:
    """Return how a camera's task went that an earlier attempt finished."""
    from app.runs import Run

    if not (part / "run.json").exists():
        return None
    run = Run.open(part)
    return Outcome(**run.header["summary"]) if run.state == "finished" else None


def _bring_together(
    job: Job, folder: Path, infos: Sequence[SourceInfo], parts: Sequence[Path], outcome: Outcome
) -> None:
    """Make the run of all cameras from the runs of each."""
    from app.run_writer import RunWriter
    from app.runs import RUN_FILE, Run

    runs = [Run.open(part) for part in parts]
    begin = RunWriter.resume if (folder / RUN_FILE).exists() else RunWriter.create
    with begin(folder, job.settings, infos, runs[0].header["provenance"]) as writer:
        for run in runs:
            writer.adopt(run)
        writer.finish("finished", asdict(outcome))
