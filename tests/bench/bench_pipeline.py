"""Speed and scores of the whole pipeline beside its closest peer, in turn, in one run.

    python tests/bench/bench_pipeline.py --peer-python peer/bin/python --data ../shared/data

Peer: Ultralytics' detector, then BoxMOT's BotSort with the same ReID weights (see `peer_botsort.py`). Both get the
same video, detector and ReID weights and run as processes of their own, A B A B; frames per second count the loop and
leave out start-up and, on our side, include every output but video. Machines differ and are noisy: read the ratio.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_json(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="interpreter of an environment with boxmot")
    parser.add_argument("--data", type=Path, required=True, help="folder with mot/PETS09-S2L1 and weights/")
    parser.add_argument("--detector", default="yolo26n.pt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=0, help="frames of the peer's run (0: all)")
    options = parser.parse_args()
    sequence = options.data.resolve() / "mot" / "PETS09-S2L1"
    detector = str(options.data.resolve() / "weights" / options.detector)
    reid = str(options.data.resolve() / "weights" / "osnet_x0_25_msmt17.pth")
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = folder / "truth"
        truth.mkdir()
        (truth / "vtest.txt").write_text((sequence / "gt" / "gt.txt").read_text())
        peer_reid = folder / "osnet_x0_25_msmt17.pt"  # BoxMOT refuses the same file when it is called .pth
        shutil.copyfile(reid, peer_reid)
        for turn in range(options.rounds):
            run = folder / f"run{turn}"
            ours = run_json(
                [sys.executable, "main.py", "track", "--json", "--sources", str(sequence / "vtest.avi"),
                 "--device", "cpu", "--detector", detector, "--reid", reid, "--output", str(run)]
            )  # fmt: skip
            peer = run_json(
                [options.peer_python, str(ROOT / "tests/bench/peer_botsort.py"), "--video", str(sequence / "vtest.avi"),
                 "--detector", detector, "--reid", str(peer_reid), "--output", str(folder / "vtest.txt"),
                 "--frames", str(options.frames)]
            )  # fmt: skip
            ratios.append(ours["frames_per_s"] / peer["frames_per_s"])
            speeds = f"ours {ours['frames_per_s']:.1f} frames/s, peer {peer['frames_per_s']:.1f} frames/s"
            print(f"round {turn + 1}: {speeds}, ratio {ratios[-1]:.2f}")
            print(f"  ours, seconds by stage: { {k: round(v, 1) for k, v in ours['seconds'].items()} }")
            print(f"  peer, seconds by stage: { {k: round(v, 1) for k, v in peer['seconds'].items()} }")
        scores = run_json([sys.executable, "main.py", "evaluate", "--json", str(run), "--truth", str(truth)])
        # Truth gives a person who comes back a new id, so the tracks are scored, as the peer is, and not the people.
        print("ours:", {k: round(v, 1) for k, v in scores["tracks"]["vtest"].items()})
        if not options.frames:
            from app.runs.evaluate.scores import evaluate, load_truth

            peer_scores = evaluate(load_truth(truth, ["vtest"]), load_truth(folder, ["vtest"]))
            print("peer:", {k: round(v, 1) for k, v in peer_scores["cameras"]["vtest"].items()})
    print(f"median ratio {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")


if __name__ == "__main__":
    main()
