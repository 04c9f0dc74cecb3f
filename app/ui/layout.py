"""What all pages look like: theme, header, the pieces of HTML that they are made of, and how they speak of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from typing import Any, Protocol

import gradio as gr

from app.errors import InputError, OmniTrackError
from app.footage.clock import format_time
from app.runs.people.visits import Person
from app.ui import calls
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX, STATIC, crop_url, person_hex
from app.ui.users import NOBODY as WITHOUT_LOGIN
from app.ui.users import Role, may

ICON = STATIC / "icon.svg"
PAGES = {
    "": "Overview",
    "people": "People",
    "search": "Search",
    "review": "Review",
    "places": "Places",
    "evaluate": "Evaluate",
    "privacy": "Privacy",
    "runs": "Runs",
}

_OWN = ("omnitrack", "places")

ACTIONS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-action]');
  if (button && !button.disabled && (!button.dataset.ask || window.confirm(button.dataset.ask))) {
    trigger('select', {...button.dataset});
  }
});
"""
"""Script of a `gr.HTML`: a click on `<button data-action="…" data-x="…">` becomes its `select` event."""


def theme() -> gr.themes.Base:
    """Return Gradio's part of the look. Fonts are those of the system: nothing is loaded from the network."""
    colors = {
        "body_background_fill": ("#f5f6f8", "#0f1216"),
        "body_text_color": ("#161a20", "#e7eaef"),
        "body_text_color_subdued": ("#626b7a", "#98a2b1"),
        "background_fill_primary": ("#ffffff", "#171b21"),
        "background_fill_secondary": ("#f5f6f8", "#1d222a"),
        "block_background_fill": ("#ffffff", "#171b21"),
        "block_border_color": ("#e2e5ea", "#2a313b"),
        "block_label_background_fill": ("#ffffff", "#171b21"),
        "block_label_text_color": ("#626b7a", "#98a2b1"),
        "block_title_text_color": ("#626b7a", "#98a2b1"),
        "border_color_primary": ("#e2e5ea", "#2a313b"),
        "input_background_fill": ("#ffffff", "#12161b"),
        "input_border_color": ("#d3d8df", "#343c48"),
        "input_border_color_focus": ("#3159d8", "#7f9cff"),
        "button_primary_background_fill": ("#3159d8", "#4a6ff0"),
        "button_primary_background_fill_hover": ("#274bbd", "#5f80f5"),
        "button_primary_text_color": ("#ffffff", "#ffffff"),
        "button_secondary_background_fill": ("#ffffff", "#1d222a"),
        "button_secondary_background_fill_hover": ("#f0f2f5", "#262d37"),
        "button_secondary_border_color": ("#d3d8df", "#343c48"),
        "button_secondary_text_color": ("#161a20", "#e7eaef"),
        "button_cancel_background_fill": ("#fbeae8", "#3a1d1c"),
        "button_cancel_text_color": ("#b3261e", "#ff8f86"),
        "link_text_color": ("#3159d8", "#8ba6ff"),
    }
    values: dict[str, str] = {}
    for name, (light, dark) in colors.items():
        values |= {name: light, f"{name}_dark": dark}
    plain = {
        "block_shadow": "none",
        "block_border_width": "1px",
        "block_radius": "12px",
        "block_label_border_width": "0px",
        "block_title_text_weight": "500",
        "button_border_width": "1px",
        "button_large_radius": "8px",
        "button_medium_radius": "8px",
        "button_small_radius": "8px",
        "button_large_padding": "9px 16px",
        "button_large_text_size": "14px",
        "button_large_text_weight": "550",
        "input_radius": "8px",
        "input_border_width": "1px",
        "layout_gap": "16px",
    }
    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    base = gr.themes.Base(font=fonts, font_mono=["ui-monospace", "monospace"], text_size="md", spacing_size="md")
    return base.set(**values, **plain)


def styles() -> str:
    """Return the links to our style sheets. They come twice: with the page, and after those of Gradio to outdo them."""
    return "".join(f'<link rel="stylesheet" href="{PREFIX}/static/{name}.css?{_stamp()}">' for name in _OWN)


