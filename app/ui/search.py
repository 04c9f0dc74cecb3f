"""The page Search: which people look like the one in a picture, uploaded or taken from a visit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr
import numpy as np

from app.config import ReidSettings, Settings
from app.errors import InputError
from app.frames import NO_ID, BgrImage
from app.runs.folder.audit_log import numbers_text
from app.runs.people.query import Finder, NobodyInImage, Person, SeveralInImage
from app.runs.people.search import (
    Answer,
    crop_vector,
    embedder_of,
    frame_and_box,
    is_followed,
    search_image,
    search_vector,
)
from app.system.uploads import forget, forget_later
from app.ui import layout
from app.ui.layout import count, span
from app.ui.library import OpenRun, RunLibrary
from app.ui.person import meter
from app.ui.picture_reader import read_upload

if TYPE_CHECKING:
    from app.reid import Embedder

_TOP = 24
_START = layout.empty(
    "Whom are you looking for?",
    "Give a picture that shows the person, draw a box on a frame, or choose <b>Similar</b> at any picture.",
)


class Searcher:
    """Keeps the networks of the last run that was searched: loading them takes longer than searching."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._embedder: tuple[str, Embedder] | None = None
        self._finder: Finder | None = None

    def people(self, picture: BgrImage) -> list[Person]:
        """Return the people in a picture, from the left to the right."""
        with self._lock:
            return self._find().people(picture)

    def by_picture(
        self,
        found: OpenRun,
        picture: BgrImage,
        number: int | None = None,
        box: Sequence[float] | None = None,
        is_sure: bool = False,
    ) -> Answer:
        """Search for somebody in a picture, with the network that the run was made with. Raises as `search_run`.

        is_sure: there is somebody in the box, and no detector has to say so.
        """
        with self._lock:
            weights = str(found.run.header["provenance"]["weights"].get("reid", ""))
            if self._embedder is None or self._embedder[0] != weights:
                recorded = found.run.settings_dict["reid"]["weights"]
                settings = self._settings.reid
                if settings.weights == ReidSettings().weights:
                    settings = settings.model_copy(update={"weights": recorded})
                self._embedder = weights, embedder_of(found.run, settings)
            finder = None if is_sure else self._find()
            return search_image(found.run, picture, self._embedder[1], finder, _TOP, number, box)

    def _find(self) -> Finder:
        if self._finder is None:
            self._finder = Finder(self._settings.detect)
        return self._finder


