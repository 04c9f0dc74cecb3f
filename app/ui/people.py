"""The page People: a card for each person, with the best picture of each camera."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.config import UiSettings
from app.errors import InputError
from app.runs.people.visits import Person
from app.ui import layout
from app.ui.layout import count, duration, span
from app.ui.library import OpenRun, RunLibrary

_PICTURES = 3
_SHEET_PICTURES = 6
_CARDS, _SHEET = "Cards", "Contact sheet"
TITLE = ("People", "Everybody who was seen, with the best picture of each camera.")
ANYWHERE = "All cameras"
SORTS = {
    "First seen": lambda person: (person.first_s, person.id),
    "Last seen": lambda person: (-person.last_s, person.id),
    "Longest in sight": lambda person: (-person.seen_s, person.id),
    "Most cameras": lambda person: (-len(person.cameras), -person.seen_s, person.id),
    "Number": lambda person: person.id,
}
_AT_FIRST = ("", ANYWHERE, "", "", "First seen", _CARDS)
"""Values of the filters when the page opens."""


def build(page: gr.Blocks, library: RunLibrary, settings: UiSettings) -> None:
    """Put the page together."""
    layout.header("people")
    layout.title(*TITLE)
    with gr.Row(elem_classes="ot-filters"):
        text = gr.Textbox(label="Name or number", placeholder="for example 12", scale=2, elem_id="people-text")
        camera = gr.Dropdown([ANYWHERE], value=ANYWHERE, label="Seen by", scale=1, elem_id="people-camera")
        start = gr.Textbox(label="From", placeholder="0:01:30", scale=1, elem_id="people-from")
        end = gr.Textbox(label="Until", placeholder="0:10:00", scale=1, elem_id="people-until")
        sort = gr.Dropdown(list(SORTS), value="First seen", label="Sort by", scale=1, elem_id="people-sort")
        view = gr.Dropdown([_CARDS, _SHEET], value=_CARDS, label="View", scale=1, elem_id="people-view")
    cards = layout.html(actions=True, elem_id="people-cards")
    shown_page = gr.State(0)
    filters = [text, camera, start, end, sort, view]

    def cards_of(number: int, values: Sequence[str], request: gr.Request) -> str:
        return cards_view(library, settings, request, number, values)

    def open_page(request: gr.Request) -> tuple[Any, str]:
        try:
            names = [record.name for record in layout.run_of(library, request).run.cameras]
        except InputError:
            names = []
        return gr.Dropdown([ANYWHERE, *names]), cards_of(0, _AT_FIRST, request)

    def change(
        text: str, camera: str, start: str, end: str, sort: str, view: str, request: gr.Request
    ) -> tuple[int, str]:
        return 0, cards_of(0, (text, camera, start, end, sort, view), request)

    def turn(
        number: int,
        text: str,
        camera: str,
        start: str,
        end: str,
        sort: str,
        view: str,
        request: gr.Request,
        event: gr.EventData,
    ) -> tuple[int, str]:
        number += 1 if event._data["action"] == "next" else -1
        return number, cards_of(number, (text, camera, start, end, sort, view), request)

    page.load(open_page, None, [camera, cards], queue=False, show_progress="hidden")
    typed = [event for box in (text, start, end) for event in (box.submit, box.blur)]
    gr.on([*typed, camera.input, sort.input, view.input], change, filters, [shown_page, cards], queue=False,
          show_progress="hidden")  # fmt: skip
    cards.select(turn, [shown_page, *filters], [shown_page, cards], queue=False, show_progress="hidden")


def cards_view(
    library: RunLibrary,
    settings: UiSettings,
    visitor: layout.Visitor,
    number: int = 0,
    values: Sequence[str] = _AT_FIRST,
) -> str:
    """Return page `number` of the people whom the values of the filters leave."""

    def render() -> str:
        found = layout.run_of(library, visitor)
        people = selected(found, *values[:-1])
        if not found.people():
            return layout.NOBODY
        chosen, pager = _one_page(people, number, settings.people_per_page)
        layout.note_people(found, visitor, chosen, "the list of people")
        if not chosen:
            return layout.empty("Nobody fits", "Change the camera, the times or the name above.")
        return (_sheet if values[-1] == _SHEET else _cards)(found, chosen) + pager

    return layout.shown(render)


def selected(found: OpenRun, text: str, camera: str, start: str, end: str, sort: str) -> list[Person]:
    """Return the people that a page is asked for, in its order but those without pictures last.

    Raises InputError for a time that is none.
    """
    first_s, _ = found.span()
    start_s = layout.parse_clock(start, first_s) if start.strip() else -math.inf
    end_s = layout.parse_clock(end, first_s) if end.strip() else math.inf
    wanted = text.strip().casefold()
    people = [
        person
        for person in found.people().values()
        if wanted in (str(person.id), "") or wanted in person.label.casefold()
        if any(
            camera in (ANYWHERE, visit.camera) and visit.start_s <= end_s and visit.end_s >= start_s
            for visit in person.visits
        )
    ]
    in_order = sorted(people, key=SORTS[sort])
    return sorted(in_order, key=lambda person: not person.has_pictures)


def best_crops(person: Person, limit: int = _PICTURES) -> list[tuple[str, str]]:
    """Return up to `limit` (camera, crop): the best of the longest visit to each camera, then those of other visits."""
    visits = sorted((visit for visit in person.visits if visit.crops), key=lambda visit: visit.start_s - visit.end_s)
    longest = {visit.camera: visit for visit in reversed(visits)}
    first = [longest[camera] for camera in person.cameras if camera in longest]
    return [(visit.camera, visit.crops[0]) for visit in (*first, *(v for v in visits if v not in first))][:limit]


def pictures(found: OpenRun, person: Person) -> str:
    """Return a row with a person's best picture of each camera."""
    crops = best_crops(person)
    if not crops:
        return ""
    figures = "".join(
        f"<figure>{layout.crop(found, reference, f'{person.label} on {camera}')}"
        f"<figcaption>{escape(camera)}</figcaption></figure>"
        for camera, reference in crops
    )
    return f'<div class="ot-crops">{figures}</div>'


