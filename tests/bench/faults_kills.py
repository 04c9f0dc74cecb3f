"""Kills whole processes at random moments and checks that nothing is lost and nothing comes back.

    python -m tests.bench.faults_kills [--points 200] [--seed 0]      (prints a table)

On a small made scene with two cameras, one of `track`, `link`, the drawing of `track`, `erase` and `purge` runs in a
process of its own, which SIGKILL ends after a random share of the time that it takes undisturbed; one that ends before
is tried again. Then the same command is given again (`track --resume RUN` where there is a run) and runs to its end.
`live` follows two network cameras on the loopback, linking every second; every other time somebody is erased just
before the kill. It is resumed, sees more, and is ended by SIGTERM. Faults are counted:

    unreadable   the run could not be read after the kill, or the command failed when it was given again
    lost         rows that had been committed, or anything of what a run without a kill has
    doubled      a row or a frame that is there twice
    back         anything of an erased person or of purged pictures on the disk, or reported as purged and not due
    left         files of the run that nothing names any more

The networks are replaced by a few lines: what is tried is what is written, not who is recognised.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.cli.parser import main
from app.config import RetentionSettings
from app.frames import NO_ID, Detections
from app.runs.folder.header import read_header, write_header
from app.runs.folder.layout import RUN_FILE
from app.runs.folder.run import Run
from app.runs.folder.state import FOLLOWED
from app.runs.ledger.identities import Segment
from app.runs.privacy.purge import terms
from tests.camera_server import CameraServer

OPERATIONS = ("track", "link", "draw", "erase", "purge", "live")
FAULTS = ("unreadable", "lost", "doubled", "back", "left")
CAMERAS = ("cam1", "cam2")
PURGE = ["--set", "retention.crops_days=0.000001", "--set", "retention.video_days=0.000001"]
LIVE_S = 5.0
"""A run of live cameras has no end: so long after its start it is killed at the latest."""
_LIMIT_S = 120.0
_TRIES = 3
_CLOTHES = ((230, 30, 30), (30, 230, 30), (30, 30, 230))
_PRELOADED = [
    "app.pipeline.stages",
    "app.runs.people.linking",
    "app.runs.render.videos",
    "app.runs.people.contact_sheet",
    "app.runs.privacy.erase",
    "app.runs.privacy.purge",
    "app.runs.render.preview",
    "app.detect",
    "app.pipeline.step",
    "app.pipeline.on_ray",
    "app.pipeline.resuming",
    "app.reid.embedder",
]


class Colours:
    """An embedder without a network: somebody looks like the mean colour of the box."""

    name = "colours"
    weights_sha256 = "c0"
    dimension = 4

    def __init__(self) -> None:
        from app.reid.calibrate import Calibration

        ends = np.array([0.0, 1.0], np.float32), np.array([0.99, 0.01], np.float32)
        self.calibration = Calibration(np.zeros(4, np.float32), *ends)

    def embed(self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        looks = []
        for image, rows in zip(images, boxes, strict=True):
            own = np.zeros((len(rows), 4), np.float32)
            for row, (x1, y1, x2, y2) in enumerate(np.clip(rows, 0, None).astype(int).tolist()):
                part = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
                own[row, :3] = part.mean(axis=(0, 1)) if part.size else 1
            own[:, 3] = 1
            looks.append(own / np.linalg.norm(own, axis=1, keepdims=True))
        return looks


def street(path: str, number: int) -> NDArray[np.uint8]:
    """What the live cameras show: noise, and people who walk by one after another, each in one colour."""
    image = np.random.default_rng([number, len(path)]).integers(90, 130, (96, 160, 3), dtype=np.uint8)
    for person, colour in enumerate(_CLOTHES):
        x = (4 * number + 90 * person + 30 * len(path)) % 270
        image[30:80, max(0, x - 20) : x] = colour
    return image


class Finder:
    """A detector without a network: somebody is what has one of the colours."""

    name = "finder"
    weights_sha256 = ""

    def detect(self, frames: Sequence[Any]) -> list[Detections]:
        found = []
        for frame in frames:
            boxes = []
            for colour in _CLOTHES:
                rows, columns = np.nonzero((np.abs(frame.image - np.array(colour)) < 70).all(axis=2))
                if len(rows) > 200:
                    boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            found.append(Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.9, np.float32)))
        return found


def work(words: Sequence[str]) -> None:
    """What the process does that is killed."""
    import app.detect
    import app.reid.embedder

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    build_detector = app.detect.build_detector
    app.detect.build_detector = lambda settings, infos: Finder() if infos[0].live else build_detector(settings, infos)
    app.reid.embedder.build_embedder = lambda *_: Colours()
    sys.exit(main(list(words)))


class Killer:
    """Runs commands in processes, and ends some of them."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def start(self, words: Sequence[str]) -> Any:
        """Return the process that runs a command."""
        process = self._context.Process(target=work, args=(list(words),))
        process.start()
        return process

    def run(self, words: Sequence[str], after_s: float | None = None) -> tuple[int, float]:
        """Run a command, for at most `after_s` seconds; return its exit status (negative: killed) and its time."""
        start = time.perf_counter()
        process = self.start(words)
        process.join(after_s)
        return kill(process), time.perf_counter() - start


