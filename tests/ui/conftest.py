"""A finished run, a server that shows it, and a browser. Tests are skipped where Playwright or Chromium is missing."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from filelock import FileLock

from app.cli.parser import main
from app.config import Settings, load_settings
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.ui.library import RunLibrary, run_id
from app.ui.server import build_app

CHROMIUM = os.environ.get("OMNITRACK_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE_MS = 90_000  # on a quiet machine nothing takes three seconds


@pytest.fixture(scope="session")
def ui_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `videos` (a rendered scene), `runs` (with the finished run `scene`) and the ReID weights.

    The scene is made once for all workers of a test session, and copied for each.
    """
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ui_scene"
    with FileLock(f"{made}.lock"):
        if not (made / "runs" / "scene" / "video" / "wall.mp4").is_file():
            shutil.rmtree(made, ignore_errors=True)
            make_scene(made)
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("ui"), dirs_exist_ok=True))


def make_scene(folder: Path) -> None:
    small = ["--set", "simulate.width_px=320", "--set", "simulate.height_px=180", "--set", "simulate.fps=10"]
    options = ["--people", "8", "--seconds", "8", "--seed", "3", "--set", "simulate.mean_away_s=1"]
    scene = folder / "videos" / "scene"
    assert main(["simulate", "--output", str(scene), *options, *small]) == 0
    torch.manual_seed(0)
    weights = Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict())
    save_checkpoint(folder / "untrained.safetensors", weights)
    sources = [str(scene / "cam1.mp4"), str(scene / "cam2.mp4")]
    models = ["--detector", "file:det/det.txt", "--reid", str(folder / "untrained.safetensors"), "--device", "cpu"]
    quick = ["--set", "reid.backend=torch", "--set", "run.video_height_px=180"]  # no network is converted for so little
    run = ["--output", str(folder / "runs" / "scene"), "--set", "run.part_s=2", "--save-video", *quick]
    assert main(["--sources", *sources, *models, *run]) == 0


@pytest.fixture(scope="session")
def ui_settings(ui_folder: Path) -> Settings:
    weights = ui_folder / "untrained.safetensors"
    return load_settings(
        assignments=[
            f"ui.source_folders=[{ui_folder / 'videos'}]",
            f"reid.weights={weights}",
            "reid.backend=torch",
            "detect.weights=file:det/det.txt",
            "run.part_s=2",
            "run.video_height_px=180",
        ]
    )


@pytest.fixture(scope="session")
def library(ui_folder: Path) -> RunLibrary:
    return RunLibrary([], ui_folder / "runs")


@pytest.fixture(scope="session")
def server(
    library: RunLibrary, ui_settings: Settings, tmp_path_factory: pytest.TempPathFactory, serving: Any
) -> Iterator[str]:
    """The address of a running interface."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    with serving(build_app(library, ui_settings)) as address:
        yield address


@pytest.fixture(scope="session")
def serving() -> Any:
    """Return a context manager that serves an interface and gives its address."""
    return _serving


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.05)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = running.force_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    if not Path(CHROMIUM).is_file():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; apt-get install chromium, or set OMNITRACK_CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitor(browser: Any) -> Iterator[Any]:
    """A browser's profile: what a page has loaded, the next one finds in its cache."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme="light")
    yield context
    context.close()


@pytest.fixture
def page(visitor: Any, server: str) -> Iterator[Any]:
    """A new page. The test fails if it logged an error or asked another server for something."""
    page = visitor.new_page()
    page.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((server, "data:", "blob:")) else problems.append(f"asked {request.url}")
        ),
    )
    page.on("request", lambda request: problems.extend(held(request.url, page.url)))
    page.on("dialog", lambda dialog: dialog.accept())
    goto = page.goto

    def open_page(address: str) -> None:
        """Wait until Gradio has taken over: what comes with the page (`app.ui.boot`) would be found twice."""
        goto(address)
        page.wait_for_selector("#ot-boot", state="detached")

    page.goto = open_page
    yield page
    page.close()
    assert problems == []


def held(asked: str, page: str) -> list[str]:
    """Say which request keeps one of the few connections of a browser. Only the page that makes videos may."""
    kept = "/gradio_api/heartbeat" in asked or ("/gradio_api/queue" in asked and "/privacy" not in page)
    return [f"a connection is held by {asked}"] if kept else []


@pytest.fixture
def own_run(ui_folder: Path) -> Iterator[Callable[[str], tuple[Path, str]]]:
    """Return a function that copies the finished run for a test that changes it, and says its folder and its id."""
    copies: list[Path] = []

    def copy(name: str) -> tuple[Path, str]:
        folder = ui_folder / "runs" / name
        shutil.copytree(ui_folder / "runs" / "scene", folder)
        copies.append(folder)
        return folder, run_id(folder)

    yield copy
    for folder in copies:
        shutil.rmtree(folder)
