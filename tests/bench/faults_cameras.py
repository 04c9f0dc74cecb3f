"""Live cameras on a bad day: four that are well beside one that flaps, one that freezes and one that comes late.

    python tests/bench/faults_cameras.py [--minutes 10] [--work DIR]

Seven network cameras on the loopback, 5 pictures a second each, are followed by the program with a stand-in for the
detector, so that what is measured is the handling of cameras. Faults come by a fixed plan: `flapping` is off for
20 s of every minute, `freezing` repeats one picture (with a clock written into it) for 25 s of every minute, `late`
is not there for the first 20 s and then refuses the password for 20 s. At the end all cameras hang up and the program
gets Ctrl-C. Printed as JSON:

    lost        pictures of the four that were sent and never arrived; dropped: that arrived, nobody had time for them
    return_s    how long after its return each absence ended, the longest one for each camera
    blind       faults of the plan that the run's table shows from and to the second (3 s to notice), and others in it
    memory_mb   after a quarter of the time and at the end
    stop_s      from Ctrl-C, with all cameras down, to the end of the run
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import load_settings
from app.footage.live import arrival_time
from app.frames import Detections
from app.pipeline.job import Job
from app.pipeline.local import follow
from app.runs.folder.camera_states import BlindTime, blind_times
from app.runs.folder.progress import Progress
from app.runs.folder.run import Run

WELL = ("well_1", "well_2", "well_3", "well_4")
CAMERAS = (*WELL, "flapping", "freezing", "late")
PERIOD_S = 0.2
NOTICE_S = 3.0
"""A fault may be shown so much before or after it began, an end so much before it."""
RETURN_S = {"flapping": 5.0, "freezing": 5.0, "late": 65.0}
"""So long after a fault its camera is back; whoever refuses a password is asked again after 30 s, then 60 s."""


class Detector:
    """Finds somebody in every picture, and notes its number. latest: of each camera, the latest number and index."""

    name = "stand-in"
    weights_sha256 = ""

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, int]] = {}

    def detect(self, frames: Sequence[Any]) -> list[Detections]:
        for frame in frames:
            self.latest[frame.camera] = number_of(frame.image), frame.index
        box = np.array([[20, 20, 50, 100]], np.float32)
        return [Detections(box, np.full(1, 0.9, np.float32)) for _ in frames]


_NOISE = np.random.default_rng(0).integers(90, 130, (64, 120, 160, 3), dtype=np.uint8)


_BITS = 20


def picture_of(path: str, number: int) -> NDArray[np.uint8]:
    image = _NOISE[number % len(_NOISE)].copy()
    for bit in range(_BITS):
        image[50:58, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
    if path == "/freezing":
        cv2.putText(image, time.strftime("%H:%M:%S"), (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    return sum(int(image[54, 8 * bit + 4, 1] > 127) << bit for bit in range(_BITS))


class Plan:
    """What happens when; `faults` are (camera, began, ended) in seconds since 1970."""

    def __init__(self, server: Any, seconds: float) -> None:
        self.faults: list[tuple[str, float, float]] = []
        self.memory_mb: list[float] = []
        self._server = server
        self._seconds = seconds
        self._began = arrival_time()
        self._open: dict[str, float] = {"late": self._began}
        self._stopped = False
        self.asked_at = 0.0
        """When Ctrl-C was pressed, by the monotonic clock."""

    def __call__(self, progress: Progress) -> None:
        """The `report` of the run."""
        second = arrival_time() - self._began
        if second < self._seconds:
            self._set("flapping", "down" if 10 <= second % 60 < 30 else "live")
            self._set("freezing", "frozen" if 15 <= second % 60 < 40 else "live")
            self._set("late", "down" if second < 20 else "unauthorized" if second < 40 else "live")
            if not self.memory_mb and second > self._seconds / 4:
                self.memory_mb.append(memory_mb())
        elif not self._stopped:
            for camera in list(self._open):
                self.faults.append((camera, self._open.pop(camera), arrival_time()))
            self._server.modes.update({f"/{camera}": "down" for camera in CAMERAS})
            self._stopped = True
        elif all(state != "live" for state in progress.states.values()) and not self.asked_at:
            self.memory_mb.append(memory_mb())
            self.asked_at = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)

    def _set(self, camera: str, mode: str) -> None:
        self._server.modes[f"/{camera}"] = mode
        if mode != "live":
            self._open.setdefault(camera, arrival_time())
        elif camera in self._open:
            self.faults.append((camera, self._open.pop(camera), arrival_time()))


def memory_mb() -> float:
    return round(psutil.Process().memory_info().rss / 1e6, 1)


def blind_of(table: Sequence[BlindTime], camera: str) -> list[tuple[float, float]]:
    """Return the blind times of a camera, those that follow each other as one."""
    joined: list[tuple[float, float]] = []
    for one in (one for one in table if one.camera == camera):
        end_s = one.end_s if one.end_s is not None else np.inf
        if joined and one.start_s <= joined[-1][1] + 0.5:
            joined[-1] = joined[-1][0], end_s
        else:
            joined.append((one.start_s, end_s))
    return joined


def judge(plan: Plan, detector: Detector, folder: Path) -> dict[str, Any]:
    """Compare what the run says with the plan."""
    table = blind_times(folder)
    run = Run.open(folder)
    right, missed, returns = 0, [], dict.fromkeys(RETURN_S, 0.0)
    found = {camera: blind_of(table, camera) for camera in CAMERAS}
    last_s = max(began for _, began, _ in plan.faults)
    for camera, began, ended in plan.faults:
        fits = [
            (start, end)
            for start, end in found[camera]
            if abs(start - began) <= NOTICE_S and ended - NOTICE_S <= end <= ended + RETURN_S[camera]
        ]
        cut_off = began == last_s and ended >= plan._began + plan._seconds
        if fits:
            right += 1
            found[camera].remove(fits[0])
            returns[camera] = max(returns[camera], fits[0][1] - ended)
        elif not cut_off:
            missed.append((camera, round(began - plan._began, 1), round(ended - plan._began, 1)))
    end_s = plan._began + plan._seconds - NOTICE_S
    begin_s = plan._began + NOTICE_S
    others = [
        (camera, round(start - plan._began, 1), round(end - plan._began, 1))
        for camera, own in found.items()
        for start, end in own
        if begin_s < start < end_s
    ]
    indices = {camera: run.frames(camera)[0] for camera in WELL}
    return {
        "lost": sum(number - index for number, index in (detector.latest[camera] for camera in WELL)),
        "dropped": sum(int(own[-1]) + 1 - len(own) for own in indices.values()),
        "followed": sum(len(own) for own in indices.values()),
        "return_s": {camera: round(longest, 1) for camera, longest in returns.items()},
        "blind": {"right": right, "missed": missed, "others": others},
        "memory_mb": plan.memory_mb,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    shutil.rmtree(work / "run", ignore_errors=True)
    server = camera_server().CameraServer(picture_of, pictures=10**9, period_s=PERIOD_S)
    server.modes["/late"] = "down"
    quick = ["reid.weights=none", "sources.frozen_after_s=10", "sources.stream_timeout_s=3", "link.every_s=0"]
    job = Job(
        tuple(f"http://{server.address}/{name}" for name in CAMERAS),
        CAMERAS,
        load_settings(assignments=[*quick, "link.enabled=false"]),
    )
    plan: Plan | None = None
    detector = Detector()

    def report(progress: Progress) -> None:
        nonlocal plan
        if plan is None:
            if sum(state == "live" for state in progress.states.values()) < len(CAMERAS) - 1:
                return
            plan = Plan(server, 60 * options.minutes)
        plan(progress)

    with mock.patch("app.detect.build_detector", return_value=detector):
        follow(job, work / "run", report)
    assert plan is not None
    stop_s = round(time.monotonic() - plan.asked_at, 2)
    circumstances = {"stop_s": stop_s, "load": os.getloadavg(), "minutes": options.minutes}
    print(json.dumps(judge(plan, detector, work / "run") | circumstances), flush=True)
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("decode ")]
    print(f"threads that still wait for a camera: {threads}", file=sys.stderr)


def camera_server() -> Any:
    """Import `tests/camera_server.py`."""
    file = Path(__file__).resolve().parents[1] / "camera_server.py"
    spec = importlib.util.spec_from_file_location("camera_server", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
