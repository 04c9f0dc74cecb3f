"""Runs that were started in the browser: child processes that outlive the page, one after the other.

A job is the command line `main.py track …` with choices that the server offered; how far it is shows in its run folder.
"""

from __future__ import annotations

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
from app.errors import InputError
from app.runs import Run
from app.ui.library import RunLibrary

_MAIN = "import sys; from app.cli import main; sys.exit(main())"
_LOG_CHARACTERS = 4000

State = Literal["waiting", "running", "finished", "failed", "cancelled"]


@dataclass
class JobRecord:
    """One job. folder: of its run.  words: its command line after `main.py`.  log: what it says on stderr."""

    number: int
    folder: Path
    words: list[str]
    frames_total: int | None
    state: State = "waiting"
    started: float = 0.0
    ended: float = 0.0
    log: Path = Path()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def said(self) -> str:
        """Return the end of what the job said."""
        with suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:].strip()
        return ""

    def progress(self) -> tuple[int, int]:
        """Return frames and people so far; the run writes them part by part."""
        try:
            run = Run.open(self.folder)
            frames = sum(file.rows for file in run.manifest.files if file.kind == "frames")
            return frames, len(run.identities().people())
        except InputError:
            return 0, 0


class Jobs:
    """The queue of jobs: one runs, the others wait. May be used from several threads."""

    def __init__(self, library: RunLibrary) -> None:
        self._library = library
        self._lock = threading.RLock()
        self._jobs: list[JobRecord] = []

    def all(self) -> list[JobRecord]:
        """Return the jobs of this session, the newest first, with their states up to date."""
        with self._lock:
            self._advance()
            return self._jobs[::-1]

    def start(self, sources: Sequence[Path], names: Sequence[str], options: Sequence[str], settings: Settings) -> None:
        """Queue a run over `sources`. options: further words of `main.py track`; every value that is not default in
        `settings` goes along as its configuration."""
        with self._lock:
            number = len(self._jobs) + 1
            moment = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
            folder = self._library.root / moment
            while folder.exists() or any(job.folder == folder for job in self._jobs):
                folder = folder.with_name(f"{folder.name}_{number}")
            scratch = self._library.root / ".jobs"
            scratch.mkdir(parents=True, exist_ok=True)
            config = scratch / f"{folder.name}.yaml"
            config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
            words = ["track", "--sources", *map(str, sources), "--output", str(folder), "--config", str(config)]
            words += ["--json", *(["--names", *names] if names else []), *options]
            total = _frames_of(sources)
            self._jobs.append(JobRecord(number, folder, words, total, log=scratch / f"{folder.name}.log"))
            self._advance()

    def cancel(self, number: int) -> None:
        """Stop a job: what was processed is kept, and can be resumed on the command line."""
        with self._lock:
            for job in self._jobs:
                if job.number == number and job.state == "waiting":
                    job.state = "cancelled"
                elif job.number == number and job.state == "running" and job.process is not None:
                    job.process.send_signal(signal.SIGINT)

    def _advance(self) -> None:
        """Note which job has ended, and start the next one."""
        for job in self._jobs:
            if job.state == "running" and job.process is not None and job.process.poll() is not None:
                job.ended = time.time()
                job.state = "finished" if job.process.returncode == 0 else _ended_as(job.folder)
        if any(job.state == "running" for job in self._jobs):
            return
        for job in self._jobs:
            if job.state == "waiting":
                with job.log.open("wb") as log:
                    command = [sys.executable, "-c", _MAIN, *job.words]
                    job.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
                job.state, job.started = "running", time.time()
                return


def _ended_as(folder: Path) -> State:
    try:
        return "cancelled" if Run.open(folder).state == "cancelled" else "failed"
    except InputError:
        return "failed"


def _frames_of(sources: Sequence[Path]) -> int | None:
    """Return how many frames the sources announce together, None if one does not say."""
    from app.config import SourceSettings
    from app.sources import open_sources

    counts = [source.info.frame_count for source in open_sources(list(map(str, sources)), [], SourceSettings())]
    return None if None in counts else sum(count or 0 for count in counts)


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
