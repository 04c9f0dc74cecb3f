"""The page Person: the way of one person through the cameras, why each link was made, and the corrections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from app.errors import InputError
from app.frames import TrackletKey
from app.runs.folder.layout import crop_frame
from app.runs.ledger.identities import MACHINE, WHOLE, Event
from app.runs.people import corrections
from app.runs.people.bands import band
from app.runs.people.review import describe, in_words, last_correction
from app.runs.people.visits import Person, Visit, fingerprint
from app.ui import layout, people
from app.ui.layout import button, chip, clock, duration, span
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import person_hex

_VISITS_SHOWN = 60
_EVENTS_SHOWN = 40


def build(page: gr.Blocks, library: RunLibrary) -> None:
    """Put the page together."""
    layout.header("people")
    content = layout.html(actions=True, elem_id="person-view")
    with gr.Row(visible=False, equal_height=False) as actions:
        with gr.Column(elem_classes="ot-panel"):
            name = gr.Textbox(label="Name", placeholder="What this person is called", max_length=200, elem_id="name")
            rename = gr.Button("Save name", elem_id="save-name", elem_classes="ot-once")
        with gr.Column(elem_classes="ot-panel"):
            other = gr.Dropdown([], label="The same person as", filterable=True, elem_id="merge-with")
            preview = layout.html(actions=True, elem_id="merge-preview")
            merge = gr.Button("Merge", variant="primary", elem_id="merge", elem_classes="ot-once")
    history = layout.html(actions=True, elem_id="person-history")
    seen = gr.State({})  # fingerprints of the people whom the page shows: what a correction is about
    outputs = [content, history, actions, name, other, preview, seen]

    # What the page shows.
    def everything(request: gr.Request) -> list[Any]:
        found, person = None, None

        def render() -> str:
            nonlocal found, person
            found = layout.run_of(library, request)
            person = found.person(asked_for(request))
            return _view(found, person, layout.actor_of(request))

        html = layout.shown(render)
        if found is None or person is None:
            return [html, "", gr.Row(visible=False), "", gr.Dropdown([]), "", {}]
        choices = [(p.label, p.id) for p in found.people().values() if p.id != person.id]
        actor = layout.actor_of(request)
        history, who = _history(found, person, actor), gr.Dropdown(choices, value=None)
        return [html, history, gr.Row(visible=True), person.name, who, "", _fingerprints(found, person.id)]

    def open_page(request: gr.Request) -> list[Any]:
        with suppress(InputError):  # the page says what is wrong
            found = layout.run_of(library, request)
            layout.note_people(found, request, [found.person(asked_for(request))], "the page of")
        return everything(request)

    # What it does when it is asked to.
    def correct(
        request: gr.Request, known: Mapping[int, str], act: Callable[[OpenRun, Person, str], str], naming: bool = False
    ) -> list[Any]:
        def run_action() -> tuple[str, bool]:
            found = layout.run_of(library, request)
            person, actor = found.person(asked_for(request)), layout.actor_of(request, "correct")
            if not known or any(fingerprint(found.identities(), number) != known[number] for number in known):
                return _BEHIND.format(person.label), False
            return act(found, person, actor), True

        said, done = layout.told(run_action)
        layout.say(said, done)
        values = everything(request)
        if naming:  # by now somebody may be typing the next one, or choosing whom to merge with
            values[outputs.index(name)] = gr.skip()
            if done:
                values[outputs.index(other)] = values[outputs.index(preview)] = gr.skip()
                values[outputs.index(seen)] = {**known, **values[outputs.index(seen)]}
        return values

    def on_button(known: dict[int, str], request: gr.Request, event: gr.EventData) -> list[Any]:
        return correct(request, known, lambda found, person, actor: act_on(found, person, actor, event._data))

    def on_name(text: str, known: dict[int, str], request: gr.Request) -> list[Any]:
        def act(found: OpenRun, person: Person, actor: str) -> str:
            return corrections.name(found.ledger, person.id, text or "", actor)

        return correct(request, known, act, naming=True)

    def on_merge(number: int | None, known: dict[int, str], request: gr.Request) -> list[Any]:
        def act(found: OpenRun, person: Person, actor: str) -> str:
            if number is None:
                raise InputError("Choose the other person first.")
            return corrections.merge(found.run, found.ledger, number, person.id, actor)

        try:
            return correct(request, known, act)
        except gr.Error as error:
            if not isinstance(error.__cause__, corrections.Contradiction):
                raise
            question = _contradiction(str(error.__cause__), number)
            return [*[gr.skip()] * outputs.index(preview), question, gr.skip()]

    def on_choice(number: int | None, known: dict[int, str], request: gr.Request) -> tuple[str, dict[int, str]]:
        if number is None:
            return "", known
        found = layout.run_of(library, request)

        def render() -> str:
            person = found.person(number)
            layout.note_people(found, request, [person], "somebody to merge with")
            return people.card(found, person)

        own = found.identities().resolve(asked_for(request))
        kept = {person: print for person, print in known.items() if person == own}
        return layout.shown(render), kept | _fingerprints(found, number)

    # Who asks for what.
    page.load(open_page, None, outputs, queue=False, show_progress="hidden")
    for pressed in (content, history, preview):
        pressed.select(on_button, seen, outputs, show_progress="hidden")
    rename.click(on_name, [name, seen], outputs, show_progress="hidden")
    name.submit(on_name, [name, seen], outputs, show_progress="hidden")
    merge.click(on_merge, [other, seen], outputs, show_progress="hidden")
    other.input(on_choice, [other, seen], [preview, seen], queue=False, show_progress="hidden")


_BEHIND = (
    "This page was behind: {} has changed since it was opened, and nothing was done. It shows now what is so; look, "
    "and say it again if it still holds."
)


def _fingerprints(found: OpenRun, *people: int) -> dict[int, str]:
    identities = found.identities()
    return {person: fingerprint(identities, person) for person in people}


def _contradiction(text: str, number: int | None) -> str:
    """Return the question that is asked before two people who were in view together become one."""
    yes = button("One person with two boxes: merge", "merge-anyway", "danger", other=number)
    return f'<div class="ot-question" role="alert"><p>{escape(text)}</p>{yes}</div>'


def view(library: RunLibrary, visitor: layout.Visitor) -> str:
    """Return the upper part of the page, and note who opened it."""

    def render() -> str:
        found = layout.run_of(library, visitor)
        person, actor = found.person(asked_for(visitor)), layout.actor_of(visitor)
        found.views.page(actor, f"person {person.id}")
        found.views.mark(actor, [person.id])
        return _view(found, person, actor)

    return layout.shown(render)


def asked_for(visitor: layout.Visitor) -> int:
    """Return the number of the person whom the page's address names."""
    text = str(dict(visitor.query_params).get("person", ""))
    if not text.isdecimal() or len(text) > 18:
        raise InputError("Choose a person on the page People.")
    return int(text)


