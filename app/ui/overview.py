"""The page Overview: all cameras at one moment, and a timeline with a lane for each person."""

from __future__ import annotations

from html import escape

import gradio as gr

from app.footage.camera import CameraState
from app.footage.clock import format_time
from app.runs.folder.camera_states import SHORTEST_S, BlindTime, blind_times, read_states
from app.runs.folder.layout import LEDGER_FILE, PICTURE_FILE
from app.ui import layout
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX, RECORDINGS

_KINDS: dict[CameraState, str] = {"live": "good", "connecting": "warn", "stopped": ""}
_KINDS |= {"frozen": "bad", "lost": "bad", "refused": "bad"}
_BLIND_SHOWN = 50


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
    title += _cameras(found) + _live_wall(found)
    if end <= start:
        return title + layout.empty("This run has no frames yet", "Its first part is written after half a minute.")
    return f'{title}{_note(found)}{_blind_spots(found)}<ot-overview data-run="{found.id}"></ot-overview>' + (
        "" if people else layout.NOBODY
    )


def _blind_spots(found: OpenRun) -> str:
    """Say of cameras on which people were probably missed why that is thought, and what to try."""
    spots = found.run.summary.get("blind_spots")
    if not isinstance(spots, dict) or not spots:
        return ""
    lines = "".join(f"<br>{escape(str(camera))}: {escape(str(text))}" for camera, text in spots.items())
    return f'<div class="ot-note ot-missed"><span><b>People may have been missed.</b>{lines}</span></div>'


def _cameras(found: OpenRun) -> str:
    """Say what each live camera is doing, or was doing at the end, and when cameras were blind."""
    latest = {change.camera: change for change in read_states(found.folder) if change.state != "stopped"}
    if not latest:
        return ""
    ended = "" if found.run.state == "running" else " at the end"
    chips = "".join(
        layout.chip(f"{name} {change.state}{ended if change.state != 'live' else ''}", _KINDS[change.state])
        for name, change in latest.items()
    )
    return f'<div class="ot-chips" data-cameras="{len(latest)}">{chips}</div>{_blind(blind_times(found.folder))}'


def _blind(times: list[BlindTime]) -> str:
    """Return the latest blind times, those that go on first; empty if there were none."""
    if not times:
        return ""
    newest = sorted(times, key=lambda one: (one.end_s is not None, -one.start_s))[:_BLIND_SHOWN]
    rows = "".join(
        f"<tr><td>{escape(one.camera)}</td><td>{format_time(one.start_s)}</td>"
        f"<td>{'still' if one.end_s is None else format_time(one.end_s)}</td>"
        f"<td>{layout.chip(one.state, _KINDS[one.state])}</td><td>{escape(one.why)}</td></tr>"
        for one in newest
    )
    total = layout.count(len(times), "time", "times")
    return f"""<details class="ot-panel ot-blind"><summary>Cameras were blind {total} for {SHORTEST_S:g} s or longer:
    nobody is known to have been absent then</summary><table class="ot-table"><thead><tr><th>Camera</th><th>From</th>
    <th>To</th><th>State</th><th>Why</th></tr></thead><tbody>{rows}</tbody></table></details>"""


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
