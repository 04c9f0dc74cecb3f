"""What pages show of a job: how far it is, what came out, and a button that stops it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from app.runs.folder.progress import Progress
from app.ui.job_records import JobRecord
from app.ui.jobs import Jobs
from app.ui.layout import Visitor, actor_of, button, chip, count, duration
from app.ui.library import RunLibrary, run_id
from app.ui.media import PREFIX

KINDS = {"finished": "good", "running": "accent", "failed": "bad"}
KINDS |= dict.fromkeys(("interrupted", "cancelled", "stopping"), "warn")
_STOP_RUN = "Stop this run? What was processed is kept."
_STOP_OTHER = "Stop this? The weights in use stay as they are."
_TITLES = {"run": "", "export": "Training set of ", "training": "Training on "}


def card(job: JobRecord, library: RunLibrary) -> str:
    """Return a panel about a job."""
    line, more = _run(job) if job.kind == "run" else _training(job)
    action = ""
    if job.state in ("waiting", "running"):
        ask = _STOP_RUN if job.kind == "run" else _STOP_OTHER
        action = button("Cancel", "cancel", "danger", job=job.number, ask=ask)
    elif job.can_go_on:
        action = button("Go on", "go-on", job=job.number)
    said = f'<pre class="ot-log">{escape(job.said())}</pre>' if job.state == "failed" else ""
    return f"""<div class="ot-panel" data-job="{job.number}" data-kind="{job.kind}" data-state="{job.state}">
    <div class="ot-visit-head" style="margin-bottom:0"><b>{_title(job, library)}</b>
    {chip(job.state, KINDS.get(job.state, ""))}<span>{line}</span>
    <div class="ot-acts">{action}</div></div>{more}{said}</div>"""


def on_card(jobs: Jobs, clicked: Mapping[str, Any], visitor: Visitor) -> None:
    """Do what a button of a card says. Raises InputError if the visitor may not."""
    actor_of(visitor, "correct")
    act = jobs.go_on if clicked["action"] == "go-on" else jobs.cancel
    act(int(clicked["job"]))


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
    return f"{_TITLES[job.kind]}{name}"


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
    line = f"{now.frames:,}{of} frames, {speed}, {people} so far, {took}{_cameras(now)}"
    if now.frames == now.frames_total:
        return f"{count(now.frames, 'frame')}, {people}: linking and drawing, {took}", _bar(None)
    return line, _bar(now.frames / now.frames_total if now.frames_total else None)


def _cameras(now: Progress) -> str:
    """Say which live cameras see nothing, and what the disk has no room for."""
    blind = "".join(f", {escape(name)} {state}" for name, state in now.states.items() if state != "live")
    return f"{blind}; {escape(now.note)}" if now.note else blind


def _training(job: JobRecord) -> tuple[str, str]:
    if job.state == "waiting":
        return "starts when the job before it has ended", ""
    if job.is_over and not job.started:
        return "never started", ""
    took = duration((job.ended or time.time()) - job.started)
    if not job.is_over:
        doing = "writing the training set" if job.kind == "export" else "writing the training set, then training"
        return f"{doing}, {took}", _bar(None)
    if job.state != "finished":
        return took, ""
    if job.kind == "export":
        files = [Path(file) for file in job.result().get("files", ())]
        pictures = sum(file.suffix == ".jpg" for file in files)
        return f"{count(pictures, 'picture')} in {escape(str(job.folder))}", ""
    return took, outcome(job.result())


def outcome(result: Mapping[str, Any]) -> str:
    """Say what the comparison of new weights with the old ones led to. result: what `main.py train --json` prints."""
    verdict = result.get("verdict")
    if verdict is None:
        text = "There were no judged pairs to compare the weights on, so they are not adopted."
        return f'<p class="ot-outcome">{chip("kept the old one")} {text}</p>'
    chosen = chip("adopted", "good") if verdict["adopted"] else chip("kept the old one", "warn")
    reason = str(verdict["reason"]).partition(": ")[2] or str(verdict["reason"])
    to_do = " Choose them as Recognition on the page Runs." if verdict["adopted"] else ""
    return f'<p class="ot-outcome">{chosen} {escape(reason)}.{to_do}</p>{_scores(verdict)}'


def _scores(verdict: Mapping[str, Any]) -> str:
    if not verdict["old"] or not verdict["new"]:
        return ""
    rows = "".join(
        f'<tr><td>{name}</td><td class="number">{scores["error"]:.4f}</td>'
        f'<td class="number">{scores["right"]:.1f} %</td><td class="number">{scores["ranking"]:.3f}</td></tr>'
        for name, scores in (("old weights", verdict["old"]), ("new weights", verdict["new"]))
    )
    return f"""<table class="ot-table ot-narrow"><thead><tr><th>On held-out pairs</th>
    <th class="number">Error of P(same)</th><th class="number">Judged right</th><th class="number">Ranked right</th>
    </tr></thead><tbody>{rows}</tbody></table>"""


def _bar(share: float | None) -> str:
    if share is None:
        return '<div class="ot-progress unknown"><i></i></div>'
    return f'<div class="ot-progress"><i style="width:{100 * min(1.0, share):.0f}%"></i></div>'


def jobs_list(jobs: list[JobRecord], library: RunLibrary) -> str:
    """Return the panels of several jobs."""
    return f'<div class="ot-jobs">{"".join(card(job, library) for job in jobs)}</div>' if jobs else ""
