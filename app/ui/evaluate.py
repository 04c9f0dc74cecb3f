"""The page Evaluate: how good a run is where the truth is known, and which mistakes cost most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from html import escape
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.config import Settings
from app.errors import InputError
from app.frames import NO_ID
from app.runs.folder.layout import crop_frame
from app.runs.folder.run import Run
from app.ui import layout
from app.ui.library import OpenRun, RunLibrary

if TYPE_CHECKING:
    from app.runs.evaluate.mistakes import IdentityMistake, TrackPart

_MISTAKES = 20
_PICTURES = 4
_NO_TRUTH = layout.empty(
    "No truth was found for this run",
    "Put it beside the recordings as <code>CAMERA/gt/gt.txt</code> or <code>CAMERA.txt</code>, with the same person "
    "under the same id on every camera.",
)
_START = layout.empty("Truth was found", "Press <b>Evaluate</b>; a long run takes a minute.")


def build(page: gr.Blocks, library: RunLibrary, settings: Settings) -> None:
    """Put the page together."""
    layout.header("evaluate")
    layout.title("Evaluate", "Scores against the truth, beside what no linking and perfect linking would reach.")
    with gr.Row(equal_height=True):
        truth = gr.Dropdown([], label="Truth", scale=4, elem_id="truth")
        start = gr.Button("Evaluate", variant="primary", scale=1, elem_id="evaluate", elem_classes="ot-once")
    report = layout.html(elem_id="report")

    def open_page(request: gr.Request) -> tuple[Any, str]:
        names: list[str] = []

        def render() -> str:
            names.extend(truth_folders(layout.run_of(library, request).run, settings.ui.source_folders))
            return _START if names else _NO_TRUTH

        html = layout.shown(render)
        return gr.Dropdown(names, value=names[0] if names else None), html

    def score(name: str | None, request: gr.Request) -> str:
        def act() -> str:
            found = layout.run_of(library, request)
            folders = truth_folders(found.run, settings.ui.source_folders)
            if name not in folders:
                raise InputError("Choose where the truth lies first.")
            return _report(found, folders[name])

        html: str = layout.told(act)
        return html

    page.load(open_page, None, [truth, report], queue=False, show_progress="hidden")
    start.click(score, truth, report, show_progress="minimal")


def truth_folders(run: Run, source_folders: Sequence[str]) -> dict[str, Path]:
    """Return the folders near the recordings that hold truth for every camera, by the name that the page shows."""
    near = [Path(record.path).parent for camera in run.cameras for record in camera.inputs[:1]]
    near += [folder.parent for folder in near]
    near += [folder for root in map(Path, source_folders) for folder in (root, *root.glob("*"))]
    found = {}
    for folder in dict.fromkeys(near):
        tried = [(folder / camera.name / "gt" / "gt.txt", folder / f"{camera.name}.txt") for camera in run.cameras]
        if tried and all(any(path.is_file() for path in paths) for paths in tried):
            found[str(folder)] = folder
    return found


def _report(found: OpenRun, truth: Path) -> str:
    # All rows of the run are needed at once: a process of its own has them, and takes them away with it.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        scores, mistakes = pool.submit(_score, found.folder, truth).result()
    return f"{_figures(scores)}{_across(scores)}{_cameras(scores)}{_recovery(scores)}{_mistakes(found, mistakes)}"


def _score(folder: Path, truth: Path) -> tuple[dict[str, Any], list[IdentityMistake]]:
    from app.runs.evaluate.mistakes import identity_mistakes
    from app.runs.evaluate.scores import evaluate
    from app.runs.evaluate.trajectories import load_truth, run_times, run_trajectories

    run = Run.open(folder)
    true_rows = load_truth(truth, [camera.name for camera in run.cameras])
    rows = run_trajectories(run)
    return evaluate(true_rows, rows, run_times(run, true_rows)), identity_mistakes(true_rows, rows, _MISTAKES)


def _figures(scores: Mapping[str, Any]) -> str:
    across = scores["across"]
    gain = across["IDF1"] - scores["no_linking"]["IDF1"]
    values = [
        (f"{across['IDF1']:.1f}", "IDF1 across cameras"),
        (f"{gain:+.1f}", "gained by linking"),
        (f"{scores['perfect_linking']['IDF1']:.1f}", "with perfect linking"),
        (f"{across['HOTA']:.1f}", "HOTA across cameras"),
        (f"{across['ids']} for {across['people']}", "ids for people"),
    ]
    figures = "".join(f'<div class="ot-figure"><b>{value}</b><span>{what}</span></div>' for value, what in values)
    return f'<div class="ot-figures ot-spaced">{figures}</div>'


def _table(heading: str, note: str, columns: Sequence[str], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    head = "".join(f'<th class="number">{column}</th>' for column in columns)
    body = ""
    for name, values in rows:
        cells = "".join(f'<td class="number">{_cell(values[column])}</td>' for column in columns)
        body += f"<tr><td>{escape(name)}</td>{cells}</tr>"
    return f"""<h2 class="ot-section">{heading} <small>{note}</small></h2>
    <div class="ot-frame ot-spaced"><table class="ot-table"><thead><tr><th></th>{head}</tr></thead>
    <tbody>{body}</tbody></table></div>"""


def _cell(value: float | int | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.1f}"


def _across(scores: Mapping[str, Any]) -> str:
    from app.runs.evaluate.scores import ACROSS_SCORES

    rows = [
        ("linked", scores["across"]),
        ("not linked (control)", scores["no_linking"]),
        ("linked without an error (ceiling)", scores["perfect_linking"]),
    ]
    note = "percent; the same person must have the same id everywhere"
    return _table("Across all cameras", note, ACROSS_SCORES, rows)


def _cameras(scores: Mapping[str, Any]) -> str:
    from app.runs.evaluate.scores import CAMERA_SCORES

    return _table("Within each camera", "percent; IDSW counts", CAMERA_SCORES, list(scores["cameras"].items()))


def _recovery(scores: Mapping[str, Any]) -> str:
    """Draw which share of returns got the right id, by the time out of sight."""
    bars = ""
    for gap, share in scores["gap_recovery"].items():
        height = 0 if share is None else share
        text = "–" if share is None else f"{share:.0f} %"
        bars += f"""<div class="ot-column"><b>{text}</b><div><i style="height:{height:.0f}%"></i></div>
        <span>{gap} s</span><small>{layout.count(scores["gaps"][gap], "return")}</small></div>"""
    return f"""<h2 class="ot-section">Recovery after absences
    <small>the right id after being out of sight for at least …</small></h2>
    <div class="ot-panel ot-columns ot-spaced">{bars}</div>"""


def _mistakes(found: OpenRun, mistakes: Sequence[IdentityMistake]) -> str:
    if not mistakes:
        return layout.empty("No mistakes", "Every box that shows somebody carries that person's own id.")
    crops = {summary.key: summary.crops for summary in found.run.tracklet_summaries(vectors=False)}
    rows = "".join(_mistake(found, mistake, crops) for mistake in mistakes)
    note = "the most expensive first; person numbers are those of the truth"
    return f'<h2 class="ot-section">Mistakes <small>{note}</small></h2><div class="ot-jobs">{rows}</div>'


def _mistake(found: OpenRun, mistake: IdentityMistake, crops: Mapping[tuple[str, int], Sequence[str]]) -> str:
    given = "no id" if mistake.given_id == NO_ID else f"id {mistake.given_id}"
    if mistake.kind == "split":
        text = f"person {mistake.person} is {given} here and id {mistake.own_id} elsewhere"
        other = f"person {mistake.person} as id {mistake.own_id}"
    else:
        text = f"person {mistake.person} has {given}, which belongs to person {mistake.owner}"
        other = f"person {mistake.owner} as {given}"
    kind = layout.chip(mistake.kind, "accent" if mistake.kind == "split" else "bad")
    return f"""<div class="ot-panel"><div class="ot-visit-head">{kind}<b>{text}</b>
    <div class="ot-acts"><span>{layout.count(mistake.boxes, "box", "boxes")}, {mistake.idf1_points:.2f} IDF1</span>
    </div></div><div class="ot-two"><div><p class="ot-facts">person {mistake.person} as {given}</p>
    {_pictures(found, mistake.parts, crops)}</div>
    <div><p class="ot-facts">{other}</p>{_pictures(found, mistake.reference, crops)}</div></div></div>"""


def _pictures(found: OpenRun, parts: Sequence[TrackPart], crops: Mapping[tuple[str, int], Sequence[str]]) -> str:
    """Return pictures that were taken in these parts."""
    fitting = [
        reference
        for part in parts
        for reference in crops.get((part.camera, part.track_id), ())
        if crop_frame(reference) + 1 in part.frames
    ]
    figures = "".join(f"<figure>{layout.crop(found, reference)}</figure>" for reference in fitting[:_PICTURES])
    return f'<div class="ot-strip">{figures or "<span class=ot-facts>no pictures</span>"}</div>'
