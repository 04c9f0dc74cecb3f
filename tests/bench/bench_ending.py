"""How long from SIGTERM to the end of the process, whatever a run is doing then.

    python -m tests.bench.bench_ending --video FILE [--rounds 3]

`main.py track` runs as a user runs it, with the default networks. It follows a recording, or four network cameras on
the loopback, or all of them are down; or it links or draws a recording that was followed by given boxes. It is asked to
end at a random moment of that. For each state a line of JSON: seconds to the end, processor seconds that the process
took from the request to its end, and how the rounds ended (exit status, state of the run).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from app.runs.folder.camera_states import read_states
from app.runs.folder.run import Run
from tests.camera_server import CameraServer

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = ("a", "b", "c", "d")
STATES = ("recording", "cameras", "all cameras down", "linking", "drawing")
_LIMIT_S = 300.0


def street(path: str, number: int) -> NDArray[np.uint8]:
    return np.random.default_rng([number, ord(path[-1])]).integers(90, 130, (288, 384, 3), dtype=np.uint8)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _LIMIT_S
    while not what():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"it ended, or did not come so far: {process.args}")
        time.sleep(0.05)


def state_of(run: Path) -> str:
    return str(Run.open(run).header["state"]) if (run / "run.json").exists() else ""


def rows_in(run: Path) -> int:
    opened = Run.open(run) if (run / "run.json").exists() else None
    return 0 if opened is None else sum(len(opened.frames(camera.name)[0]) for camera in opened.cameras)


def ask_to_end(state: str, video: Path, run: Path, moment_s: float) -> tuple[float, float, str]:
    """Return wall and processor seconds from the request to the end, and how it ended."""
    server = CameraServer(street, pictures=10**9, period_s=0.2)
    urls = [f"http://{server.address}/{name}" for name in CAMERAS]
    live = state in ("cameras", "all cameras down")
    known = ["--detector", "file:gt/gt.txt", "--reid", "none", "--save-video"]
    words = ["--sources", *(urls if live else [str(video)]), "--output", str(run), "--json"]
    words += [] if live or state == "recording" else known
    process = subprocess.Popen([sys.executable, "main.py", *words], cwd=ROOT, stderr=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        if live:
            wait_for(lambda: rows_in(run) > 0, process)
        if state == "all cameras down":
            server.modes.update({f"/{name}": "down" for name in CAMERAS})
            wait_for(lambda: sum(c.state == "lost" for c in read_states(run)) >= len(CAMERAS), process)
        wanted = {"linking": "followed", "drawing": "linked"}.get(state, "running")
        wait_for(lambda: state_of(run) == wanted, process)
        time.sleep(moment_s)
        before = sum(psutil.Process(process.pid).cpu_times()[:2])
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - asked
        return took_s, used.ru_utime + used.ru_stime - before, f"{process.returncode} {state_of(run)}"
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True, help="with gt/gt.txt in the folder of its name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--states", nargs="+", default=STATES, choices=STATES)
    options = parser.parse_args()
    for state in options.states:
        ends: list[tuple[float, float, str]] = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.rounds):
                moment_s = random.Random(f"{state} {number}").uniform(0, 0.3 if state == "linking" else 2.0)
                ends.append(ask_to_end(state, options.video.resolve(), Path(folder) / f"run{number}", moment_s))
        answer: dict[str, Any] = {
            "state": state,
            "wall_s": [round(end[0], 2) for end in ends],
            "processor_s": [round(end[1], 2) for end in ends],
            "ended": Counter(end[2] for end in ends),
            "load": os.getloadavg()[0],
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