def kill(process: Any) -> int:
    """Kill a process unless it has ended; return its exit status."""
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode or 0


class Bench:
    """A scene, finished runs on it, and the checks."""

    def __init__(self, folder: Path, operations: Sequence[str] = OPERATIONS) -> None:
        self.folder, self.killer = folder, Killer()
        self._pace = 1.0  # how much longer things take by now: the machine is not always equally busy
        self.stop_s = 0.0
        """The longest time from SIGTERM to the end of a run of live cameras, seconds."""
        options = ["--reid", "colours", "--device", "cpu", "--json", "--set", "run.part_s=1", "--names", *CAMERAS]
        self.killer.run(["settings"])  # the first process waits for the imports
        self.seconds = {"live": LIVE_S}
        if "live" in operations:
            self._server = CameraServer(street, pictures=10**9, period_s=0.06)
            urls = [f"http://{self._server.address}/{camera}" for camera in CAMERAS]
            often = ["--set", "run.flush_s=0.5", "--set", "link.every_s=1", "--set", "sources.stream_timeout_s=3"]
            self.live = ["track", "--sources", *urls, *options, *often]
        if {*operations} == {"live"}:
            return
        scene = folder / "scene"
        small = ["simulate.width_px=160", "simulate.height_px=96", "simulate.fps=10", "simulate.mean_away_s=1"]
        words = ["simulate", "--output", str(scene), "--people", "6", "--seconds", "5", "--seed", "3"]
        assert self.killer.run([*words, *(word for name in small for word in ("--set", name))])[0] == 0
        sources = [str(scene / f"{camera}.mp4") for camera in CAMERAS]
        drawn = ["--save-video", "--set", "run.video_height_px=144"]
        self.track = ["track", "--sources", *sources, "--detector", "file:det/det.txt", *options, *drawn]
        self.whole = folder / "whole"
        status, self.seconds["track"] = self.killer.run([*self.track, "--output", str(self.whole)])
        assert status == 0
        run = Run.open(self.whole)
        self.person = max(run.identities().people(), key=lambda who: len(run.identities().tracklets_of(who)))
        for operation in sorted({*operations} - {"track", "live"}):
            self.seconds[operation] = self.killer.run(self._words(operation, self._begin(operation, "timed")))[1]
            shutil.rmtree(folder / "timed")

    def close(self) -> None:
        if hasattr(self, "_server"):
            self._server.close()

    def point(self, operation: str, number: int, share: float) -> tuple[str, list[str]]:
        """Kill one process after a share of its time, do the work again, and return its state then and the faults."""
        if operation == "live":
            return self._live_point(number, share)
        run = self._begin(operation, f"point{number}")
        status, _ = self.killer.run(self._words(operation, run), share * self.seconds[operation] * self._pace)
        kept = committed(run) if operation == "track" else set()
        state = "not begun" if not (run / "run.json").exists() else Run.open(run).state
        words = self._words(operation, run)
        if operation in ("track", "draw") and state == "finished":
            words = ["settings"]
        elif operation == "track" and state != "not begun":
            words = ["track", "--resume", str(run), "--json"]
        again, took_s = self.killer.run(words)
        if words == self._words(operation, run):
            self._pace += 0.3 * (took_s / self.seconds[operation] - self._pace)
        done_before = operation == "erase" and again == 2 and self.person not in Run.open(run).identities().people()
        faults = [] if again == 0 or done_before or (operation == "draw" and status == 0) else ["unreadable"]
        if not faults:
            faults = self._faults(operation, run, kept)
        shutil.rmtree(run)
        return (state if status < 0 else "ended"), faults

    def _live_point(self, number: int, share: float) -> tuple[str, list[str]]:
        run, faults = self.folder / f"point{number}", []
        words = [*self.live, "--output", str(run)]
        process = self.killer.start(words)
        process.join(share * LIVE_S)
        erasing = None
        if number // len(OPERATIONS) % 2 and (run / "identities.sqlite").is_file() and committed(run):
            people = Run.open(run).identities().people()
            erasing = self.killer.start(["erase", str(run), str(min(people)), "--json"]) if people else None
            process.join(share)
        status = kill(process)
        if erasing is not None:
            erasing.join()
            if erasing.exitcode:
                faults.append("unreadable")
        begun = (run / "run.json").exists()
        state = Run.open(run).state if begun else "not begun"
        kept = committed(run)
        process = self.killer.start(["track", "--resume", str(run), "--json"] if begun else words)
        latest = {camera: max((row[2] for row in kept if row[0] == camera), default=-1) for camera in CAMERAS}
        end = time.monotonic() + _LIMIT_S
        while process.is_alive() and time.monotonic() < end and not sees_more(run, latest):
            time.sleep(0.2)
        asked = time.monotonic()
        process.terminate()
        process.join(_LIMIT_S)
        self.stop_s = max(self.stop_s, time.monotonic() - asked)
        ended = kill(process)
        if ended and (run / "run.json").exists() and Run.open(run).state in FOLLOWED:  # linking took too long to wait
            ended, _ = self.killer.run(["track", "--resume", str(run), "--json"])
        if ended or not sees_more(run, latest):
            return state, [*faults, "unreadable"]
        faults += self._live_faults(run, kept)
        shutil.rmtree(run)
        return (state if status < 0 else "ended"), sorted(set(faults))

    def _live_faults(self, folder: Path, kept: set[tuple[Any, ...]]) -> list[str]:
        faults = []
        run = Run.open(folder)
        rows = [row for camera in CAMERAS for row in rows_of(run, camera)]
        frames = [run.frames(camera)[0] for camera in CAMERAS]
        if len(rows) != len(set(rows)) or any((np.diff(own) <= 0).any() for own in frames):
            faults.append("doubled")
        if not kept <= set(rows) or run.state != "finished":
            faults.append("lost")
        with run.ledger() as ledger:
            erased = ledger.erased()
        if any(holds(folder, segment) for segment in erased):
            faults.append("back")
        return [*faults, *left_files(run)]

    def _begin(self, operation: str, name: str) -> Path:
        run = self.folder / name
        if operation != "track":
            shutil.copytree(self.whole, run)
        if operation == "draw":
            write_header(run, {**read_header(run / RUN_FILE), "state": "linked"})
            shutil.rmtree(run / "video")
        return run

    def _words(self, operation: str, run: Path) -> list[str]:
        return {
            "track": [*self.track, "--output", str(run)],
            "link": ["link", str(run), "--json"],
            "draw": ["track", "--resume", str(run), "--json"],
            "erase": ["erase", str(run), str(self.person), "--json"],
            "purge": ["purge", str(run), "--json", *PURGE],
        }[operation]

    def _faults(self, operation: str, folder: Path, kept: set[tuple[Any, ...]]) -> list[str]:
        faults = []
        run, whole = Run.open(folder), Run.open(self.whole)
        rows = [row for camera in CAMERAS for row in rows_of(run, camera)]
        if len(rows) != len(set(rows)):
            faults.append("doubled")
        for camera in CAMERAS:
            if run.frames(camera)[0].tolist() != whole.frames(camera)[0].tolist():
                faults.append("lost")
        wanted = {row for camera in CAMERAS for row in rows_of(whole, camera)}
        if operation == "track":
            lost = not kept <= set(rows) or run.state != "finished" or not videos(folder)
        elif operation == "erase":
            own = {s.key for s in whole.identities().tracklets_of(self.person)}
            lost = {row for row in wanted if row[:2] not in own} != set(rows)
            on_disk = {key for path in folder.glob("[ort]*/*/*.parquet") for key in keys_of(path)}
            shown = [p for s in own for p in (folder / "crops" / s[0]).glob(f"{s[1]}_*")]
            if on_disk & own or shown or videos(folder) or run.identities().resolve(self.person) != NO_ID:
                faults.append("back")
        else:
            lost = wanted != set(rows) or (operation == "draw" and (run.state != "finished" or not videos(folder)))
            lost = lost or run.identities().people() != whole.identities().people()
        if lost:
            faults.append("lost")
        if operation == "purge":
            due = terms(run, RetentionSettings(crops_days=1e-6, video_days=1e-6))
            if [*folder.rglob("*.jpg"), *folder.rglob("*.mp4")] or any(term.due_s for term in due):
                faults.append("back")
        return sorted({*faults, *left_files(run)})


