"""Stage 1 on a Ray cluster: a task for each camera, on any machine that sees the same files.

With `run.chunk_s` a long recording is divided among several tasks. Each begins with new trackers; linking joins the
tracks that a border cuts apart. Of what comes before a chunk packets are counted, so that pictures keep their numbers,
but hardly any is decoded (`app.footage.seek`).

Each task writes a run folder of its own below the real one, in `.cameras`. The real run takes their parts over once
all are through, so a job that was stopped or killed can be resumed task by task: what a task's own folder holds is
never done again.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from app.errors import InputError, RunError
from app.footage.camera import SourceInfo
from app.pipeline.job import WHOLE, Chunk, Job, Outcome, open_job, refuse_used_folder
from app.pipeline.local import follow
from app.runs.folder.layout import CAMERAS_FOLDER
from app.runs.folder.progress import Progress, Report
from app.system.interrupts import interruptions

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class _Task:
    """What one Ray task does: a camera, or a chunk of its recording, into a run folder of its own.

    label: for the user.
    """

    camera: str
    label: str
    chunk: Chunk
    folder: Path


def follow_on_ray(job: Job, folder: Path, report: Report) -> Outcome:
    """Run stage 1 with a Ray task for each camera, or for each `run.chunk_s` seconds of its recording.

    RAY_ADDRESS names the cluster; without it, Ray starts here. Every machine must see the sources, the weights and the
    run folder under the same paths. What fails is named in the outcome; the other tasks go on. Raises InputError for
    what Ray cannot do, RunError if Ctrl-C stopped it (resumable) or no camera could be processed.
    """
    infos = [source.info for source in open_job(job)]
    tasks = _divide(infos, job.settings.run.chunk_s, folder / CAMERAS_FOLDER)
    if not (job.resume and (folder / CAMERAS_FOLDER).is_dir()):
        refuse_used_folder(folder, job.resume)
    if not job.settings.link.enabled:
        raise InputError("--engine ray finds people on one camera at a time, so it needs linking: leave out --no-link")
    start = time.perf_counter()
    outcomes, problems = _follow_all(job, tasks, report)
    if not outcomes:
        raise RunError("no camera could be processed:\n  " + "\n  ".join(text for _, text in problems))
    problems += [(camera, text) for outcome in outcomes.values() for camera, text in outcome.problems.items()]
    first = next(iter(outcomes.values()))
    stages = sorted({stage for outcome in outcomes.values() for stage in outcome.seconds})
    from app.detect.gate import Counts, counts_together
    from app.pipeline.sight import Seen, blind_spots, together

    sight: Seen = {}
    looked: Counts = {}
    for one in outcomes.values():
        sight = together(sight, one.sight)
        looked = counts_together(looked, one.looked)
    whole = Outcome(
        detector=first.detector,
        reid=first.reid,
        frames=sum(outcome.frames for outcome in outcomes.values()),
        wall_s=time.perf_counter() - start,
        seconds={stage: sum(outcome.seconds.get(stage, 0.0) for outcome in outcomes.values()) for stage in stages},
        problems={
            info.camera: "; ".join(texts)
            for info in infos
            if (texts := dict.fromkeys(text for camera, text in problems if camera == info.camera))
        },
        sight=sight,
        looked=looked,
        blind_spots=blind_spots(sight, job.settings.detect, job.settings.track),
    )
    _bring_together(job, folder, infos, [task.folder for task in outcomes], whole)
    shutil.rmtree(folder / CAMERAS_FOLDER)
    return whole


def _divide(infos: Sequence[SourceInfo], chunk_s: float, folder: Path) -> list[_Task]:
    """Return the tasks, camera by camera and in the order of time.

    Only recordings whose length is known are divided. The last chunk takes whatever comes, since some files hold more
    than they announce.
    """
    tasks = []
    for number, info in enumerate(infos):
        length = max(1, round(chunk_s * info.fps))
        firsts = range(0, info.frame_count or 0, length) if chunk_s and not info.live else range(0)
        if len(firsts) < 2:
            tasks.append(_Task(info.camera, f"camera {info.camera}", WHOLE, folder / str(number)))
            continue
        for place, first in enumerate(firsts):
            end = None if first == firsts[-1] else first + length
            label = f"camera {info.camera} from picture {first} to {'the end' if end is None else end - 1}"
            chunk = Chunk(place, first, end)
            tasks.append(_Task(info.camera, label, chunk, folder / f"{number}_{first}_{'end' if end is None else end}"))
    return tasks


def _follow_all(job: Job, tasks: Sequence[_Task], report: Report) -> tuple[dict[_Task, Outcome], list[tuple[str, str]]]:
    """Return by task how it went, in the order of the tasks, and what made others fail: their cameras and a text."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'omnitrack[ray]'") from error
    start = time.perf_counter()
    outcomes = {task: outcome for task in tasks if (outcome := _finished(task.folder)) is not None}
    problems: list[tuple[str, str]] = []
    ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)
    try:
        remote_follow = ray.remote(max_retries=0)(_follow_one)
        running = {
            remote_follow.remote(_own_job(job, task), task.folder): task for task in tasks if task not in outcomes
        }
        waiting = list(running)
        with interruptions() as interrupted:
            while waiting:
                ready, waiting = ray.wait(waiting, num_returns=1, timeout=_POLL_S)
                if interrupted.is_set():
                    raise RunError("stopped early; to go on, give --resume and this --output")
                for done in ready:
                    task = running[done]
                    try:
                        outcomes[task] = ray.get(done)
                    except ray.exceptions.RayTaskError as error:
                        problems.append((task.camera, f"{task.label} failed: {error.cause}"))
                    except ray.exceptions.RayError as error:  # its machine or process is gone
                        problems.append((task.camera, f"{task.label} failed: {error}"))
                frames = sum(outcome.frames for outcome in outcomes.values())
                total = None if waiting else frames
                cameras = len({task.camera for task in outcomes})
                report(Progress(frames, total, time.perf_counter() - start, 0, cameras))
    finally:
        ray.shutdown()
    return {task: outcomes[task] for task in tasks if task in outcomes}, problems


def _own_job(job: Job, task: _Task) -> Job:
    resume = (task.folder / "run.json").exists()
    return replace(job, cameras=(task.camera,), chunk=task.chunk, resume=resume, preview=False)


def _follow_one(job: Job, folder: Path) -> Outcome:
    """What a Ray task runs."""
    return follow(job, folder, lambda progress: None)


def _finished(part: Path) -> Outcome | None:
    """Return how a task went that an earlier attempt finished."""
    from app.runs.folder.run import Run
    from app.runs.folder.state import FOLLOWED

    if not (part / "run.json").exists():
        return None
    run = Run.open(part)
    return Outcome(**run.header["summary"]) if run.state in FOLLOWED else None


def _bring_together(
    job: Job, folder: Path, infos: Sequence[SourceInfo], parts: Sequence[Path], outcome: Outcome
) -> None:
    """Make the run of all cameras from the runs of the tasks."""
    from app.runs.folder.layout import RUN_FILE
    from app.runs.folder.run import Run
    from app.runs.folder.writer import RunWriter

    runs = [Run.open(part) for part in parts]
    begin = RunWriter.resume if (folder / RUN_FILE).exists() else RunWriter.create
    with begin(folder, job.settings, infos, runs[0].header["provenance"]) as writer:
        for run in runs:
            writer.adopt(run)
        writer.finish("followed", asdict(outcome))
