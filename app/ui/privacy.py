"""The page Privacy: videos with people made unrecognisable, erasing a person, retention, and who did what."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.config import RetentionSettings, Settings
from app.errors import InputError
from app.frames import NO_ID
from app.runs.folder.audit_log import record
from app.runs.folder.layout import VIDEO_FOLDER
from app.runs.folder.progress import Progress
from app.runs.people.known import gallery_of_run
from app.runs.people.visits import fingerprint
from app.runs.privacy.audit import log_of
from app.runs.privacy.erase import erase_person, erased_text
from app.runs.privacy.purge import Term, gallery_text, purge, terms
from app.runs.render.blurred import blurred_folder, blurred_video, outside_text, read_blurred, render_blurred
from app.runs.render.videos import DOUBTS_MISSING
from app.ui import calls, layout, people
from app.ui.layout import button, chip, clock, count
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX

_ENTRIES_SHOWN = 200
EVERYBODY = ("Everybody blurred", NO_ID)
_KINDS = {
    "video": ("Videos and exports", "annotated videos, exports"),
    "crops": ("Pictures", "the crops of people"),
    "vectors": ("Vectors", "of looks: searching and linking need them"),
    "observations": ("Observations", "all rows, and everything made from them"),
}
_DAY_S = 86_400.0


def build(page: gr.Blocks, library: RunLibrary, settings: Settings) -> None:
    """Put the page together."""
    layout.header("privacy")
    layout.title("Privacy", "Show one person only, remove one for good, and see what is kept how long and who saw it.")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            who = gr.Dropdown([], label="Person", filterable=True, elem_id="privacy-person")
            card = layout.html(elem_id="privacy-card")
        with gr.Column(scale=2), gr.Column(elem_classes="ot-panel"):
            layout.html(
                '<h2 class="ot-section">Blurred videos</h2><p class="ot-facts">The recordings again, with everybody '
                "else made unrecognisable, or everybody. Blurred is where the run found or suspected somebody, and a "
                "while before and after; what moves elsewhere is counted. Look at the videos before you give them "
                "away.</p>"
            )
            export = gr.Button("Make videos", elem_id="export-person", elem_classes="ot-once")
            made = layout.html(elem_id="exported")
            layout.html(
                '<h2 class="ot-section" style="margin-top:18px">Erase</h2><p class="ot-facts">Removes this person\'s '
                "rows, vectors and pictures, and all videos and exports of the run, and covers the person wherever "
                "a frame of the recordings is shown. The recordings themselves stay. This cannot be undone.</p>"
            )
            confirm = layout.html(actions=True, elem_id="erase-confirm")
    kept = layout.html(actions=True, elem_id="retention")
    log = layout.html(elem_id="audit")

    # What the page shows.
    def everything(request: gr.Request) -> tuple[Any, str, str, str, str, str]:
        choices: list[tuple[str, int]] = [EVERYBODY]
        retention = notes = ""

        def render() -> str:
            nonlocal retention, notes
            found = layout.run_of(library, request)
            choices.extend((person.label, person.id) for person in found.people().values())
            retention = _retention(found, settings.retention, settings.gallery.keep_days)
            notes = _notes(found)
            return _audit(found)

        html = layout.shown(render)
        return gr.Dropdown(choices, value=None), _NOBODY_CHOSEN, _erase_button(None), notes, retention, html

    def choose(number: int | None, request: gr.Request) -> tuple[str, str, str]:
        found = layout.run_of(library, request)
        if number is None:
            return _NOBODY_CHOSEN, _erase_button(None), _notes(found)
        if number == NO_ID:
            return _EVERYBODY_CHOSEN, _erase_button(None), _videos(found, number)

        def render() -> str:
            person = found.person(number)
            layout.note_people(found, request, [person], "the choice on the page Privacy")
            return people.card(found, person)

        html = layout.shown(render)
        return html, _erase_button(number, fingerprint(found.identities(), number)), _videos(found, number)

    # What it does when it is asked to.
    def on_export(
        number: int | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str]:
        def report(so_far: Progress) -> None:
            progress((so_far.frames, so_far.frames_total), unit="frames")

        def act() -> tuple[str, str]:
            actor = layout.actor_of(request, "correct")
            if number is None:
                raise InputError("Choose a person first, or everybody.")
            found = layout.run_of(library, request)
            person = number if number == NO_ID else found.person(number).id
            render_blurred(found.run, settings, person, report)
            what = "everybody blurred" if person == NO_ID else f"person {person}, everybody else blurred"
            record(found.folder, actor, "rendered", what)
            return _videos(found, number), _audit(found)

        answer: tuple[str, str] = layout.told(act)
        return answer

    def on_erase(request: gr.Request, event: gr.EventData) -> tuple[Any, str, str, str, str, str]:
        number = int(event._data["person"])

        def act() -> str:
            found = layout.run_of(library, request)
            actor = layout.actor_of(request, "erase")
            if fingerprint(found.identities(), number) != event._data.get("seen"):
                raise InputError(f"Person {number} has changed since this page showed it: look again before you erase.")
            summary = erase_person(found.folder, number, actor)
            record(found.folder, actor, "erased", f"person {summary['person']}")
            return erased_text(summary)

        calls.say(layout.told(act), title="Erased", seconds=0)
        return everything(request)

    def on_purge(request: gr.Request) -> tuple[Any, str, str, str, str, str]:
        def act() -> str:
            found = layout.run_of(library, request)
            actor, keep_people_days = layout.actor_of(request, "erase"), settings.gallery.keep_days
            report = purge(found.folder, settings.retention, actor=actor, keep_people_days=keep_people_days)
            done = f"Deleted: {', '.join(one['kind'] for one in report['purged']) or 'nothing was due'}."
            return f"{done} {gallery_text(report)}" if report["gallery"] else done

        calls.say(layout.told(act), title="Purged", seconds=8)
        return everything(request)

    outputs = [who, card, confirm, made, kept, log]
    # Who asks for what.
    page.load(everything, None, outputs, queue=False, show_progress="hidden")
    who.change(choose, who, [card, confirm, made], queue=False, show_progress="hidden")
    export.click(on_export, who, [made, log], show_progress="full")
    confirm.select(on_erase, None, outputs, show_progress="hidden")
    kept.select(on_purge, None, outputs, show_progress="hidden")


_NOBODY_CHOSEN = '<div class="ot-panel ot-facts">Choose a person, or everybody.</div>'
_EVERYBODY_CHOSEN = '<div class="ot-panel ot-facts">Nobody will be recognisable in the videos.</div>'


def _videos(found: OpenRun, number: int) -> str:
    """Show the blurred videos that were made, with a link to each file, and what may be seen in them."""
    person = number if number == NO_ID else found.identities().resolve(number)
    base = f"{PREFIX}/{found.id}/" + ("everybody" if person == NO_ID else f"person/{person}")
    videos = "".join(
        f'<figure class="ot-film"><video src="{base}/{row}" controls muted playsinline preload="metadata"></video>'
        f'<figcaption><b>{escape(camera.name)}</b><a class="ot-link" download href="{base}/{row}">Download</a>'
        "</figcaption></figure>"
        for row, camera in enumerate(found.run.cameras)
        if blurred_video(found.run, person, camera.name) is not None
    )
    if not videos:
        return _notes(found)
    return f'<div class="ot-films">{videos}</div>{_notes(found, blurred_folder(found.run, person) / VIDEO_FOLDER)}'


def _notes(found: OpenRun, folder: Path | None = None) -> str:
    """Say what blurred videos may show: those in a folder, by default those that the run itself drew."""
    outside = outside_text(read_blurred(folder or found.folder / VIDEO_FOLDER))
    texts = [outside if folder is not None or not outside else f"The run's own videos are blurred. {outside}"]
    texts += [] if found.run.keeps_doubts else [DOUBTS_MISSING]
    return "".join(f'<div class="ot-note" style="margin-top:12px">{escape(text)}</div>' for text in texts if text)


def _erase_button(person: int | None, seen: str = "") -> str:
    if person is None:
        return '<button type="button" class="ot-button danger" disabled>Erase</button>'
    question = f"Erase person {person} for good? This cannot be undone."
    return button(f"Erase person {person}", "erase", "danger", person=person, seen=seen, ask=question)


def _retention(found: OpenRun, settings: RetentionSettings, keep_people_days: float) -> str:
    known = terms(found.run, settings)
    now = time.time()
    rows = "".join(_term(term, now) for term in known)
    gallery = gallery_of_run(found.run)
    if gallery is not None:
        rows += (
            f'<tr data-kind="gallery"><td><b>Known people</b></td><td class="ot-facts">names and looks from run to '
            f'run, in {escape(str(gallery))}</td><td class="number">{_days(keep_people_days)}</td>'
            '<td class="number">after a run last saw them</td></tr>'
        )
    due = [term for term in known if term.due_s is not None and term.due_s <= now]
    later = [term for term in known if term.due_s is not None and term.due_s > now]
    if due:
        names = ", ".join(_KINDS[term.kind][0].lower() for term in due)
        note = button("Purge now", "purge", "danger", ask=f"Delete what is due ({names})? This cannot be undone.")
    elif later:
        first = min(later, key=lambda term: term.due_s or 0.0)
        note = f"<span>Next purge: <b>{_KINDS[first.kind][0].lower()}, {_day(first.due_s)}</b></span>"
    else:
        note = (
            "<span>Nothing is ever purged: the settings of the section <code>retention</code> say for how long.</span>"
        )
    return f"""<h2 class="ot-section" style="margin-top:26px">Retention
    <small>counted from the end of the run; <code>main.py purge</code> deletes what is due</small></h2>
    <div class="ot-frame"><table class="ot-table"><thead><tr><th>Data</th><th></th><th class="number">kept for</th>
    <th class="number">next purge</th></tr></thead><tbody>{rows}</tbody></table>
    <div class="ot-table-foot">{note}</div></div>"""


def _term(term: Term, now: float) -> str:
    title, meaning = _KINDS[term.kind]
    kept = "for ever" if term.days == 0 else _days(term.days)
    if term.purged_s is not None:
        due = chip(f"purged {_day(term.purged_s)}", "good")
    elif term.due_s is None:
        due = "–"
    else:
        due = chip("due now", "warn") if term.due_s <= now else _day(term.due_s)
    return (
        f'<tr data-kind="{term.kind}"><td><b>{title}</b></td><td class="ot-facts">{meaning}</td>'
        f'<td class="number">{kept}</td><td class="number">{due}</td></tr>'
    )


def _days(days: float) -> str:
    return count(round(days), "day") if days >= 1 else f"{days:g} days"


def _day(time_s: float | None) -> str:
    return clock(time_s or 0.0).partition(" ")[0]


def _audit(found: OpenRun) -> str:
    """List what people decided (the ledger) and did (the audit log), the newest first."""
    lines = log_of(found.folder, found.ledger, _ENTRIES_SHOWN + 1)
    if not lines:
        return layout.empty("Nobody did anything yet", "Who looks, searches, exports or corrects is listed here.")
    rows = "".join(
        f"<tr><td>{clock(entry.time).rpartition('.')[0]}</td><td>{escape(entry.actor)}</td><td>{chip(entry.action)}</td>"
        f"<td>{escape(entry.what)}</td></tr>"
        for entry in lines[:_ENTRIES_SHOWN]
    )
    shown = f"the latest {_ENTRIES_SHOWN}" if len(lines) > _ENTRIES_SHOWN else count(len(lines), "entry", "entries")
    return f"""<h2 class="ot-section" style="margin-top:26px">Who did what <small>{shown}; nothing can be taken out
    of it</small></h2><div class="ot-frame ot-scroll"><table class="ot-table"><thead><tr><th>When (UTC)</th><th>Who</th>
    <th></th><th>What</th></tr></thead><tbody>{rows}</tbody></table></div>"""
