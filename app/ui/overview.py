"""The page Overview: all cameras at one moment, and a timeline with a lane for each person."""

from __future__ import annotations

import gradio as gr

from app.preview import PICTURE_FILE
from app.runs import LEDGER_FILE
from app.ui import layout
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX, RECORDINGS


def build(page: gr.Blocks, library: RunLibrary) -> None:
    """Put the page together. Players and timeline are one element of `static/omnitrack.js`."""
    layout.header("")
    content = layout.html(elem_id="overview")

    def show(request: gr.Request) -> str:
        return view(library, request)

    page.load(show, None, content, queue=False, show_progress="hidden")


def view(library: RunLibrary, visitor: layout.Visitor) -> str:
    """Return the content of the page."""

    def render() -> str:
        found = layout.run_of(library, visitor)
        found.views.things(layout.actor_of(visitor), RECORDINGS)
        return _view(found)

    return layout.shown(render)


def _view(found: OpenRun) -> str:
    people = found.people()
    start, end = found.span()
    cameras = layout.count(len(found.run.cameras), "camera")
    facts = f"{layout.count(len(people), 'person', 'people')}, {cameras}, {layout.duration(end - start)}"
    title = layout.heading(found.name, facts)
    title += _live_wall(found)
    if end <= start:
        return title + layout.empty("This run has no frames yet", "Its first part is written after half a minute.")
    return f'{title}{_note(found)}<ot-overview data-run="{found.id}"></ot-overview>' + ("" if people else layout.NOBODY)


def _live_wall(found: OpenRun) -> str:
    """Return the element with the pictures of live cameras that run now, empty where nobody keeps them
    (`track --preview`)."""
    if any(camera.has_frames for camera in found.run.cameras) or not (found.folder / PICTURE_FILE).is_file():
        return ""
    return f'<ot-live data-src="{PREFIX}/{found.id}/live"></ot-live>'


def _note(found: OpenRun) -> str:
    """Say when the videos show names from before a correction."""
    videos = [path for record in found.run.cameras if (path := found.video(record.name)) is not None]
    changed = found.ledger.corrections()
    if not videos or not changed or changed[-1].time < min(path.stat().st_mtime for path in videos):
        return ""
    return (
        f'<div class="ot-note" style="margin-top:12px">The videos were drawn before the latest corrections in '
        f"{LEDGER_FILE}: their labels are older than the timeline below.</div>"
    )
