"""The page Review: the links that the program is least sure of, one pair at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

import app
from app.config import Settings
from app.errors import InputError
from app.frames import TrackletKey
from app.runs.folder.run import Run
from app.runs.people import corrections
from app.runs.people.bands import band
from app.runs.people.review import Link, in_words, last_correction
from app.runs.people.visits import Person, Visit
from app.ui import layout
from app.ui.job_cards import jobs_list, on_card
from app.ui.jobs import Jobs
from app.ui.layout import button, count, duration, span
from app.ui.library import OpenRun, RunLibrary

TITLE = (
    "Review",
    "The least certain links first, made and nearly made. Answers are kept as corrections and as training pairs.",
)
_PICTURES = 5
_JOBS_SHOWN = 3
_FINE_TUNING = Path(app.__file__).parents[1] / "configs" / "finetune.yaml"


def build(page: gr.Blocks, library: RunLibrary, settings: Settings, jobs: Jobs) -> None:
    """Put the page together."""
    layout.header("review")
    layout.title(*TITLE)
    pair = layout.html(actions=True, elem_id="review-pair")
    lesson = layout.html(actions=True, elem_id="review-training")
    status = layout.html(actions=True, elem_id="review-jobs")
    skipped = gr.State([])
    timer = gr.Timer(1.5, active=False)

    # What the page shows.
    def show(passed: list[Any], request: gr.Request) -> tuple[str, str]:
        try:
            found = layout.run_of(library, request)
        except InputError:
            return layout.NO_RUN, ""
        return view(library, request, passed), layout.shown(lambda: _training(found))

    def show_jobs(request: gr.Request) -> tuple[str, Any]:
        try:
            folder = layout.run_of(library, request).folder
        except InputError:
            return "", gr.Timer(active=False)
        own = [job for job in jobs.all() if job.about == folder][:_JOBS_SHOWN]
        return jobs_list(own, library), gr.Timer(active=any(not job.is_over for job in own))

    def open_page(request: gr.Request) -> tuple[Any, ...]:
        return *show([], request), *show_jobs(request)

    # What it does when it is asked to.
    def answer(passed: list[Any], request: gr.Request, event: gr.EventData) -> tuple[list[Any], str, str]:
        values = event._data

        def act() -> tuple[list[Any], str, bool]:
            found = layout.run_of(library, request)
            actor = layout.actor_of(request, "look" if values["action"] == "skip" else "correct")
            if values["action"] == "undo":
                return [], corrections.undo(found.ledger, None, actor), True
            own: TrackletKey = (found.camera_named(int(values["camera"])), int(values["track"]))
            other: TrackletKey = (found.camera_named(int(values["other_camera"])), int(values["other_track"]))
            if not any((link.own, link.other) == (own, other) for link in found.questions()):
                return passed, "This pair has been answered, or linked anew, since the page showed it.", False
            if values["action"] == "skip":
                return [*passed, [*own, *other]], "", True
            return passed, judge(found, values["action"] == "yes", own, other, actor), True

        passed, said, done = layout.told(act)
        if values["action"] == "undo" or not done:
            layout.say(said, done)
        return passed, *show(passed, request)

    def learn(request: gr.Request, event: gr.EventData) -> tuple[str, Any]:
        def act() -> None:
            found = layout.run_of(library, request)
            actor = layout.actor_of(request, "correct")
            if event._data["action"] == "export":
                jobs.start_export(found.folder)
            else:
                jobs.start_training(found.folder, training_options(found.run, settings))
            found.views.did(actor, "exported", "a training set")

        layout.told(act)
        return show_jobs(request)

    def on_job(request: gr.Request, event: gr.EventData) -> tuple[str, Any]:
        layout.told(lambda: on_card(jobs, event._data, request))
        time.sleep(0.3)
        return show_jobs(request)

    # Who asks for what.
    page.load(open_page, None, [pair, lesson, status, timer], queue=False, show_progress="hidden")
    pair.select(answer, skipped, [skipped, pair, lesson], show_progress="hidden")
    lesson.select(learn, None, [status, timer], show_progress="minimal")
    status.select(on_job, None, [status, timer], show_progress="hidden")
    timer.tick(show_jobs, None, [status, timer], queue=False, show_progress="hidden")


def training_options(run: Run, settings: Settings) -> list[str]:
    """Return the words of `main.py train` that go on from the weights of a run.

    The recipe is `configs/finetune.yaml`; what differs from the defaults in `settings.train` counts more.
    Raises InputError if the run was made without ReID, or its weights are not there any more.
    """
    from app.reid.checkpoint import load_checkpoint
    from app.reid.embedder import find_weights
    from app.reid.network_files import is_network_file
    from app.system.device import choose_device

    recorded = run.settings_dict["reid"]
    weights = None
    if recorded["weights"] != "none":
        weights = find_weights(recorded["weights"], choose_device(recorded["device"], "reid.device"))
    if weights is None:
        raise InputError("This run was made without recognition: there are no weights to go on from.")
    if is_network_file(weights):
        raise InputError("This run's network was exported by its maker: it can be run, and not trained on.")
    old = load_checkpoint(weights)
    values: dict[str, Any] = {
        "start_from": str(weights),
        "architecture": old.architecture,
        "pooling": old.pooling,
        "neck": old.neck,
        "height_px": old.preprocessing.height,
        "width_px": old.preprocessing.width,
    }
    values |= settings.train.model_dump(mode="json", exclude_defaults=True)
    words = ["--config", str(_FINE_TUNING)]
    for name, value in values.items():
        words += ["--set", f"train.{name}={json.dumps(value)}"]
    return words


def view(library: RunLibrary, visitor: layout.Visitor, skipped: Sequence[Any] = ()) -> str:
    """Return the pair that is to be judged next."""

    def render() -> str:
        found = layout.run_of(library, visitor)
        left = unanswered(found, skipped)
        if left:
            layout.note_people(found, visitor, _people_of(found, left[0]), "a link to review")
        return _view(found, skipped, left, layout.actor_of(visitor))

    return layout.shown(render)


def judge(found: OpenRun, is_same: bool, own: TrackletKey, other: TrackletKey, actor: str) -> str:
    """Write an answer into the ledger: a link that was not made is made by a yes."""
    if is_same:
        return corrections.same(found.run, found.ledger, own, other, actor)
    return corrections.reject(found.ledger, own, other, actor)


def unanswered(found: OpenRun, skipped: Sequence[Any]) -> list[Link]:
    """Return the links that nobody has judged and that were not skipped here, the least certain first."""
    return [link for link in found.questions() if [*link.own, *link.other] not in skipped]


def _people_of(found: OpenRun, link: Link) -> list[Person]:
    numbers = {found.identities().latest_person(*key) for key in (link.own, link.other)}
    return [found.people()[number] for number in sorted(numbers)]


def _view(found: OpenRun, skipped: Sequence[Any], left: list[Link], actor: str) -> str:
    last = last_correction(found.ledger, actor)
    undo = f"{button('Undo last answer', 'undo', 'plain')} <small>{escape(in_words(last))}</small>" if last else ""
    if not left:
        text = "Everything that was not skipped is answered." if skipped else "Every link of this run is answered."
        if not found.links() and not found.ledger.proposals():
            text = "Nothing is linked in this run, or it was linked without pictures."
        return layout.empty("Nothing to review", text) + f'<div class="ot-hint">{undo}</div>'
    link = left[0]
    visits = {visit.key: visit for person in _people_of(found, link) for visit in person.visits}
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
    <div class="ot-hint">{_how_many(left)} {undo}</div></ot-keys>"""


