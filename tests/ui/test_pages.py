"""The pages in a browser: they open, they agree with each other, and what they change is in the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli import main
from app.runs import Run
from app.search import search_vector
from app.ui.library import run_id

MakeRun = Callable[[str], tuple[Path, str]]


@pytest.fixture
def scene(ui_folder: Path) -> Run:
    """The finished run that tests only read."""
    return Run.open(ui_folder / "runs" / "scene")


def exported(folder: Path, output: Path) -> dict[str, bytes]:
    assert main(["export", str(folder), "--format", "mot", "--output", str(output)]) == 0
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


@pytest.mark.parametrize(
    ("path", "sign"),
    [
        ("/", "ot-overview .ot-bar"),
        ("/people", ".ot-card"),
        ("/person?person=1", ".ot-visit"),
        ("/search", ".ot-empty"),
        ("/review", ".ot-pair"),
        ("/runs", "#all-runs td"),
        ("/evaluate", "#truth"),
        ("/privacy", "#audit .ot-empty"),
    ],
)
def test_every_page_opens_without_errors(page: Any, server: str, ui_folder: Path, path: str, sign: str) -> None:
    run = run_id(ui_folder / "runs" / "scene")
    page.goto(f"{server}{path}{'&' if '?' in path else '?'}run={run}")
    page.wait_for_selector(sign)
    assert page.locator(".ot-chooser option:checked").inner_text() == "scene"
    for link in page.locator("ot-header nav a").all():
        assert f"run={run}" in link.get_attribute("href")
    was_dark = page.evaluate("document.body.classList.contains('dark')")
    page.click(".ot-theme")
    assert page.evaluate("document.body.classList.contains('dark')") is not was_dark
    # Nothing sticks out sideways.
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1


def test_a_person_is_where_the_run_says(page: Any, server: str, scene: Run) -> None:
    identities = scene.identities()
    run = run_id(scene.folder)
    page.goto(f"{server}/people?run={run}")
    page.wait_for_selector(".ot-card")
    shown = {int(card.get_attribute("data-person")) for card in page.locator(".ot-card").all()}
    assert shown == set(identities.people())
    page.fill("#people-text input, #people-text textarea", "2")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.ot-card').length === 1")
    page.click(".ot-card")
    page.wait_for_selector(".ot-visit")
    visits = [(visit.get_attribute("data-camera"), int(visit.get_attribute("data-track")))
              for visit in page.locator(".ot-visit").all()]  # fmt: skip
    names = [camera.name for camera in scene.cameras]
    assert sorted((names[int(camera)], track) for camera, track in visits) == [
        segment.key for segment in identities.tracklets_of(2)
    ]


def test_merging_and_undoing_leaves_the_export_as_it_was(
    page: Any, server: str, own_run: MakeRun, tmp_path: Path
) -> None:
    folder, run = own_run("merged")
    before = exported(folder, tmp_path / "before")
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    page.click("#merge-with input")
    page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Person 3$")).click()
    page.click("#merge")
    page.wait_for_selector("#person-history >> text=merged person 3 into person 1")
    assert Run.open(folder).identities().resolve(3) == 1
    assert exported(folder, tmp_path / "merged") != before
    page.click("text=Undo last correction")
    page.wait_for_selector("#person-history >> text=undone")
    assert exported(folder, tmp_path / "after") == before
    with Run.open(folder).ledger() as ledger:
        assert [event.actor for event in ledger.corrections()] == ["ui", "ui"]


def test_a_name_and_a_split_reach_the_ledger(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("split")
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    page.fill("#name input, #name textarea", "<b>Ada</b> & Co")
    page.click("#save-name")
    page.wait_for_selector("h1 >> text=<b>Ada</b> & Co")
    figure = page.locator(".ot-visit").first.locator(".ot-strip figure").nth(1)
    figure.hover()
    figure.locator("text=Split here").click()
    page.wait_for_selector("#person-history >> text=split")
    identities = Run.open(folder).identities()
    assert identities.names == {1: "<b>Ada</b> & Co"}
    assert any(
        np.isfinite(segment.start_s) for person in identities.people() for segment in identities.tracklets_of(person)
    )


def test_searching_with_a_crop_finds_its_person_first(page: Any, server: str, scene: Run) -> None:
    best = max(scene.tracklet_summaries(), key=lambda summary: len(summary.crops))
    person = dict(scene.identities().segments(*best.key))[-np.inf]
    page.goto(f"{server}/search?run={run_id(scene.folder)}")
    page.wait_for_selector(".ot-empty")
    page.set_input_files("#search-upload input[type=file]", scene.crop_path(best.crops[0]))
    page.wait_for_selector("#search-results .ot-card")
    assert int(page.locator("#search-results .ot-card").first.get_attribute("data-person")) == person
    # The pictures of a visit lead to the same answer, without a network.
    number = [camera.name for camera in scene.cameras].index(best.camera)
    frame = best.crops[0].removesuffix(".jpg").rpartition("_")[2]
    page.goto(f"{server}/search?run={run_id(scene.folder)}&crop={number}.{best.track_id}.{frame}")
    page.wait_for_selector("#search-results .ot-card")
    assert int(page.locator("#search-results .ot-card").first.get_attribute("data-person")) == person


def test_answers_of_a_review_are_in_the_ledger(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("reviewed")
    page.goto(f"{server}/review?run={run}")
    page.wait_for_selector(".ot-pair")
    first = page.locator(".ot-pair").get_attribute("data-own")
    page.keyboard.press("y")
    page.wait_for_function(f"document.querySelector('.ot-pair')?.dataset.own !== {first!r}")
    identities = Run.open(folder).identities()
    assert len(identities.confirmed) == 1
    assert first == str(identities.confirmed[0][0]) or first == str(identities.confirmed[0][1])
    if page.locator(".ot-pair").count():
        page.keyboard.press("n")
        page.wait_for_timeout(1500)
        identities = Run.open(folder).identities()
        ((one, other),) = identities.rejected
        assert identities.segments(*one)[0][1] != identities.segments(*other)[0][1]


def test_an_erased_person_is_nowhere(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("erased")
    before = Run.open(folder)
    segments = before.identities().tracklets_of(2)
    vectors = {s.key: s for s in before.tracklet_summaries()}
    query = vectors[segments[0].key].vectors[0]
    crops = [before.crop_path(crop) for segment in segments for crop in vectors[segment.key].crops]
    page.goto(f"{server}/privacy?run={run}")
    page.click("#privacy-person input")
    page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Person 2$")).click()
    page.click("text=Erase person 2")
    page.wait_for_selector("#audit >> text=erased person 2")
    after = Run.open(folder)
    assert 2 not in after.identities().people()
    assert not any(path.exists() for path in crops)
    assert not (folder / "video").exists()
    assert {s.key for s in after.tracklet_summaries()}.isdisjoint({segment.key for segment in segments})
    assert 2 not in [entry["person"] for entry in search_vector(after, query, 100)]
    page.goto(f"{server}/people?run={run}")
    page.wait_for_selector(".ot-card")
    assert page.locator("[data-person='2']").count() == 0
    page.goto(f"{server}/person?run={run}&person=2")
    page.wait_for_selector("text=There is no person 2")


def test_a_click_on_a_bar_moves_all_players(page: Any, server: str, scene: Run) -> None:
    starts = {camera.name: scene.frames(camera.name)[1][0] for camera in scene.cameras}

    def all_players_are_at(time_s: float) -> None:
        settled = "[...document.querySelectorAll('video')].every((video) => !video.seeking && video.readyState > 1)"
        page.wait_for_function(settled)
        shown = page.evaluate("[...document.querySelectorAll('video')].map((video) => video.currentTime)")
        assert shown == pytest.approx([time_s - starts[camera.name] for camera in scene.cameras], abs=0.11)

    page.goto(f"{server}/?run={run_id(scene.folder)}")
    page.wait_for_selector(".ot-bar")
    all_players_are_at(0)
    page.click("text=+5 s")
    all_players_are_at(5)
    bar = page.locator(".ot-bar").first
    bar.click()
    all_players_are_at(float(bar.get_attribute("data-start")))
    ruler = page.locator(".ot-ruler").bounding_box()
    page.mouse.click(ruler["x"] + ruler["width"] / 2, ruler["y"] + 10)
    middle = page.evaluate("(({data}) => (data.start + data.end) / 2)(document.querySelector('ot-overview'))")
    all_players_are_at(middle)
    # Zooming in keeps the moment in sight.
    page.click("[aria-label='Zoom in']")
    head = page.locator(".ot-lanes .ot-head").bounding_box()
    lanes = page.locator(".ot-lanes").bounding_box()
    assert head["x"] == pytest.approx(lanes["x"] + 150 + (lanes["width"] - 150) / 2, abs=12)


def test_frames_are_drawn_where_there_are_no_videos(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("no_video")
    for file in (folder / "video").iterdir():
        file.unlink()
    page.goto(f"{server}/?run={run}")
    loaded = "[...document.querySelectorAll('.ot-tile img')].filter((image) => image.naturalWidth > 0).length"
    page.wait_for_function(f"{loaded} === 2")
    before = page.evaluate("[...document.querySelectorAll('.ot-tile img')].map((image) => image.src)")
    page.click("text=+5 s")
    page.wait_for_function(
        f"{before!r}.every((src, row) => document.querySelectorAll('.ot-tile img')[row].src !== src)"
    )


def test_a_run_starts_in_the_browser_and_finishes(page: Any, server: str, ui_folder: Path) -> None:
    before = set((ui_folder / "runs").glob("*/run.json"))
    page.goto(f"{server}/runs")
    page.click("#job-sources >> text=scene/cam1.mp4")
    page.click("#job-start")
    page.wait_for_selector("[data-job='1']")
    page.goto(f"{server}/runs")  # a page that is loaded again finds the job
    page.wait_for_selector("[data-job='1'][data-state='finished']", timeout=120_000)
    (made,) = set((ui_folder / "runs").glob("*/run.json")) - before
    run = Run.open(made.parent)
    assert run.state == "finished"
    assert run.identities().people()
    assert (run.folder / "video" / "cam1.mp4").is_file()


def test_scores_and_mistakes_are_shown(page: Any, server: str, scene: Run, ui_folder: Path) -> None:
    from app.evaluate import evaluate_run

    page.goto(f"{server}/evaluate?run={run_id(scene.folder)}")
    page.wait_for_selector("text=Truth was found")
    page.click("#evaluate")
    page.wait_for_selector("text=Across all cameras")
    scores = evaluate_run(scene.folder, ui_folder / "videos" / "scene")
    assert page.locator(".ot-figure b").first.inner_text() == f"{scores['across']['IDF1']:.1f}"