def scripts() -> str:
    """Return the links to our scripts, which run once the page is there."""
    return "".join(f'<script defer src="{PREFIX}/static/{name}.js?{_stamp()}"></script>' for name in _OWN)


def _stamp() -> int:
    return max(file.stat().st_mtime_ns for file in STATIC.iterdir()) % 10**9


def html(value: str = "", actions: bool = False, **more: Any) -> gr.HTML:
    """Return a piece of a page that is HTML of our own; with `actions`, a click on a `button` is its `select` event."""
    return gr.HTML(value, js_on_load=ACTIONS if actions else None, apply_default_css=False, **more)


def header(active: str) -> None:
    """Put the header on a page: pages, the run that is looked at, light or dark."""
    html(header_html(active), elem_classes="ot-header-block")


def header_html(active: str) -> str:
    current = ' aria-current="page"'
    links = "".join(
        f'<a href="/{path}"{current if path == active else ""}>{title}</a>' for path, title in PAGES.items()
    )
    return f"""<ot-header><a class="ot-brand" href="/"><img src="{PREFIX}/static/icon.svg" alt="">OmniTrack</a>
        <nav aria-label="Pages">{links}</nav>
        <label class="ot-chooser"><span>Run</span><select aria-label="Run"></select></label>
        <button class="ot-theme" type="button" aria-label="Light or dark" title="Light or dark"></button>
        </ot-header>"""


def title(text: str, help_text: str = "") -> None:
    """Put the heading of a page, with one sentence that says what it is for."""
    html(heading(text, help_text))


def heading(text: str, help_text: str = "") -> str:
    return f'<div class="ot-title"><h1>{escape(text)}</h1>{f"<p>{escape(help_text)}</p>" if help_text else ""}</div>'


def empty(what: str, to_do: str = "") -> str:
    """Return what a page shows instead of nothing: what is missing and what to do about it. `to_do` is HTML."""
    return (
        f'<div class="ot-empty"><div class="ot-empty-mark" aria-hidden="true"></div><h2>{escape(what)}</h2>'
        f"{f'<p>{to_do}</p>' if to_do else ''}</div>"
    )


NO_RUN = empty(
    "There is no run to look at",
    "Start one on the page <a href='/runs'>Runs</a>, or with <code>main.py --sources cam1.mp4 cam2.mp4</code>.",
)
NOBODY = empty(
    "Nobody was found in this run",
    "The recordings may be empty, or the detector may find nothing in them: lower <code>detect.min_score</code> and "
    "<code>track.confident_score</code>, or try another detector.",
)


class Visitor(Protocol):
    """What a page needs to know of whoever looks at it; a `gr.Request` is one."""

    @property
    def query_params(self) -> Any: ...

    @property
    def username(self) -> str | None: ...

    @property
    def role(self) -> Any: ...


def run_of(library: RunLibrary, request: Visitor) -> OpenRun:
    """Return the run that the page's address names, the newest if it names none."""
    return library.get(dict(request.query_params).get("run"))


def actor_of(request: Visitor, needed: Role = "look") -> str:
    """Return whose name actions carry: the user who logged in, else `ui`.

    Raises InputError if the visitor's role does not include what is needed for the action.
    """
    role = request.request.scope["state"]["role"] if isinstance(request, gr.Request) else request.role
    if not may(role, needed):
        raise InputError(f"Your role here is “{role}”, and this needs “{needed}”. Ask whoever keeps the users.")
    return request.username or WITHOUT_LOGIN


def note_people(found: OpenRun, request: Visitor, people: Iterable[Person], where: str) -> None:
    """Write into the run's audit log whose pictures a page shows."""
    found.views.people(actor_of(request), [person.id for person in people], where)


def shown(render: Callable[[], str]) -> str:
    """Return what `render` does, or what is wrong in words."""
    try:
        return render()
    except InputError as error:
        text = str(error)
        return NO_RUN if text == "There is no run yet." else empty("This cannot be shown", escape(text))


def told(act: Callable[[], Any]) -> Any:
    """Do what a user asked for; an error that is meant for the user appears as a message on the page."""
    try:
        return act()
    except OmniTrackError as error:
        raise gr.Error(str(error), print_exception=False, title="That did not work") from error