def act_on(found: OpenRun, person: Person, actor: str, values: Mapping[str, str]) -> str:
    """Do what a button of the page says and return a sentence about it."""
    ledger, action = found.ledger, values["action"]
    if action == "undo":  # of others only after a question that names them
        return corrections.undo(ledger, int(values["event"]), actor, anybody=True)
    if action == "undo-last":
        return corrections.undo(ledger, None, actor)
    if action == "merge-anyway":
        return corrections.merge(found.run, ledger, int(values["other"]), person.id, actor, anyway=True)
    own: TrackletKey = (found.camera_named(int(values["camera"])), int(values["track"]))
    if action == "split":
        visit = next((v for v in person.visits if v.key == own), None)
        crop = next((c for c in visit.crops if crop_frame(c) == int(values["frame"])), None) if visit else None
        if crop is None:
            raise InputError("This picture is not there any more.")
        return corrections.split(ledger, own, float(found.run.crop_times(own[0], [crop])[0]), actor)
    if action == "take-out":
        return corrections.split(ledger, own, WHOLE, actor)
    other: TrackletKey = (found.camera_named(int(values["other_camera"])), int(values["other_track"]))
    if action == "confirm":
        return corrections.confirm(found.run, ledger, own, other, actor)
    if action == "reject":
        return corrections.reject(ledger, own, other, actor)
    raise InputError("This page does not know that button; load it again.")


