"""One job of the browser interface, and the file in which jobs are kept from one start of the server to the next."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from app.errors import InputError
from app.runs.folder.progress import Progress, read_progress
from app.runs.folder.run import Run
from app.runs.folder.state import FOLLOWED
from app.system.files import write_atomically

logger = logging.getLogger(__name__)

ALIVE = ("running", "stopping")
_LOG_CHARACTERS = 4000
_JOBS_KEPT = 200

State = Literal["waiting", "running", "stopping", "finished", "failed", "cancelled", "interrupted"]
JobKind = Literal["run", "export", "training"]


@dataclass
class JobRecord:
    """One job.

    folder: what it makes: a run, a training set or trained weights.  about: the run that these come from.
    commands: command lines after `main.py`, one after the other.  step: which of them it has come to.
    log, answer: what they say on stderr and on stdout.
    started, ended: seconds since 1970, 0 before.
    process_id, process_began: of the present command, so that a server that starts anew finds it.
    """

    number: int
    kind: JobKind
    folder: Path
    commands: list[list[str]]
    log: Path
    answer: Path
    about: Path | None = None
    state: State = "waiting"
    step: int = 0
    started: float = 0.0
    ended: float = 0.0
    process_id: int = 0
    process_began: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.state in ("finished", "failed", "cancelled", "interrupted")

    @property
    def can_go_on(self) -> bool:
        """Whether `Jobs.go_on` would continue it: an export begins anew instead, in a folder of its own."""
        at_last_step = self.step == len(self.commands) - 1
        return self.is_over and self.state != "finished" and self.kind != "export" and at_last_step

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
        now = read_progress(self.folder) if self.state in ALIVE else None
        if now is not None:
            return now
        try:
            run = Run.open(self.folder)
            frames = sum(file.rows for file in run.manifest.files if file.kind == "frames")
            total = frames if run.state in FOLLOWED else None
            return Progress(frames, total, seconds, len(run.identities().people()), len(run.cameras))
        except InputError:
            return Progress(0, None, seconds, 0, 0)


_JOBS = TypeAdapter(list[JobRecord])


def save_jobs(file: Path, jobs: list[JobRecord]) -> None:
    """Write the newest jobs, in one step."""
    write_atomically(file, _JOBS.dump_json(jobs[-_JOBS_KEPT:]))


def load_jobs(file: Path) -> list[JobRecord]:
    """Return the jobs of an earlier server; none if there is no file. One that cannot be read is put aside."""
    try:
        return _JOBS.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        aside = file.with_suffix(".damaged")
        logger.warning("%s: cannot be read (%s); it is now %s, and earlier jobs are not listed", file, error, aside)
        with suppress(OSError):
            file.replace(aside)
        return []
