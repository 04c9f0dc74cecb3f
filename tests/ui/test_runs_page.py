"""Starting runs in the browser: they are found again, wait for each other, can be stopped, and finish."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.runs.folder.run import Run
from app.ui import jobs as jobs_module
from app.ui.jobs import Jobs
from app.ui.library import RunLibrary
from app.ui.login import Login
from app.ui.server import build_app
from app.ui.users import User, Users, hash_password

PATIENCE_MS = 90_000
SLOW_IF_FIRST = """
import sys, time, pathlib
first = pathlib.Path(sys.argv[sys.argv.index('--config') + 1]).parent / 'first'
if not first.exists():
    first.touch()
    time.sleep(60)
"""


def test_a_run_starts_in_the_browser_and_finishes(page: Any, server: str, ui_folder: Path) -> None:
    before = set((ui_folder / "runs").glob("*/run.json"))
    page.goto(f"{server}/runs")
    page.click("#job-sources >> text=scene/cam1.mp4")
    page.fill("#job-names input, #job-names textarea", "yard, door")
    page.click("#job-start")
    page.wait_for_selector("text=1 recording is chosen, but there are 2 names")
    page.fill("#job-names input, #job-names textarea", "yard")
    page.click("#job-reid input")
    page.locator("[role=option]").filter(has_text="motion only").click()
    page.click("#job-start")
    page.wait_for_selector("[data-kind='run']")
    # Other tests on this server have started jobs, too: the newest one is ours.
    number = max(page.eval_on_selector_all("[data-kind='run']", "cards => cards.map(card => Number(card.dataset.job))"))
    page.goto(f"{server}/runs")  # a page that is loaded again finds the job
    page.wait_for_selector(f"[data-job='{number}'][data-state='finished']", timeout=120_000)
    assert "80 frames" in page.locator(f"[data-job='{number}']").inner_text()
    (made,) = set((ui_folder / "runs").glob("*/run.json")) - before
    run = Run.open(made.parent)
    assert run.state == "finished"
    assert run.identities().people()
    assert (run.folder / "video" / "yard.mp4").is_file()
    page.wait_for_selector(f"#all-runs >> text={made.parent.name}")


def test_runs_wait_for_each_other_and_can_be_stopped(
    page: Any, server: str, ui_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_MAIN", SLOW_IF_FIRST)
    page.goto(f"{server}/runs")
    page.click("#job-sources >> text=scene/cam1.mp4")
    page.click("#job-sources >> text=scene/cam2.mp4")
    page.click("#job-together >> text=a run for each")
    page.click("#job-start")
    page.wait_for_selector("[data-state='waiting']")
    first = page.locator("[data-state='running']")
    number = int(first.get_attribute("data-job"))
    assert page.locator("ot-live").get_attribute("data-src").endswith("/live")
    assert page.locator("[data-state='waiting']").get_attribute("data-job") == str(number + 1)
    first.locator("text=Cancel").click()
    page.wait_for_selector(f"[data-job='{number}'][data-state='cancelled']")
    page.wait_for_selector(f"[data-job='{number + 1}'][data-state='finished']")
    page.wait_for_selector("ot-live", state="detached")


def test_a_run_that_was_cut_off_goes_on_after_a_restart(
    visitor: Any, ui_folder: Path, ui_settings: Settings, serving: Any, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    cut_off = Jobs(root)
    job = cut_off.start_run([ui_folder / "videos" / "scene" / "cam1.mp4"], ["yard"], ["--reid", "none"], ui_settings)
    while not (job.folder / "run.json").exists():
        assert job.state == "running"
        time.sleep(0.005)
    cut_off._lock.acquire()  # a server that is gone sees no job end
    cut_off._processes[job.number].kill()
    cut_off._processes[job.number].wait()
    cut_off.close()
    assert Run.open(job.folder).state != "finished"
    with serving(build_app(RunLibrary([], root), ui_settings)) as server:
        page = visitor.new_page()
        page.goto(f"{server}/runs")
        page.wait_for_selector("[data-job='1'][data-state='interrupted']")
        page.locator("[data-job='1'] >> text=Go on").click()
        page.wait_for_selector("[data-job='1'][data-state='finished']", timeout=60_000)
        assert "80 frames" in page.locator("[data-job='1']").inner_text()
        page.close()
    run = Run.open(job.folder)
    assert run.state == "finished"
    assert list(run.frames("yard")[0]) == list(range(80))


def test_a_video_is_uploaded_and_offered(page: Any, server: str, ui_folder: Path, tmp_path: Path) -> None:
    video = tmp_path / "My yard (1).mp4"
    video.write_bytes((ui_folder / "videos" / "scene" / "cam1.mp4").read_bytes())
    page.goto(f"{server}/runs")
    page.wait_for_selector("#job-sources >> text=scene/cam1.mp4")
    page.set_input_files("#job-upload input[type=file]", video)
    page.wait_for_selector("#job-sources label:has-text('uploads/My_yard__1.mp4') input:checked")
    (kept,) = (ui_folder / "videos" / "uploads").iterdir()
    assert kept.read_bytes() == video.read_bytes()
    video.write_bytes(b"no video at all")
    page.set_input_files("#job-upload input[type=file]", video)
    page.wait_for_selector("text=is no video that can be read")
    assert list((ui_folder / "videos" / "uploads").iterdir()) == [kept]


def test_pages_ask_for_the_password(browser: Any, library: RunLibrary, ui_settings: Settings, serving: Any) -> None:
    users = Users({"lena": User("lena", "look", hash_password("correct horse"))})
    with serving(build_app(library, ui_settings, Login(users, 3600.0))) as server:
        context = browser.new_context()
        assert context.request.get(f"{server}/omnitrack/runs").status == 401
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{server}/person?person=1")
        assert "/login?next=%2Fperson%3Fperson%3D1" in page.url
        page.fill("[name=user]", "lena")
        page.fill("[name=password]", "wrong horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert] >> text=do not fit")
        page.fill("[name=password]", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#person-view .ot-visit")
        assert page.url == f"{server}/person?person=1"
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
        page.wait_for_selector(".ot-user >> text=lena")
        page.wait_for_selector("#save-name", state="hidden")  # who may only look is not offered it
        page.click(".ot-user button")
        page.wait_for_selector("[name=password]")
        assert context.request.get(f"{server}/omnitrack/runs").status == 401
        context.close()
