"""The main job needs no network: with the weights that come with the program, no socket leaves this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2

from app.config import SimulateSettings
from app.simulate.files import write_scene

ROOT = Path(__file__).resolve().parents[1]

WATCH = """
import sys
seen = []
def watch(event, details):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        seen.append(f"{event} {details[1:]}")
    if event == "socket.__new__" and int(details[1]) in (2, 10):  # AF_INET, AF_INET6
        seen.append(f"{event} {details[1:]}")
sys.addaudithook(watch)
from app.cli.parser import main
status = main(sys.argv[1:])
assert not seen, seen
raise SystemExit(status)
"""


def test_the_main_job_with_auto_detector_opens_no_socket(tmp_path: Path) -> None:
    settings = SimulateSettings(cameras=2, people=4, seconds=2, fps=5, width_px=320, height_px=180, seed=8)
    write_scene(tmp_path / "scene", settings)
    sources = [str(tmp_path / "scene" / f"cam{number}.mp4") for number in (1, 2)]
    arguments = ["track", "--sources", *sources, "--output", str(tmp_path / "run"), "--device", "cpu"]
    arguments += ["--save-video", "--json"]
    environment = {**os.environ, "OMNITRACK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", WATCH, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["detector"].startswith("person_n_frames.safetensors")
    if summary["people"]:
        assert cv2.imread(summary["contact_sheet"]) is not None
