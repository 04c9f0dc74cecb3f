"""The page Runs: start runs over recordings, watch them, cancel them; and the list of all runs."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.config import Settings
from app.errors import InputError
from app.footage.video import VIDEO_SUFFIXES
from app.ui import layout
from app.ui.job_cards import KINDS, jobs_list, live_wall, on_card
from app.ui.jobs import Jobs, adopted_weights, run_facts
from app.ui.layout import chip
from app.ui.library import RunLibrary
from app.ui.video_reader import keep_upload

UPLOADS = "uploads"
_JOBS_SHOWN = 8
_RUNS_SHOWN = 100
_CONFIGURED = "as configured"
_BESIDE = "boxes beside the recordings (det/det.txt)"
_DETECTORS = {
    _CONFIGURED: "",
    "bundled, person_n": "auto",
    "YOLO26 n, fast (downloaded once)": "yolo26n.pt",
    "YOLO26 s (downloaded once)": "yolo26s.pt",
    "YOLO26 m, accurate (downloaded once)": "yolo26m.pt",
    _BESIDE: "file:det/det.txt",
}
_NO_REID = "none: motion only"
_DEVICES = {_CONFIGURED: "", "processor": "cpu", "first graphics card": "cuda:0"}
_TOGETHER, _EACH = "cameras of one place: one run", "separate: a run for each"


def build(page: gr.Blocks, library: RunLibrary, settings: Settings, jobs: Jobs) -> None:
    """Put the page together."""
    layout.header("runs")
    layout.title("Runs", "Find and follow the people in recordings. A run goes on when this page is closed.")
    live = layout.html(elem_id="live")
    status = layout.html(actions=True, elem_id="jobs")
    with gr.Column(elem_classes="ot-panel"):
        layout.html('<h2 class="ot-section">Start a run</h2>')
        with gr.Row(equal_height=False):
            with gr.Column(scale=3):
                sources = gr.CheckboxGroup([], label="Recordings", elem_id="job-sources")
                together = gr.Radio([_TOGETHER, _EACH], value=_TOGETHER, label="Several recordings are",
                                    elem_id="job-together")  # fmt: skip
            with gr.Column(scale=2, min_width=260):
                upload = gr.File(label="Add recordings from this computer", file_count="multiple",
                                 file_types=["video", ".mkv", ".ts"], height=150, elem_id="job-upload")  # fmt: skip
        with gr.Row():
            names = gr.Textbox(label="Camera names, in order", placeholder="door, yard",
                               elem_id="job-names")  # fmt: skip
            detector = gr.Dropdown(list(_DETECTORS), value=_CONFIGURED, label="Detector", elem_id="job-detector")
            reid = gr.Dropdown([_CONFIGURED], value=_CONFIGURED, label="Recognition", elem_id="job-reid")
            device = gr.Dropdown(list(_DEVICES), value=_CONFIGURED, label="Device", elem_id="job-device")
        with gr.Row():
            video = gr.Checkbox(True, label="Annotated videos, for the overview", scale=3, elem_id="job-video")
            start = gr.Button("Start", variant="primary", elem_id="job-start", elem_classes="ot-once", scale=1)
    every_run = layout.html(elem_id="all-runs")
    timer = gr.Timer(1.5, active=False)
    outputs = [live, status, every_run, timer]

    # What the page shows.
    def show() -> tuple[str, str, Any, Any]:
        wall, panels, _, ticking = show_jobs()
        return wall, panels, _all_runs(library), ticking

    def show_jobs() -> tuple[str, str, Any, Any]:
        """Return what jobs do now; the list of all runs reads a file of each: anew when the last job has ended."""
        now = jobs.all()
        going_on = any(not job.is_over for job in now)
        runs = gr.skip() if going_on else _all_runs(library)
        return live_wall(now), jobs_list(now[:_JOBS_SHOWN], library), runs, gr.Timer(active=going_on)

    def offered(chosen: list[str]) -> Any:
        found = list(recordings(settings.ui.source_folders))
        info = "" if found else f"There is none in {', '.join(settings.ui.source_folders)} yet: add one from here."
        return gr.CheckboxGroup(found, value=chosen, info=info)

    def open_page() -> tuple[Any, ...]:
        return offered([]), gr.Dropdown(list(_reids(library.root)), value=_CONFIGURED), *show()

    # What it does when it is asked to.
    def on_upload(files: list[str] | None, chosen: list[str], request: gr.Request) -> tuple[Any, Any]:
        def act() -> list[Path]:
            layout.actor_of(request, "correct")
            folder = Path(settings.ui.source_folders[0]) / UPLOADS
            largest = settings.ui.max_video_mb * 1_000_000
            return [keep_upload(Path(file), folder, Path(file).name, largest) for file in files or []]

        kept = {path.resolve() for path in layout.told(act)}
        new = [name for name, path in recordings(settings.ui.source_folders).items() if path in kept]
        return offered([*chosen, *new]), None

    def on_start(
        chosen: list[str],
        together: str,
        names: str,
        detector: str,
        reid: str,
        device: str,
        video: bool,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        def act() -> None:
            layout.actor_of(request, "correct")
            found = recordings(settings.ui.source_folders)
            paths = [path for name, path in found.items() if name in chosen]
            if not paths:
                raise InputError("Choose at least one recording.")
            cameras = [name.strip() for name in names.split(",") if name.strip()]
            if any(name.startswith("-") for name in cameras):
                raise InputError("The name of a camera cannot begin with a dash.")
            if cameras and len(cameras) != len(paths):
                are = "1 recording is" if len(paths) == 1 else f"{len(paths)} recordings are"
                raise InputError(f"{are} chosen, but there are {layout.count(len(cameras), 'name')}.")
            options = ["--save-video"] if video else []
            for option, word in (
                ("--detector", _DETECTORS[detector]),
                ("--reid", _reids(library.root).get(reid, "")),
                ("--device", _DEVICES[device]),
            ):
                options += [option, word] if word else []
            groups = [list(range(len(paths)))] if together == _TOGETHER else [[row] for row in range(len(paths))]
            for rows in groups:
                own = [cameras[row] for row in rows] if cameras else []
                library.add(jobs.start_run([paths[row] for row in rows], own, options, settings).folder)

        layout.told(act)
        return show()

    def on_button(request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        layout.told(lambda: on_card(jobs, event._data, request))
        time.sleep(0.3)
        return show()

    # Who asks for what.
    page.load(open_page, None, [sources, reid, *outputs], queue=False, show_progress="hidden")
    upload.upload(on_upload, [upload, sources], [sources, upload], show_progress="minimal")
    choices = [sources, together, names, detector, reid, device, video]
    start.click(on_start, choices, outputs, show_progress="hidden")
    status.select(on_button, None, outputs, show_progress="hidden")
    timer.tick(show_jobs, None, outputs, queue=False, show_progress="hidden")


def recordings(folders: list[str]) -> dict[str, Path]:
    """Return the recordings that the page offers, by the name that it shows: videos and MOTChallenge folders."""
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
            if path.name.startswith("."):
                continue
            is_folder = (path / "seqinfo.ini").is_file() and not _is_beside_its_video(path)
            if path.suffix.lower() in VIDEO_SUFFIXES or is_folder:
                found[str(path.relative_to(folder))] = path.resolve()
    return found


def _is_beside_its_video(folder: Path) -> bool:
    """Return whether a folder holds only the truth and the boxes of a video of the same name."""
    is_bare = not (folder / "img1").is_dir()
    return is_bare and any(folder.with_name(f"{folder.name}{suffix}").is_file() for suffix in VIDEO_SUFFIXES)


def _reids(root: Path) -> dict[str, str]:
    """Return what `--reid` may be, by the words of the page: also the weights that were trained on corrections."""
    trained = {f"trained on corrections, {name}": str(path) for name, path in adopted_weights(root).items()}
    return {_CONFIGURED: "", **trained, _NO_REID: "none"}


def _all_runs(library: RunLibrary) -> str:
    rows = ""
    for number, folder in list(library.folders().items())[:_RUNS_SHOWN]:
        try:
            facts = run_facts(folder)
        except InputError as error:
            rows += f'<tr><td>{escape(folder.name)}</td><td colspan="6">{escape(str(error))}</td></tr>'
            continue
        rows += f"""<tr><td><a class="ot-link" href="/?run={number}">{escape(folder.name)}</a></td>
        <td>{chip(facts["state"], KINDS.get(facts["state"], ""))}</td><td>{facts["created"]}</td>
        <td class="number">{facts["cameras"]}</td><td class="number">{facts["frames"]:,}</td>
        <td>{escape(facts["detector"])}</td><td>{escape(facts["reid"])}</td></tr>"""
    if not rows:
        return layout.empty("No runs yet", "Choose recordings above and start the first one.")
    return f"""<h2 class="ot-section">All runs</h2><div class="ot-frame"><table class="ot-table"><thead><tr><th>Run</th>
    <th>State</th><th>Made (UTC)</th><th class="number">Cameras</th><th class="number">Frames</th><th>Detector</th>
    <th>Recognition</th></tr></thead><tbody>{rows}</tbody></table></div>"""