def _how_many(left: Sequence[Link]) -> str:
    made = sum(link.made for link in left)
    doubtful = sum(link.is_doubtful for link in left)
    not_made = f" and {count(len(left) - made, 'pair')} that nearly became one" if made < len(left) else ""
    return f"{count(made, 'link')}, {doubtful} of them doubtful{not_made}, to look at"


def _training(found: OpenRun) -> str:
    """Say how much there is to learn from, with the buttons that do it."""
    identities = found.identities()
    confirmed, rejected = len(identities.confirmed), len(identities.rejected)
    judged = f"{count(confirmed, 'confirmed pair')} and {count(rejected, 'rejected pair')}."
    if not confirmed + rejected:
        judged = "Answer some questions first: each answer is a pair of people to learn from."
    able = "" if confirmed + rejected else " disabled"
    buttons = "".join(
        f'<button type="button" class="ot-button" data-action="{action}"{able}>{text}</button>'
        for action, text in (("export", "Export training set"), ("train", "Train on them"))
    )
    return f"""<div class="ot-panel ot-lesson"><div><h2 class="ot-section">Learn from the answers</h2>
    <p class="ot-facts">{judged} Training goes on from the weights of this run; some of the pairs are kept apart, and
    the new weights are adopted only if they judge those better.</p></div><div class="ot-acts">{buttons}</div></div>"""


def _data(values: dict[str, Any]) -> str:
    return "".join(f' data-{name}="{value}"' for name, value in values.items())


def _side(found: OpenRun, visit: Visit) -> str:
    best = layout.crop(found, visit.crops[0], f"{visit.camera}, track {visit.track_id}") if visit.crops else ""
    more = "".join(f"<figure>{layout.similar_crop(found, crop)}</figure>" for crop in visit.crops[1:_PICTURES])
    jump = layout.address("", found, t=f"{visit.start_s:.3f}")
    return f"""<div class="ot-side"><div class="ot-visit-head"><b>{escape(visit.camera)}</b>
    <span>{span(visit.start_s, visit.end_s)}</span>
    <div class="ot-acts"><a class="ot-button" href="{jump}">Show</a></div></div>
    <div class="ot-large">{best or "no picture"}</div><div class="ot-strip">{more}</div></div>"""


def _between(link: Link, first: Visit, second: Visit) -> str:
    gap = second.start_s - first.end_s
    apart = f"{duration(gap)} apart" if gap >= 0 else "at the same time"
    gates = "".join(layout.chip(gate) for gate in link.gates)
    state = layout.chip("linked", "warn" if link.is_doubtful else "") if link.made else layout.chip("not linked")
    runner_up = f"<span>somebody else {escape(band(link.runner_up))}</span>" if link.made else ""
    return f"""<div class="ot-vs"><b title="P(same person) {link.p_same:.2f}">{escape(band(link.p_same))}</b>
    <span>the same person?</span>{runner_up}<span>{apart}</span>
    <span class="ot-chips" style="justify-content:center">{state}{gates}</span></div>"""
