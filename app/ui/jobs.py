"""Work that was started in the browser: child processes that outlive the page, one after the other.

A job is one or several command lines of `main.py` with choices that the server offered. How far a run is shows in its
folder; what a command answers with `--json` is kept. The list of jobs is kept too: a server that starts anew finds what
goes on, starts what waits, and can let what was interrupted go on.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from app.config import Settings
from app.errors import RunError
from app.runs.folder.layout import RUN_FILE
from app.runs.folder.locks import lock_following
from app.runs.folder.run import Run
from app.ui.job_records import ALIVE, JobKind, JobRecord, load_jobs, save_jobs

logger = logging.getLogger(__name__)

_MAIN = "import sys; from app.cli.parser import main; sys.exit(main())"
_SCRATCH, _TRAINED, _LIST = ".jobs", "trained", "jobs.json"
_TRAINING_STATE = "state.pt"
_CLOCK_STEP_S = 1.0
"""How far two readings of when a process began may lie apart."""


class Jobs:
    """The queue of jobs: one runs, the others wait. May be used from several threads."""

    def __init__(self, root: Path) -> None:
        """root: the folder of the runs. Takes over the jobs of an earlier server, unless that still runs."""
        self._root = root
        self._lock = threading.RLock()
        self._jobs: list[JobRecord] = []
        self._processes: dict[int, psutil.Process] = {}
        self._held: IO[bytes] | None = None
        if (root / _SCRATCH / _LIST).exists():
            self._take_over()

    def all(self) -> list[JobRecord]:
        """Return the jobs, the newest first."""
        with self._lock:
            return self._jobs[::-1]

    def start_run(
        self, sources: Sequence[Path], names: Sequence[str], options: Sequence[str], settings: Settings
    ) -> JobRecord:
        """Queue a run over `sources`. options: further words of `main.py track`; every value that is not default in
        `settings` goes along as its configuration."""
        with self._lock:
            folder = self._free(self._root)
            config = self._scratch("run", folder, ".yaml")
            config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
            words = ["track", "--sources", *map(str, sources), "--output", str(folder), "--config", str(config)]
            words += ["--preview", "--json", *(["--names", *names] if names else []), *options]
            return self._queue("run", folder, [words])

    def start_export(self, run: Path) -> JobRecord:
        """Queue the export of a run's people and judged pairs as a training set. `erase` deletes it with the rest."""
        with self._lock:
            folder = self._free(run / "export" / "training")
            return self._queue("export", folder, [_export(run, folder)], run)

    def start_training(self, run: Path, options: Sequence[str]) -> JobRecord:
        """Queue the same export and a training on it. options: further words of `main.py train`."""
        with self._lock:
            data, folder = self._free(run / "export" / "training"), self._free(self._root / _TRAINED)
            train = ["train", "--data", str(data), "--output", str(folder), "--json", *options]
            return self._queue("training", folder, [_export(run, data), train], run)

    def cancel(self, number: int) -> None:
        """Stop a job: what a run has processed is kept, and `go_on` resumes it."""
        with self._lock:
            for job in self._jobs:
                if job.number == number and job.state == "waiting":
                    job.state = "cancelled"
                elif job.number == number and job.state in ALIVE and number in self._processes:
                    job.state = "stopping"
                    with suppress(psutil.NoSuchProcess):
                        self._processes[number].send_signal(_stop_signal(self._processes[number]))
            self._save()

    def go_on(self, number: int) -> None:
        """Queue a job again that was stopped, interrupted or broke, from where it was."""
        with self._lock:
            for job in self._jobs:
                if job.number == number and job.can_go_on:
                    begun = job.folder / (RUN_FILE if job.kind == "run" else _TRAINING_STATE)
                    words = [word for word in job.commands[job.step] if word != "--resume"]
                    job.commands[job.step] = [*words, "--resume"] if begun.exists() else words
                    job.state, job.started, job.ended = "waiting", 0.0, 0.0
                    self._start_next()
            self._save()

    def close(self) -> None:
        """Let another server have the jobs; those that run go on."""
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None

    def _free(self, parent: Path) -> Path:
        """Return a new folder's name: the time."""
        folder = parent / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        while folder.exists() or any(job.folder == folder for job in self._jobs):
            folder = folder.with_name(f"{folder.name}_{len(self._jobs) + 1}")
        return folder

    def _scratch(self, kind: JobKind, folder: Path, suffix: str) -> Path:
        scratch = self._root / _SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch / f"{kind}_{folder.name}{suffix}"

    def _queue(self, kind: JobKind, folder: Path, commands: list[list[str]], about: Path | None = None) -> JobRecord:
        log, answer = self._scratch(kind, folder, ".log"), self._scratch(kind, folder, ".json")
        if self._held is None and not self._jobs:
            self._take_over()
        number = max((job.number for job in self._jobs), default=0) + 1
        job = JobRecord(number, kind, folder, commands, log, answer, about)
        self._jobs.append(job)
        self._start_next()
        self._save()
        return job

    def _start_next(self) -> None:
        if any(job.state in ALIVE for job in self._jobs):
            return
        waiting = next((job for job in self._jobs if job.state == "waiting"), None)
        if waiting is not None:
            waiting.state, waiting.started = "running", time.time()
            waiting.log.unlink(missing_ok=True)
            self._launch(waiting)

    def _launch(self, job: JobRecord) -> None:
        with job.log.open("ab") as log, job.answer.open("wb") as answer:
            command = [sys.executable, "-c", _MAIN, *job.commands[job.step]]
            process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=answer, stderr=log)
        job.process_id, job.process_began = process.pid, process.create_time()
        self._watch(job, process)

    def _watch(self, job: JobRecord, process: psutil.Process) -> None:
        self._processes[job.number] = process
        threading.Thread(target=self._wait, args=(job, process), daemon=True).start()

    def _wait(self, job: JobRecord, process: psutil.Process) -> None:
        """Wait for a command to end, whether or not a page is open, and start what comes next."""
        status = process.wait()  # None for one that an earlier server started: what it answered tells
        with self._lock:
            done = bool(job.result()) if status is None else status == 0
            if done and job.state == "running" and job.step + 1 < len(job.commands):
                job.step += 1
                self._launch(job)
            else:
                job.ended = time.time()
                if done:
                    job.state = "finished"
                else:
                    job.state = "cancelled" if job.state == "stopping" else "failed"
                self._start_next()
            self._save()

    def _take_over(self) -> None:
        """Keep other servers from the list of jobs and go on with it: watch what runs, start what waits.

        If another server looks after it, the jobs of this one are not kept.
        """
        try:
            self._held = lock_following(self._root / _SCRATCH, "looking after these jobs")
        except (RunError, OSError) as error:
            logger.warning("jobs that are started here are forgotten when this server stops: %s", error)
            return
        with self._lock:
            self._jobs = load_jobs(self._root / _SCRATCH / _LIST)
            for job in self._jobs:
                if job.state not in ALIVE:
                    continue
                process = _process_of(job)
                if process is not None:
                    self._watch(job, process)
                elif job.result() and job.step == len(job.commands) - 1:
                    job.state, job.ended = "finished", job.answer.stat().st_mtime
                else:
                    job.state = "cancelled" if job.state == "stopping" else "interrupted"
                    job.ended = time.time()
            self._start_next()
            self._save()

    def _save(self) -> None:
        if self._held is not None:
            save_jobs(self._root / _SCRATCH / _LIST, self._jobs)


