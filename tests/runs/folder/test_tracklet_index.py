"""The index of tracklets says what the parts say, and is not believed once the parts have changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from app.runs.folder.layout import INDEX_FILE
from app.runs.folder.run import Run
from app.runs.folder.tracklet_index import TrackletSummary
from app.runs.privacy.erase import erase_person

MakeRun = Callable[..., Path]


def plain(summaries: list[TrackletSummary]) -> list[Any]:
    return [(s.key, s.start_time, s.end_time, s.rows, s.crops, s.qualities.tolist()) for s in summaries]


def test_a_finished_run_has_an_index_without_vectors_that_says_what_the_parts_say(make_run: MakeRun) -> None:
    folder = make_run(part_frames=3)  # tracklets are open in several parts
    run = Run.open(folder)
    assert "vectors" not in pq.ParquetFile(folder / INDEX_FILE).schema_arrow.names
    indexed = run.tracklet_summaries(vectors=False)
    assert plain(indexed) == plain(run.tracklet_summaries(vectors=True))
    assert len(indexed) == 6
    (folder / INDEX_FILE).unlink()
    assert plain(run.tracklet_summaries(vectors=False)) == plain(indexed)
    assert plain(run.index_tracklets()) == plain(Run.open(folder).tracklet_summaries(vectors=False))
    assert (folder / INDEX_FILE).is_file()


def test_an_index_of_other_parts_is_not_read(make_run: MakeRun) -> None:
    folder = make_run(part_frames=5)
    manifest = Run.open(folder).manifest
    fewer = tuple(file for file in manifest.files if not (file.kind == "tracklets" and file.camera == "left"))
    replace(manifest, files=fewer).write(folder)
    assert {summary.camera for summary in Run.open(folder).tracklet_summaries(vectors=False)} == {"right"}
    (folder / INDEX_FILE).write_bytes(b"no Parquet")
    manifest.write(folder)
    assert len(Run.open(folder).tracklet_summaries(vectors=False)) == 6


def test_what_is_erased_is_not_in_the_index(make_run: MakeRun) -> None:
    folder = make_run()
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
    erase_person(folder, 1)
    table = pq.ParquetFile(folder / INDEX_FILE).read().to_pylist()
    assert len(table) == 5
    assert "left/1_" not in json.dumps(table, default=str)


def test_stretches_are_the_tracklets_part_by_part(make_run: MakeRun) -> None:
    run = Run.open(make_run(part_frames=3))
    for camera in run.cameras:
        whole = {summary.key: summary for summary in run.tracklet_summaries() if summary.camera == camera.name}
        parts: dict[tuple[str, int], list[TrackletSummary]] = {}
        for stretch in run.tracklet_stretches(camera.name):
            parts.setdefault(stretch.key, []).append(stretch)
        assert parts.keys() == whole.keys()
        for key, summary in whole.items():
            assert sum(len(part.crops) for part in parts[key]) == len(summary.crops)
            joined = np.concatenate([part.vectors for part in parts[key]])
            assert np.allclose(np.sort(joined, axis=0), np.sort(summary.vectors, axis=0))
