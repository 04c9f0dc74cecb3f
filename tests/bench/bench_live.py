"""What linking while cameras run is worth: recordings with truth, played at their own speed as if they were live.

    python tests/bench/bench_live.py --data campus_people/*.mp4 --truth campus_people --work /tmp/live [--every-s 0 10]

Pictures come when a camera would send them; everything else is the program: detections from `det/det.txt` beside each
recording, the bundled ReID network, `link.every_s` as given (0: the gallery alone). Nothing is linked at the end.
Printed is IDF1 over all cameras of what was on the screen at each moment (people are known after some seconds at the
earliest), and of what the ledger says of the whole recording when it ends.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import load_settings
from app.footage.ticks import ticks
from app.frames import NO_ID, Frame, FrameResult
from app.pipeline import job as job_module
from app.pipeline import local as engines
from app.pipeline.job import Job
from app.runs.evaluate.scores import evaluate, evaluate_run
from app.runs.evaluate.trajectories import Trajectories, load_truth


class Screen:
    """Keeps who was shown where."""

    def __init__(self) -> None:
        self.shown: dict[str, list[tuple[int, int, int, np.ndarray]]] = {}

    def write(self, result: FrameResult) -> None:
        rows = self.shown.setdefault(result.frame.camera, [])
        for row in np.flatnonzero(result.track_ids != NO_ID).tolist():
            ids = int(result.person_ids[row]), int(result.track_ids[row])
            rows.append((result.frame.index + 1, *ids, result.detections.boxes[row]))

    def trajectories(self) -> dict[str, Trajectories]:
        result = {}
        for camera, rows in self.shown.items():
            frames, ids, tracks = (np.array([row[column] for row in rows], np.int64) for column in range(3))
            result[camera] = Trajectories.of_result(frames, ids, np.stack([row[3] for row in rows]), tracks)
        return result


def play(job: Job, folder: Path) -> Screen:
    """Follow the recordings of a job as if they were live, and return what was shown."""
    screen = Screen()
    build, open_job = engines._build_pipeline, job_module.open_job

    def live_sources(job: Job) -> list[Any]:
        sources = open_job(job)
        for source in sources:
            source.info = replace(source.info, live=True)
        return sources

    def paced_ticks(sources: Any, *rest: Any) -> Iterator[list[Frame]]:
        for source in sources:
            source.info = replace(source.info, live=False)  # no picture may be dropped: truth counts them all
        start = None
        for tick in ticks(sources, *rest):
            start = time.monotonic() - tick[0].time if start is None else start
            time.sleep(max(0.0, start + tick[0].time - time.monotonic()))
            yield tick

    def watched(*parts: Any) -> Any:
        pipeline = build(*parts)
        pipeline.sinks = [*pipeline.sinks, screen]
        return pipeline

    with (
        mock.patch.object(engines, "open_job", live_sources),
        mock.patch.object(engines, "ticks", paced_ticks),
        mock.patch.object(engines, "_build_pipeline", watched),
    ):
        engines.follow(job, folder, lambda progress: None)
    return screen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--every-s", type=float, nargs="+", default=[0.0, 10.0])
    options = parser.parse_args()
    truth = load_truth(options.truth, [video.stem for video in options.data])
    for every_s in options.every_s:
        folder = options.work / f"every_{every_s:g}"
        shutil.rmtree(folder, ignore_errors=True)
        assignments = ["detect.weights=file:det/det.txt", f"link.every_s={every_s}"]
        settings = load_settings(None, assignments)
        screen = play(Job(tuple(map(str, options.data)), (), settings), folder)
        shown = evaluate(truth, screen.trajectories())["across"]
        known = evaluate_run(folder, options.truth)["across"]
        scores = {"shown_IDF1": shown["IDF1"], "ledger_IDF1": known["IDF1"], "ids": known["ids"]}
        print(json.dumps({"every_s": every_s, **scores, "people": known["people"]}), flush=True)


if __name__ == "__main__":
    main()