def _process_of(job: JobRecord) -> psutil.Process | None:
    """Return the process that works on a job, None if it has ended; its number may be another's by now."""
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(job.process_id)
        if abs(process.create_time() - job.process_began) < _CLOCK_STEP_S:
            return process
    return None


def _stop_signal(process: psutil.Process) -> signal.Signals:
    """Return what makes a command stop and keep what it has: Ctrl-C, unless it may ignore that, as everything does that
    a shell script started in the background, or a server that was started so."""
    here = isinstance(process, psutil.Popen) and signal.getsignal(signal.SIGINT) != signal.SIG_IGN
    return signal.SIGINT if here else signal.SIGTERM


def adopted_weights(root: Path) -> dict[str, Path]:
    """Return the weights that were trained on corrections and found better, by the time of their training."""
    found: dict[str, Path] = {}
    for answer in sorted((root / _SCRATCH).glob("training_*.json"), reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(answer.read_bytes())
            weights = Path(values["weights"])
            if values["verdict"]["adopted"] and weights.is_file():
                found[weights.parent.name] = weights
    return found


def _export(run: Path, folder: Path) -> list[str]:
    return ["export", str(run), "--format", "market1501", "--output", str(folder), "--json"]


def run_facts(folder: Path) -> dict[str, Any]:
    """Return what the list of runs shows of a run, from its `run.json` alone."""
    run = Run.open(folder)
    return {
        "state": run.state,
        "cameras": len(run.cameras),
        "created": run.header["times"]["created"][:19].replace("T", " "),
        "frames": sum(file.rows for file in run.manifest.files if file.kind == "frames"),
        "detector": str(run.header["provenance"].get("detector", "–")),
        "reid": str(run.header["provenance"].get("reid") or "none"),
    }
