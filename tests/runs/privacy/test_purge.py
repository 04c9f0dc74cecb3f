"""What is too old goes, what is not stays, and the run can still be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import RetentionSettings
from app.errors import InputError
from app.runs.folder.audit_log import entries
from app.runs.folder.run import Run
from app.runs.folder.written import note_written
from app.runs.people.known import KnownPeople, KnownPerson, read_people, write_people
from app.runs.people.linking import run_calibration
from app.runs.people.visits import people_of
from app.runs.privacy.purge import gallery_text, purge

DAY_S = 86_400.0


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    folder = make_run()
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "machine:linker")
        ledger.name(1, "Zebediah", "anna")
    note_written(folder, ["video/left.mp4"])
    (folder / "video").mkdir()
    (folder / "video" / "left.mp4").write_bytes(b"x" * 1000)
    return folder


def days_after_the_end(folder: Path, days: float) -> float:
    ended = datetime.fromisoformat(Run.open(folder).header["times"]["finished"])
    return ended.timestamp() + days * DAY_S


def kinds(report: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in report["purged"]]


def test_nothing_goes_by_default_or_early(folder: Path) -> None:
    later = days_after_the_end(folder, 10_000)
    assert kinds(purge(folder, RetentionSettings(), now_s=later)) == []
    report = purge(folder, RetentionSettings(crops_days=30.0), now_s=days_after_the_end(folder, 29.9))
    assert report["purged"] == []
    assert [one["kind"] for one in report["next"]] == ["crops"]
    assert entries(folder) == []


def test_each_kind_goes_in_its_time(folder: Path) -> None:
    settings = RetentionSettings(video_days=7.0, crops_days=14.0, vectors_days=30.0)
    count = len(Run.open(folder).tracklets())
    dry = purge(folder, settings, dry_run=True, now_s=days_after_the_end(folder, 8))
    assert dry["purged"] == [{"kind": "video", "files": 1, "bytes": 1000}]
    assert (folder / "video" / "left.mp4").exists()
    assert purge(folder, settings, now_s=days_after_the_end(folder, 8))["purged"] == dry["purged"]
    assert not (folder / "video").exists()
    assert list((folder / "crops").rglob("*.jpg"))

    assert kinds(purge(folder, settings, now_s=days_after_the_end(folder, 15))) == ["crops"]
    assert not list(folder.rglob("*.jpg"))
    run = Run.open(folder)
    assert [visit.crops for visit in people_of(run, run.identities())[1].visits] == [()]
    assert kinds(purge(folder, settings, now_s=days_after_the_end(folder, 31))) == ["vectors"]
    run = Run.open(folder)
    assert all(summary.vectors.shape[1] == 0 for summary in run.tracklet_summaries())
    assert run_calibration(run) is None
    assert len(run.tracklets()) == count
    assert len(run.observations("left")) > 0
    assert [entry.what for entry in entries(folder)] == ["vectors", "crops", "video"]
    assert kinds(purge(folder, settings, now_s=days_after_the_end(folder, 32))) == []


def test_after_the_observations_nothing_is_left_of_anybody(folder: Path) -> None:
    settings = RetentionSettings(observations_days=1.0)
    assert kinds(purge(folder, settings, now_s=days_after_the_end(folder, 2))) == [
        "video", "crops", "vectors", "observations",
    ]  # fmt: skip
    run = Run.open(folder)
    assert run.tracklet_summaries() == []
    assert len(run.observations("left")) == 0
    assert len(run.frames("left")[0]) == 20
    assert run.identities().people() == []
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".jpg", ".mp4") or b"Zebediah" in path.read_bytes()]
    assert {path.parent.parent.name for path in left if path.suffix == ".parquet"} == {"frames"}


def test_a_run_that_goes_on_is_not_purged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "state", "running")
    with pytest.raises(InputError, match="still being written"):
        purge(folder, RetentionSettings(video_days=1.0))


def test_known_people_have_a_term_of_their_own(folder: Path, tmp_path: Path) -> None:
    header = json.loads((folder / "run.json").read_text())
    header["settings"]["gallery"]["folder"] = str(tmp_path / "gallery")
    (folder / "run.json").write_text(json.dumps(header))
    nothing = RetentionSettings()
    report = purge(folder, nothing, now_s=100 * DAY_S, keep_people_days=30.0)
    assert "is not at" in gallery_text(report)
    (tmp_path / "gallery").mkdir()
    looks = [("left", np.eye(8, dtype=np.float32)[0])]
    people = {1: KnownPerson("Ann", 60 * DAY_S, looks), 2: KnownPerson("", 90 * DAY_S, looks)}
    write_people(tmp_path / "gallery", KnownPeople("abc", 3, people))
    assert purge(folder, nothing, now_s=100 * DAY_S)["gallery"] is None
    dry = purge(folder, nothing, dry_run=True, now_s=100 * DAY_S, keep_people_days=30.0)
    assert dry["gallery"]["people"] == 1
    assert sorted(read_people(tmp_path / "gallery").people) == [1, 2]
    assert purge(folder, nothing, now_s=100 * DAY_S, keep_people_days=30.0)["gallery"] == dry["gallery"]
    assert sorted(read_people(tmp_path / "gallery").people) == [2]
    assert [entry.what for entry in entries(folder)] == ["1 known people"]
