"""The page Review: the links that the program is least sure of, one pair at a time."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from app.identities import Key
from app.people import Visit
from app.review import Link, last_correction, open_questions, undo_last
from app.ui import layout
from app.ui.layout import button, duration, span
from app.ui.library import OpenRun, RunLibrary

_PICTURES = 5


def build(page: gr.Blocks, library: RunLibrary) -> None:
    """Put the page together."""
    layout.header("review")
    layout.title("Review", "The least certain links first. Answers are kept as corrections and as training pairs.")
    pair = layout.html(actions=True, elem_id="review-pair")
    skipped = gr.State([])

    def show(passed: list[Any], request: gr.Request) -> str:
        return layout.shown(lambda: _view(layout.run_of(library, request), passed))

    def answer(passed: list[Any], request: gr.Request, event: gr.EventData) -> tuple[list[Any], str]:
        values = event._data
        action = values["action"]

        def act() -> list[Any]:
            found = layout.run_of(library, request)
            actor = layout.actor_of(request)
            if action == "undo":
                gr.Info(undo_last(found.ledger, actor), duration=3, title="Done")
                return []
            own: Key = (found.camera_named(int(values["camera"])), int(values["track"]))
            other: Key = (found.camera_named(int(values["other_camera"])), int(values["other_track"]))
            if action == "yes":
                found.ledger.confirm(own, other, actor)
            elif action == "no":
                found.ledger.separate(own, other, actor)
            return [*passed, [*own, *other]] if action == "skip" else passed

        passed = layout.told(act)
        return passed, show(passed, request)

    page.load(show, skipped, pair, queue=False, show_progress="hidden")
    pair.select(answer, skipped, [skipped, pair], show_progress="hidden")


def _view(found: OpenRun, skipped: list[Any]) -> str:
    questions = open_questions(found.links(), found.identities())
    left = [link for link in questions if [*link.own, *link.other] not in skipped]
    undo = button("Undo last answer", "undo", "plain") if last_correction(found.ledger) else ""
    if not left:
        text = "Everything that was not skipped is answered." if skipped else "Every link of this run is answered."
        if not questions and not found.links():
            text = "Nothing is linked in this run, or it was linked without pictures."
        return layout.empty("Nothing to review", text) + f'<div class="ot-hint">{undo}</div>'
    link = left[0]
    visits = {visit.key: visit for visit in found.people()[link.person].visits}
    data = {
        "camera": found.camera_number(link.own[0]),
        "track": link.own[1],
        "other_camera": found.camera_number(link.other[0]),
        "other_track": link.other[1],
    }
    answers = "".join(
        f'<button type="button" class="ot-button big {kind}" data-action="{action}" data-key="{key}"{_data(data)}>'
        f"{text} <kbd>{key}</kbd></button>"
        for action, key, text, kind in (
            ("yes", "y", "Same person", "primary"),
            ("no", "n", "Different people", ""),
            ("skip", "s", "Skip", ""),
        )
    )
    first, second = sorted((visits[link.own], visits[link.other]), key=lambda visit: visit.start_s)
    return f"""<ot-keys><div class="ot-pair" data-own="{escape(f"{link.own}")}">
    {_side(found, first)}{_between(link, first, second)}{_side(found, second)}</div>
    <div class="ot-answers">{answers}</div>
    <div class="ot-hint">{layout.count(len(left), "link")} to look at {undo}</div></ot-keys>"""


def _data(values: dict[str, Any]) -> str:
    return "".join(f' data-{name}="{value}"' for name, value in values.items())


def _side(found: OpenRun, visit: Visit) -> str:
    best = layout.crop(found, visit.crops[0], f"{visit.camera}, track {visit.track_id}") if visit.crops else ""
    more = "".join(f"<figure>{layout.crop(found, crop)}</figure>" for crop in visit.crops[1:_PICTURES])
    jump = layout.address("", found, t=f"{visit.start_s:.3f}")
    return f"""<div class="ot-side"><div class="ot-visit-head"><b>{escape(visit.camera)}</b>
    <span>{span(visit.start_s, visit.end_s)}</span>
    <div class="ot-acts"><a class="ot-button" href="{jump}">Show</a></div></div>
    <div class="ot-large">{best or "no picture"}</div><div class="ot-strip">{more}</div></div>"""


def _between(link: Link, first: Visit, second: Visit) -> str:
    gap = second.start_s - first.end_s
    apart = f"{duration(gap)} apart" if gap >= 0 else "at the same time"
    gates = "".join(layout.chip(gate) for gate in link.gates)
    return f"""<div class="ot-vs"><b>{link.p_same:.2f}</b><span>P(same person)</span>
    <span>runner-up {link.runner_up:.2f}</span><span>{apart}</span>
    <span class="ot-chips" style="justify-content:center">{gates}</span></div>"""
