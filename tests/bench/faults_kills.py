"""Kills whole processes at random moments and checks that nothing is lost and nothing comes back.

    python -m tests.bench.faults_kills [--points 200] [--seed 0]      (or as a file; prints a table)

On a small made scene with two cameras, one of `track`, `link`, the drawing of `track`, `erase` and `purge` runs in a
process of its own, which SIGKILL ends after a random share of the time that it takes undisturbed. Then the same command
is given again (`track --resume RUN` where there is a run) and runs to its end. Faults are counted:

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
import signal
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

from app.cli import main
from app.config import RetentionSettings
from app.frames import NO_ID
from app.retention import terms
from app.runs import Run

OPERATIONS = ("track", "link", "draw", "erase", "purge")
FAULTS = ("unreadable", "lost", "doubled", "back", "left")
CAMERAS = ("cam1", "cam2")
PURGE = ["--set", "retention.crops_days=0.000001", "--set", "retention.video_days=0.000001"]
_PRELOADED = ["app.job", "app.linking", "app.render", "app.contact_sheet", "app.erase", "app.retention", "app.preview",
              "app.detect", "app.pipeline", "app.cluster", "app.resuming", "app.reid.embedder"]  # fmt: skip


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


def work(words: Sequence[str]) -> None:
    """What the process does that is killed."""
    import app.reid.embedder

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    app.reid.embedder.build_embedder = lambda *_: Colours()
    sys.exit(main(list(words)))


class Killer:
    """Runs commands in processes, and ends some of them."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def run(self, words: Sequence[str], after_s: float | None = None) -> tuple[int, float]:
        """Run a command, for at most `after_s` seconds; return its exit status (negative: killed) and its time."""
        process = self._context.Process(target=work, args=(list(words),))
        start = time.perf_counter()
        process.start()
        process.join(after_s)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        return process.exitcode or 0, time.perf_counter() - start


class Bench:
    """A scene, finished runs on it, and the checks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.killer = folder, Killer()
        scene = folder / "scene"
        small = ["simulate.width_px=160", "simulate.height_px=96", "simulate.fps=10", "simulate.mean_away_s=1"]
        words = ["simulate", "--output", str(scene), "--people", "6", "--seconds", "5", "--seed", "3"]
        assert self.killer.run([*words, *(word for name in small for word in ("--set", name))])[0] == 0
        sources = [str(scene / f"{camera}.mp4") for camera in CAMERAS]
        options = ["--detector", "file:det/det.txt", "--reid", "colours", "--device", "cpu", "--set", "run.part_s=1"]
        self.track = ["track", "--sources", *sources, *options, "--save-video", "--json"]
        self.killer.run(["settings"])  # the first process waits for the imports
        self.whole = folder / "whole"
        status, self.track_s = self.killer.run([*self.track, "--output", str(self.whole)])
        assert status == 0
        run = Run.open(self.whole)
        self.person = max(run.identities().people(), key=lambda who: len(run.identities().tracklets_of(who)))
        self.seconds = {"track": self.track_s}
        for operation in OPERATIONS[1:]:
            self.seconds[operation] = self.killer.run(self._words(operation, self._begin(operation, "timed")))[1]
            shutil.rmtree(folder / "timed")

    def point(self, operation: str, number: int, share: float) -> tuple[str, list[str]]:
        """Kill one process after a share of its time, do the work again, and return its state then and the faults."""
        run = self._begin(operation, f"point{number}")
        status, _ = self.killer.run(self._words(operation, run), share * self.seconds[operation])
        kept = committed(run) if operation == "track" else set()
        state = "not begun" if not (run / "run.json").exists() else Run.open(run).state
        words = self._words(operation, run)
        if operation == "track" and state == "finished":
            words = ["settings"]
        elif operation == "track" and state != "not begun":
            words = ["track", "--resume", str(run), "--json"]
        again, _ = self.killer.run(words)
        done_before = operation == "erase" and again == 2 and self.person not in Run.open(run).identities().people()
        faults = [] if again == 0 or done_before or (operation == "draw" and status == 0) else ["unreadable"]
        if not faults:
            faults = self._faults(operation, run, kept)
        shutil.rmtree(run)
        return (state if status < 0 else "ended"), faults

    def _begin(self, operation: str, name: str) -> Path:
        run = self.folder / name
        if operation != "track":
            shutil.copytree(self.whole, run)
        if operation == "draw":
            text = (run / "run.json").read_text().replace('"state": "finished"', '"state": "linked"')
            (run / "run.json").write_text(text)
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
        named = {folder / file.path for file in run.manifest.files}
        if {path for path in folder.glob("[ofrtu]*/*/*") if path.is_file()} - named:
            faults.append("left")
        return sorted(set(faults))


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


def videos(folder: Path) -> list[Path]:
    return sorted((folder / "video").glob("*.mp4"))


def bench(
    points: int, seed: int, folder: Path, say: Callable[[str], None] = lambda text: None
) -> dict[str, Counter[str]]:
    """Return for each operation how many points were tried, in which state the kill left the run, and the faults."""
    scene = Bench(folder)
    rng = random.Random(seed)
    table: dict[str, Counter[str]] = {operation: Counter() for operation in OPERATIONS}
    for number in range(points):
        operation = OPERATIONS[number % len(OPERATIONS)]
        share = rng.random()
        state, faults = scene.point(operation, number, share)
        table[operation].update(["points", f"left {state}", *faults])
        if faults:
            say(f"point {number}: {operation} killed after {share:.3f} of its time, run left {state}: {faults}")
    return table


def command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = bench(options.points, options.seed, Path(folder), print)
    print(f"{'operation':10}{'points':>8}" + "".join(f"{fault:>12}" for fault in FAULTS) + "   the kill left the run")
    for operation, counts in table.items():
        states = ", ".join(f"{name[5:]} {n}" for name, n in sorted(counts.items()) if name.startswith("left "))
        print(
            f"{operation:10}{counts['points']:8}" + "".join(f"{counts[fault]:12}" for fault in FAULTS) + f"   {states}"
        )


if __name__ == "__main__":
    command_line()
