"""Erasing a person: nothing of them is left in any file, and nothing of the others is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.errors import InputError, RunError
from app.frames import NO_ID
from app.runs.folder import locks as run_lock
from app.runs.folder.locks import lock_copying, lock_run
from app.runs.folder.manifest import Manifest
from app.runs.folder.run import Run
from app.runs.folder.written import note_written
from app.runs.people.known import PEOPLE_FILE, KnownPeople, KnownPerson, read_people, write_people
from app.runs.privacy import erase as erase_module
from app.runs.privacy.erase import erase_person

GALLERY = "machine:gallery"


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    """Person 1 is track 1 on both cameras and track 2 on `left` from 1 s on; person 2 is what is before."""
    folder = make_run(part_frames=3)
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, GALLERY, {"note": "limps"})
        ledger.assign("right", 1, 1, GALLERY)
        ledger.assign("left", 2, 2, GALLERY)
        _, part = ledger.split("left", 2, 1.0, "anna")
        ledger.merge(part, 1, "anna")
        ledger.name(1, "Zebediah", "anna")
    for name in ("video/left.mp4", "export/mot/left.txt"):
        note_written(folder, [name])
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"frames with Zebediah")
    return folder


def rows_by_person(run: Run) -> dict[int, int]:
    counts: dict[int, int] = {}
    for camera in run.cameras:
        rows = run.observations(camera.name)
        for person in run.identities().person_of(camera.name, rows.track_ids, rows.times).tolist():
            counts[person] = counts.get(person, 0) + 1
    return counts


def stored_vectors(folder: Path) -> set[bytes]:
    """Every vector in any Parquet file of the run, listed in the manifest or not."""
    found = set()
    for path in (folder / "tracklets").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            vectors = np.array(row["vectors"], np.float32).reshape(len(row["crops"]), row["dimension"])
            found.update(vector.tobytes() for vector in vectors)
    return found


def test_nothing_is_left_and_nothing_else_is_lost(folder: Path) -> None:
    before = Run.open(folder)
    counts = rows_by_person(before)
    theirs = {v.tobytes() for s in before.tracklet_summaries() if s.track_id == 1 for v in s.vectors}
    others = {v.tobytes() for s in before.tracklet_summaries() if s.track_id == 3 for v in s.vectors}
    assert theirs <= stored_vectors(folder)
    report = erase_person(folder, 1)
    run = Run.open(folder)
    assert report == {
        "person": 1,
        "rows": counts[1],
        "tracklets": 3,
        "crops": 5,
        "covered_crops": 0,
        "removed_files": ["export/mot/left.txt", "video/left.mp4"],
        "gallery": None,
        "left": report["left"],
    }
    assert [sentence.partition(".")[0] for sentence in report["left"]] == ["The recordings still show the person: left"]
    assert rows_by_person(run) == {who: count for who, count in counts.items() if who != 1}
    assert [summary.key for summary in run.tracklet_summaries()] == [
        ("left", 2),
        ("left", 3),
        ("right", 2),
        ("right", 3),
    ]
    assert not theirs & stored_vectors(folder)
    assert others <= stored_vectors(folder)
    for camera in ("left", "right"):
        assert run.frames(camera)[0].tolist() == before.frames(camera)[0].tolist()
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"Zebediah" not in everything
    assert b"limps" not in everything
    crops = sorted(path.name for path in (folder / "crops" / "left").iterdir())
    assert crops == ["2_5.jpg", "3_10.jpg", "3_19.jpg"]
    assert run.identities().people() == [2]
    assert len(run.manifest.files) == sum(1 for _ in folder.glob("*/*/*.parquet"))
    with run.ledger() as ledger:
        (tombstone,) = [event for event in ledger.events() if event.kind == "erase"]
    assert tombstone.evidence.keys() == {"people", "segments"}


def test_a_stream_is_not_called_a_recording(folder: Path) -> None:
    header = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**header, "summary": {"live": True}}))
    assert erase_person(folder, 1)["left"] == []


def test_a_split_tracklet_keeps_the_part_of_the_other(folder: Path) -> None:
    erase_person(folder, 1)
    run = Run.open(folder)
    (tracklet,) = [tracklet for tracklet in run.tracklets() if tracklet.key == ("left", 2)]
    (summary,) = [summary for summary in run.tracklet_summaries() if summary.key == ("left", 2)]
    assert tracklet.end_time < 1.0
    assert (summary.start_time, summary.end_time, summary.rows) == (
        tracklet.start_time,
        tracklet.end_time,
        len(tracklet.times),
    )
    assert tracklet.crops == ("crops/left/2_5.jpg",)
    assert tracklet.vectors.shape == (1, 8)


def test_a_kill_in_between_is_completed_by_erasing_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((Manifest, "write"), (Manifest, "delete_removed"), (erase_module, "delete_unlisted"),
                        (erase_module, "_delete_rendered")):  # fmt: skip

        def die(*arguments: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, die)
            with pytest.raises(KeyboardInterrupt):
                erase_person(folder, 1)
        assert Run.open(folder).tracklets()  # readable
    erase_person(folder, 1)
    assert 1 not in rows_by_person(Run.open(folder))
    assert NO_ID in rows_by_person(Run.open(folder))
    assert len(Run.open(folder).manifest.files) == sum(1 for _ in folder.glob("*/*/*.parquet"))


def test_two_people_one_after_the_other(folder: Path) -> None:
    erase_person(folder, 1)
    erase_person(folder, 2)
    assert set(rows_by_person(Run.open(folder))) == {NO_ID}


def test_refusals(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no person 99"):
        erase_person(folder, 99)
    with pytest.raises(InputError, match="not a run folder"):
        erase_person(tmp_path / "nothing", 1)
    erase_person(folder, 1)
    with pytest.raises(InputError, match="no person 1"):
        erase_person(folder, 1)
    monkeypatch.setattr(run_lock, "CHANGE_WAIT_S", 0.1)
    with lock_run(folder, "linking this run"), pytest.raises(RunError, match=r"another process is linking this run"):
        erase_person(folder, 2)
    with lock_copying(folder, "drawing videos"), pytest.raises(RunError, match=r"another process is drawing videos"):
        erase_person(folder, 2)


def test_a_gallery_that_moved_is_named_and_can_be_given_later(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run()
    header = json.loads((folder / "run.json").read_text())
    header["settings"]["gallery"]["folder"] = str(tmp_path)
    (folder / "run.json").write_text(json.dumps(header))
    looks = [("left", np.eye(8, dtype=np.float32)[0])]
    write_people(tmp_path, KnownPeople("abc", 4, {}))
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 2, "human")
        ledger.assign("left", 2, 3, "human")
        ledger.merge(3, 2, "human")
    people = {person: KnownPerson("", 1e9, looks) for person in (1, 2, 3)}
    moved = tmp_path / "moved"
    moved.mkdir()
    write_people(moved, KnownPeople("abc", 4, people, (str(folder), "runs/monday")))
    (tmp_path / PEOPLE_FILE).unlink()
    report = erase_person(folder, 2)
    assert report["gallery"] is None
    assert f"not at {tmp_path}" in report["left"][1]
    with pytest.raises(InputError, match="no folder of known people"):
        erase_person(folder, 2, gallery=tmp_path)
    assert erase_person(folder, 2, gallery=moved)["gallery"] == str(moved)
    assert sorted(read_people(moved).people) == [1]
    with pytest.raises(InputError, match="no person 2"):
        erase_person(folder, 2, gallery=moved)
    with pytest.raises(InputError, match="without --gallery"):
        erase_person(make_run("other"), 2, gallery=moved)


def test_the_gallery_forgets_all_numbers_of_a_person_and_names_the_other_runs(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "CHANGE_WAIT_S", 0.1)
    folder = make_run()
    header = json.loads((folder / "run.json").read_text())
    header["settings"]["gallery"]["folder"] = "gallery"  # relative to where the run was started
    (folder / "run.json").write_text(json.dumps(header))
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    looks = [("left", np.eye(8, dtype=np.float32)[0])]
    people = {person: KnownPerson("", 1e9, looks) for person in (1, 2, 3)}
    write_people(gallery, KnownPeople("abc", 4, people, (str(folder), "runs/monday")))
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 2, "human")
        ledger.assign("left", 2, 3, "human")
        ledger.merge(3, 2, "human")
    with lock_run(gallery), pytest.raises(RunError, match="another process"):
        erase_person(folder, 2)
    assert Run.open(folder).identities().people() == [2]  # nothing is half done
    report = erase_person(folder, 2)
    assert report["gallery"] == str(gallery)
    assert sorted(read_people(gallery).people) == [1]
    assert "runs/monday. Erase" in report["left"][-1]