def build(page: gr.Blocks, library: RunLibrary, settings: Settings) -> None:
    """Put the page together."""
    layout.header("search")
    layout.title("Search", "Who looks like the person in this picture, and where were they seen?")
    pick = layout.html(actions=True, elem_id="search-pick")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=240):
            upload = gr.File(label="Picture of a person", file_types=["image"], height=150, elem_id="search-upload")
            query = layout.html(actions=True, elem_id="search-query")
        with gr.Column(scale=4):
            results = layout.html(actions=True, elem_id="search-results")
    searcher = Searcher(settings)

    # What the page shows.
    def noted(found: OpenRun, request: gr.Request, source: str, answer: Answer) -> str:
        """Return the results, once the audit log says who looked for whom and who was listed."""
        actor, listed = layout.actor_of(request), [entry["person"] for entry in answer.people]
        found.views.did(actor, "searched", f"with {source}; listed: {numbers_text(listed)}")
        found.views.mark(actor, listed)
        return _results(found, answer)

    def from_address(request: gr.Request) -> tuple[str, str]:
        wanted = dict(request.query_params).get("crop", "")
        if not wanted:
            return "", layout.shown(lambda: _START if layout.run_of(library, request) else "")
        shown_query = ""

        def render() -> str:
            nonlocal shown_query
            found = layout.run_of(library, request)
            reference = crop_reference(found, str(wanted))
            shown_query = (
                f'<div class="ot-query">{layout.crop(found, reference, "the picture that was searched for")}</div>'
            )
            whose = found.person_of(Path(reference).parent.name, *_numbers(str(wanted))[1:])
            answer = search_vector(found.run, crop_vector(found.run, reference), _TOP)
            source = "a picture of somebody undecided" if whose == NO_ID else f"a picture of person {whose}"
            return noted(found, request, source, answer)

        html = layout.shown(render)
        return shown_query, html

    # What it does when it is asked to.
    def from_upload(file: str | None, request: gr.Request) -> tuple[str, str]:
        return in_upload(file, None, request)

    def from_choice(file: str | None, request: gr.Request, event: gr.EventData) -> tuple[str, str]:
        return in_upload(file, int(event._data["number"]), request)

    def in_upload(file: str | None, number: int | None, request: gr.Request) -> tuple[str, str]:
        if file is None:
            return "", _START

        several = False

        def act() -> tuple[str, str]:
            nonlocal several
            found = layout.run_of(library, request)
            picture = read_upload(Path(file), settings.ui.max_picture_mb * 1_000_000, keep=True)
            people = searcher.people(picture)
            several = len(people) > 1
            try:
                answer = searcher.by_picture(found, picture, number)
            except SeveralInImage:
                return "", _CHOOSE + _inline(picture, people, height_px=960)
            except NobodyInImage as error:
                return _inline(picture), layout.empty("Nobody in this picture", escape(_sentence(error)))
            return _inline(picture, people, answer.box), noted(found, request, "a picture from outside", answer)

        try:
            answer: tuple[str, str] = layout.told(act)
            return answer
        finally:  # a picture of one person was used; of several another one may be chosen yet
            if several:
                forget_later(Path(file))
            else:
                forget(Path(file))

    def from_box(request: gr.Request, event: gr.EventData) -> tuple[str, str]:
        def act() -> tuple[str, str]:
            found = layout.run_of(library, request)
            camera = found.run.camera(found.camera_named(int(event._data["camera"])))
            shares = [float(event._data[side]) for side in ("x1", "y1", "x2", "y2")]
            box = (np.array(shares) * [camera.width, camera.height, camera.width, camera.height]).tolist()
            frame, inside = frame_and_box(found.run, camera.name, float(event._data["t"]), box)
            x1, y1, x2, y2 = inside.tolist()
            drawn = _inline(frame[y1:y2, x1:x2])
            is_sure = is_followed(found.run, camera.name, float(event._data["t"]), inside)
            try:
                answer = searcher.by_picture(found, frame, box=inside.tolist(), is_sure=is_sure)
            except NobodyInImage as error:
                return drawn, layout.empty("Nobody in this box", escape(_sentence(error)))
            source = f"a box on {camera.name} at {layout.clock(float(event._data['t']))}"
            return drawn, noted(found, request, source, answer)

        answer: tuple[str, str] = layout.told(act)
        return answer

    def open_page(request: gr.Request) -> tuple[str, str, str]:
        picker = ""
        with suppress(InputError):  # the results say what is wrong
            picker = _picker(layout.run_of(library, request), dict(request.query_params).get("t"))
        return picker, *from_address(request)

    # Who asks for what.
    page.load(open_page, None, [pick, query, results], queue=False, show_progress="hidden")
    pick.select(from_box, None, [query, results], show_progress="hidden")
    for pressed in (query, results):
        pressed.select(from_choice, upload, [query, results], show_progress="minimal")
    gr.on([upload.upload, upload.clear], from_upload, upload, [query, results], show_progress="minimal")


def _picker(found: OpenRun, wanted: Any) -> str:
    """Return the element on which a box is drawn, open if the address says when."""
    files = [file for file in found.run.manifest.files if file.kind == "frames"]
    cameras = [
        {
            "name": camera.name,
            "number": number,
            "width": camera.width,
            "height": camera.height,
            "start": min(file.start_s for file in files if file.camera == camera.name),
            "end": max(file.end_s for file in files if file.camera == camera.name),
        }
        for number, camera in enumerate(found.run.cameras)
        if camera.has_frames and any(file.camera == camera.name for file in files)
    ]
    if not cameras:
        return ""
    return f"""<details class="ot-panel ot-pick-panel"{" open" if wanted else ""}>
    <summary>Draw a box on a frame</summary><ot-pick data-run="{found.id}" data-at="{escape(str(wanted or ""))}"
    data-cameras="{escape(json.dumps(cameras))}"></ot-pick></details>"""


def _numbers(text: str) -> tuple[int, int, int]:
    numbers = text.split(".")
    if len(numbers) != 3 or not all(number.isdecimal() and len(number) < 18 for number in numbers):
        raise InputError("There is no such picture.")
    camera, track_id, frame = map(int, numbers)
    return camera, track_id, frame


