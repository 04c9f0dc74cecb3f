"""What happens to a run when two things are done to it at once: nothing comes back, nothing is lost, no traceback.

Each operation is stopped where it has read and not yet written, the other one is let go, and then the first goes on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.config import LinkSettings, RetentionSettings, load_settings
from app.errors import OmniTrackError, RunError
from app.frames import NO_ID
from app.pipeline.live_linking import LiveLinking
from app.runs.folder import locks as run_lock
from app.runs.folder import writer as run_writer
from app.runs.folder.layout import LEDGER_FILE, PART_KINDS
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.ledger.ledger import GALLERY, LINKER, Ledger
from app.runs.people import corrections, linking
from app.runs.people.linking import link_run
from app.runs.privacy import erase
from app.runs.privacy import purge as retention

SETTINGS = load_settings()
PROVENANCE = {"weights": {"detector": "00ff"}}
LONG_AFTER_S = 4e9
ERASED = 1
STOPS: dict[str, tuple[Any, str]] = {
    "link": (linking, "decide"),
    "erase": (erase, "_cover"),
    "purge": (retention, "_files"),
    "correct": (corrections, "_person"),
    "resume": (run_writer, "camera_records"),
}
"""Where each operation has read and not yet written: at the end of this function."""


@pytest.fixture
def folder(tmp_path: Path, small_run: ModuleType) -> Path:
    """A run that was cancelled in its middle: person 1 is track 1 on both cameras, person 2 is track 2."""
    folder = tmp_path / "run"
    infos = small_run.sources()
    with RunWriter.create(folder, SETTINGS, infos, PROVENANCE) as writer:
        half = [replace(info, frame_count=(info.frame_count or 0) // 2) for info in infos]
        small_run.write_rest(writer, half, 5)
        writer.finish("cancelled", {})
    with Run.open(folder).ledger() as ledger:
        for camera in ("left", "right"):
            for track in (1, 2):
                ledger.assign(camera, track, track, GALLERY)
        ledger.name(1, "Zebediah", "anna")
    return folder


def do(operation: str, folder: Path, small_run: ModuleType) -> None:
    if operation == "link":
        link_run(folder, LinkSettings())
    elif operation == "erase":
        erase.erase_person(folder, ERASED)
    elif operation == "purge":
        retention.purge(folder, RetentionSettings(crops_days=1.0), now_s=LONG_AFTER_S)
    elif operation == "correct":
        run = Run.open(folder)
        with run.ledger() as ledger:
            corrections.name(ledger, 2, "Ann", "bob")
            corrections.merge(run, ledger, 2, 1, "bob", anyway=True)
    else:
        with RunWriter.resume(folder, SETTINGS, small_run.sources(), PROVENANCE) as writer:
            small_run.write_rest(writer, small_run.sources(), 5)
            writer.finish("followed", {})


class Attempt:
    """An operation in a thread of its own, and how it ended."""

    def __init__(self, operation: str, folder: Path, small_run: ModuleType) -> None:
        self.operation, self.error = operation, None
        self.thread = threading.Thread(target=self._run, args=(operation, folder, small_run), daemon=True)

    def _run(self, *parts: Any) -> None:
        self.error: BaseException | None
        try:
            do(*parts)
        except BaseException as error:
            self.error = error

    @property
    def done(self) -> bool:
        return self.error is None


@pytest.mark.parametrize("second", STOPS)
@pytest.mark.parametrize("first", STOPS)
def test_two_at_once(
    first: str, second: str, folder: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(folder)
    monkeypatch.setattr(run_lock, "CHANGE_WAIT_S", 20.0)
    one, other = Attempt(first, folder, small_run), Attempt(second, folder, small_run)
    owner, name = STOPS[first]
    original = getattr(owner, name)
    stopped = threading.Event()

    def read_and_stop(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        if threading.current_thread() is one.thread and not stopped.is_set():
            stopped.set()
            other.thread.start()
            other.thread.join(0.3)  # it ends, or waits for the first one
        return found

    monkeypatch.setattr(owner, name, read_and_stop)
    one.thread.start()
    one.thread.join(60)
    assert stopped.is_set()
    other.thread.join(60)
    assert not one.thread.is_alive()
    assert not other.thread.is_alive()
    attempts = [one, other]
    for attempt in attempts:
        assert attempt.done or isinstance(attempt.error, OmniTrackError), repr(attempt.error)
        assert "\n" not in str(attempt.error or "")
    assert one.done or other.done
    succeeded = [attempt.operation for attempt in attempts if attempt.done]
    check(folder, before, succeeded)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}


def check(folder: Path, before: set[str], done: list[str]) -> None:
    run = Run.open(folder)
    listed = {folder / file.path for file in run.manifest.files}
    there = {path for kind in PART_KINDS for path in folder.glob(f"{kind}/*/*")}
    assert listed == there
    with run.ledger() as ledger:
        identities = ledger.replay()
        erased = {segment.key for segment in ledger.erased()}
    assert ("erase" in done) == bool(erased)
    if "erase" in done:
        assert erased >= {("left", 1), ("right", 1)}
        assert identities.resolve(ERASED) == NO_ID
        for path in (path for path in there if path.parent.parent.name not in ("frames", "untracked")):
            tracks = set(pq.read_table(path)["track_id"].to_pylist())
            assert not {(path.parent.name, track) for track in tracks} & erased, path
        for camera, track in erased:
            assert not list((folder / "crops" / camera).glob(f"{track}_*"))
        everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert b"Zebediah" not in everything
    elif "correct" in done:
        assert identities.resolve(2) == 1
    if "purge" in done:
        assert "crops" in run.purged
        left = files_of(folder)
        assert not left & before or "resume" in done  # who resumed writes pictures of open tracks anew
        assert not list((folder / retention_waiting()).glob("*"))
    frames = run.frames("left")[0].tolist()
    assert frames == list(range(20 if "resume" in done else 10))
    others = run.column("left", "track_id")
    if ("left", 2) not in erased:
        assert int((others == 2).sum()) == 7  # of the first half; a resumed run counts its tracks on
    assert len(np.unique(others)) >= 1
    json.loads((folder / "run.json").read_text())


def retention_waiting() -> str:
    return ".purged/crops"


def test_the_second_of_two_linkings_is_told_who_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "CHANGE_WAIT_S", 0.05)
    told: list[str] = []
    original = linking.decide

    def decide(*arguments: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(linking, "decide", original)
            with pytest.raises(RunError) as refused:
                link_run(folder, LinkSettings())
        told.append(str(refused.value))
        return original(*arguments)

    monkeypatch.setattr(linking, "decide", decide)
    link_run(folder, LinkSettings())
    assert "another process is linking this run" in told[0]
    assert "wait for it" in told[0]


def test_linking_is_silent_about_whom_a_human_erased_meanwhile(folder: Path) -> None:
    """Linking beside live cameras holds no lock: what it found out about erased tracklets is dropped when written."""
    with Run.open(folder).ledger() as ledger, LiveLinking(folder, LinkSettings(every_s=0.01)) as live:
        while not live.wants_commit:
            threading.Event().wait(0.01)
        live.after_commit(ledger)
        while not live.wants_commit:
            threading.Event().wait(0.01)
        erase.erase_person(folder, ERASED)
        live.after_commit(ledger)
        said = [event for event in ledger.events() if event.actor == LINKER]
        assert said
        assert not {(event.camera, event.track_id) for event in said} & {("left", 1), ("right", 1)}
        assert ledger.replay().latest_person("left", 1) == NO_ID


@pytest.fixture
def followed(tmp_path: Path, small_run: ModuleType) -> Iterator[tuple[RunWriter, Path]]:
    """A run that is being written, with its first 10 frames; person 1 is track 1 on the left."""
    folder = tmp_path / "run"
    infos = small_run.sources(("left",))
    with RunWriter.create(folder, SETTINGS, infos, PROVENANCE) as writer:
        half = [replace(info, frame_count=10) for info in infos]
        small_run.write_rest(writer, half, 5)
        with Ledger(folder / LEDGER_FILE) as ledger:
            ledger.assign("left", 1, 1, GALLERY)
        yield writer, folder


def test_a_person_is_erased_while_cameras_are_followed(followed: tuple[RunWriter, Path], small_run: ModuleType) -> None:
    writer, folder = followed
    infos = small_run.sources(("left",))
    taken = [small_run.result(infos[0], index) for index in range(10, 15)]  # track 1 is seen in them
    for result in taken:
        writer.write(result)
    assert erase.erase_person(folder, 1)["rows"] == 8
    with Ledger(folder / LEDGER_FILE) as ledger:
        writer.forget(ledger.erased())
    writer.commit([small_run.draft("left", taken, track) for track in (2, 3)])
    run = Run.open(folder)
    assert run.frames("left")[0].tolist() == list(range(15))
    assert set(run.column("left", "track_id").tolist()) == {2, 3}
    assert not list((folder / "crops" / "left").glob("1_*"))
    writer.finish("followed", {})
    link_run(folder, LinkSettings())
    assert 1 not in Run.open(folder).column("left", "track_id", refined=True)


def test_a_commit_waits_for_an_erasure(
    followed: tuple[RunWriter, Path], small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, folder = followed
    info = small_run.sources(("left",))[0]
    writer.write(small_run.result(info, 10))
    commit = threading.Thread(target=writer.commit, daemon=True)
    original = erase._cover

    def cover(*arguments: Any) -> int:
        commit.start()
        commit.join(0.2)
        assert commit.is_alive()
        return original(*arguments)

    monkeypatch.setattr(erase, "_cover", cover)
    erase.erase_person(folder, 1)
    commit.join(20)
    assert Run.open(folder).frames("left")[0].tolist() == list(range(11))


def test_recordings_that_are_followed_are_not_purged_but_live_cameras_are_by_age(
    followed: tuple[RunWriter, Path], make_run: Callable[..., Path]
) -> None:
    writer, folder = followed
    with pytest.raises(OmniTrackError, match="still being written"):
        retention.purge(folder, RetentionSettings(crops_days=1.0), now_s=LONG_AFTER_S)
    header = json.loads((folder / "run.json").read_text())
    header["cameras"][0]["live"] = True
    header["times"]["created"] = "1970-01-01T00:00:00+00:00"
    (folder / "run.json").write_text(json.dumps(header))
    day_s = 86_400.0
    settings = RetentionSettings(vectors_days=1.0, observations_days=2.0)
    first_part_s = Run.open(folder).manifest.files[0].end_s  # times of the small run begin at 0, as if in 1970
    report = retention.purge(folder, settings, now_s=2 * day_s + first_part_s + 0.05)
    assert {one["kind"] for one in report["purged"]} == {"vectors", "observations"}
    run = Run.open(folder)
    assert run.state == "running"
    assert run.purged == {}
    assert run.observations("left").frames.min() == 5  # the first part is gone, the second is not
    assert all(summary.vectors.size == 0 for summary in run.tracklet_summaries())
    assert len(run.frames("left")[0]) == 10
    writer.finish("followed", {})
    assert Run.open(folder).header["purged_before"].keys() == {"vectors", "observations"}
