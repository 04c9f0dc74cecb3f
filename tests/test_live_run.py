"""A run of live cameras on a bad day: cameras that come late, stand still, go away, and a program that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.config import load_settings
from app.errors import InputError
from app.pipeline.job import Job
from app.pipeline.local import follow
from app.pipeline.stages import track
from app.runs.folder.camera_states import blind_times, read_states
from app.runs.folder.progress import Progress
from app.runs.folder.run import Run
from app.system.free_space import FreeSpace

LIMIT_S = 240.0  # for a busy machine; a quiet one takes seconds


class PostDetector:
    """Finds somebody in every picture, at the same place."""

    name = "post"
    weights_sha256 = ""

    def detect(self, frames: Sequence[Any]) -> list[Any]:
        from app.frames import Detections

        box = np.array([[20, 20, 50, 100]], np.float32)
        return [Detections(box, np.full(1, 0.9, np.float32)) for _ in frames]


def noisy(path: str, number: int) -> NDArray[np.uint8]:
    """A picture of a size of its own for each camera, which never stands still."""
    size = (120, 160, 3) if path == "/door" else (90, 120, 3)
    return np.random.default_rng([number, len(path)]).integers(90, 130, size, dtype=np.uint8)


@pytest.fixture
def cameras(camera_server: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("app.detect.build_detector", lambda *_: PostDetector())
    monkeypatch.setattr("app.footage.live._REFUSED_WAIT_S", 0.3)
    server = camera_server.CameraServer(noisy, pictures=10**6, period_s=0.05)
    yield server
    server.close()


def job_of(cameras: Any, *assignments: str, names: Sequence[str] = ("door", "yard"), **more: Any) -> Job:
    settings = load_settings(
        assignments=[
            "reid.weights=none",
            "link.enabled=false",
            "run.flush_s=0.5",
            "sources.stream_timeout_s=2",
            *assignments,
        ]
    )
    return Job(tuple(f"http://{cameras.address}/{name}" for name in names), tuple(names), settings, **more)


class Story:
    """What happens to the cameras while a run goes on: each step waits for what it names, then does something.

    Used as the run's `report`, so steps happen between two ticks. After the last one the program gets Ctrl-C.
    """

    def __init__(self, *steps: tuple[Callable[[Progress], bool], Callable[[], object]]) -> None:
        self._steps = list(steps)
        self._end = time.monotonic() + LIMIT_S
        self._thread: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        if self._steps and self._steps[0][0](progress):
            self._steps.pop(0)[1]()
            if not self._steps:
                os.kill(os.getpid(), signal.SIGINT)
        elif time.monotonic() > self._end:
            os.kill(os.getpid(), signal.SIGINT)

    @property
    def is_told(self) -> bool:
        return not self._steps


def states(**wanted: str) -> Callable[[Progress], bool]:
    return lambda progress: all(progress.states.get(name) == state for name, state in wanted.items())


def nothing() -> None:
    pass


def test_cameras_come_late_are_refused_go_and_come_back(cameras: Any, tmp_path: Path) -> None:
    """The yard is down at first and later refuses; at the end both are away, and Ctrl-C ends the run nevertheless."""
    cameras.modes["/yard"] = "down"

    def becomes(door: str, yard: str) -> Callable[[], None]:
        return lambda: cameras.modes.update({"/door": door, "/yard": yard})

    story = Story(
        (states(door="live", yard="connecting"), becomes("live", "unauthorized")),
        (states(door="live", yard="refused"), becomes("live", "live")),
        (states(door="live", yard="live"), becomes("down", "live")),
        (states(door="lost", yard="live"), becomes("live", "live")),
        (states(door="live", yard="live"), becomes("down", "silent")),
        (states(door="lost", yard="lost"), nothing),
    )
    folder = tmp_path / "run"
    job = job_of(cameras, "run.save_video=true", preview=True)
    outcome = follow(job, folder, story)
    assert story.is_told
    assert outcome.states == {"door": "lost", "yard": "lost"}
    run = Run.open(folder)
    assert [(camera.width, camera.height) for camera in run.cameras] == [(160, 120), (120, 90)]
    for name in ("door", "yard"):
        frames, times = run.frames(name)
        assert len(frames) > 0
        assert (np.diff(times) > 0).all()
        with av.open(str(folder / "video" / f"{name}.mp4")) as video:
            stream = video.streams.video[0]
            assert (stream.width, stream.height) == (run.camera(name).width, run.camera(name).height)
    assert (folder / "video" / "wall.mp4").is_file()
    seen = [(change.camera, change.state) for change in read_states(folder) if change.camera == "yard"]
    assert [state for _, state in seen if state != "connecting"] == ["refused", "live", "lost", "stopped"]
    [refused] = [change for change in read_states(folder) if change.state == "refused"]
    assert "does not accept user and password" in refused.why
    blind = blind_times(folder)
    assert "lost" in {one.state for one in blind if one.camera == "yard"}  # how long it was connecting is chance
    assert all(one.end_s is not None and one.end_s >= one.start_s for one in blind)
    for one in blind:  # nobody is said to have been anywhere where the camera was blind
        times = run.observations(one.camera).times
        assert not ((times > one.start_s + 0.01) & (times < (one.end_s or 0.0) - 0.01)).any()
    assert {one["state"] for one in run.header["camera_states"].values()} == {"lost"}


def test_a_frozen_picture_shows_nobody(cameras: Any, tmp_path: Path) -> None:
    froze_at: list[float] = []

    def freeze() -> None:
        froze_at.append(time.time())
        cameras.modes["/door"] = "frozen"

    story = Story(
        (lambda progress: progress.frames > 10, freeze),
        (states(door="frozen"), lambda: cameras.modes.update({"/door": "live"})),
        (states(door="live"), nothing),
    )
    folder = tmp_path / "run"
    outcome = follow(job_of(cameras, "sources.frozen_after_s=3", names=["door"]), folder, story)
    assert story.is_told
    assert outcome.states == {"door": "live"}
    [blind] = blind_times(folder)
    assert blind.state == "frozen"
    assert blind.end_s is not None
    assert blind.end_s - blind.start_s >= 3.0
    times = Run.open(folder).observations("door").times
    assert not ((times > blind.start_s + 1.5) & (times < blind.end_s)).any()


def test_a_killed_run_goes_on_and_says_that_it_was_blind(cameras: Any, tmp_path: Path) -> None:
    """What a kill leaves is the folder as it is between two ticks; one camera is down when the run goes on."""
    folder, killed = tmp_path / "run", tmp_path / "killed"
    flushed: list[int] = []

    def kill() -> None:
        flushed.append(len(Run.open(folder).frames("door")[0]))
        shutil.copytree(folder, killed)

    def is_flushed(progress: Progress) -> bool:
        return states(door="live", yard="live")(progress) and len(Run.open(folder).frames("door")[0]) > 10

    follow(job_of(cameras), folder, Story((is_flushed, kill)))
    assert flushed[0] > 10
    assert Run.open(killed).state == "interrupted"
    before = {name: Run.open(killed).frames(name) for name in ("door", "yard")}
    cameras.modes["/yard"] = "down"
    time.sleep(1.1)

    def is_longer(progress: Progress) -> bool:
        return all(len(Run.open(killed).frames(name)[0]) > len(frames) for name, (frames, _) in before.items())

    story = Story(
        (states(door="live", yard="connecting"), lambda: cameras.modes.update({"/yard": "live"})),
        (states(door="live", yard="live"), nothing),
        (is_longer, nothing),
    )
    follow(job_of(cameras, resume=True), killed, story)
    assert story.is_told
    run = Run.open(killed)
    for name, (frames, times) in before.items():
        after, after_times = run.frames(name)
        assert after[: len(frames)].tolist() == frames.tolist(), "no row is lost"
        assert len(after) == len(set(after.tolist())) > len(frames), "nor doubled"
        [stopped] = [one for one in blind_times(killed) if one.camera == name and one.state == "stopped"]
        assert stopped.start_s == pytest.approx(times[-1])
        assert not ((after_times > stopped.start_s) & (after_times < (stopped.end_s or 0.0))).any()
    assert not list(killed.glob("**/*.tmp"))


def test_a_camera_that_is_given_up_is_a_failure(
    cameras: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras.modes["/yard"] = "down"
    asked: list[float] = []

    def report(progress: Progress) -> None:
        if progress.frames > 5 and not asked:
            asked.append(time.monotonic())
            cameras.modes["/door"] = "down"

    job = job_of(cameras, "sources.reconnect_s=1", "run.save_video=true", "render.blur=true")
    from app.pipeline import stages as jobs

    jobs_engine = jobs.ENGINES["local"]
    jobs.ENGINES["local"] = lambda job, folder, _: jobs_engine(job, folder, report)
    try:
        summary = track(job, tmp_path / "run")
    finally:
        jobs.ENGINES["local"] = jobs_engine
    assert summary["exit_status"] == 1
    assert summary["cameras"]["door"]["state"] == "lost"
    assert summary["cameras"]["yard"]["state"] == "connecting"
    assert "not back within 1 s" in summary["cameras"]["door"]["problem"]
    assert summary["cameras"]["yard"]["blind_s"] > 1.0
    assert summary["blurred"]["door"]["frames"] == summary["cameras"]["door"]["frames"]
    assert summary["blurred"] == json.loads((tmp_path / "run" / "video" / "blurred.json").read_bytes())
    json.dumps(summary, allow_nan=False)


def test_none_of_several_cameras_there_is_a_mistake_in_the_addresses(cameras: Any, tmp_path: Path) -> None:
    cameras.modes.update({"/door": "down", "/yard": "unauthorized"})
    with pytest.raises(InputError, match=r"(?s)2 problems.*door.*yard: the camera does not accept"):
        follow(job_of(cameras), tmp_path / "run", lambda progress: None)


def test_a_full_disk_takes_pictures_then_video_and_never_rows(
    cameras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10**12]
    monkeypatch.setattr("app.system.free_space.free_bytes", lambda folder: free[0])
    monkeypatch.setattr("app.system.free_space._LOOK_S", 0.0)
    notes: list[str] = []

    def left(room: int) -> Callable[[], None]:
        return lambda: free.__setitem__(0, room)

    def noted(text: str) -> Callable[[Progress], bool]:
        return lambda progress: text in progress.note and not notes.append(progress.note)

    folder = tmp_path / "run"
    story = Story(
        (lambda progress: progress.frames > 5, left(600_000_000)),
        (noted("no pictures of people, rows"), left(400_000_000)),
        (noted("and no video"), left(10**12)),
        (lambda progress: not progress.note, nothing),
    )
    follow(job_of(cameras, "run.save_video=true", names=["door"]), folder, story)
    assert story.is_told
    assert Run.open(folder).header["left_out"] == {"crops": 0, "now": ""}
    with av.open(str(folder / "video" / "door.mp4")) as video:
        drawn = sum(1 for _ in video.decode(video=0))
    assert 0 < drawn < len(Run.open(folder).frames("door")[0]), "rows go on without a video"
    assert FreeSpace(folder, 1.0).look() is False