def crop_reference(found: OpenRun, text: str) -> str:
    """Return the crop that the numbers `camera.track.frame` name. Raises InputError if there is none."""
    camera, track_id, frame = _numbers(text)
    return f"crops/{found.camera_named(camera)}/{track_id}_{frame}.jpg"


_CHOOSE = """<h2 class="ot-section">Whom do you mean?
<small>there are several people in this picture: choose a box</small></h2>"""


def _sentence(error: InputError) -> str:
    """Return what is wrong without the words that are for the command line."""
    text = str(error).split(", or another detector")[0]
    return f"{text[0].upper()}{text[1:]}."


def _results(found: OpenRun, answer: Answer) -> str:
    if not answer.compared:
        return layout.empty("Nobody to compare with", "This run kept no pictures of anybody.")
    shown = [entry for entry in answer.people if entry["accepted"]]
    others = [entry for entry in answer.people if not entry["accepted"]]
    rate = f'<p class="ot-hint ot-rate">{escape(answer.rate_in_words)}</p>'
    if answer.nobody:
        why = "Somebody is always the most similar: those below resemble the picture no more than strangers do."
        head = f'<div class="ot-note ot-nobody" role="status"><b>{escape(answer.said)}</b> {why}</div>{rate}'
    else:
        total = count(len(shown), "person", "people")
        head = f'<h2 class="ot-section">{total} <small>who may well be the one in the picture</small></h2>{rate}'
        head += _grid(found, shown)
    if not others:
        return head
    title = '<h2 class="ot-section ot-apart">The most similar others <small>not taken for the same</small></h2>'
    return head + title + _grid(found, others)


def _grid(found: OpenRun, entries: Sequence[dict[str, Any]]) -> str:
    return f'<div class="ot-grid">{"".join(_result(found, entry) for entry in entries)}</div>'


def _result(found: OpenRun, entry: dict[str, Any]) -> str:
    person = found.person(entry["person"])
    href = layout.address("person", found, person=person.id)
    reference = Path(entry["crop"]).relative_to(found.folder).as_posix()
    jump = layout.address("", found, t=f"{entry['start_s']:.3f}")
    similar = layout.similar_address(found, reference)
    links = f'<a class="ot-link" href="{jump}">Show</a> · <a class="ot-link" href="{similar}">Similar</a>'
    return f"""<div class="ot-card" data-person="{person.id}">
    <div class="ot-card-head">{layout.person_tag(found, person.id, person.label)}</div>
    <div class="ot-match"><a href="{href}">{layout.crop(found, reference, person.label)}</a>
      <div class="ot-facts">{meter("the same", entry["p_same"])}
      <span>best match on</span><b>{escape(entry["camera"])}</b>
      <span>{span(entry["start_s"], entry["end_s"])}</span><span>{count(len(person.cameras), "camera")}</span>
      <span>{count(len(person.visits), "visit")}</span><span>{links}</span>
      </div></div></div>"""


def _inline(
    picture: BgrImage, people: Sequence[Person] = (), chosen: Sequence[int] | None = None, height_px: int = 480
) -> str:
    """Return an uploaded picture as HTML; it is not stored anywhere.

    people: each gets a numbered box that a click chooses, if there are several.  chosen: box of the one searched for.
    height_px: of the picture at the most.
    """
    scale = min(1.0, height_px / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
    source = f"data:image/jpeg;base64,{data}"
    height, width = picture.shape[:2]
    boxes = ""
    for number, person in enumerate(people if len(people) > 1 else (), 1):
        x1, y1, x2, y2 = (person.box / [width, height, width, height] * 100).tolist()
        place = f"left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%"
        mark = ' aria-pressed="true"' if chosen is not None and list(chosen) == person.box.tolist() else ""
        boxes += (
            f'<button type="button" class="ot-who" data-action="choose" data-number="{number}" style="{place}"'
            f' aria-label="Person {number} in the picture"{mark}><b>{number}</b></button>'
        )
    kind = "ot-whole" if boxes else "ot-crop"
    wide = " wide" if height_px > 480 else ""
    return (
        f'<div class="ot-query{wide}"><div class="ot-chosen">'
        f'<img class="{kind}" alt="the uploaded picture" src="{source}">{boxes}</div></div>'
    )
