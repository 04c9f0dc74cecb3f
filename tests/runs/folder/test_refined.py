"""Refined rows of a run: what linking fills and smooths, and that everything else reads or removes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from app.config import LinkSettings, Settings
from app.frames import Tracklet
from app.runs.evaluate.trajectories import run_trajectories
from app.runs.export.write import export_run
from app.runs.folder.layout import RUN_FILE
from app.runs.folder.refined import ROWS_PER_FILE, refine_run, refined_rows
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.people.linking import link_run
from app.runs.privacy.erase import erase_person
from app.runs.render.draw import annotate
from app.system.files import write_atomically
from tests import small_run

MISSED = 17
"""The frame of `left` in which nobody detected track 3, which is there before and after."""


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    folder = small_run.write(tmp_path / "run")
    assert link_run(folder, LinkSettings())["filled_boxes"] == 2  # one on each camera
    return folder


def filled_row(folder: Path) -> tuple[int, int, float]:
    rows = Run.open(folder).refined("left")
    [row] = np.flatnonzero(rows.filled)
    return int(rows.frames[row]), int(rows.track_ids[row]), float(rows.scores[row])


def test_linking_fills_gaps_beside_what_was_recorded(tmp_path: Path) -> None:
    folder = small_run.write(tmp_path / "run")
    before = Run.open(folder).observations("left")
    np.testing.assert_array_equal(Run.open(folder).refined("left").boxes, before.boxes)  # nothing is linked yet
    link_run(folder, LinkSettings())
    run = Run.open(folder)
    np.testing.assert_array_equal(run.observations("left").boxes, before.boxes)
    assert filled_row(folder) == (MISSED, 3, 0.0)
    rows = run.refined("left")
    assert len(rows) == len(before) + 1
    np.testing.assert_allclose(rows.scores[~rows.filled], before.scores)
    box = rows.boxes[rows.filled][0]
    np.testing.assert_allclose(box, [120 + MISSED, 20 + MISSED / 4, 150.5 + MISSED, 130], atol=0.01)
    assert (np.diff(rows.frames) >= 0).all()
    np.testing.assert_array_equal(run.refined("left", 1.65, 1.75).frames, rows.frames[np.abs(rows.times - 1.7) < 0.05])


def test_every_linking_makes_them_anew(linked: Path) -> None:
    before = Run.open(linked).refined("left")
    assert link_run(linked, LinkSettings())["filled_boxes"] == 2
    np.testing.assert_array_equal(Run.open(linked).refined("left").boxes, before.boxes)
    assert len(list((linked / "refined").rglob("*.parquet"))) == 2  # the earlier files are gone
    assert link_run(linked, LinkSettings(fill_gaps=False))["filled_boxes"] == 0
    assert list((linked / "refined").rglob("*.parquet")) == []
    assert not Run.open(linked).refined("left").filled.any()
    assert link_run(linked, LinkSettings(max_gap_s=0.1))["filled_boxes"] == 0  # this gap is of 0.2 s


def test_evaluation_and_exports_have_the_filled_rows_marked(linked: Path, tmp_path: Path) -> None:
    assert len(run_trajectories(Run.open(linked))["left"]) == len(Run.open(linked).observations("left")) + 1
    export_run(Run.open(linked), "mot", "track", tmp_path / "mot")
    rows = [line.split(",") for line in (tmp_path / "mot" / "left.txt").read_text().splitlines()]
    assert [row[:2] for row in rows if float(row[6]) == 0] == [[str(MISSED + 1), "3"]]
    export_run(Run.open(linked), "csv", "person", tmp_path / "csv")
    table = pyarrow.csv.read_csv(tmp_path / "csv" / "observations.csv").to_pylist()
    unseen = [row for row in table if not row["observed"]]
    assert [(row["camera"], row["frame"]) for row in unseen] == [("left", MISSED), ("right", 7)]
    [seen_id] = {row["id"] for row in table if row["camera"] == "left" and row["track_id"] == 3}
    assert unseen[0]["id"] == seen_id
    export_run(Run.open(linked), "cvat", "track", tmp_path / "cvat")
    text = (tmp_path / "cvat" / "left.xml").read_text()
    assert text.count('occluded="1"') == 1
    assert f'<box frame="{MISSED}" outside="0" occluded="1"' in text


def test_filled_rows_follow_corrections_and_vanish_with_an_erased_person(linked: Path) -> None:
    with Run.open(linked).ledger() as ledger:
        _, person = ledger.split("left", 3, 1.65, "somebody")
    rows = run_trajectories(Run.open(linked))["left"]
    assert rows.ids[(rows.frames == MISSED + 1) & (rows.track_ids == 3)].tolist() == [person]
    erase_person(linked, person)
    rows = Run.open(linked).refined("left")
    assert not rows.filled.any()
    assert not ((rows.track_ids == 3) & (rows.times >= 1.65)).any()
    assert ((rows.track_ids == 3) & (rows.times < 1.65)).any()


def test_a_resumed_run_forgets_rows_that_were_refined_before(linked: Path) -> None:
    header = (linked / RUN_FILE).read_text()
    write_atomically(linked / RUN_FILE, header.replace('"state": "finished"', '"state": "failed"').encode())
    infos = small_run.sources()
    with RunWriter.resume(linked, Settings(), infos, {"weights": {"detector": "00ff"}}) as writer:
        writer.finish("failed", {})
    run = Run.open(linked)
    np.testing.assert_array_equal(run.refined("left").boxes, run.observations("left").boxes)


def test_many_rows_are_cut_into_files_between_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ROWS_PER_FILE > 1000
    folder = small_run.write(tmp_path / "run")
    run = Run.open(folder)
    whole = refined_rows([t for t in run.tracklets() if t.camera == "left"], *run.frames("left"), 1.0)
    monkeypatch.setattr("app.runs.folder.refined.ROWS_PER_FILE", 7)
    refine_run(run, run.tracklets(), 1.0)
    parts = list(Run.open(folder).refined_parts("left"))
    assert len(parts) > 3
    frames = [set(part.frames.tolist()) for part in parts]
    assert sum(map(len, frames)) == len(set().union(*frames))
    np.testing.assert_array_equal(Run.open(folder).refined("left").boxes, whole.boxes)


def test_a_detected_row_is_never_taken_for_a_filled_one() -> None:
    times = np.array([0.0, 0.1])
    nobody = np.zeros((0, 8), np.float32)
    track = Tracklet("left", 1, times, np.tile(np.float32([0, 0, 5, 9]), (2, 1)), np.zeros(2, np.float32), (), nobody,
                     np.zeros(0, np.float32))  # fmt: skip
    assert not refined_rows([track], np.array([0, 1]), times, 1.0).filled.any()


def test_filled_boxes_are_drawn_by_their_corners_only() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    boxes, ids = np.float32([[20, 20, 60, 90]]), np.array([-1])
    seen, unseen = (annotate(picture, boxes, ids, np.array([1]), unseen=np.array([flag])) for flag in (False, True))
    assert [picture[20, 22].any() for picture in (seen, unseen)] == [True, True]
    assert [picture[20, 40].any() for picture in (seen, unseen)] == [True, False]
