"""The list of identity mistakes: what is a merge, what a split, and what each costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.footage.motchallenge import write_rows
from app.frames import NO_ID
from app.runs.evaluate.mistakes import identity_mistakes, report_page, report_run
from app.runs.evaluate.scores import evaluate
from app.runs.evaluate.trajectories import Trajectories
from app.runs.folder.run import Run


def rows(*stretches: tuple[int, int, range]) -> Trajectories:
    """Trajectories of (person, track, frames); everybody has a place of their own and stands still."""
    table = [(frame, person, track) for person, track, frames in stretches for frame in frames]
    frames, people, tracks = np.array(table, np.int64).T
    return Trajectories.of_result(frames, people, place_of(tracks // 10), tracks)


def place_of(true_people: NDArray[np.int64]) -> NDArray[np.float32]:
    left = 30.0 * true_people
    return np.stack([left, 0 * left, left + 10, 0 * left + 20], axis=1).astype(np.float32)


def test_splits_and_merges_are_told_apart() -> None:
    # Track 10 n + k shows person n.
    truth = {"a": rows((1, 10, range(1, 41)), (2, 20, range(1, 31)))}
    result = {
        "a": rows((5, 10, range(1, 26)), (6, 11, range(26, 34)), (NO_ID, 12, range(34, 37)), (7, 20, range(1, 16)),
                  (5, 21, range(26, 30)))
    }  # fmt: skip
    # Person 2 is id 7 in frames 1–15; its other four boxes belong to track 21, which carries id 5 of person 1.
    mistakes = identity_mistakes(truth, result)
    assert [(m.kind, m.person, m.given_id, m.own_id, m.owner, m.boxes) for m in mistakes] == [
        ("split", 1, 6, 5, None, 8),
        ("merge", 2, 5, 7, 1, 4),
        ("split", 1, NO_ID, 5, None, 3),
    ]
    merge = mistakes[1]
    assert [(part.camera, part.track_id, part.frames.tolist()) for part in merge.parts] == [("a", 21, [26, 27, 28, 29])]
    assert [part.track_id for part in merge.reference] == [10]
    assert [mistake.boxes for mistake in identity_mistakes(truth, result, limit=2)] == [8, 4]


def test_tracks_that_change_person_are_marked() -> None:
    truth = {"a": rows((1, 10, range(1, 11)), (2, 20, range(1, 11)))}
    boxes = place_of(np.array([1] * 7 + [2] * 3))
    jumping = Trajectories.of_result(np.arange(1, 11), np.full(10, 5), boxes, np.full(10, 30))
    (mistake,) = identity_mistakes(truth, {"a": jumping})
    assert (mistake.kind, mistake.person, mistake.own_id) == ("merge", 2, None)
    assert [(part.frames.tolist(), part.other_boxes) for part in mistake.parts] == [([8, 9, 10], 7)]


def test_points_are_what_fixing_the_mistake_gains() -> None:
    truth = {"a": rows((1, 10, range(1, 41))), "b": rows((1, 10, range(1, 11)))}
    result = {"a": rows((5, 10, range(1, 31))), "b": rows((8, 10, range(1, 11)))}
    (mistake,) = identity_mistakes(truth, result)
    fixed = {"a": result["a"], "b": rows((5, 10, range(1, 11)))}
    gain = evaluate(truth, fixed)["across"]["IDF1"] - evaluate(truth, result)["across"]["IDF1"]
    assert mistake.idf1_points == pytest.approx(gain)
    assert identity_mistakes(truth, fixed) == []


def test_page_shows_the_pictures_of_both_sides(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = Run.open(make_run())
    truth = tmp_path / "truth"
    truth.mkdir()
    for camera in ("left", "right"):
        rows_of_run = run.observations(camera)
        people = rows_of_run.track_ids + 100
        write_rows(truth / f"{camera}.txt", rows_of_run.frames + 1, people, rows_of_run.boxes, np.ones(len(people)))
    with run.ledger() as ledger:
        for camera, person in (("left", 1), ("right", 2)):
            ledger.assign(camera, 1, person, "human")
    mistakes = report_run(run.folder, truth, tmp_path / "page" / "mistakes.html")
    assert {(m.kind, m.person) for m in mistakes} == {("split", 101), ("split", 102), ("split", 103)}
    page = (tmp_path / "page" / "mistakes.html").read_text()
    assert page.count("<section>") == 3
    assert page.count("data:image/jpeg;base64,") == 12
    assert "left/1" in page
    assert "right/1" in page
    with run.ledger() as ledger:
        for track in (1, 2, 3):
            for camera in ("left", "right"):
                ledger.assign(camera, track, track, "human")
    assert report_run(run.folder, truth, tmp_path / "mistakes.html") == []
    assert "own id" in (tmp_path / "mistakes.html").read_text()


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    truth = {"<b>a": rows((1, 10, range(1, 9))), "b": rows((1, 10, range(1, 9)))}
    result = {"<b>a": truth["<b>a"], "b": rows((2, 10, range(1, 9)))}
    picture = tmp_path / "10_3.jpg"
    cv2.imwrite(str(picture), np.zeros((16, 8, 3), np.uint8))
    page = report_page(identity_mistakes(truth, result), {("<b>a", 10): [picture, tmp_path / "10_4.jpg"]}, "x & y")
    assert "<b>a" not in page
    assert "x &amp; y" in page
    assert page.count("<img") == 1, "a picture that was deleted is left out"
