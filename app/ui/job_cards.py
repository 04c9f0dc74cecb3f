"""What pages show of a job: how far it is, what came out, and a button that stops it."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from app.ui.jobs import JobRecord
from app.ui.layout import button, chip, count, duration
from app.ui.library import RunLibrary, run_id
from app.ui.media import PREFIX

KINDS = {"finished": "good", "running": "accent", "failed": "bad"}
KINDS |= dict.fromkeys(("interrupted", "cancelled", "stopping"), "warn")
_STOP_RUN = "Stop this run? What was processed is kept."
_STOP_TRAINING = "Stop this training? The weights in use stay as they are."


def card(job: JobRecord, library: RunLibrary) -> str:
    """Return a panel about a job."""
    lines = _run(job) if job.kind == "run" else _training(job)
    action = ""
    if job.state in ("waiting", "running"):
        ask = _STOP_RUN if job.kind == "run" else _STOP_TRAINING
        action = button("Cancel", "cancel", "danger", job=job.number, ask=ask)
    said = f'<pre class="ot-log">{escape(job.said())}</pre>' if job.state == "failed" else ""
    return f"""<div class="ot-panel" data-job="{job.number}" data-kind="{job.kind}" data-state="{job.state}">
    <div class="ot-visit-head" style="margin-bottom:0"><b>{_title(job, library)}</b>
    {chip(job.state, KINDS.get(job.state, ""))}<span>{lines[0]}</span>
    <div class="ot-acts">{action}</div></div>{lines[1]}{said}</div>"""


def live_wall(jobs: list[JobRecord]) -> str:
    """Return the element that shows the pictures of the run that goes on; empty if none does.

    It fetches its pictures itself, so that it can stay while the panels around it change.
    """
    running = next((job for job in jobs if job.kind == "run" and job.state == "running"), None)
    if running is None:
        return ""
    return f'<ot-live data-src="{PREFIX}/{run_id(running.folder)}/live"></ot-live>'


def _title(job: JobRecord, library: RunLibrary) -> str:
    folder = job.folder if job.kind == "run" else job.about
    number = run_id(folder) if folder is not None else ""
    name = escape(folder.name) if folder is not None else ""
    if number in library.folders():
        name = f'<a class="ot-link" href="/?run={number}">{name}</a>'
    return name if job.kind == "run" else f"Training on {name}"


def _run(job: JobRecord) -> tuple[str, str]:
    """Return a line of words about a run, and its progress bar."""
    if job.state == "waiting":
        return "starts when the job before it has ended", ""
    if job.is_over and not job.started:
        return "never started", ""
    now = job.progress()
    people = count(now.people, "person", "people")
    took = duration((job.ended or time.time()) - job.started)
    if job.is_over:
        return f"{count(now.frames, 'frame')}, {people}, {took}", ""
    if not now.frames:
        return f"loading networks, {took}", _bar(None)
    of = f" of {now.frames_total:,}" if now.frames_total else ""
    speed = f"{now.frames / max(now.seconds, 0.1):.0f} frames/s"
    line = f"{now.frames:,}{of} frames, {speed}, {people} so far, {took}"
    if now.frames == now.frames_total:
        return f"{count(now.frames, 'frame')}, {people}: linking and drawing, {took}", _bar(None)
    return line, _bar(now.frames / now.frames_total if now.frames_total else None)


def _training(job: JobRecord) -> tuple[str, str]:
    if job.state == "waiting":
        return "starts when the job before it has ended", ""
    if job.is_over and not job.started:
        return "never started", ""
    took = duration((job.ended or time.time()) - job.started)
    if not job.is_over:
        return f"writing the training set, then training, {took}", _bar(None)
    return took, outcome(job.result()) if job.state == "finished" else ""


def outcome(result: dict[str, Any]) -> str:
    """Say in words what a training led to."""
    return ""


def _bar(share: float | None) -> str:
    if share is None:
        return '<div class="ot-progress unknown"><i></i></div>'
    return f'<div class="ot-progress"><i style="width:{100 * min(1.0, share):.0f}%"></i></div>'


def jobs_list(jobs: list[JobRecord], library: RunLibrary) -> str:
    """Return the panels of several jobs."""
    return f'<div class="ot-jobs">{"".join(card(job, library) for job in jobs)}</div>' if jobs else ""
