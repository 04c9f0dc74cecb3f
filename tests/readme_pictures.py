"""Make the README's pictures anew: python tests/readme_pictures.py runs/demo

`docs/wall.jpg` is the instant of the run's wall video at which most people are in view; `docs/pages/` gets a picture of
each page of the browser interface. Use a run of the rendered demo scene only: nothing from real footage may be
published, and a run of anything else is refused. Needs Playwright and Chromium, as the tests of the interface do.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import av
import uvicorn

from app.config import load_settings
from app.runs.folder.run import Run
from app.ui.layout import PAGES
from app.ui.library import OpenRun, RunLibrary, run_id
from app.ui.server import build_app

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHROMIUM = os.environ.get("OMNITRACK_CHROMIUM", "/usr/bin/chromium")
SIZE = {"width": 1280, "height": 800}
QUALITY = 72
PATIENCE_MS = 300_000
STEPS = {"evaluate": ("#evaluate", "#report table")}
"""What has to be clicked before a page shows something, and what then appears."""


def main(folder: Path) -> None:
    run = Run.open(folder)
    for camera in run.cameras:
        if not camera.inputs or not (Path(camera.inputs[0].path).parent / "scene.json").is_file():
            sys.exit(f"{folder}: camera {camera.name} is no rendered scene; its pictures must not be published")
    picture_of_wall(run, DOCS / "wall.jpg")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "runs" / folder.name  # looking at pages writes into their run
        shutil.copytree(folder, copy)
        pictures_of_pages(copy, DOCS / "pages")


def picture_of_wall(run: Run, target: Path) -> None:
    present: Counter[float] = Counter()
    cameras_in_view: Counter[float] = Counter()
    for camera in run.cameras:
        times = [round(time, 2) for time in run.observations(camera.name).times.tolist()]
        present.update(times)
        cameras_in_view.update(set(times))
    best = max(present, key=lambda time: (cameras_in_view[time], present[time], -time))
    start = min(float(run.frames(camera.name)[1][0]) for camera in run.cameras)
    target.parent.mkdir(exist_ok=True)
    with av.open(str(run.folder / "video" / "wall.mp4")) as video:
        for picture in video.decode(video=0):
            if picture.time is not None and picture.time >= best - start:
                picture.to_image().save(target, quality=88)
                return


def pictures_of_pages(folder: Path, target: Path) -> None:
    """Write target/PAGE.jpg for every page in the header, and for the one of a person."""
    from playwright.sync_api import sync_playwright

    found = OpenRun(run_id(folder), folder)
    people = found.people()
    person = max(people.values(), key=lambda person: (len(person.cameras), len(person.visits), -person.id))
    visit = max(person.visits, key=lambda visit: len(visit.crops))
    crop = f"{found.camera_number(visit.camera)}.{Path(visit.crops[0]).stem.replace('_', '.')}"
    middle = sum(found.span()) / 2
    asked = {"": f"&t={middle:.1f}", "search": f"&crop={crop}", "person": f"&person={person.id}"}
    target.mkdir(parents=True, exist_ok=True)
    address = serve(folder)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"],
                                          timeout=PATIENCE_MS)  # fmt: skip
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.set_default_timeout(PATIENCE_MS)
        for name in (*PAGES, "person"):
            page.goto(f"{address}/{name}?run={found.id}{asked.get(name, '')}")
            page.wait_for_selector("#ot-boot", state="detached")
            page.wait_for_selector(".ot-chooser option:checked", state="attached")
            if name in STEPS:
                button, result = STEPS[name]
                page.click(button)
                page.wait_for_selector(result)
            wait_until_still(page)
            page.screenshot(path=target / f"{name or 'overview'}.jpg", type="jpeg", quality=QUALITY)
        browser.close()


def serve(folder: Path) -> str:
    """Serve the interface over one run from a thread that ends with the script, and return its address."""
    settings = load_settings(assignments=["ui.source_folders=[videos]"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = build_app(RunLibrary([folder], folder.parent), settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.1)
    return f"http://127.0.0.1:{port}"


def wait_until_still(page: Any, patience_s: float = 120.0) -> None:
    """Return when the page has looked the same for two seconds."""
    end, since, before = time.monotonic() + patience_s, time.monotonic(), b""
    while time.monotonic() < end and time.monotonic() - since < 2.0:
        now = page.screenshot()
        if now != before:
            since, before = time.monotonic(), now
        time.sleep(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