def rows_of(run: Run, camera: str) -> list[tuple[Any, ...]]:
    rows = run.observations(camera)
    tracks = rows.track_ids.tolist()
    return list(zip([camera] * len(rows), tracks, rows.frames.tolist(), rows.boxes[:, 0].tolist(), strict=True))


def committed(folder: Path) -> set[tuple[Any, ...]]:
    if not (folder / "run.json").exists():
        return set()
    return {row for camera in CAMERAS for row in rows_of(Run.open(folder), camera)}


def keys_of(path: Path) -> set[tuple[str, int]]:
    return {(path.parent.name, track) for track in pq.read_table(path)["track_id"].to_pylist()}


def holds(folder: Path, erased: Segment) -> bool:
    """Whether there are rows or pictures of what was erased."""
    for path in folder.glob(f"[ort]*/{erased.camera}/*.parquet"):
        rows = pq.read_table(path)
        own = np.array(rows["track_id"]) == erased.track_id
        if "time_s" in rows.column_names:
            times = np.array(rows["time_s"])
            own &= (times >= erased.start_s) & (times < erased.end_s)
        elif not np.isinf([erased.start_s, erased.end_s]).all():
            continue
        if own.any():
            return True
    whole = np.isinf([erased.start_s, erased.end_s]).all()
    return bool(whole and list((folder / "crops" / erased.camera).glob(f"{erased.track_id}_*")))