def card(found: OpenRun, person: Person, more: str = "") -> str:
    """Return a card that leads to the person's page."""
    href = layout.address("person", found, person=person.id)
    return f"""<a class="ot-card" href="{href}" data-person="{person.id}">
    <div class="ot-card-head">{layout.dot(person.id)}{escape(person.label)}{layout.doubt(found, person.id)}
      <span class="ot-more">{more or count(len(person.cameras), "camera")}</span></div>
    {pictures(found, person)}
    <div class="ot-facts"><span>{span(person.first_s, person.last_s)}</span>
      <span>{duration(person.seen_s)} in sight, {count(len(person.visits), "visit")}</span></div></a>"""


def _cards(found: OpenRun, people: Sequence[Person]) -> str:
    """Return cards; people without pictures come last, and what that means stands above them."""
    shown = [card(found, person) for person in people if person.has_pictures]
    others = [card(found, person) for person in people if not person.has_pictures]
    cards = f'<div class="ot-grid">{"".join(shown)}</div>' if shown else ""
    if not others:
        return cards
    why = "followed by movement only: no picture was good enough to tell who they are"
    if "crops" in found.run.purged:
        why = "the time for which pictures are kept is over: see the page Privacy"
    return f"""{cards}<h2 class="ot-section ot-apart">Without pictures <small>{why}</small></h2>
    <div class="ot-grid">{"".join(others)}</div>"""


def _sheet(found: OpenRun, people: Sequence[Person]) -> str:
    """Return a table with a row for each person and the best pictures of each camera in a column of its own."""
    cameras = [record.name for record in found.run.cameras]
    cameras = [name for name in cameras if any(name in person.cameras for person in people)]
    head = "".join(f"<th>{escape(camera)}</th>" for camera in cameras)
    rows = "".join(
        f"""<tr data-person="{person.id}"><th scope="row">{layout.person_tag(found, person.id, person.label)}</th>
        {"".join(f"<td>{_sheet_cell(found, person, camera)}</td>" for camera in cameras)}</tr>"""
        for person in people
    )
    return f"""<div class="ot-frame"><table class="ot-table ot-sheet"><thead><tr><th></th>{head}</tr></thead>
    <tbody>{rows}</tbody></table></div>"""


def _sheet_cell(found: OpenRun, person: Person, camera: str) -> str:
    """Return the pictures of one person by one camera: the best of every visit first, then the second best, …"""
    visits = [visit for visit in person.visits if visit.camera == camera]
    by_rank = itertools.chain(*itertools.zip_longest(*(visit.crops for visit in visits)))
    crops = [crop for crop in by_rank if crop is not None][:_SHEET_PICTURES]
    if visits and not crops:
        return f'<span class="ot-facts">no pictures of {count(len(visits), "visit")}</span>'
    return f'<div class="ot-sheet-cell">{"".join(layout.similar_crop(found, crop) for crop in crops)}</div>'


def _one_page(people: Sequence[Person], number: int, per_page: int) -> tuple[Sequence[Person], str]:
    """Return the people on page `number`, the last one if there are not so many, and the line below them."""
    pages = max(1, math.ceil(len(people) / per_page))
    number = min(max(number, 0), pages - 1)
    first = number * per_page
    back = layout.button("Previous", "previous") if number else ""
    onwards = layout.button("Next", "next") if number + 1 < pages else ""
    where = f", {first + 1}–{min(first + per_page, len(people))} shown" if pages > 1 else ""
    total = count(len(people), "person", "people")
    pager = f'<div class="ot-pager"><span>{total}{where}</span>{back}{onwards}</div>'
    return people[first : first + per_page], pager
