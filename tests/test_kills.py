"""Kills at every step of a deletion and of a linking, and a few of the many that `bench/faults_kills.py` makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config import LinkSettings, RetentionSettings
from app.errors import RunError
from app.runs.folder import parts as run_parts
from app.runs.folder.run import Run
from app.runs.folder.written import note_written
from app.runs.people.linking import link_run
from app.runs.privacy.purge import purge, terms
from app.system import files
from tests.bench.faults_kills import bench
from tests.killed_steps import killed_after

LONG_AFTER_S = 4e9
ALL_DUE = RetentionSettings(video_days=1.0, crops_days=1.0, vectors_days=1.0)


ON_DISK = (
    (files, "sync"),
    (run_parts, "sync"),
    (run_parts.pq, "write_table"),
    (os, "fsync"),
    (Path, "replace"),
    (Path, "write_bytes"),
    (Path, "unlink"),
    (Path, "rmdir"),
)


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    folder = make_run(part_frames=10)
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "machine:linker")
    note_written(folder, ["video/left.mp4"])
    (folder / "video").mkdir()
    (folder / "video" / "left.mp4").write_bytes(b"x")
    return folder


def at_every_step(folder: Path, work: Callable[[Path], Any], check: Callable[[Path], None], stride: int = 1) -> int:
    """Do `work` on a copy, killed at each step on the disk in turn, and `check` what is left; return how many steps."""
    number, survived = 0, False
    while not survived:
        copy = folder.with_name(f"copy{number}")
        shutil.copytree(folder, copy)
        with killed_after(number, ON_DISK) as process:
            work(copy)
        survived = process.survived
        check(copy)
        shutil.rmtree(copy)
        number += stride
    return number


def test_a_purge_that_is_killed_reports_nothing_as_deleted_that_is_there(folder: Path) -> None:
    def work(copy: Path) -> None:
        purge(copy, ALL_DUE, now_s=LONG_AFTER_S)

    def check(copy: Path) -> None:
        run = Run.open(copy)
        crops, videos = list(copy.rglob("*.jpg")), list(copy.rglob("*.mp4"))
        for term in terms(run, ALL_DUE):
            there = {"crops": crops, "video": videos}.get(term.kind, [])
            assert not there or term.due_s is not None, f"{term.kind}: on the disk, and not due"
        work(copy)
        assert not list(copy.rglob("*.jpg")) + list(copy.rglob("*.mp4"))
        run = Run.open(copy)
        assert run.purged.keys() == {"video", "crops", "vectors"}
        assert not any(summary.vectors.size for summary in run.tracklet_summaries())
        assert len(run.observations("left")) == len(Run.open(folder).observations("left"))
        assert not list((copy / ".purged").rglob("*.jpg"))
        assert {copy / file.path for file in run.manifest.files} == set(copy.glob("[oftu]*/*/*.parquet"))

    assert at_every_step(folder, work, check, stride=3) > 40


def test_what_cannot_be_deleted_is_an_error_and_stays_due(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RetentionSettings(crops_days=1.0)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".jpg":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(RunError, match=r"jpg: cannot be deleted \(Permission denied\)"):
            purge(folder, settings, now_s=LONG_AFTER_S)
    assert list((folder / ".purged").rglob("*.jpg"))
    assert [term.kind for term in terms(Run.open(folder), settings) if term.due_s] == ["crops"]
    purge(folder, settings, now_s=LONG_AFTER_S)
    assert not list(folder.rglob("*.jpg"))
    assert not [term for term in terms(Run.open(folder), settings) if term.due_s]


def test_a_linking_that_is_killed_is_not_taken_for_done(folder: Path) -> None:
    link_run(folder, LinkSettings())
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 2, 9, "anna")  # so that there is something to change
        expected = None

    def work(copy: Path) -> None:
        link_run(copy, LinkSettings())

    def check(copy: Path) -> None:
        nonlocal expected
        run = Run.open(copy)
        assert run.state in ("followed", "finished")
        work(copy)
        run = Run.open(copy)
        listed = {copy / file.path for file in run.manifest.files}
        assert listed == set(copy.glob("[ofrtu]*/*/*.parquet"))
        found = run.identities().people(), run.refined("left").boxes.tobytes()
        expected = expected or found
        assert found == expected

    assert at_every_step(folder, work, check, stride=4) > 12


def test_processes_that_are_killed_lose_nothing_and_bring_nothing_back(tmp_path: Path) -> None:
    said: list[str] = []
    table = bench(2, 0, tmp_path, said.append, ("track", "live"))
    assert {operation: counts["points"] for operation, counts in table.items()} == {"track": 1, "live": 1}
    assert len(said) == 1, said
    assert "from SIGTERM to the end" in said[0]
