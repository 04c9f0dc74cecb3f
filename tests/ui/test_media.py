"""What the server hands out, and to whom. No browser is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.config import UiSettings
from app.errors import InputError
from app.runs.folder.header import InputRecord
from app.runs.folder.run import Run
from app.system.uploads import scratch_folder
from app.ui import overview
from app.ui.boot import Boot, FirstView, PageVisitor
from app.ui.guard import Guard
from app.ui.layout import duration, parse_clock
from app.ui.library import OpenRun, RunLibrary, run_id
from app.ui.media import PREFIX, media_routes, why_no_frames
from app.ui.people import cards_view
from app.ui.picture_reader import read_upload

MakeRun = Callable[..., Path]


@pytest.fixture
def folder(make_run: MakeRun) -> Path:
    folder = make_run()
    (folder / "video").mkdir()
    (folder / "video" / "left.mp4").write_bytes(bytes(range(200)))
    return folder


@pytest.fixture
def client(folder: Path) -> TestClient:
    app = FastAPI()
    app.include_router(media_routes(RunLibrary([folder], folder.parent), UiSettings()))
    return TestClient(Guard(app, None, loopback_only=True), base_url="http://127.0.0.1:7860")


def test_crops_are_named_by_numbers(client: TestClient, folder: Path) -> None:
    run = Run.open(folder)
    reference = run.tracklet_summaries()[0].crops[0]
    _, camera, file = reference.split("/")
    track, frame = file.removesuffix(".jpg").split("_")
    number = [c.name for c in run.cameras].index(camera)
    answer = client.get(f"{PREFIX}/{run_id(folder)}/crop/{number}/{track}/{frame}")
    assert answer.content == run.crop_path(reference).read_bytes()
    assert answer.headers["cache-control"] == "no-store"
    assert client.get(f"{PREFIX}/{run_id(folder)}/crop/{number}/{track}/999999").status_code == 404


def test_a_part_of_a_video_can_be_asked_for(client: TestClient, folder: Path) -> None:
    answer = client.get(f"{PREFIX}/{run_id(folder)}/video/0", headers={"Range": "bytes=10-19"})
    assert answer.status_code == 206
    assert answer.content == bytes(range(10, 20))
    assert answer.headers["content-range"] == "bytes 10-19/200"
    assert client.get(f"{PREFIX}/{run_id(folder)}/video/0", headers={"Range": "bytes=190-"}).content == bytes(
        range(190, 200)
    )
    assert client.get(f"{PREFIX}/{run_id(folder)}/video/1").status_code == 404


def test_a_player_gets_a_video_in_pieces(client: TestClient, folder: Path) -> None:
    """An answer that is not read to its end would hold one of the browser's six connections."""
    (folder / "video" / "left.mp4").write_bytes(bytes(2_500_000))
    address = f"{PREFIX}/{run_id(folder)}/video/0"
    pieces = [client.get(address, headers={"Range": f"bytes={first}-"}) for first in (0, 1_000_000, 2_000_000)]
    assert [piece.headers["content-range"] for piece in pieces] == [
        "bytes 0-999999/2500000",
        "bytes 1000000-1999999/2500000",
        "bytes 2000000-2499999/2500000",
    ]
    assert len(client.get(address).content) == 2_500_000  # what is saved is saved whole


@pytest.mark.parametrize(
    "path",
    [
        "nowhere/video/0",
        "RUN/video/7",
        "RUN/video/-1",
        "RUN/crop/0/..%2F..%2Frun/1",
        "RUN/crop/0/1/..%2F..%2F..%2Frun.json",
        "..%2F/video/0",
        "static/..%2Fserver.py",
    ],
)
def test_nothing_else_is_handed_out(client: TestClient, folder: Path, path: str) -> None:
    assert client.get(f"{PREFIX}/{path.replace('RUN', run_id(folder))}").status_code in (404, 422)


def test_the_picture_of_a_run_that_goes_on(client: TestClient, folder: Path) -> None:
    assert client.get(f"{PREFIX}/{run_id(folder)}/live").status_code == 204  # it does not go on
    assert client.get(f"{PREFIX}/nowhere/live").status_code == 204
    (folder / "video" / "live.jpg").write_bytes(b"picture")
    answer = client.get(f"{PREFIX}/{run_id(folder)}/live")
    assert (answer.content, answer.headers["cache-control"]) == (b"picture", "no-store")


def test_only_listed_runs_are_shown(client: TestClient, folder: Path, make_run: MakeRun) -> None:
    other = make_run("other")
    assert [run["name"] for run in client.get(f"{PREFIX}/runs").json()] == [folder.name]
    assert client.get(f"{PREFIX}/{run_id(other)}/timeline").status_code == 404


def test_runs_that_were_started_here_are_shown_too(folder: Path, make_run: MakeRun) -> None:
    library = RunLibrary([folder], folder.parent)
    library.add(folder.parent / "new")
    assert list(library.folders().values()) == [folder]  # not before it begins
    new = make_run("new")
    assert sorted(library.folders().values()) == sorted([folder, new])


