"""Linking and corrections while live cameras run: what a camera shows a minute later, and what the ledger says."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.config import LinkSettings, load_settings
from app.errors import InputError
from app.frames import Detections, Frame
from app.pipeline.job import Job
from app.pipeline.live_linking import LiveLinking
from app.pipeline.local import follow
from app.reid.calibrate import Calibration
from app.runs.folder.layout import LEDGER_FILE
from app.runs.folder.progress import Progress
from app.runs.folder.run import Run
from app.runs.ledger.ledger import GALLERY, LINKER, Ledger

HUMAN = "anna"
RED, BLUE = (40, 40, 220), (220, 40, 40)
BOX = np.array([[20, 20, 50, 100]], np.float32)


def wait_until(true: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# A run that somebody else writes


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Run:
    """A run in which track 1 of the left camera has a person and nobody else has."""
    run = Run.open(make_run())
    with run.ledger() as ledger:
        ledger.assign("left", 1, 1, GALLERY)
    return run


def answered(linking: LiveLinking, ledger: Ledger) -> None:
    """Commit until a linking was begun, and its answer was written."""
    wait_until(lambda: linking.wants_commit)
    linking.after_commit(ledger)
    wait_until(lambda: linking.wants_commit)
    linking.after_commit(ledger)


def test_what_is_in_the_run_is_linked_and_what_came_since_stays(run: Run) -> None:
    with run.ledger() as ledger, LiveLinking(run.folder, LinkSettings(every_s=0.01)) as linking:
        wait_until(lambda: linking.wants_commit)
        linking.after_commit(ledger)
        ledger.assign("left", 9, 7, GALLERY)  # a track that the linker can't know yet
        wait_until(lambda: linking.wants_commit)
        assert {event.actor for event in ledger.events()} == {GALLERY}, "written only when it is asked for"
        linking.after_commit(ledger)
        identities = ledger.replay()
    assert identities.latest_person("left", 1) == 1
    assert identities.latest_person("left", 9) == 7
    assert all(identities.latest_person(camera, track) > 0 for camera in ("left", "right") for track in (1, 2, 3))


def test_linking_rests_for_many_times_what_it_took(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    linked: list[float] = []

    def slow(*parts: Any) -> Any:
        linked.append(time.monotonic())
        time.sleep(0.1)
        raise InputError("not now")

    monkeypatch.setattr("app.pipeline.live_linking.decide", slow)
    monkeypatch.setattr("app.pipeline.live_linking.LEAST_PAUSE", 5.0)
    with run.ledger() as ledger, LiveLinking(run.folder, LinkSettings(every_s=0.01)) as linking:
        answered(linking, ledger)
        answered(linking, ledger)
    assert linked[1] - linked[0] >= 0.5


@pytest.mark.parametrize("error", [InputError("a confirmation contradicts itself"), RuntimeError("a bug")])
def test_what_cannot_be_linked_is_said_and_tried_again(
    run: Run, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*parts: Any) -> Any:
        raise error

    with run.ledger() as ledger, LiveLinking(run.folder, LinkSettings(every_s=0.01)) as linking:
        with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, logger="app"):
            broken.setattr("app.pipeline.live_linking.decide", fails)
            answered(linking, ledger)
        assert str(error) in caplog.text
        assert [event.actor for event in ledger.events()] == [GALLERY]
        answered(linking, ledger)
        assert LINKER in {event.actor for event in ledger.events()}


# Cameras that run


class ColourDetector:
    """Finds somebody wherever the middle of the box isn't grey."""

    name = "colours"
    weights_sha256 = ""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        there = [int(np.ptp(frame.image[60, 35].astype(int)) > 60) for frame in frames]
        return [Detections(BOX[:people], np.full(people, 0.9, np.float32)) for people in there]


class ColourEmbedder:
    """Somebody looks like the colour of the middle of the box."""

    name = "colours"
    weights_sha256 = ""
    dimension = 4
    calibration = Calibration(
        np.zeros(4, np.float32), np.array([0.0, 1.0], np.float32), np.array([0.99, 0.01], np.float32)
    )

    def embed(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        looks = []
        for image, rows in zip(images, boxes, strict=True):
            colour = np.append(image[60, 35].astype(np.float32), np.float32(0))
            looks.append(np.tile(colour / np.linalg.norm(colour), (len(rows), 1)))
        return looks


def picture_of(path: str, number: int) -> NDArray[np.uint8]:
    """On the way somebody in red comes and goes thrice; at the door somebody in red stays, in the yard one in blue."""
    image = np.full((120, 160, 3), 128, np.uint8)
    if path != "/way" or (number % 36 < 20 and number < 3 * 36):
        image[20:100, 20:50] = BLUE if path == "/yard" else RED
    return image


def test_a_gallery_that_knows_nobody_again_is_mended_while_cameras_run(
    tmp_path: Path, camera_server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the gallery whoever comes back is somebody new, since no probability reaches 0.999, until linking says who it
    is; then a human says that red and blue are one person, and the run that goes on takes that over as well."""
    monkeypatch.setattr("app.detect.build_detector", lambda *_: ColourDetector())
    monkeypatch.setattr("app.reid.embedder.build_embedder", lambda *_: ColourEmbedder())
    # On a busy machine linking takes long, and would then rest for longer than anybody waits here.
    monkeypatch.setattr("app.pipeline.live_linking.LEAST_PAUSE", 1.0)
    server = camera_server.CameraServer(picture_of, pictures=10**6, period_s=0.04)
    folder = tmp_path / "run"
    settings = load_settings(
        assignments=[
            "gallery.min_probability=0.999",
            "gallery.min_age_s=0.5",
            "gallery.max_wait_s=1",
            "track.max_lost_s=0.5",
            "track.max_recovery_s=0.5",
            "run.part_s=2",
            "link.every_s=1",
            "sources.reconnect_s=0.2",
        ]
    )
    cameras = ("way", "door", "yard")
    job = Job(tuple(f"http://{server.address}/{name}" for name in cameras), cameras, settings)
    shown: list[Progress] = []
    after_linking: list[int] = []

    def watch_and_correct() -> None:
        """What a human does beside the run."""
        try:
            with Ledger(folder / LEDGER_FILE) as ledger:
                wait_until(lambda: sum(key[0] == "way" for key in ledger.replay().known_tracklets()) >= 3)
                red = {("way", 1), ("way", 2), ("door", 1)}
                wait_until(lambda: len({ledger.replay().latest_person(*key) for key in red}) == 1)
                wait_until(lambda: shown[-1].people == 2)
                after_linking.append(shown[-1].people)
                people = ledger.replay().people()
                ledger.merge(people[1], people[0], HUMAN)
                wait_until(lambda: shown[-1].people == 1)
        finally:
            server.refuses_after = 0

    def begun(progress: Progress) -> None:
        shown.append(progress)
        if len(shown) == 1:
            human.start()

    human = threading.Thread(target=watch_and_correct, daemon=True)
    try:
        outcome = follow(job, folder, begun)
    finally:
        server.close()
    human.join()
    assert outcome.live
    assert after_linking == [2]
    identities = Run.open(folder).identities()
    assert len({identities.latest_person(camera, 1) for camera in cameras}) == 1
