"""The run folder: what is written is read back, whatever happens in between."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.config import load_settings
from app.errors import InputError, RunError
from app.frames import NO_ID
from app.runs.folder import parts as run_parts
from app.runs.folder.layout import MANIFEST_FILE, PART_KINDS, crop_frame
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.system.checksum import file_sha256
from tests.killed_steps import killed_after

SETTINGS = load_settings()
PROVENANCE = {"weights": {"detector": "00ff"}}


def expected_rows(small_run: ModuleType, info: Any) -> list[tuple[Any, ...]]:
    """Frame, time, track, box and score of every tracked row of a camera of the small run."""
    results = [small_run.result(info, index) for index in range(info.frame_count)]
    return [
        (r.frame.index, r.frame.time, int(track), *box.tolist(), float(score))
        for r in results
        for track, box, score in zip(r.track_ids, r.detections.boxes, r.detections.scores, strict=True)
        if track != NO_ID
    ]


def stored_rows(run: Run, camera: str) -> list[tuple[Any, ...]]:
    rows = run.observations(camera)
    columns = [rows.frames, rows.times, rows.track_ids, *rows.boxes.T, rows.scores]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def without_track(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Track ids begin anew after a resume, everything else must be as without one."""
    return [(frame, time_s, *rest) for frame, time_s, _, *rest in rows]


def check_consistent(run: Run) -> None:
    """Every listed file is there and nothing else; tracklets agree with the observations."""
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*.parquet")}
    assert {file.path for file in run.manifest.files} <= files
    for tracklet, summary in zip(run.tracklets(), run.tracklet_summaries(), strict=True):
        assert tracklet.key == summary.key
        assert (tracklet.start_time, tracklet.end_time) == (summary.start_time, summary.end_time)
        assert len(tracklet.times) == summary.rows
        assert len(tracklet.vectors) == len(tracklet.crops) > 0
        assert all(run.crop_path(crop).is_file() for crop in tracklet.crops)


def test_everything_written_is_read_back(make_run: Callable[..., Path], small_run: ModuleType) -> None:
    run = Run.open(make_run())
    assert run.state == "finished"
    assert run.summary == {"people": 0}
    assert run.settings_dict == SETTINGS.model_dump(mode="json")
    assert [camera.name for camera in run.cameras] == ["left", "right"]
    for info in small_run.sources():
        assert stored_rows(run, info.camera) == expected_rows(small_run, info)
        indices, times = run.frames(info.camera)
        assert indices.tolist() == list(range(info.frame_count))
        assert times.tolist() == [info.start_time + index / info.fps for index in range(info.frame_count)]
    check_consistent(run)
    assert [tracklet.key for tracklet in run.tracklets()] == [(c, t) for c in ("left", "right") for t in (1, 2, 3)]
    picture = cv2.imread(str(run.crop_path("crops/left/2_19.jpg")))
    assert picture.shape == (16, 8, 3)


def test_frames_without_people_are_remembered(tmp_path: Path, small_run: ModuleType) -> None:
    info = small_run.source("door")
    with RunWriter.create(tmp_path / "run", SETTINGS, [info], PROVENANCE) as writer:
        for index in (0, 3, 4):
            result = small_run.result(info, index)
            writer.write(replace(result, track_ids=np.full_like(result.track_ids, NO_ID)))
        writer.commit()
    run = Run.open(tmp_path / "run")
    assert run.frames("door")[0].tolist() == [0, 3, 4]
    assert len(run.observations("door")) == 0
    assert run.tracklets() == []