def test_people_without_pictures_come_last_and_are_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(folder).ledger() as ledger:
        for row, key in enumerate((("left", 1), ("left", 2), ("right", 3)), 1):
            ledger.assign(*key, row, "tester")
    library = RunLibrary([folder], folder.parent)
    found = library.get(None)
    people = dict(found.people())
    people[1] = replace(people[1], visits=tuple(replace(visit, crops=()) for visit in people[1].visits))
    monkeypatch.setattr(OpenRun, "people", lambda self: people)
    html = cards_view(library, UiSettings(), PageVisitor({}, "anna"))
    order = [html.index(f'data-person="{number}"') for number in (2, 3, 1)]
    assert order == sorted(order)
    assert order[1] < html.index("followed by movement only") < order[2]
    assert "<img" not in html[order[2] :]


def test_the_timeline_has_a_bar_for_each_visit(client: TestClient, folder: Path) -> None:
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
        ledger.assign("right", 2, 1, "tester")
    data = client.get(f"{PREFIX}/{run_id(folder)}/timeline").json()
    assert [camera["name"] for camera in data["cameras"]] == ["left", "right"]
    (person,) = data["people"]
    assert [visit[:2] for visit in person["visits"]] == [[0, 1], [1, 2]]


def test_a_camera_without_frames_says_why(client: TestClient, folder: Path) -> None:
    """The cameras of the small run have no recordings: as if they had been live."""
    for camera in client.get(f"{PREFIX}/{run_id(folder)}/timeline").json()["cameras"]:
        assert not camera["frames"]
        assert "pictures of a stream are not kept" in camera["absent"]
    record = replace(Run.open(folder).cameras[0], has_pixels=False)
    assert why_no_frames(record) == "this run has no pictures"
    recorded = replace(record, has_pixels=True, inputs=(InputRecord("gone.mp4", 1, "00"),))
    assert why_no_frames(recorded) == "the recording cannot be read any more"


def test_the_overview_shows_live_cameras_while_they_run(folder: Path) -> None:
    def page() -> str:
        return overview.view(RunLibrary([folder], folder.parent), PageVisitor({}, "anna"))

    assert "<ot-live" not in page()
    (folder / "video" / "live.jpg").write_bytes(b"picture")
    assert f'<ot-live data-src="{PREFIX}/{run_id(folder)}/live">' in page()
    header = json.loads((folder / "run.json").read_text())
    header["cameras"][0]["inputs"] = [{"path": "gone.mp4", "size_bytes": 1, "sha256": "00"}]
    (folder / "run.json").write_text(json.dumps(header))
    assert "<ot-live" not in page(), "recordings are shown by themselves"


def test_uploads_that_are_no_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2
    import numpy as np

    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path))
    png = bytes(cv2.imencode(".png", np.full((40, 20, 3), 90, np.uint8))[1])
    elsewhere = tmp_path / "picture.png"
    elsewhere.write_bytes(png)
    with scratch_folder() as folder:

        def upload(content: bytes) -> Path:
            file = folder / "0123" / "picture.png"
            file.parent.mkdir()
            file.write_bytes(content)
            return file

        assert read_upload(upload(png), 1_000_000).shape == (40, 20, 3)
        assert [file.name for file in folder.iterdir()] == ["lock"], "the picture is gone after its one use"
        with pytest.raises(InputError, match="larger"):
            read_upload(upload(png), 10)
        with pytest.raises(InputError, match="no picture"):
            read_upload(upload(b"\x89PNG\r\n\x1a\n" + bytes(100)), 1_000_000)
        with pytest.raises(InputError, match="not uploaded here"):
            read_upload(elsewhere, 1_000_000)
        assert [file.name for file in folder.iterdir()] == ["lock"]
    assert elsewhere.read_bytes() == png


def test_times_are_read_as_people_write_them() -> None:
    assert parse_clock("90", 0) == parse_clock("1:30", 0) == parse_clock("0:01:30", 0) == 90
    day = 1_700_000_000 // 86400 * 86400
    assert parse_clock("13:00:00", 1_700_000_000) == day + 13 * 3600
    assert parse_clock("1970-01-02 00:00:10", 0) == 86410
    with pytest.raises(InputError, match="no time"):
        parse_clock("soon", 0)
    assert [duration(s) for s in (3.25, 42, 200, 3900)] == ["3.2 s", "42 s", "3 min 20 s", "1 h 05 min"]


def test_a_page_shows_something_before_any_script_has_come() -> None:
    async def page(scope: object, receive: object, send: Any) -> None:
        headers = [(b"content-type", b"text/html"), (b"content-length", b"999")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html><head></head><body cl", "more_body": True})
        await send({"type": "http.response.body", "body": b'ass="x">later</body></html>'})

    def first_view(name: str, visitor: PageVisitor) -> FirstView | None:
        return FirstView(f"<p>{visitor.query_params['run']} for {visitor.username}", "#x") if name == "people" else None

    client = TestClient(Boot(page, first_view))
    answer = client.get("/people?run=7")
    assert "<p>7 for None" in answer.text.partition('<body class="x">')[2].partition("later")[0]
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers  # sent in pieces
    answer = client.get("/places")
    body = answer.text.partition('<body class="x">')[2]
    assert 'href="/places" aria-current="page"' in body.partition("later")[0]
    assert "<h1>Places" in body
    assert ".ot-boot" in answer.text.partition("</head>")[0]
    assert client.get("/theme.css").text.startswith("<html><head></head><body class")
