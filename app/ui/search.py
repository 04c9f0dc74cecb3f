"""The page Search: which people look like the one in a picture, uploaded or taken from a visit."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr
import numpy as np

from app.audit import numbers_text
from app.config import ReidSettings, Settings
from app.errors import InputError
from app.frames import NO_ID
from app.search import crop_vector, cut_out, embedder_of, search_picture, search_vector
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
    "Give a picture of one person, cut out tightly, draw a box on a frame, or choose <b>Similar</b> at any picture.",
)


class Searcher:
    """Keeps the network of the last run that was searched: loading it takes longer than searching."""

    def __init__(self, settings: ReidSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._embedder: tuple[str, Embedder] | None = None

    def by_picture(self, found: OpenRun, picture: Any) -> list[dict[str, Any]]:
        """Search for the person in a picture, with the network that the run was made with."""
        with self._lock:
            weights = str(found.run.header["provenance"]["weights"].get("reid", ""))
            if self._embedder is None or self._embedder[0] != weights:
                recorded = found.run.settings_dict["reid"]["weights"]
                settings = self._settings
                if settings.weights == ReidSettings().weights:
                    settings = settings.model_copy(update={"weights": recorded})
                self._embedder = weights, embedder_of(found.run, settings)
            return search_picture(found.run, picture, self._embedder[1], _TOP)


def build(page: gr.Blocks, library: RunLibrary, settings: Settings) -> None:
    """Put the page together."""
    layout.header("search")
    layout.title("Search", "Who looks like the person in this picture, and where were they seen?")
    pick = layout.html(actions=True, elem_id="search-pick")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=240):
            upload = gr.File(label="Picture of a person", file_types=["image"], height=150, elem_id="search-upload")
            query = layout.html(elem_id="search-query")
        with gr.Column(scale=4):
            results = layout.html(elem_id="search-results")
    searcher = Searcher(settings.reid)

    def noted(found: OpenRun, request: gr.Request, source: str, entries: list[dict[str, Any]]) -> str:
        """Return the results, once the audit log says who looked for whom and who was listed."""
        actor, listed = layout.actor_of(request), [entry["person"] for entry in entries]
        found.views.did(actor, "searched", f"with {source}; listed: {numbers_text(listed)}")
        found.views.mark(actor, listed)
        return _results(found, entries)

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
            entries = search_vector(found.run, crop_vector(found.run, reference), _TOP)
            source = "a picture of somebody undecided" if whose == NO_ID else f"a picture of person {whose}"
            return noted(found, request, source, entries)

        html = layout.shown(render)
        return shown_query, html

    def from_upload(file: str | None, request: gr.Request) -> tuple[str, str]:
        if file is None:
            return "", _START

        def act() -> tuple[str, str]:
            found = layout.run_of(library, request)
            picture = read_upload(Path(file), settings.ui.max_picture_mb * 1_000_000)
            return _inline(picture), noted(
                found, request, "a picture from outside", searcher.by_picture(found, picture)
            )

        answer: tuple[str, str] = layout.told(act)
        return answer

    def from_box(request: gr.Request, event: gr.EventData) -> tuple[str, str]:
        def act() -> tuple[str, str]:
            found = layout.run_of(library, request)
            camera = found.run.camera(found.camera_named(int(event._data["camera"])))
            shares = [float(event._data[side]) for side in ("x1", "y1", "x2", "y2")]
            box = (np.array(shares) * [camera.width, camera.height, camera.width, camera.height]).tolist()
            picture = cut_out(found.run, camera.name, float(event._data["t"]), box)
            source = f"a box on {camera.name} at {layout.clock(float(event._data['t']))}"
            return _inline(picture), noted(found, request, source, searcher.by_picture(found, picture))

        answer: tuple[str, str] = layout.told(act)
        return answer

    def open_page(request: gr.Request) -> tuple[str, str, str]:
        picker = ""
        with suppress(InputError):  # the results say what is wrong
            picker = _picker(layout.run_of(library, request), dict(request.query_params).get("t"))
        return picker, *from_address(request)

    page.load(open_page, None, [pick, query, results], queue=False, show_progress="hidden")
    pick.select(from_box, None, [query, results], show_progress="hidden")
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


def _results(found: OpenRun, entries: list[dict[str, Any]]) -> str:
    if not entries:
        return layout.empty("Nobody to compare with", "This run kept no pictures of anybody.")
    cards = "".join(_result(found, entry) for entry in entries if entry["person"] != NO_ID)
    total = count(len(entries), "person", "people")
    return (
        f'<h2 class="ot-section">{total} <small>the most similar first</small></h2><div class="ot-grid">{cards}</div>'
    )


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
      <div class="ot-facts">{meter("P(same)", entry["p_same"])}
      <span>best match on</span><b>{escape(entry["camera"])}</b>
      <span>{span(entry["start_s"], entry["end_s"])}</span><span>{count(len(person.cameras), "camera")}</span>
      <span>{count(len(person.visits), "visit")}</span><span>{links}</span>
      </div></div></div>"""


def _inline(picture: Any) -> str:
    """Return an uploaded picture as HTML; it is not stored anywhere."""
    scale = min(1.0, 480 / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
    source = f"data:image/jpeg;base64,{data}"
    return f'<div class="ot-query"><img class="ot-crop" alt="the uploaded picture" src="{source}"></div>'