def test_crops_were_taken_when_their_frames_were(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    for tracklet in run.tracklet_summaries():
        frames, times = run.frames(tracklet.camera)
        at = dict(zip(frames.tolist(), times.tolist(), strict=True))
        wanted = [at[crop_frame(crop)] for crop in tracklet.crops]
        assert run.crop_times(tracklet.camera, tracklet.crops).tolist() == wanted
    assert run.crop_times("left", []).tolist() == []


def test_a_time_window_reads_only_its_rows(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    everything = run.observations("left")
    window = run.observations("left", 0.6, 1.2)
    inside = (everything.times >= 0.6) & (everything.times <= 1.2)
    assert window.frames.tolist() == everything.frames[inside].tolist()
    assert window.boxes.tolist() == everything.boxes[inside].tolist()
    assert len(list(run.observation_parts("left", 0.6, 1.2))) == 2  # of four parts
    assert run.column("left", "score").tolist() == everything.scores.tolist()


def test_parts_say_what_their_columns_mean(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    file = Run.open(folder).manifest.files[1]
    table = pq.read_table(folder / file.path)
    assert file.kind == "observations"
    assert table.column_names == ["camera", "frame", "time_s", "track_id", "x1", "y1", "x2", "y2", "score"]
    assert table.schema.metadata[b"frame_base"] == b"0"
    assert set(table["camera"].to_pylist()) == {file.camera}


def test_later_rows_supersede_an_open_tracklet(make_run: Callable[..., Path]) -> None:
    folder = make_run(part_frames=2)
    run = Run.open(folder)
    rows = [pq.read_table(folder / f.path)["track_id"].to_pylist() for f in run.manifest.files if f.kind == "tracklets"]
    assert sum(len(part) for part in rows) > 20  # each open tracklet was stored with every part
    check_consistent(run)
    listed = {crop for summary in run.tracklet_summaries() for crop in summary.crops}
    assert listed == {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")}  # replaced ones are gone


def test_a_track_that_was_closed_and_comes_back_keeps_all_crops(tmp_path: Path, small_run: ModuleType) -> None:
    info = small_run.source("door")
    results = [small_run.result(info, index) for index in range(12)]
    with RunWriter.create(tmp_path / "run", SETTINGS, [info], PROVENANCE) as writer:
        for result in results:
            writer.write(result)
        writer.add_tracklets([small_run.draft("door", results[:4], 1)])
        writer.commit()
        writer.add_tracklets([small_run.draft("door", results[8:], 1)])
        writer.commit()
    (summary,) = Run.open(tmp_path / "run").tracklet_summaries()
    assert set(summary.crops) == {f"crops/door/1_{index}.jpg" for index in (0, 3, 8, 11)}
    assert summary.qualities.tolist() == sorted(summary.qualities.tolist(), reverse=True)
    assert summary.vectors.shape == (4, 8)


def test_a_folder_is_not_used_twice(make_run: Callable[..., Path], small_run: ModuleType) -> None:
    folder = make_run()
    with pytest.raises(InputError, match=r"already holds a run.*--resume"):
        RunWriter.create(folder, SETTINGS, small_run.sources(), PROVENANCE)
    with pytest.raises(InputError, match="finished"):
        RunWriter.resume(folder, SETTINGS, small_run.sources(), PROVENANCE)
    with pytest.raises(InputError, match="not a run folder"):
        RunWriter.resume(folder / "nothing", SETTINGS, small_run.sources(), PROVENANCE)


def test_a_run_that_was_killed_as_it_began_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: ModuleType
) -> None:
    """`run.json` is written last: nothing of what is there before it is taken for somebody else's."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "_write_header", lambda _writer: None)
        RunWriter.create(folder, SETTINGS, small_run.sources(), PROVENANCE)
    gc.collect()  # the lock of a process that is gone holds nobody up
    assert not (folder / "run.json").exists()
    assert (folder / "audit.sqlite").exists()
    with RunWriter.create(folder, SETTINGS, small_run.sources(), PROVENANCE):
        pass
    assert Run.open(folder).cameras


def test_no_frame_is_written_twice(tmp_path: Path, small_run: ModuleType) -> None:
    info = small_run.source("door")
    with RunWriter.create(tmp_path / "run", SETTINGS, [info], PROVENANCE) as writer:
        writer.write(small_run.result(info, 4))
        with pytest.raises(ValueError, match="frame 4 is already"):
            writer.write(small_run.result(info, 4))


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "c:", "tab\t"])
def test_camera_names_become_folders(tmp_path: Path, small_run: ModuleType, name: str) -> None:
    with pytest.raises(InputError, match="--names"):
        RunWriter.create(tmp_path / "run", SETTINGS, [small_run.source(name)], PROVENANCE)
    assert not (tmp_path / "run").exists()


def test_state_and_lock(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    with RunWriter.create(folder, SETTINGS, small_run.sources(), PROVENANCE):
        assert Run.open(folder).state == "running"
        with pytest.raises(RunError, match="another process"):
            RunWriter.resume(folder, SETTINGS, small_run.sources(), PROVENANCE)
    assert Run.open(folder).state == "interrupted"
    with RunWriter.resume(folder, SETTINGS, small_run.sources(), PROVENANCE) as writer:
        writer.finish("cancelled", {})
    assert Run.open(folder).state == "cancelled"


def test_a_part_is_due_after_its_footage(tmp_path: Path, small_run: ModuleType) -> None:
    settings = load_settings(assignments=["run.part_s=1.5"])
    info = small_run.source("door")
    with RunWriter.create(tmp_path / "run", settings, [info], PROVENANCE) as writer:
        due = []
        for index in range(20):
            writer.write(small_run.result(info, index))
            due.append(writer.part_is_due)
        assert due == [index >= 15 for index in range(20)]
        writer.commit()
        assert not writer.part_is_due


def test_resume_names_what_differs(tmp_path: Path, small_run: ModuleType) -> None:
    video = tmp_path / "left.mp4"
    video.write_bytes(b"pictures")
    left = replace(small_run.source("left"), inputs=(video,))
    right = small_run.source("right")
    folder = tmp_path / "run"
    RunWriter.create(folder, SETTINGS, [left, right], PROVENANCE).close()
    RunWriter.resume(folder, SETTINGS, [left, right], PROVENANCE).close()
    video.write_bytes(b"others")
    changed = load_settings(assignments=["detect.min_score=0.3"])
    with pytest.raises(InputError) as caught:
        RunWriter.resume(folder, changed, [left, replace(right, width=640)], {"weights": {"detector": "1234"}})
    message = str(caught.value)
    assert "setting detect.min_score: recorded 0.1, now 0.3" in message
    assert 'weights detector: recorded "00ff", now "1234"' in message
    assert "input of camera left" in message
    assert "camera right: picture size" in message
    with pytest.raises(InputError, match="cameras: recorded left, right, now right"):
        RunWriter.resume(folder, SETTINGS, [right], PROVENANCE)


def test_a_moved_input_is_the_same_input(tmp_path: Path, small_run: ModuleType) -> None:
    old, new = tmp_path / "old.mp4", tmp_path / "new.mp4"
    old.write_bytes(b"pictures")
    RunWriter.create(tmp_path / "run", SETTINGS, [replace(small_run.source("left"), inputs=(old,))], PROVENANCE).close()
    old.rename(new)
    RunWriter.resume(tmp_path / "run", SETTINGS, [replace(small_run.source("left"), inputs=(new,))], PROVENANCE).close()


def test_header_keeps_no_passwords_and_all_versions(tmp_path: Path, small_run: ModuleType) -> None:
    video = tmp_path / "left.mp4"
    video.write_bytes(b"pictures")
    camera = replace(small_run.source("left"), origin="rtsp://me:secret@host/stream", inputs=(video,))
    provenance = {"weights": {}, "command": ["--sources", "rtsp://me:secret@host/stream"]}
    RunWriter.create(tmp_path / "run", SETTINGS, [camera], provenance).close()
    text = (tmp_path / "run" / "run.json").read_text()
    assert "secret" not in text
    header = json.loads(text)
    assert {"python", "torch", "ultralytics", "openvino", "omnitrack"} <= header["sessions"][0]["versions"].keys()
    record = Run.open(tmp_path / "run").camera("left").inputs[0]
    assert (record.size_bytes, record.sha256) == (8, file_sha256(video))


def test_crop_references_stay_inside(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    for reference in ("run.json", "crops/../run.json", "../x.jpg", "/etc/passwd"):
        with pytest.raises(InputError, match="not a crop"):
            run.crop_path(reference)
    with pytest.raises(InputError, match="no camera 'middle'; it has left, right"):
        run.observations("middle")


def test_a_damaged_run_says_which_file(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    (folder / MANIFEST_FILE).write_text("{")
    with pytest.raises(InputError, match=r"manifest\.jsonl"):
        Run.open(folder)


def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, small_run: ModuleType) -> None:
    """Dies at every single operation on the disk in turn, then resumes; the rows are those of a run that never died."""
    on_disk = (
        (run_parts, "sync"),
        (run_parts.pq, "write_table"),
        (os, "fsync"),
        (Path, "replace"),
        (Path, "write_bytes"),
        (Path, "unlink"),
    )
    infos = small_run.sources(("left",))
    expected = without_track(expected_rows(small_run, infos[0]))
    survived = False
    number = 0
    while not survived:
        folder = tmp_path / str(number)
        with (
            killed_after(5 + number, on_disk) as process,  # the folder is made within the first five
            RunWriter.create(folder, SETTINGS, infos, PROVENANCE) as writer,
        ):
            small_run.write_rest(writer, infos, 8)
            writer.finish("finished", {})
        survived = process.survived
        if not survived:
            if not (folder / "run.json").exists():
                number += 1
                continue
            broken = Run.open(folder)
            check_consistent(broken)
            frames = broken.frames("left")[0].tolist()
            assert frames == list(range(len(frames)))
            assert [row[0] for row in stored_rows(broken, "left")] == [r[0] for r in expected if r[0] < len(frames)]
            if broken.state != "finished":
                with RunWriter.resume(folder, SETTINGS, infos, PROVENANCE) as writer:
                    assert writer.next_frame_index == {"left": len(frames)}
                    small_run.write_rest(writer, infos, 8)
                    writer.finish("finished", {})
        run = Run.open(folder)
        assert without_track(stored_rows(run, "left")) == expected
        assert run.frames("left")[0].tolist() == list(range(20))
        check_consistent(run)
        assert {f.path for f in run.manifest.files} == {
            path.relative_to(folder).as_posix() for kind in PART_KINDS for path in (folder / kind).rglob("*.parquet")
        }
        number += 7
    assert number > 40


CHILD = """
import importlib.util, sys
from pathlib import Path
from app.config import load_settings
from app.runs.folder.writer import RunWriter

class Talking(RunWriter):
    def commit(self, open_drafts=()):
        super().commit(open_drafts)
        print("committed", flush=True)

spec = importlib.util.spec_from_file_location("small_run", sys.argv[1])
small_run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_run)
folder, settings, infos = Path(sys.argv[2]), load_settings(), small_run.sources(["left"])
begin = Talking.resume if (folder / "run.json").exists() else Talking.create
with begin(folder, settings, infos, {"weights": {}}) as writer:
    small_run.write_rest(writer, infos, 1)
    writer.finish("finished", {})
"""


def test_a_killed_process_leaves_a_run_that_resumes(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, small_run.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(6)]
        time.sleep(random.uniform(0.0, 0.05))  # anywhere within the next parts
        child.send_signal(signal.SIGKILL)
    assert lines == ["committed\n"] * 6
    run = Run.open(folder)
    assert run.state == "interrupted"
    assert len(run.frames("left")[0]) >= 6
    check_consistent(run)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = Run.open(folder)
    assert run.state == "finished"
    expected = without_track(expected_rows(small_run, small_run.sources(["left"])[0]))
    assert without_track(stored_rows(run, "left")) == expected
    check_consistent(run)


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        *(("observations", *one) for one in (("y2", -1e30), ("x1", 2e7), ("frame", 2**40), ("track_id", 2**40))),
        *(("frames", *one) for one in (("frame", 2**40), ("time_s", 1e15))),
        *(("tracklets", *one) for one in (("end_s", 1e15), ("rows", 2**40), ("track_id", 2**40))),
        ("untracked", "time_s", 1e15),
    ],
)
def test_rows_that_no_tracker_gives_are_refused(
    make_run: Callable[..., Path], kind: str, column: str, value: float
) -> None:
    folder = make_run()
    run = Run.open(folder)
    file = [file for file in run.manifest.files if file.kind == kind][-1]
    table = pq.read_table(folder / file.path, partitioning=None)
    columns = table.to_pydict()
    columns[column][-1] = value
    pq.write_table(pa.table(columns, schema=table.schema), folder / file.path)
    own = replace(file, sha256=file_sha256(folder / file.path))
    replace(run.manifest, files=tuple(own if one == file else one for one in run.manifest.files)).write(folder)
    run = Run.open(folder)
    with pytest.raises(InputError, match=r"cannot be|rising order|is damaged"):
        [run.observations(file.camera), run.frames(file.camera), run.untracked(file.camera), run.tracklets()]
    if kind == "observations":
        with pytest.raises(InputError, match="cannot be"):
            run.column(file.camera, column)