def _view(found: OpenRun, person: Person, actor: str) -> str:
    last = last_correction(found.ledger, actor)
    undo = f"<small>{escape(in_words(last))}</small> {button('Undo last correction', 'undo-last')}" if last else ""
    figures = [
        (duration(person.seen_s), "in sight"),
        (str(len(person.cameras)), "camera" if len(person.cameras) == 1 else "cameras"),
        (str(len(person.visits)), "visit" if len(person.visits) == 1 else "visits"),
        (clock(person.first_s), "first seen"),
        (clock(person.last_s), "last seen"),
    ]
    facts = "".join(f'<div class="ot-figure"><b>{value}</b><span>{what}</span></div>' for value, what in figures)
    identities = found.identities()
    confirmed = set(identities.confirmed)
    shown = replace(person, visits=person.visits[:_VISITS_SHOWN])
    evidence = found.evidence(shown)
    legs = "".join(_leg(found, person, row, confirmed, evidence) for row in range(len(shown.visits)))
    more = len(person.visits) - _VISITS_SHOWN
    rest = f'<p class="ot-hint">{more} later visits are not shown.</p>' if more > 0 else ""
    return f"""<p class="ot-crumb"><a href="{layout.address("people", found)}">People</a></p>
    <div class="ot-title"><h1>{layout.dot(person.id)}{escape(person.label)}</h1>
      <p>{f"Person {person.id}" if person.name else ""}</p>{layout.doubt(found, person.id)}
      <span class="ot-undo">{undo}</span></div>
    <div class="ot-figures" style="margin:14px 0 22px">{facts}</div>
    <h2 class="ot-section">Route <small>through the cameras, in the order of time</small></h2>
    <div class="ot-route">{legs}</div>{rest}
    <h2 class="ot-section" style="margin-top:22px">Corrections</h2>"""


def _leg(found: OpenRun, person: Person, row: int, confirmed: set[Any], evidence: Mapping[TrackletKey, Event]) -> str:
    visit = person.visits[row]
    away = ""
    if row:
        before = max(person.visits[:row], key=lambda earlier: earlier.end_s)
        gap = visit.start_s - before.end_s
        way = "again on" if before.camera == visit.camera else "then on"
        away = (
            f"{duration(gap)} out of sight, {way} {visit.camera}" if gap > 0 else f"at the same time on {visit.camera}"
        )
        away = f'<div class="ot-away">{escape(away)}</div>'
    color = person_hex(person.id)
    return f"""<div class="ot-leg"><div class="ot-leg-line"></div>{away or "<div></div>"}</div>
    <div class="ot-leg"><div class="ot-leg-line"><i style="background:{color}"></i></div>
    {_visit(found, person, visit, confirmed, evidence)}</div>"""


def _visit(
    found: OpenRun, person: Person, visit: Visit, confirmed: set[Any], evidence: Mapping[TrackletKey, Event]
) -> str:
    camera = found.camera_number(visit.camera)
    own = {"camera": camera, "track": visit.track_id}
    alone = len(person.visits) == 1
    take_out = "" if alone else button("Take out", "take-out", **own)
    jump = layout.address("", found, t=f"{visit.start_s:.3f}")
    crops = sorted(visit.crops, key=crop_frame)
    taken_at = found.run.crop_times(visit.camera, crops)
    strip = "".join(
        _picture(found, crop, float(time_s), row > 0, own)
        for row, (crop, time_s) in enumerate(zip(crops, taken_at, strict=True))
    )
    strip = strip or '<div class="ot-nocrop">no pictures of this visit</div>'
    event = evidence.get(visit.key)
    reasons = _evidence(found, person, visit, event, confirmed, own) if event is not None else ""
    return f"""<article class="ot-visit" data-track="{visit.track_id}" data-camera="{camera}">
    <div class="ot-visit-head"><b>{escape(visit.camera)}</b><span>{span(visit.start_s, visit.end_s)}</span>
      <span>{duration(visit.end_s - visit.start_s)}</span><span>track {visit.track_id}</span>
      <div class="ot-acts"><a class="ot-button" href="{jump}">Show</a>{take_out}</div></div>
    <div class="ot-strip">{strip}</div>{reasons}</article>"""


def _picture(found: OpenRun, reference: str, time_s: float, can_split: bool, own: Mapping[str, int]) -> str:
    frame = crop_frame(reference)
    split = button("Split here", "split", frame=frame, ask="From this picture on it is somebody else?", **own)
    similar = layout.similar_address(found, reference)
    moment = clock(time_s).split(" ")[-1]
    return f"""<figure>{layout.crop(found, reference)}
    <div class="ot-over"><a class="ot-button" href="{similar}">Similar</a>
    {split if can_split else ""}</div><figcaption title="frame {frame}">{moment}</figcaption></figure>"""


