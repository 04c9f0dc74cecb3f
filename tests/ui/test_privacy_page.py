"""Blurred videos, retention and the audit log, in the browser and on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.audit import entries
from app.cli import main
from app.runs import Run
from app.stills import read_still

MakeRun = Callable[[str], tuple[Path, str]]


def pictures(video: Path) -> list[NDArray[np.uint8]]:
    reader = cv2.VideoCapture(str(video))
    found = []
    while True:
        more, image = reader.read()
        if not more:
            return found
        found.append(np.asarray(image, np.uint8))


def sharpness(image: NDArray[np.uint8]) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


def sharpness_kept(run: Run, video: Path, camera: str) -> dict[int, float]:
    """Which share of the sharpness of each person's pictures is left in a blurred video."""
    images, record = pictures(video), run.camera(camera)
    indices, times = run.frames(camera)
    assert len(images) == len(indices)
    rows = run.observations(camera)
    people = run.identities().person_of(camera, rows.track_ids, rows.times)
    kept: dict[int, list[float]] = {}
    for number in range(0, len(indices), 6):
        own = np.flatnonzero(rows.frames == indices[number])
        before = read_still(run, record, int(indices[number]), float(times[number]))
        for row in own:
            x1, y1, x2, y2 = np.clip(rows.boxes[row], 0, [record.width, record.height] * 2)
            x, y = (x2 - x1) / 4, (y2 - y1) / 5  # the middle: frames and labels are drawn at the edges
            inside = np.s_[int(y1 + y) : int(y2 - y), int(x1 + x) : int(x2 - x)]
            apart = (rows.boxes[own, :2] >= rows.boxes[row, 2:]) | (rows.boxes[own, 2:] <= rows.boxes[row, :2])
            others = int((~apart.any(axis=1)).sum()) > 1
            if not others and before[inside].size > 300:
                share = sharpness(images[number][inside]) / max(sharpness(before[inside]), 1e-6)
                kept.setdefault(int(people[row]), []).append(share)
    return {person: float(np.median(shares)) for person, shares in kept.items() if len(shares) >= 3}


def test_a_blurred_video_shows_one_person_only(own_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = own_run("blurred")
    run = Run.open(folder)
    assert main(["render", str(folder), "--blur-everybody", "--json"]) == 0
    files = [Path(file) for file in json.loads(capsys.readouterr().out)["files"]]
    nobody = sharpness_kept(run, next(file for file in files if file.name == "cam1.mp4"), "cam1")
    assert len(nobody) >= 2
    assert max(nobody.values()) < 0.25
    one = min(nobody)
    assert main(["render", str(folder), "--blur-others", str(one), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"]
    shown = sharpness_kept(run, folder / "export" / f"person_{one}" / "video" / "cam1.mp4", "cam1")
    assert shown.pop(one) > 0.5
    assert max(shown.values()) < 0.25
    assert entries(folder, 1)[0].what == f"person {one}, everybody else blurred"
    assert main(["render", str(folder), "--blur-others", "999"]) == 2
    assert "no person 999" in capsys.readouterr().err


def test_videos_are_made_and_everything_is_logged(page: Any, server: str, own_run: MakeRun) -> None:
    folder, run = own_run("private")
    page.goto(f"{server}/person?run={run}&person=1")
    page.wait_for_selector(".ot-visit")
    page.goto(f"{server}/privacy?run={run}")
    page.wait_for_selector("#audit td >> text='person 1'")
    assert page.locator("#retention tr[data-kind]").count() == 4
    assert "Nothing is ever purged" in page.locator("#retention").inner_text()
    page.click("#privacy-person input")
    page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Person 1$")).click()
    page.wait_for_selector("#privacy-card .ot-card")
    page.click("#export-person")
    page.wait_for_selector("#exported video")
    page.wait_for_function("[...document.querySelectorAll('#exported video')].every((video) => video.readyState > 0)")
    assert (folder / "export" / "person_1" / "video" / "cam2.mp4").is_file()
    page.wait_for_selector("#audit td >> text='person 1, everybody else blurred'")
    assert entries(folder)[0].action == "rendered"  # the latest; other tests have looked at this run before
    assert "viewed" in {entry.action for entry in entries(folder)[1:]}
