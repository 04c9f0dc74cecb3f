"""The page Privacy: show one person with everybody else blurred, erase a person, and who changed what."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.config import Settings
from app.engines import Job, Progress
from app.erase import erase_person
from app.errors import InputError
from app.render import VIDEO_FOLDER, render_run
from app.ui import layout, people
from app.ui.layout import button, clock, count
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX
from app.ui.person import describe

_EVENTS_SHOWN = 200


def build(page: gr.Blocks, library: RunLibrary, settings: Settings) -> None:
    """Put the page together."""
    layout.header("privacy")
    layout.title("Privacy", "Show one person only, or remove one for good.")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            who = gr.Dropdown([], label="Person", filterable=True, elem_id="privacy-person")
            card = layout.html(elem_id="privacy-card")
        with gr.Column(scale=2), gr.Column(elem_classes="ot-panel"):
            layout.html(
                '<h2 class="ot-section">Videos of this person</h2><p class="ot-facts">The recordings again, with '
                "everybody else made unrecognisable.</p>"
            )
            export = gr.Button("Make videos", elem_id="export-person")
            made = layout.html(elem_id="exported")
            layout.html(
                '<h2 class="ot-section" style="margin-top:18px">Erase</h2><p class="ot-facts">Removes this person\'s '
                "rows, vectors and pictures, and all videos and exports of the run. This cannot be undone.</p>"
            )
            confirm = layout.html(actions=True, elem_id="erase-confirm")
    log = layout.html(elem_id="audit")

    def everything(request: gr.Request) -> tuple[Any, str, str, str, str]:
        choices: list[tuple[str, int]] = []

        def render() -> str:
            found = layout.run_of(library, request)
            choices.extend((person.label, person.id) for person in found.people().values())
            return _audit(found)

        html = layout.shown(render)
        return gr.Dropdown(choices, value=None), _NOBODY_CHOSEN, _erase_button(None), "", html

    def choose(number: int | None, request: gr.Request) -> tuple[str, str, str]:
        if number is None:
            return _NOBODY_CHOSEN, _erase_button(None), ""
        found = layout.run_of(library, request)
        html = layout.shown(lambda: people.card(found, found.person(number)))
        return html, _erase_button(number), _videos(found, number)

    def on_export(number: int | None, request: gr.Request, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        def act() -> str:
            if number is None:
                raise InputError("Choose a person first.")
            found = layout.run_of(library, request)
            export_person(found, found.person(number).id, settings, progress)
            return _videos(found, number)

        html: str = layout.told(act)
        return html

    def on_erase(request: gr.Request, event: gr.EventData) -> tuple[Any, str, str, str, str]:
        number = int(event._data["person"])

        def act() -> str:
            found = layout.run_of(library, request)
            summary = erase_person(found.folder, number, layout.actor_of(request))
            rows = count(summary["rows"], "row")
            return f"Person {number} is erased: {rows} and {count(summary['crops'], 'picture')} are gone."

        gr.Info(layout.told(act), duration=8, title="Erased")
        return everything(request)

    outputs = [who, card, confirm, made, log]
    page.load(everything, None, outputs, queue=False, show_progress="hidden")
    who.change(choose, who, [card, confirm, made], queue=False, show_progress="hidden")
    export.click(on_export, who, made, show_progress="full")
    confirm.select(on_erase, None, outputs, show_progress="hidden")


_NOBODY_CHOSEN = '<div class="ot-panel ot-facts">Choose a person.</div>'


def export_person(found: OpenRun, person: int, settings: Settings, progress: gr.Progress) -> list[Path]:
    """Draw the recordings of a run again with everybody but one person blurred."""
    run = found.run
    drawn = settings.model_copy(
        update={
            "render": settings.render.model_copy(update={"blur": True, "blur_except_person": person}),
        }
    )
    job = Job(tuple(c.origin for c in run.cameras), tuple(c.name for c in run.cameras), drawn)

    def report(so_far: Progress) -> None:
        progress((so_far.frames, so_far.frames_total), unit="frames")

    return render_run(run, job, report, export_folder(found, person))


def export_folder(found: OpenRun, person: int) -> Path:
    return found.folder / "export" / f"person_{person}"


def _videos(found: OpenRun, number: int) -> str:
    """List the videos of a person that were made."""
    person = found.identities().resolve(number)
    folder = export_folder(found, person) / VIDEO_FOLDER
    links = [
        f'<a class="ot-button" download href="{PREFIX}/{found.id}/person/{person}/{row}">{escape(camera.name)}</a>'
        for row, camera in enumerate(found.run.cameras)
        if (folder / f"{camera.name}.mp4").is_file()
    ]
    return f'<div class="ot-chips">{"".join(links)}</div>' if links else ""


def _erase_button(person: int | None) -> str:
    if person is None:
        return '<button type="button" class="ot-button danger" disabled>Erase</button>'
    question = f"Erase person {person} for good? This cannot be undone."
    return button(f"Erase person {person}", "erase", "danger", person=person, ask=question)


def _audit(found: OpenRun) -> str:
    events = found.ledger.corrections()
    if not events:
        return layout.empty(
            "No corrections yet", "What people decide about identities is listed here, with their names."
        )
    rows = "".join(
        f"<tr><td>{clock(event.time).rpartition('.')[0]}</td><td>{escape(event.actor)}</td>"
        f"<td>{escape(describe(event))}</td></tr>"
        for event in events[: -_EVENTS_SHOWN - 1 : -1]
    )
    return f"""<h2 class="ot-section">Who decided what <small>{count(len(events), "decision")}</small></h2>
    <div class="ot-frame"><table class="ot-table"><thead><tr><th>When (UTC)</th><th>Who</th><th>What</th></tr></thead>
    <tbody>{rows}</tbody></table></div>"""
