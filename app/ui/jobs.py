"""Work that was started in the browser: child processes that outlive the page, one after the other.

A job is one or several command lines of `main.py` with choices that the server offered. How far a run is shows in its
folder; what a command answers with `--json` is kept.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from app.config import Settings
from app.engines import Progress
from app.errors import InputError
from app.preview import read_progress
from app.runs import Run

_MAIN = "import sys; from app.cli import main; sys.exit(main())"
_LOG_CHARACTERS = 4000
_SCRATCH, _TRAINED = ".jobs", "trained"

State = Literal["waiting", "running", "stopping", "finished", "failed", "cancelled"]
Kind = Literal["run", "export", "training"]
_ALIVE = ("running", "stopping")


@dataclass
class JobRecord:
    """One job.

    folder: what it makes: a run, a training set or trained weights.  about: the run that these come from.
    commands: command lines after `main.py`, one after the other.  log, answer: what they say on stderr and on stdout.
    """

    number: int
    kind: Kind
    folder: Path
    commands: list[list[str]]
    log: Path
    answer: Path
    about: Path | None = None
    state: State = "waiting"
    started: float = 0.0
    ended: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        return self.state in ("finished", "failed", "cancelled")

    def said(self) -> str:
        """Return the end of what the job said."""
        with suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:].strip()
        return ""

    def result(self) -> dict[str, Any]:
        """Return what the last command answered, empty if it has not."""
        with suppress(OSError, ValueError):
            values = json.loads(self.answer.read_text(encoding="utf-8"))
            return values if isinstance(values, dict) else {}
        return {}

    def progress(self) -> Progress:
        """Return how far a run is. Frames that are followed come first; linking and drawing have no figures."""
        seconds = (self.ended or time.time()) - self.started
        now = read_progress(self.folder) if self.state in _ALIVE else None
        if now is not None:
            return now
        try:
            run = Run.open(self.folder)
            frames = sum(file.rows for file in run.manifest.files if file.kind == "frames")
            total = frames if run.state == "finished" else None
            return Progress(frames, total, seconds, len(run.identities().people()), len(run.cameras))
        except InputError:
            return Progress(0, None, seconds, 0, 0)


class Jobs:
    """The queue of jobs: one runs, the others wait. May be used from several threads."""

    def __init__(self, root: Path) -> None:
        """root: the folder of the runs."""
        self._root = root
        self._lock = threading.RLock()
        self._jobs: list[JobRecord] = []

    def all(self) -> list[JobRecord]:
        """Return the jobs of this session, the newest first."""
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
        """Stop a job: what a run has processed is kept, and can be resumed on the command line."""
        with self._lock:
            for job in self._jobs:
                if job.number == number and job.state == "waiting":
                    job.state = "cancelled"
                elif job.number == number and job.state in _ALIVE and job.process is not None:
                    job.state = "stopping"
                    job.process.send_signal(_stop_signal())

    def _free(self, parent: Path) -> Path:
        """Return a new folder's name: the time."""
        folder = parent / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        while folder.exists() or any(job.folder == folder for job in self._jobs):
            folder = folder.with_name(f"{folder.name}_{len(self._jobs) + 1}")
        return folder

    def _scratch(self, kind: Kind, folder: Path, suffix: str) -> Path:
        scratch = self._root / _SCRATCH
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch / f"{kind}_{folder.name}{suffix}"

    def _queue(self, kind: Kind, folder: Path, commands: list[list[str]], about: Path | None = None) -> JobRecord:
        log, answer = self._scratch(kind, folder, ".log"), self._scratch(kind, folder, ".json")
        job = JobRecord(len(self._jobs) + 1, kind, folder, commands, log, answer, about)
        self._jobs.append(job)
        self._start_next()
        return job

    def _start_next(self) -> None:
        if any(job.state in _ALIVE for job in self._jobs):
            return
        waiting = next((job for job in self._jobs if job.state == "waiting"), None)
        if waiting is not None:
            waiting.state, waiting.started = "running", time.time()
            waiting.log.unlink(missing_ok=True)
            self._launch(waiting, 0)

    def _launch(self, job: JobRecord, step: int) -> None:
        with job.log.open("ab") as log, job.answer.open("wb") as answer:
            command = [sys.executable, "-c", _MAIN, *job.commands[step]]
            job.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=answer, stderr=log)
        threading.Thread(target=self._wait, args=(job, step, job.process), daemon=True).start()

    def _wait(self, job: JobRecord, step: int, process: subprocess.Popen[bytes]) -> None:
        """Wait for a command to end, whether or not a page is open, and start what comes next."""
        status = process.wait()
        with self._lock:
            if status == 0 and job.state == "running" and step + 1 < len(job.commands):
                self._launch(job, step + 1)
                return
            job.ended = time.time()
            if status == 0:
                job.state = "finished"
            else:
                job.state = "cancelled" if job.state == "stopping" else "failed"
            self._start_next()


def _stop_signal() -> signal.Signals:
    """Return what makes a command stop and keep what it has: Ctrl-C, unless commands that are started here ignore it,
    as everything does that a shell script started in the background."""
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT


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