def say(text: str, done: bool = True) -> None:
    """Show what an action did, or, without `done`, why nothing was done. The text may hold names: it is no HTML."""
    calls.say(text, "done" if done else "warning")


def address(page: str, found: OpenRun, **values: object) -> str:
    """Return the address of a page that shows a run."""
    query = "&".join(f"{key}={value}" for key, value in {"run": found.id, **values}.items())
    return escape(f"/{page}?{query}")


def crop(found: OpenRun, reference: str, alt: str = "") -> str:
    if "crops" in found.run.purged:
        return '<div class="ot-crop" title="Its time was over: see the page Privacy"></div>'
    return f'<img class="ot-crop" loading="lazy" alt="{escape(alt)}" src="{escape(crop_url(found, reference))}">'


def similar_crop(found: OpenRun, reference: str) -> str:
    """Return a crop that leads to a search for whoever looks like it."""
    href = similar_address(found, reference)
    return f'<a class="ot-similar" href="{href}" title="Find similar people">{crop(found, reference, "a picture")}</a>'


def similar_address(found: OpenRun, reference: str) -> str:
    """Return the address of a search for whoever looks like a crop."""
    _, camera, file = reference.split("/")
    track_id, frame = file.removesuffix(".jpg").split("_")
    return address("search", found, crop=f"{found.camera_number(camera)}.{track_id}.{frame}")


def person_tag(found: OpenRun, person: int, label: str) -> str:
    """Return a link to a person with the colour that the person has in videos."""
    href = address("person", found, person=person)
    return f'<a class="ot-person" href="{href}">{dot(person)}{escape(label)}</a>{doubt(found, person)}'


def doubt(found: OpenRun, person: int) -> str:
    """Return the mark of a person whom a doubtful link holds together, which leads to its page; else nothing."""
    links = len(found.doubtful().get(person, ()))
    why = f"{count(links, 'link')} of this person could be a mistake: see the page Review"
    return f'<span class="ot-chip warn" title="{why}">doubtful</span>' if links else ""


def dot(person: int) -> str:
    return f'<i class="ot-dot" style="background:{person_hex(person)}"></i>'


def chip(text: str, kind: str = "") -> str:
    return f'<span class="ot-chip {kind}">{escape(text)}</span>'


def button(text: str, action: str, kind: str = "", /, **values: object) -> str:
    """Return a button for a `gr.HTML` with the script `ACTIONS`; `ask` is asked before it does something."""
    data = "".join(f' data-{key}="{escape(str(value))}"' for key, value in values.items())
    return f'<button type="button" class="ot-button {kind}" data-action="{action}"{data}>{escape(text)}</button>'


def clock(time_s: float) -> str:
    """Return a moment on the shared clock: date and time if it counts from 1970, else time from 0."""
    return format_time(time_s).removesuffix(" UTC")


def span(start_s: float, end_s: float) -> str:
    """Return a stretch of time, with the date only once."""
    start, end = clock(start_s), clock(end_s)
    if " " in start and start.split(" ")[0] == end.split(" ")[0]:
        end = end.split(" ")[1]
    return f"{start} – {end}"


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def parse_clock(text: str, first_s: float) -> float:
    """Return the moment that somebody typed: `h:mm:ss`, `m:ss`, seconds, or a date and a time (UTC).

    first_s: start of the footage; if it counts from 1970, a time without a date is one of that day.
    Raises InputError for anything else.
    """
    text = text.strip()
    with suppress(ValueError):
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if "-" in text else _seconds(text, first_s)
    raise InputError(f"{text!r} is no time; write 0:01:30 or 90, or with a date 2024-05-01 13:00:00")


def _seconds(text: str, first_s: float) -> float:
    values = [float(part) for part in text.split(":")]
    if len(values) > 3 or any(value < 0 for value in values):
        raise ValueError
    seconds = sum(value * 60**place for place, value in enumerate(reversed(values)))
    is_date = first_s >= 1e8
    return seconds + (first_s // 86400 * 86400 if is_date else 0.0)
