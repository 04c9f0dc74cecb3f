"""The page Runs: start a run over recordings, watch it, cancel it; and the list of all runs."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.config import Settings
from app.errors import InputError
from app.ui import layout
from app.ui.jobs import JobRecord, Jobs, run_facts
from app.ui.layout import button, chip, duration
from app.ui.library import RunLibrary
from app.video import VIDEO_SUFFIXES

_CONFIGURED = "as configured"
_BESIDE = "boxes beside the recordings (det/det.txt)"
_DETECTORS = {
    _CONFIGURED: "",
    "YOLO26 n, fast": "yolo26n.pt",
    "YOLO26 s": "yolo26s.pt",
    "YOLO26 m, accurate": "yolo26m.pt",
    _BESIDE: "file:det/det.txt",
}
_REIDS = {_CONFIGURED: "", "none: motion only": "none"}
_DEVICES = {_CONFIGURED: "", "processor": "cpu", "first graphics card": "cuda:0"}
_KINDS = {"finished": "good", "running": "accent", "failed": "bad", "interrupted": "warn", "cancelled": "warn"}


def build(page: gr.Blocks, library: RunLibrary, settings: Settings, jobs: Jobs) -> None:
    """Put the page together."""
    layout.header("runs")
    layout.title("Runs", "Find and follow the people in recordings. A run goes on when this page is closed.")
    status = layout.html(actions=True, elem_id="jobs")
    with gr.Column(elem_classes="ot-panel"):
        layout.html('<h2 class="ot-section">Start a run</h2>')
        sources = gr.CheckboxGroup([], label="Recordings", elem_id="job-sources")
        with gr.Row():
            names = gr.Textbox(label="Names of the cameras", placeholder="door, yard")
            detector = gr.Dropdown(list(_DETECTORS), value=_CONFIGURED, label="Detector", elem_id="job-detector")
            reid = gr.Dropdown(list(_REIDS), value=_CONFIGURED, label="Recognition", elem_id="job-reid")
            device = gr.Dropdown(list(_DEVICES), value=_CONFIGURED, label="Device")
        with gr.Row():
            video = gr.Checkbox(True, label="Annotated videos, for the overview", scale=3)
            start = gr.Button("Start", variant="primary", elem_id="job-start", scale=1)
    every_run = layout.html(elem_id="all-runs")
    timer = gr.Timer(2.0)

    def show() -> tuple[str, str]:
        return _jobs(jobs, library), _all_runs(library)

    def open_page() -> tuple[Any, str, str]:
        found = list(recordings(settings.ui.source_folders))
        info = "" if found else f"There is no recording in {', '.join(settings.ui.source_folders)}."
        return gr.CheckboxGroup(found, value=[], info=info), *show()

    def on_start(chosen: list[str], names: str, detector: str, reid: str, device: str, video: bool) -> tuple[str, str]:
        def act() -> None:
            offered = recordings(settings.ui.source_folders)
            paths = [offered[name] for name in chosen if name in offered]
            if not paths:
                raise InputError("Choose at least one recording.")
            cameras = [name.strip() for name in names.split(",") if name.strip()]
            if any(name.startswith("-") for name in cameras):
                raise InputError("The name of a camera cannot begin with a dash.")
            options = []
            for option, word in (
                ("--detector", _DETECTORS[detector]),
                ("--reid", _REIDS[reid]),
                ("--device", _DEVICES[device]),
            ):
                options += [option, word] if word else []
            jobs.start(paths, cameras, [*options, *(["--save-video"] if video else [])], settings)

        layout.told(act)
        return show()

    def on_button(event: gr.EventData) -> tuple[str, str]:
        jobs.cancel(int(event._data["job"]))
        time.sleep(0.3)
        return show()

    page.load(open_page, None, [sources, status, every_run], queue=False, show_progress="hidden")
    start.click(on_start, [sources, names, detector, reid, device, video], [status, every_run], show_progress="hidden")
    status.select(on_button, None, [status, every_run], show_progress="hidden")
    timer.tick(show, None, [status, every_run], queue=False, show_progress="hidden")


def recordings(folders: list[str]) -> dict[str, Path]:
    """Return the recordings that the page offers, by the name that it shows: videos and MOTChallenge folders."""
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
            if path.name.startswith("."):
                continue
            if path.suffix.lower() in VIDEO_SUFFIXES or (path / "seqinfo.ini").is_file():
                found[str(path.relative_to(folder))] = path.resolve()
    return found


def _jobs(jobs: Jobs, library: RunLibrary) -> str:
    rows = "".join(_job(job, library) for job in jobs.all()[:6])
    return f'<div class="ot-jobs">{rows}</div>' if rows else ""


def _job(job: JobRecord, library: RunLibrary) -> str:
    action, line, bar = "", "", ""
    if job.state in ("waiting", "running"):
        action = button("Cancel", "cancel", "danger", job=job.number, ask="Stop this run? What was processed is kept.")
    if job.state == "running":
        frames, people = job.progress()
        seconds = time.time() - job.started
        speed = f", {frames / seconds:.0f} frames/s" if frames else ""
        of = f" of {job.frames_total:,}" if job.frames_total else ""
        line = f"{frames:,}{of} frames{speed}, {layout.count(people, 'person', 'people')} so far, {duration(seconds)}"
        share = 100 * frames / job.frames_total if job.frames_total else 0
        unknown = "" if frames and job.frames_total else " unknown"
        bar = f'<div class="ot-progress{unknown}"><i style="width:{min(100, share):.0f}%"></i></div>'
        if frames and frames == job.frames_total:
            line += ": linking and drawing"
    elif job.state in ("finished", "failed", "cancelled"):
        frames, people = job.progress()
        line = f"{frames:,} frames, {layout.count(people, 'person', 'people')}, {duration(job.ended - job.started)}"
    folders = {folder: number for number, folder in library.folders().items()}
    name = escape(job.folder.name)
    if job.folder.resolve() in folders:
        name = f'<a class="ot-link" href="/?run={folders[job.folder.resolve()]}">{name}</a>'
    said = f'<pre class="ot-log">{escape(job.said())}</pre>' if job.state == "failed" else ""
    return f"""<div class="ot-panel" data-job="{job.number}" data-state="{job.state}"><div class="ot-visit-head">
    <b>{name}</b>{chip(job.state, _KINDS.get(job.state, ""))}<span>{line}</span>
    <div class="ot-acts">{action}</div></div>{bar}{said}</div>"""


def _all_runs(library: RunLibrary) -> str:
    rows = ""
    for number, folder in list(library.folders().items())[:100]:
        try:
            facts = run_facts(folder)
        except InputError as error:
            rows += f'<tr><td>{escape(folder.name)}</td><td colspan="6">{escape(str(error))}</td></tr>'
            continue
        rows += f"""<tr><td><a class="ot-link" href="/?run={number}">{escape(folder.name)}</a></td>
        <td>{chip(facts["state"], _KINDS.get(facts["state"], ""))}</td><td>{facts["created"]}</td>
        <td class="number">{facts["cameras"]}</td><td class="number">{facts["frames"]:,}</td>
        <td>{escape(facts["detector"])}</td><td>{escape(facts["reid"])}</td></tr>"""
    if not rows:
        return layout.empty("No runs yet", "Choose recordings above and start the first one.")
    return f"""<h2 class="ot-section">All runs</h2><div class="ot-frame"><table class="ot-table"><thead><tr><th>Run</th>
    <th>State</th><th>Made (UTC)</th><th class="number">Cameras</th><th class="number">Frames</th><th>Detector</th>
    <th>Recognition</th></tr></thead><tbody>{rows}</tbody></table></div>"""
