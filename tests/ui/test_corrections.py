"""Corrections in the browser: what the buttons of a person, a review and an erasure do to the run."""

from __future__ import annotations

import csv
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli.parser import build_parser, main
from app.config import Settings, load_settings
from app.frames import TrackletKey
from app.runs.folder.run import Run
from app.runs.ledger.identities import Event
from app.runs.ledger.ledger import LINKER
from app.runs.people import corrections
from app.runs.people.search import search_vector
from app.ui import jobs as jobs_module
from app.ui.review import training_options

MakeRun = Callable[[str], tuple[Path, str]]

VERDICT = {
    "adopted": True,
    "reason": "adopted: on 4 confirmed and 3 rejected pairs the error is lower",
    "confirmed": 4,
    "rejected": 3,
    "old": {"error": 0.2, "right": 75.0, "ranking": 0.8},
    "new": {"error": 0.1, "right": 87.5, "ranking": 0.95},
}
TRAINING = """
import json, sys, pathlib
output = pathlib.Path(sys.argv[sys.argv.index('--output') + 1])
if sys.argv[1] == 'train':
    output.mkdir(parents=True)
    (output / 'new.safetensors').touch()
    print(json.dumps({{'weights': str(output / 'new.safetensors'), 'verdict': {verdict!r}}}))
"""


def exported(folder: Path, output: Path) -> dict[str, bytes]:
    assert main(["export", str(folder), "--format", "mot", "--output", str(output)]) == 0
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def test_merging_and_undoing_leaves_the_export_as_it_was(
    page: Any, server: str, own_run: MakeRun, tmp_path: Path
) -> None:
    folder, run = own_run("merged")
    before = exported(folder, tmp_path / "before")
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    page.click("#merge-with input")
    page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Person 3$")).click()
    page.wait_for_selector("#merge-preview .ot-card")
    page.click("#merge")
    page.wait_for_selector("#merge-preview >> text=were seen in the same frame")  # the two are in view together
    assert Run.open(folder).identities().resolve(3) == 3
    page.click("#merge-preview [data-action='merge-anyway']")
    page.wait_for_selector("#person-history >> text=merged person 3 into person 1")
    assert Run.open(folder).identities().resolve(3) == 1
    assert exported(folder, tmp_path / "merged") != before
    page.click("text=Undo last correction")
    page.wait_for_selector("#person-history >> text=undone")
    assert exported(folder, tmp_path / "after") == before
    with Run.open(folder).ledger() as ledger:
        assert [event.actor for event in ledger.corrections()] == ["ui", "ui"]


