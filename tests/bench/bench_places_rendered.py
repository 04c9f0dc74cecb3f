"""What place and time add to linking where people are dressed alike: rendered scenes, from pixels to IDF1.

    python tests/bench/bench_places_rendered.py --work /tmp/alike [--seeds 1 2 3 4] [--people-per-outfit 4]

As at a site with staff, classes or teams, several people share an outfit, so that looks alone do not suffice. Each seed
is a scene of `main.py simulate`: cameras that see different places, clocks up to 3 s off. It is followed by
`main.py track` with the scene's made-up detections, so that no detector decides the result, and the bundled ReID
network, and linked without and with place and time. Prints the largest error of a clock with its uncertainty, and IDF1
over all cameras. Scenes and runs stay in the work folder and are used again.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import LinkSettings
from app.runs.evaluate.scores import evaluate_run
from app.runs.folder.topology_file import read_topology
from app.runs.people.linking import link_run

MAIN = str(Path(__file__).resolve().parents[2] / "main.py")


def prepare(folder: Path, seed: int, options: argparse.Namespace) -> tuple[Path, Path]:
    """Return (scene, run) of a seed, made if they are not there yet."""
    scene, run = folder / f"scene{seed}", folder / f"run{seed}"
    if not (scene / "scene.json").exists():
        values = ("fps=8", "clock_offset_s=3", f"people_per_outfit={options.people_per_outfit}")
        command = ["simulate", "--output", str(scene), "--cameras", "3", "--people", str(options.people)]
        command += ["--seconds", str(options.seconds), "--seed", str(seed)]
        call([*command, *(word for value in values for word in ("--set", f"simulate.{value}"))])
    if not (run / "topology.json").exists():
        cameras = str(scene / "cameras.yaml")
        call(["track", "--sources", cameras, "--detector", "file:det/det.txt", "--output", str(run)])
    return scene, run


def call(arguments: list[str]) -> None:
    subprocess.run([sys.executable, MAIN, *arguments], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--people-per-outfit", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=150.0)
    options = parser.parse_args()
    print("seed  tracklets  clock error ± s  no linking  IDF1 without  with  perfect")
    rows = []
    for seed in options.seeds:
        scene, run = prepare(options.work, seed, options)
        link_run(run, LinkSettings(place_and_time=False))
        without = evaluate_run(run, scene)
        report = link_run(run, LinkSettings())
        linked = evaluate_run(run, scene)
        topology = read_topology(run)
        assert topology is not None
        cameras = json.loads((scene / "scene.json").read_text())["cameras"]
        errors = {
            camera["name"]: topology.clocks[camera["name"]].offset_s - camera["clock_offset_s"] for camera in cameras
        }
        worst = max(errors, key=lambda name: abs(errors[name]))
        uncertainty_s = topology.clocks[worst].uncertainty_s
        text = f"{errors[worst]:+6.2f} ± {uncertainty_s:4.2f}" if math.isfinite(uncertainty_s) else "unknown".rjust(13)
        scores = [
            without["no_linking"]["IDF1"],
            without["across"]["IDF1"],
            linked["across"]["IDF1"],
            linked["perfect_linking"]["IDF1"],
        ]
        rows.append([abs(errors[worst]), *scores])
        start = f"{seed:4d} {report['tracklets']:10d}    {text}"
        print(f"{start} {scores[0]:11.1f} {scores[1]:13.1f} {scores[2]:5.1f} {scores[3]:8.1f}", flush=True)
    mean = np.mean(rows, axis=0)
    print(f"mean                  {mean[0]:6.2f} {mean[1]:18.1f} {mean[2]:13.1f} {mean[3]:5.1f} {mean[4]:8.1f}")


if __name__ == "__main__":
    main()
