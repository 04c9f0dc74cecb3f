"""Blurred videos, retention and the audit log, in the browser and on the command line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from starlette.testclient import TestClient

from app.cli.parser import main
from app.config import UiSettings
from app.runs.folder.audit_log import entries
from app.runs.folder.run import Run
from app.runs.people.search import frame_and_box
from app.runs.people.visits import people_of
from app.runs.render import stills
from app.runs.render.stills import read_still
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX, crop_url, media_routes
from app.ui.server import Guard

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


def test_an_erased_person_is_in_no_picture_that_is_sent(own_run: MakeRun) -> None:
    folder, number = own_run("erased_pictures")
    told_before = [entry.what for entry in entries(folder)]  # by other tests, to the run that this one is a copy of
    run = Run.open(folder)
    rows = {camera.name: run.observations(camera.name) for camera in run.cameras}
    owners = {name: run.identities().person_of(name, own.track_ids, own.times) for name, own in rows.items()}
    seen = Counter(person for own in owners.values() for person in own.tolist() if person > 0)
    (erased, _), (other, _) = seen.most_common(2)
    theirs = {name: own[owners[name] == erased] for name, own in rows.items()}
    assert all(len(own) > 5 for own in theirs.values())
    app = FastAPI()
    app.include_router(media_routes(RunLibrary([folder], folder.parent), UiSettings()))
    client = TestClient(Guard(app, None, loopback_only=True), base_url="http://127.0.0.1:7860")
    own_crops = [crop_url(OpenRun(number, folder), visit.crops[0]) for visit in
                 people_of(run, run.identities())[erased].visits if visit.crops]  # fmt: skip
    assert all(client.get(address).status_code == 200 for address in own_crops)
    middle = {camera.name: read_middle(run, camera.name) for camera in run.cameras}

    assert main(["erase", str(folder), str(erased)]) == 0
    assert main(["render", str(folder)]) == 0
    assert main(["render", str(folder), "--blur-others", str(other)]) == 0
    base = f"{PREFIX}/{number}"
    looked_at = set()

    def check(path: str, image: NDArray[np.uint8], camera: str, index: int) -> None:
        """Lines and labels of others may cross the grey; of a person nothing else is left."""
        for box in theirs[camera].boxes[theirs[camera].frames == index]:
            scale = image.shape[0] / run.camera(camera).height
            x1, y1, x2, y2 = np.clip(box * scale, 0, [image.shape[1], image.shape[0]] * 2).astype(int)
            inside = image[y1:y2, x1:x2].astype(int)
            if inside.size > 300:
                assert (abs(inside - 96) < 20).all(axis=2).mean() > 0.4, (path, index)
                looked_at.add(path)

    for row, camera in enumerate(run.cameras):
        name, (indices, times) = camera.name, run.frames(camera.name)
        for index in theirs[name].frames[::5].tolist():
            time_s = float(times[np.searchsorted(indices, index)])
            sent = client.get(f"{base}/frame/{row}?t={time_s + 0.001:.3f}").content
            check("/frame/{camera}", decoded(sent), name, index)
            original = stills._read_original(run, camera, index, time_s)
            assert np.std(original) > 20  # the recording itself is as it was
        for path in ("/video/{camera}", "/person/{person}/{camera}"):
            file = folder / "copy.mp4"
            file.write_bytes(client.get(base + path.format(person=other, camera=row)).content)
            for index, image in zip(indices.tolist(), pictures(file), strict=True):
                if index % 5 == 0:
                    check(path, image, name, index)
            file.unlink()
        sent = client.get(f"{base}/still/{row}").content
        check("/still/{camera}", decoded(sent), name, middle[name])
        looked_at.add("/still/{camera}")
        box = theirs[name].boxes[3]
        frame, (x1, y1, x2, y2) = frame_and_box(Run.open(folder), name, float(theirs[name].times[3]), box.tolist())
        assert (abs(frame[y1:y2, x1:x2].astype(int) - 96) < 5).all()
    for address in own_crops:
        assert client.get(address).status_code == 404
    timeline = client.get(f"{base}/timeline").json()
    assert erased not in [person["id"] for person in timeline["people"]]
    plain = {"/static/{name}", "/runs", "/{number}/crop/{camera}/{track_id}/{frame}", "/{number}/heat/{camera}",
             "/{number}/live", "/{number}/timeline", "/{number}/everybody/{camera}"}  # fmt: skip
    assert {route.path.removeprefix(PREFIX) for route in media_routes(RunLibrary([], folder), UiSettings()).routes} == {
        *plain, *(f"/{{number}}{path}" for path in looked_at),
    }  # fmt: skip
    told = [(entry.actor, entry.what) for entry in entries(folder) if entry.action == "viewed"]
    assert told.count(("ui", "the recordings")) == told_before.count("the recordings") + 1  # not one for each frame
    assert ("ui", f"pictures: person {erased}") in told
    assert ("ui", f"video, everybody else blurred: person {other}") in told


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def read_middle(run: Run, camera: str) -> int:
    indices = run.frames(camera)[0]
    return int(indices[len(indices) // 2])


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