def left_files(run: Run) -> list[str]:
    named = {run.folder / file.path for file in run.manifest.files}
    return ["left"] if {path for path in run.folder.glob("[ofrtu]*/*/*") if path.is_file()} - named else []


def sees_more(folder: Path, latest: dict[str, int]) -> bool:
    """Whether the run holds frames of every camera that are later than these."""
    if not (folder / "run.json").exists():
        return False
    run = Run.open(folder)
    return all(max(run.frames(camera)[0], default=-1) > number + 5 for camera, number in latest.items())


def videos(folder: Path) -> list[Path]:
    return sorted((folder / "video").glob("*.mp4"))


def bench(
    points: int,
    seed: int,
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
    operations: Sequence[str] = OPERATIONS,
    first: int = 0,
) -> dict[str, Counter[str]]:
    """Return for each operation how many points were tried, in which state the kill left the run, and the faults.

    first: the number of the first point; a point is the same whichever are tried before it.
    """
    scene = Bench(folder, operations)
    table: dict[str, Counter[str]] = {operation: Counter() for operation in operations}
    for number in range(first, first + points):
        rng = random.Random(f"{seed} {number}")
        operation = operations[number % len(operations)]
        for _ in range(_TRIES):
            share = rng.random()
            state, faults = scene.point(operation, number, share)
            if faults:
                say(f"point {number}: {operation} killed after {share:.3f} of its time, run left {state}: {faults}")
            if faults or state != "ended":
                break
        table[operation].update(["points", f"left {state}", *faults])
        if number % 20 == 19:
            say(f"after point {number}: {sum(table.values(), Counter())}")
    scene.close()
    if "live" in operations:
        say(f"live: at most {scene.stop_s:.2f} s from SIGTERM to the end of the process")
    return table


def command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first point, to share them out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = bench(options.points, options.seed, Path(folder), print, first=options.first)
    print(f"{'operation':10}{'points':>8}" + "".join(f"{fault:>12}" for fault in FAULTS) + "   the kill left the run")
    for operation, counts in table.items():
        states = ", ".join(f"{name[5:]} {n}" for name, n in sorted(counts.items()) if name.startswith("left "))
        print(
            f"{operation:10}{counts['points']:8}" + "".join(f"{counts[fault]:12}" for fault in FAULTS) + f"   {states}"
        )


if __name__ == "__main__":
    command_line()