def _evidence(
    found: OpenRun, person: Person, visit: Visit, event: Event, confirmed: set[Any], own: Mapping[str, int]
) -> str:
    """Say why a visit belongs to this person: how sure, against what, and which conditions held."""
    values = event.evidence
    parts = []
    # What began a new person was compared with all known ones: its own P(same) says nothing.
    is_new = not {"unlike all known", "waited long enough"}.isdisjoint(values.get("gates", ()))
    if "with" in values:
        camera, track_id = str(values["with"][0]), int(values["with"][1])
        parts.append(f"linked with {escape(camera)}, track {track_id}")
    else:
        parts.append("began a new person" if is_new else "recognised while the run went on")
    if values.get("p_same") is not None and not is_new:
        parts.append(meter("same person", float(values["p_same"])))
    if values.get("runner_up") is not None:
        parts.append(f"somebody else: {escape(band(float(values['runner_up'])))}")
    if any(link.own == visit.key for link in found.doubtful().get(person.id, ())):
        parts.append(chip("doubtful", "warn"))
    chips = "".join(chip(str(gate)) for gate in values.get("gates", ()))
    actions = ""
    if "with" in values:
        pair = tuple(sorted([visit.key, (camera, track_id)]))
        together = any(v.key == (camera, track_id) for v in person.visits)
        data = {**own, "other_camera": found.camera_number(camera), "other_track": track_id}
        if pair in confirmed:
            actions = chip("confirmed", "good")
        elif together:
            actions = button("Confirm", "confirm", **data) + button("Reject", "reject", "danger", **data)
    return (
        f'<div class="ot-evidence">{"".join(f"<span>{part}</span>" for part in parts)}'
        f'<span class="ot-chips">{chips}</span><span class="ot-chips" style="margin-left:auto">{actions}</span></div>'
    )


def meter(label: str, share: float) -> str:
    """Return a probability as its band and a bar; the number is the bar's title."""
    return (
        f'<span class="ot-meter" title="P = {share:.2f}">{label}: {escape(band(share))}'
        f'<i style="--value:{100 * share:.0f}%"></i></span>'
    )


def _history(found: OpenRun, person: Person, actor: str) -> str:
    """List what was decided about this person by whom, the newest first; what humans decided can be undone."""
    ledger = found.ledger
    undone = ledger.undone()
    events: dict[int, Event] = {event.id: event for event in ledger.events(person=person.id)}
    for visit in person.visits[:_VISITS_SHOWN]:
        events |= {event.id: event for event in ledger.events(visit.camera, visit.track_id)}
    by_humans = [event for event in events.values() if not event.by_machine]
    by_machines = len(events) - len(by_humans)
    rows = "".join(
        _event_row(event, event.id in undone, actor)
        for event in sorted(by_humans, key=lambda event: -event.id)[:_EVENTS_SHOWN]
    )
    machine = f"{layout.count(by_machines, 'decision')} by {MACHINE.rstrip(':')}s before that"
    if not rows:
        return (
            '<h2 class="ot-section" style="margin-top:22px">History</h2><div class="ot-panel ot-facts">No corrections '
            f"yet; {machine}.</div>"
        )
    return f"""<h2 class="ot-section" style="margin-top:22px">History <small>{machine}</small></h2>
    <div class="ot-frame"><table class="ot-table">
    <thead><tr><th>When</th><th>Who</th><th>What</th><th></th></tr></thead>
    <tbody>{rows}</tbody></table></div>"""


def _event_row(event: Event, is_undone: bool, actor: str) -> str:
    if is_undone:
        action = chip("undone")
    elif event.kind in ("undo", "erase"):
        action = ""
    else:
        ask = {} if event.actor == actor else {"ask": f"{event.actor} {describe(event)}. Undo it all the same?"}
        action = button("Undo", "undo", event=event.id, **ask)
    when = clock(event.time).rpartition(".")[0]
    return (
        f"<tr><td>{when}</td><td>{escape(event.actor)}</td><td>{escape(describe(event))}</td>"
        f'<td class="number">{action}</td></tr>'
    )
