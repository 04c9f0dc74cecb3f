"""The pages in a browser: they open, they agree with each other, and what they change is in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.cli.parser import main
from app.footage.camera import StateChange
from app.runs.folder.camera_states import StateLog
from app.runs.folder.layout import crop_frame
from app.runs.folder.run import Run
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
        ("/places", ".ot-graph .ot-node"),
        ("/runs", "#all-runs td"),
        ("/evaluate", "#truth"),
        ("/privacy", "#retention tr"),
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
    page.click("#people-view input")
    page.locator("[role=option]").filter(has_text="Contact sheet").click()
    page.wait_for_selector(".ot-sheet")
    rows = page.locator(".ot-sheet tbody tr").all()
    assert {int(row.get_attribute("data-person")) for row in rows} == set(identities.people())
    assert "/search?run=" in page.locator(".ot-sheet a.ot-similar").first.get_attribute("href")
    page.click("#people-view input")
    page.locator("[role=option]").filter(has_text="Cards").click()
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
    first = page.locator(".ot-strip figcaption").first
    frames, times = scene.frames(names[int(page.locator(".ot-visit").first.get_attribute("data-camera"))])
    frame = int(first.get_attribute("title").removeprefix("frame "))
    assert first.inner_text() == f"0:00:{times[frames.tolist().index(frame)]:04.1f}"


def test_searching_with_a_crop_finds_its_person_first(page: Any, server: str, scene: Run) -> None:
    best = max(scene.tracklet_summaries(), key=lambda summary: len(summary.crops))
    person = dict(scene.identities().segments(*best.key))[-np.inf]
    page.goto(f"{server}/search?run={run_id(scene.folder)}")
    page.wait_for_selector(".ot-empty")
    # People are drawn small here: the largest picture is the one in which a detector sees somebody.
    largest = max(best.crops, key=lambda crop: cv2.imread(str(scene.crop_path(crop))).size)
    page.set_input_files("#search-upload input[type=file]", scene.crop_path(largest))
    page.wait_for_selector("#search-results .ot-card")
    assert int(page.locator("#search-results .ot-card").first.get_attribute("data-person")) == person
    # The pictures of a visit lead to the same answer, without a network.
    number = [camera.name for camera in scene.cameras].index(best.camera)
    frame = best.crops[0].removesuffix(".jpg").rpartition("_")[2]
    page.goto(f"{server}/search?run={run_id(scene.folder)}&crop={number}.{best.track_id}.{frame}")
    page.wait_for_selector("#search-results .ot-card")
    assert int(page.locator("#search-results .ot-card").first.get_attribute("data-person")) == person


def test_a_picture_without_people_is_searched_for_nobody(page: Any, server: str, scene: Run, tmp_path: Path) -> None:
    """Every network finds somebody who resembles a grey rectangle most; whoever looks for one is told so."""
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 120, 3), 128, np.uint8))
    page.goto(f"{server}/search?run={run_id(scene.folder)}")
    page.wait_for_selector(".ot-empty")
    page.set_input_files("#search-upload input[type=file]", tmp_path / "grey.png")
    page.wait_for_selector("#search-results >> text=Nobody in this picture")
    assert page.locator("#search-results .ot-card").count() == 0


def test_searching_with_a_box_on_a_frame_finds_its_person_first(page: Any, server: str, scene: Run) -> None:
    best = max(scene.tracklet_summaries(), key=lambda summary: len(summary.crops))
    person = dict(scene.identities().segments(*best.key))[-np.inf]
    camera = scene.camera(best.camera)
    rows = scene.observations(best.camera)
    row = np.flatnonzero((rows.track_ids == best.track_id) & (rows.frames == crop_frame(best.crops[0])))[0]
    page.goto(f"{server}/?run={run_id(scene.folder)}&t={rows.times[row] + 0.01:.3f}")
    page.wait_for_selector(".ot-bar")
    page.click("text=Search in this frame")
    page.select_option("ot-pick select", label=best.camera)
    page.wait_for_function("document.querySelector('.ot-pick-frame img').naturalWidth > 0")
    frame = page.locator(".ot-pick-frame").bounding_box()
    across, down = frame["width"] / camera.width, frame["height"] / camera.height
    x1, y1, x2, y2 = rows.boxes[row].tolist()
    page.mouse.move(frame["x"] + x1 * across, frame["y"] + y1 * down)
    page.mouse.down()
    page.mouse.move(frame["x"] + x2 * across, frame["y"] + y2 * down, steps=3)
    assert page.locator(".ot-box").is_visible()
    page.mouse.up()
    page.wait_for_selector("#search-results .ot-card")
    assert int(page.locator("#search-results .ot-card").first.get_attribute("data-person")) == person
    assert page.locator("#search-query img").is_visible()


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
    page.wait_for_function("document.querySelector('ot-overview').players.every((player) => !player.loading)")


def test_scores_and_mistakes_are_shown(page: Any, server: str, scene: Run, ui_folder: Path) -> None:
    from app.runs.evaluate.scores import evaluate_run

    page.goto(f"{server}/evaluate?run={run_id(scene.folder)}")
    page.wait_for_selector("text=Truth was found")
    page.click("#evaluate")
    page.wait_for_selector("text=Across all cameras")
    scores = evaluate_run(scene.folder, ui_folder / "videos" / "scene")
    assert page.locator(".ot-figure b").first.inner_text() == f"{scores['across']['IDF1']:.1f}"


def test_the_overview_says_which_camera_is_blind_and_since_when(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("blind")
    states = StateLog(folder, ["cam1", "cam2"], 0.0, {})
    states.note([StateChange("cam1", "live", 0.5), StateChange("cam2", "live", 0.0)])
    states.note([StateChange("cam2", "refused", 4.0, "the password <b>of</b> cam2 is wrong")])
    page.goto(f"{server}/?run={run}")
    page.wait_for_selector("[data-cameras] .ot-chip")
    assert page.locator("[data-cameras] .ot-chip").all_inner_texts() == ["cam1 live", "cam2 refused at the end"]
    page.click(".ot-blind summary")
    [row] = page.locator(".ot-blind tbody tr").all()
    cells = row.locator("td").all_inner_texts()
    assert cells[0] == "cam2"
    assert cells[2:] == ["still", "refused", "the password <b>of</b> cam2 is wrong"]