def test_a_page_that_is_behind_does_nothing_and_says_so(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("behind")
    page.goto(f"{server}/person?run={run}&person=3")
    page.wait_for_selector(".ot-visit")
    with Run.open(folder).ledger() as ledger:
        ledger.merge(3, 1, "anna")
    page.fill("#name input, #name textarea", "Ada")
    page.click("#save-name")
    page.wait_for_selector("text=This page was behind")
    assert Run.open(folder).identities().names == {}
    page.wait_for_selector("h1 >> text=Person 1")  # it shows now what is so
    assert page.locator("text=Undo last correction").count() == 0  # the merge was anna's
    assert page.input_value("#name input, #name textarea") == "Ada"
    page.click("#save-name")
    page.wait_for_selector("h1 >> text=Ada")
    assert Run.open(folder).identities().names == {1: "Ada"}
    page.locator("#person-history tr", has_text="merged").locator("[data-action='undo']").click()  # after a question
    page.wait_for_selector("#person-history >> text=undone")
    assert 3 in Run.open(folder).identities().people()


def test_a_name_and_a_split_reach_the_ledger(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("split")
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    page.fill("#name input, #name textarea", "<b>Ada</b> & Co")
    page.click("#save-name")
    page.wait_for_selector("h1 >> text=<b>Ada</b> & Co")
    page.wait_for_selector(".ot-toast p >> text=<b>Ada</b> & Co")  # a name is text
    assert page.locator(".ot-toast p b").count() == 0
    figure = page.locator(".ot-visit").first.locator(".ot-strip figure").nth(1)
    figure.hover()
    figure.locator("text=Split here").click()
    page.wait_for_selector("#person-history >> text=split")
    identities = Run.open(folder).identities()
    assert identities.names == {1: "<b>Ada</b> & Co"}
    assert any(
        np.isfinite(segment.start_s) for person in identities.people() for segment in identities.tracklets_of(person)
    )


def test_clicks_in_quick_succession_all_arrive(
    page: Any, server: str, own_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = own_run("quick")
    name = corrections.name

    def slowly(*values: Any) -> str:
        time.sleep(1.0)
        return name(*values)

    monkeypatch.setattr(corrections, "name", slowly)
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    for text in ("First", "Second", "Third"):  # each while the one before is on its way
        page.fill("#name input, #name textarea", text)
        page.click("#save-name")
    page.fill("#name input, #name textarea", "Fourth")  # and has not pressed yet
    page.wait_for_selector("h1 >> text=Third")
    assert page.input_value("#name input, #name textarea") == "Fourth"
    with Run.open(folder).ledger() as ledger:
        assert [event.text for event in ledger.corrections()] == ["First", "Second", "Third"]
    assert page.locator("h1").inner_text() == "Third"


def linked(folder: Path) -> tuple[TrackletKey, TrackletKey]:
    """Let the linker have joined two tracklets with most pictures, of two cameras, in doubt; all others are alone."""
    run = Run.open(folder)
    first, *others = sorted(run.tracklet_summaries(), key=lambda summary: -len(summary.crops))
    second = next(summary for summary in others if summary.camera != first.camera)
    rest = [summary for summary in others if summary is not second]
    evidence = {"with": [*first.key], "p_same": 0.51, "runner_up": 0.4, "gates": ["not co-present"]}
    decisions = [Event("assign", LINKER, *first.key, 1), Event("assign", LINKER, *second.key, 1, evidence=evidence)]
    decisions += [Event("assign", LINKER, *summary.key, row) for row, summary in enumerate(rest, 2)]
    with run.ledger() as ledger:
        ledger.append(decisions)
        ledger.propose([])
    return first.key, second.key


def person_of(folder: Path, key: TrackletKey) -> int:
    return Run.open(folder).identities().segments(*key)[0][1]


def test_buttons_of_a_person_correct_its_visits(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("visits")
    own, other = linked(folder)
    pair = tuple(sorted([own, other]))
    page.goto(f"{server}/person?run={run}&person=1")
    page.click("[data-action='confirm']")
    page.wait_for_selector(".ot-evidence .ot-chip.good >> text=confirmed")
    assert Run.open(folder).identities().confirmed == (pair,)
    page.fill("#name input, #name textarea", "Ada")
    page.click("#save-name")
    page.wait_for_selector("h1 >> text=Ada")
    # A single decision is undone in its row; the others stay.
    page.locator("#person-history tr", has_text="confirmed").locator("[data-action='undo']").click()
    page.click("[data-action='reject']")
    page.wait_for_selector("#person-history >> text=rejected")
    assert Run.open(folder).identities().rejected == (pair,)
    assert person_of(folder, own) != person_of(folder, other)
    assert page.locator(".ot-visit").count() == 1
    page.click("text=Undo last correction")  # rejecting was two events, and is one step
    page.wait_for_function("document.querySelectorAll('.ot-visit').length === 2")
    assert Run.open(folder).identities().rejected == ()
    assert person_of(folder, own) == person_of(folder, other) == 1
    page.locator(".ot-visit").last.locator("[data-action='take-out']").click()
    page.wait_for_function("document.querySelectorAll('.ot-visit').length === 1")
    assert {person_of(folder, own), person_of(folder, other)} > {1}
    page.click("text=Undo last correction")
    page.wait_for_function("document.querySelectorAll('.ot-visit').length === 2")
    assert person_of(folder, own) == person_of(folder, other) == 1


def test_answers_of_a_review_are_training_pairs(page: Any, server: str, own_run: MakeRun, tmp_path: Path) -> None:
    folder, run = own_run("reviewed")
    own, other = linked(folder)
    type(page).goto(page, f"{server}/review?run={run}")
    page.wait_for_selector(".ot-pair")
    page.keyboard.press("n")  # also if Gradio is not there yet
    page.wait_for_selector("text=0 confirmed pairs and 1 rejected pair")
    assert person_of(folder, own) != person_of(folder, other)
    page.click("text=Undo last answer")
    page.wait_for_selector("#review-training >> text=Answer some questions first")
    assert page.locator("#review-training [data-action='train']").is_disabled()
    page.keyboard.press("s")
    page.wait_for_selector("text=Everything that was not skipped is answered")
    page.goto(f"{server}/review?run={run}")
    page.wait_for_selector(".ot-pair")
    page.keyboard.press("y")
    page.wait_for_selector("text=1 confirmed pair and 0 rejected pairs")
    page.click("#review-training [data-action='export']")
    page.wait_for_selector("#review-jobs [data-kind='export'][data-state='finished']", timeout=120_000)
    (data,) = (folder / "export" / "training").iterdir()
    with (data / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    run_crops = {key: {Run.open(folder).crop_path(crop).read_bytes() for crop in crops}
                 for key, crops in ((s.key, s.crops) for s in Run.open(folder).tracklet_summaries())}  # fmt: skip
    assert len(rows) == max(len(run_crops[own]), len(run_crops[other]))
    for row in rows:
        assert row["same"] == "1"
        crops = [(data / row[name]).read_bytes() for name in ("crop_a", "crop_b")]
        assert any(
            crops[0] in run_crops[one] and crops[1] in run_crops[two] for one, two in ((own, other), (other, own))
        )


def test_training_on_answers_tells_its_outcome(
    page: Any, server: str, own_run: MakeRun, ui_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = own_run("learned")
    with Run.open(folder).ledger() as ledger:
        ledger.reject(*linked(folder), "anna")
    monkeypatch.setattr(jobs_module, "_MAIN", TRAINING.format(verdict=VERDICT))
    page.goto(f"{server}/review?run={run}")
    page.click("#review-training [data-action='train']")
    page.wait_for_selector("#review-jobs [data-kind='training'] .ot-chip.good >> text=adopted")
    panel = page.locator("#review-jobs [data-kind='training']").inner_text()
    assert "on 4 confirmed and 3 rejected pairs the error is lower" in panel
    assert "0.1000" in panel
    assert "87.5 %" in panel
    page.goto(f"{server}/runs")
    page.click("#job-reid input")
    page.wait_for_selector("[role=option] >> text=trained on corrections")
    shutil.rmtree(ui_folder / "runs" / "trained")


def test_training_goes_on_from_the_weights_of_the_run(ui_folder: Path, ui_settings: Settings) -> None:
    run = Run.open(ui_folder / "runs" / "scene")
    asked = ui_settings.model_copy(update={"train": ui_settings.train.model_copy(update={"epochs": 1})})
    words = ["train", "--data", "DATA", "--output", "DIR", *training_options(run, asked)]
    options = build_parser()[0].parse_args(words)
    train = load_settings(options.config, options.assignments).train
    assert train.start_from == run.settings_dict["reid"]["weights"]
    assert (train.architecture, train.height_px, train.width_px) == ("osnet_x0_25", 256, 128)
    assert (train.epochs, train.frozen_epochs) == (1, 5)  # what the interface was told, else the recipe


def test_an_erased_person_is_nowhere(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("erased")
    before = Run.open(folder)
    segments = before.identities().tracklets_of(2)
    vectors = {s.key: s for s in before.tracklet_summaries()}
    query = vectors[segments[0].key].vectors[0]
    crops = [before.crop_path(crop) for segment in segments for crop in vectors[segment.key].crops]
    number = [camera.name for camera in before.cameras].index(segments[0].camera)
    track, frame = Path(vectors[segments[0].key].crops[0]).stem.split("_")
    media = f"{server}/omnitrack/{run}"
    addresses = [f"{media}/crop/{number}/{track}/{frame}", f"{media}/video/{number}", f"{media}/person/2/{number}"]
    assert [page.request.get(address).status for address in addresses] == [200, 200, 404]
    page.goto(f"{server}/privacy?run={run}")
    page.click("#privacy-person input")
    page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Person 2$")).click()
    page.click("text=Erase person 2")
    page.wait_for_selector("#audit tr:has-text('erased'):has-text('person 2')")
    after = Run.open(folder)
    assert 2 not in after.identities().people()
    assert not any(path.exists() for path in crops)
    assert not (folder / "video").exists()
    assert {s.key for s in after.tracklet_summaries()}.isdisjoint({segment.key for segment in segments})
    assert 2 not in [entry["person"] for entry in search_vector(after, query, 100).people]
    rows = {(camera.name, int(track)) for camera in after.cameras for track in after.column(camera.name, "track_id")}
    assert rows.isdisjoint({segment.key for segment in segments})
    assert [page.request.get(address).status for address in addresses] == [404, 404, 404]
    assert 2 not in [person["id"] for person in page.request.get(f"{media}/timeline").json()["people"]]
    page.goto(f"{server}/people?run={run}")
    page.wait_for_selector(".ot-card")
    assert page.locator("[data-person='2']").count() == 0
    page.goto(f"{server}/person?run={run}&person=2")
    page.wait_for_selector("text=There is no person 2")
