"""A run says when it is blind: things that move and are nobody, doubtful boxes that move, people who are too small."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.parser import main
from app.config import DetectSettings, TrackSettings
from app.frames import NO_ID, Detections, Frame, FrameResult
from app.pipeline.sight import EVERY_S, SMALL_PX, SightWatch, blind_spots, together
from app.ui.overview import _blind_spots

HEIGHT, WIDTH = 180, 320
TALL = (30, 70)


def scene(place: float, size: tuple[int, int] = TALL) -> np.ndarray:
    """A grey room with a dark figure, which stands at (60, `place`)."""
    image = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    x, (width, height) = round(place), size
    image[60 : 60 + height, x : x + width] = 30
    return image


def watch(
    count: int,
    score: float | None,
    track_id: int = NO_ID,
    step_px: float = 6,
    size: tuple[int, int] = TALL,
    image_size_px: int = 320,
) -> dict[str, dict[str, Any]]:
    """What a watch says of a figure that goes by, and is found with a score, or not at all."""
    watched = SightWatch(image_size_px)
    for number in range(count):
        place = 20 + number * step_px
        boxes = np.array([[place, 60, place + size[0], 60 + size[1]]], np.float32)
        found = Detections(boxes, np.array([score], np.float32)) if score is not None else Detections.empty()
        ids = np.full(len(found), track_id, np.int64)
        frame = Frame("door", number, number * EVERY_S, scene(place, size))
        watched.write(FrameResult(frame, found, ids, ids))
    return watched.seen()


def said(seen: dict[str, dict[str, Any]], weights: str = "auto") -> str:
    return blind_spots(seen, DetectSettings(weights=weights), TrackSettings()).get("door", "")


def test_somebody_who_goes_by_unseen_is_noticed() -> None:
    text = said(watch(30, None))
    assert "nobody was followed, although something moved in 100 % of the time" in text
    assert "--detector yolo26n.pt" in text
    assert "detect.image_size_px=1280" in text


def test_doubtful_boxes_are_told_with_their_best_score() -> None:
    text = said(watch(30, 0.23))
    assert "a score of 0.23, people begin at 0.5" in text


def test_whoever_is_followed_is_nothing_to_worry_about() -> None:
    assert said(watch(30, 0.9, track_id=4)) == ""


def test_an_empty_room_and_a_post_that_stands_are_silent() -> None:
    assert said(watch(30, None, step_px=0)) == ""
    assert said(watch(30, 0.3, step_px=0)) == ""


def test_a_lamp_and_slowly_changing_light_are_no_movement() -> None:
    watched = SightWatch(640)
    for number in range(40):
        image = np.full((HEIGHT, WIDTH, 3), 60 + 2 * number + 50 * (number % 2), np.uint8)
        nobody = np.zeros(0, np.int64)
        watched.write(FrameResult(Frame("door", number, number * EVERY_S, image), Detections.empty(), nobody, nobody))
    assert watched.seen()["door"]["moved"] == 0


def test_people_too_small_for_the_network_are_told() -> None:
    small = watch(30, 0.9, track_id=2, size=(14, 40), image_size_px=160)  # half of 40 pixels is below the limit
    assert f"100 % of the people are lower than {SMALL_PX} pixels" in said(small)
    assert said(watch(30, 0.9, track_id=2, size=(14, 60), image_size_px=160)) == ""


def test_other_detectors_are_not_sent_to_yolo() -> None:
    text = said(watch(30, None), weights="own.onnx")
    assert "yolo26n" not in text
    assert "image_size_px" in text
    assert said(watch(30, None), weights="file:det/det.txt") == ""


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), min_size=1, max_size=6))
def test_parts_of_a_run_add_up(parts: list[tuple[int, float]]) -> None:
    whole: dict[str, dict[str, Any]] = {}
    for count, score in parts:
        one = {"moments": count, "followed": 0, "moved": count, "doubtful": count, "best_score": score, "people": 0,
               "small": 0}  # fmt: skip
        whole = together(whole, {"door": one})
    assert whole["door"]["moved"] == sum(count for count, _ in parts)
    assert whole["door"]["best_score"] == max(score for _, score in parts)


@pytest.fixture
def box_goes_by(tmp_path: Path) -> Path:
    """A video in which a dark box, which no detector takes for a person, goes through a room."""
    file = tmp_path / "room.mp4"
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (WIDTH, HEIGHT))
    for number in range(60):
        video.write(scene(20 + number * 4, (60, 40)))
    video.release()
    return file


def test_a_run_says_it_and_keeps_it(box_goes_by: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--reid", "none", "--no-link", "--set", "detect.backend=torch"]
    run = tmp_path / "run"
    assert main(["--sources", str(box_goes_by), "--output", str(run), "--json", *quick]) == 0
    spots = json.loads(capsys.readouterr().out)["blind_spots"]
    assert "something moved" in spots["room"]
    kept = json.loads((run / "run.json").read_text())["summary"]
    assert kept["blind_spots"] == spots
    assert kept["sight"]["room"]["moments"] >= 15


def test_a_run_without_blind_spots_ends_with_the_note_on_the_bundled_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "still.mp4"
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (WIDTH, HEIGHT))
    for _ in range(5):
        video.write(scene(20))
    video.release()
    quick = ["--reid", "none", "--no-link", "--set", "detect.backend=torch"]
    assert main(["--sources", str(file), "--output", str(tmp_path / "run"), *quick]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1] == "--detector yolo26n.pt (a download) finds more people than the bundled one"
    assert "yolo26n" not in "\n".join(lines[:-1])


def test_the_browser_shows_it_as_text() -> None:
    found = SimpleNamespace(run=SimpleNamespace(summary={"blind_spots": {"<b>door": "a & b"}}))
    assert "&lt;b&gt;door: a &amp; b" in _blind_spots(found)  # type: ignore[arg-type]  # a stand-in
    found.run.summary = {}
    assert _blind_spots(found) == ""  # type: ignore[arg-type]  # a stand-in
