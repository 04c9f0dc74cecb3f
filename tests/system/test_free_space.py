"""A disk that fills up: pictures go first, then video, and both come back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runs.folder.run import Run
from app.system.free_space import FreeSpace

GB = 10**9


class Disk:
    """A disk that says what a test wants, and a clock that a test moves."""

    def __init__(self) -> None:
        self.free = 100 * GB
        self.now_s = 0.0

    def __call__(self, folder: Path) -> int:
        self.now_s += 10.0
        return self.free


def watch(disk: Disk, keep_free_gb: float = 2.0) -> FreeSpace:
    def later() -> float:
        disk.now_s += 10.0
        return disk.now_s

    return FreeSpace(Path(), keep_free_gb, disk, later)


def test_pictures_go_first_then_video_and_both_come_back(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    space = watch(disk)
    seen = []
    with caplog.at_level(logging.WARNING, logger="app"):
        for free in (3.0, 1.9, 2.1, 0.9, 1.1, 1.3, 2.3, 2.5):
            disk.free = int(free * GB)
            space.look()
            seen.append((free, space.crops, space.video))
    assert seen == [
        (3.0, True, True),
        (1.9, False, True),
        (2.1, False, True),  # not to and fro at the limit
        (0.9, False, False),
        (1.1, False, False),
        (1.3, False, True),
        (2.3, False, True),
        (2.5, True, True),
    ]
    assert "only 1.9 GB are free: no pictures of people, rows go on" in caplog.text
    assert "no pictures of people and no video" in caplog.text
    assert caplog.messages[-1].endswith("everything is written")
    assert space.note == ""


def test_nothing_is_left_out_without_a_limit() -> None:
    disk = Disk()
    disk.free = 0
    space = watch(disk, 0.0)
    assert not space.look()
    assert space.crops
    assert space.video


def test_a_disk_that_cannot_be_asked_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(folder: Path) -> int:
        raise OSError("gone")

    space = FreeSpace(Path(), 1.0, broken)
    with caplog.at_level(logging.WARNING, logger="app"):
        assert not space.look()
    assert "cannot tell" in caplog.text


def test_rows_are_written_without_pictures_and_pictures_come_back(
    tmp_path: Path, make_run: Callable[..., Path], small_run: object
) -> None:
    from app.config import Settings
    from app.runs.folder.writer import RunWriter

    infos = small_run.sources(["left"])  # type: ignore[attr-defined]
    results = [small_run.result(infos[0], index) for index in range(20)]  # type: ignore[attr-defined]
    folder = tmp_path / "full"
    with RunWriter.create(folder, Settings(), infos, {}) as writer:
        for result in results:
            writer.write(result)
        early = [small_run.draft("left", results[:12], track) for track in (1, 2)]  # type: ignore[attr-defined]
        writer.crops.keep = False
        writer.flush(early)
        assert not list((folder / "crops").rglob("*.jpg"))
        assert len(writer.crops.left_out) == 4
        assert len(Run.open(folder).frames("left")[0]) == 20, "rows go on"
        assert [summary.vectors.shape for summary in Run.open(folder).tracklet_summaries()] == [(2, 8), (2, 8)]
        writer.crops.keep = True
        writer.flush(early)
        assert len(list((folder / "crops").rglob("*.jpg"))) == 4, "those that are still wanted"
        assert not writer.crops.left_out
