"""The main job through the command line, on scenes that the program renders itself and on real footage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
import torch

from app.cli.parser import main
from app.pipeline import on_ray as cluster
from app.pipeline.job import Job, Outcome
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.runs.folder.header import read_header, write_header
from app.runs.folder.layout import MANIFEST_FILE, RUN_FILE
from app.runs.folder.manifest import Manifest
from app.runs.folder.run import Run

ROOT = Path(__file__).resolve().parents[1]
CAMERAS = ("cam1", "cam2")
SECONDS = 8
FPS = 10


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered cameras with truth and made-up detections."""
    folder = tmp_path_factory.mktemp("scene")
    small = ["--set", "simulate.width_px=320", "--set", "simulate.height_px=180", "--set", f"simulate.fps={FPS}"]
    options = ["--people", "8", "--seconds", str(SECONDS), "--seed", "3", "--set", "simulate.mean_away_s=1"]
    assert main(["simulate", "--output", str(folder), *options, *small]) == 0
    return folder


@pytest.fixture(scope="session")
def reid_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OSNet that was never trained: enough to tell a red coat from a blue one."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(path, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict()))
    return path


@pytest.fixture(scope="session")
def arguments(scene: Path, reid_weights: Path) -> list[str]:
    sources = [str(scene / f"{camera}.mp4") for camera in CAMERAS]
    models = ["--detector", "file:det/det.txt", "--reid", str(reid_weights), "--device", "cpu"]
    return ["--sources", *sources, *models, "--set", "run.part_s=2"]


@pytest.fixture(scope="session")
def finished(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with videos. Tests only read it; those that change a run make their own."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main([*arguments, "--output", str(folder), "--save-video"]) == 0
    return folder


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command with --json and return its one JSON object."""

    def run_command(*words: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        status = main([*map(str, words), "--json"])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        answer: dict[str, Any] = json.loads(captured.out)
        return answer

    return run_command


def rows_of(run: Run, camera: str) -> set[tuple[int, float, float]]:
    """Frame and corner of every row: what must be neither lost nor doubled."""
    rows = run.observations(camera)
    listed = list(zip(rows.frames.tolist(), rows.boxes[:, 0].tolist(), rows.boxes[:, 1].tolist(), strict=True))
    assert len(listed) == len(set(listed))
    return set(listed)


def test_every_output_is_written(finished: Path) -> None:
    run = Run.open(finished)
    assert run.state == "finished"
    assert [camera.name for camera in run.cameras] == list(CAMERAS)
    for camera in CAMERAS:
        indices, times = run.frames(camera)
        assert indices.tolist() == list(range(SECONDS * FPS))
        assert np.diff(times) == pytest.approx(1 / FPS, abs=1e-3)
        assert len(run.observations(camera)) > 0
    tracklets = run.tracklets()
    assert tracklets
    for tracklet in tracklets:
        for crop in tracklet.crops:
            assert run.crop_path(crop).stat().st_size > 0
        assert np.linalg.norm(tracklet.vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert run.identities().people()
    assert run.header["provenance"]["weights"]["reid"]
    for name in (*CAMERAS, "wall"):
        with av.open(str(finished / "video" / f"{name}.mp4")) as video:
            assert video.streams.video[0].codec_context.name == "h264"
            assert sum(1 for _ in video.decode(video=0)) == SECONDS * FPS


def test_the_run_is_scored_beside_the_control(finished: Path, scene: Path, ask: Callable[..., dict[str, Any]]) -> None:
    scores = ask("evaluate", finished, "--truth", scene)
    assert set(scores["cameras"]) == set(CAMERAS)
    for camera in CAMERAS:
        assert scores["cameras"][camera]["MOTA"] > 70
        assert scores["cameras"][camera]["HOTA"] > 60
    assert scores["perfect_linking"]["IDF1"] >= scores["no_linking"]["IDF1"]
    assert scores["across"]["people"] <= 8


@pytest.mark.parametrize("format", ["mot", "aicity", "csv", "cvat", "coco", "market1501"])
@pytest.mark.parametrize("ids", ["person", "track"])
def test_every_export_is_written(
    finished: Path, tmp_path: Path, format: str, ids: str, ask: Callable[..., dict[str, Any]]
) -> None:
    answer = ask("export", finished, "--format", format, "--ids", ids, "--output", tmp_path / "out")
    assert answer["files"]
    assert all(Path(file).is_file() for file in answer["files"])


def test_exported_boxes_score_as_the_run_does(
    finished: Path, scene: Path, tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    from app.runs.evaluate.scores import evaluate
    from app.runs.evaluate.trajectories import load_truth, read_result

    ask("export", finished, "--format", "mot", "--output", tmp_path)
    exported = {camera: read_result(tmp_path / f"{camera}.txt") for camera in CAMERAS}
    direct = ask("evaluate", finished, "--truth", scene)["across"]
    through_files = evaluate(load_truth(scene, CAMERAS), exported)["across"]
    assert through_files["IDF1"] == pytest.approx(direct["IDF1"], abs=0.2)


def test_the_same_input_gives_the_same_answer(
    finished: Path, arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    ask(*arguments, "--output", tmp_path / "again")
    for name, folder in (("first", finished), ("again", tmp_path / "again")):
        ask("export", folder, "--format", "mot", "--output", tmp_path / f"{name}_mot")
    for camera in CAMERAS:
        first, again = (tmp_path / f"{name}_mot" / f"{camera}.txt" for name in ("first", "again"))
        assert first.read_bytes() == again.read_bytes()


def test_linking_again_changes_nothing(
    arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    folder = tmp_path / "run"
    summary = ask(*arguments, "--output", folder)
    with Run.open(folder).ledger() as ledger:
        before = [event.id for event in ledger.events()]
    again = ask("link", folder)
    with Run.open(folder).ledger() as ledger:
        assert [event.id for event in ledger.events()] == before
    assert again["people"] == summary["people"]


def test_a_crop_of_a_person_finds_that_person_first(
    finished: Path, reid_weights: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    run = Run.open(finished)
    tracklet = max(run.tracklets(), key=lambda tracklet: len(tracklet.crops))
    person = run.identities().person_of(tracklet.camera, np.array([tracklet.track_id]), tracklet.times[:1])[0]
    weights = ["--set", f"reid.weights={reid_weights}"]
    found = ask("search", finished, run.crop_path(tracklet.crops[0]), "--top", "3", *weights)["people"]
    assert found[0]["person"] == person
    assert found[0]["p_same"] >= found[-1]["p_same"]


def test_search_refuses_other_weights(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_checkpoint(other, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict()))
    run = Run.open(finished)
    crop = next(crop for tracklet in run.tracklets() for crop in tracklet.crops)
    assert main(["search", str(finished), str(run.crop_path(crop)), "--set", f"reid.weights={other}"]) == 2
    assert "search with the same weights" in capsys.readouterr().err


def test_an_erased_person_is_gone(arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]) -> None:
    folder = tmp_path / "run"
    ask(*arguments, "--output", folder)
    before = Run.open(folder)
    person = before.identities().people()[0]
    segments = before.identities().tracklets_of(person)
    assert ask("erase", folder, str(person))["rows"] > 0
    after = Run.open(folder)
    assert person not in after.identities().people()
    left = {tracklet.key for tracklet in after.tracklets()}
    assert not left & {segment.key for segment in segments}
    for segment in segments:
        assert not list((folder / "crops" / segment.camera).glob(f"{segment.track_id}_*"))


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a run in a process of its own and wait until its first part is written."""
    slow = ["--set", "sources.queue_frames=1"]
    process = subprocess.Popen(
        [sys.executable, "main.py", *arguments, *slow, "--output", str(folder), "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / MANIFEST_FILE).exists() and Manifest.read(folder).next_part > 0:
            break
        time.sleep(0.002)
    if process.poll():
        pytest.fail(f"the run failed by itself: {process.communicate()[1]}")
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_is_resumed_without_losing_or_doubling_a_row(
    how: signal.Signals, finished: Path, arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    folder = tmp_path / "run"
    process = start(arguments, folder)
    process.send_signal(how)
    process.communicate(timeout=60)
    run = Run.open(folder)
    if run.state == "finished":
        pytest.skip("the run was over before it could be stopped")
    done = {camera: len(run.frames(camera)[0]) for camera in CAMERAS}
    assert 0 < sum(done.values()) < 2 * SECONDS * FPS
    if how == signal.SIGINT:
        assert run.state in ("cancelled", "interrupted")  # the latter on a machine too busy to write it within 1.5 s
        assert process.returncode == 1
    slow = ["--set", "sources.queue_frames=1"]
    ask(*arguments, *slow, "--output", folder, "--resume")
    resumed, whole = Run.open(folder), Run.open(finished)
    assert resumed.state == "finished"
    for camera in CAMERAS:
        assert resumed.frames(camera)[0].tolist() == whole.frames(camera)[0].tolist()
        rows, expected = rows_of(resumed, camera), rows_of(whole, camera)
        before = done[camera]
        assert {row for row in rows if row[0] < before} == {row for row in expected if row[0] < before}
        # Trackers begin anew where the run was stopped, so nobody is followed in the first frames after it.
        settled = before + FPS
        missing = {row for row in expected - rows if row[0] >= settled}
        assert len(missing) <= 0.1 * len(expected)


def test_a_resumed_run_must_be_the_same_job(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    process = start(arguments, folder)
    process.kill()
    process.communicate(timeout=60)
    other = ["--set", "track.max_lost_s=7", "--set", "sources.queue_frames=1"]
    assert main([*arguments, *other, "--output", str(folder), "--resume"]) == 2
    assert "track.max_lost_s" in capsys.readouterr().err


def test_a_folder_with_a_run_is_not_overwritten(
    finished: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "run.json").read_bytes()
    assert main([*arguments, "--output", str(finished)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (finished / "run.json").read_bytes() == before


def test_a_camera_that_settings_name_wrongly_is_refused_before_anything_is_done(
    arguments: list[str], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "link.yaml"
    config.write_text(
        "link:\n  cameras: {hall: {clock_offset_s: 2.0}}\n  ways: [{from_camera: cam1, to_camera: yard}]\n"
    )
    run = tmp_path / "run"
    for command in ([*arguments, "--output", str(run)], ["link", str(finished)]):
        assert main([*command, "--config", str(config)]) == 2
        said = capsys.readouterr().err
        assert "link.cameras.hall: there is no camera 'hall', but cam1, cam2" in said
        assert "link.ways.0.to_camera: there is no camera 'yard'" in said
    assert not run.exists()


def test_a_video_that_breaks_in_the_middle_does_not_stop_the_other(
    scene: Path, tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    broken = tmp_path / "broken.ts"
    with av.open(str(scene / "cam1.mp4")) as source, av.open(str(broken), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    (tmp_path / "broken" / "det").mkdir(parents=True)
    (tmp_path / "broken" / "det" / "det.txt").write_text((scene / "cam1" / "det" / "det.txt").read_text())
    models = ["--detector", "file:det/det.txt", "--reid", "none"]
    summary = ask("--sources", broken, scene / "cam2.mp4", *models, "--output", tmp_path / "run")
    assert 0 < summary["cameras"]["broken"]["frames"] < SECONDS * FPS
    assert summary["cameras"]["cam2"]["frames"] == SECONDS * FPS


def test_without_pixels_people_are_followed_by_motion(scene: Path, tmp_path: Path, ask: Callable[..., Any]) -> None:
    models = ["--detector", "file:det/det.txt"]
    summary = ask("--sources", scene / "cam1", scene / "cam2", *models, "--output", tmp_path / "run")
    assert summary["reid"] == "none (motion only)"
    assert summary["people"] > 0
    assert ask("evaluate", tmp_path / "run", "--truth", scene)["cameras"]["cam1"]["MOTA"] > 70


def test_one_ray_task_for_each_camera_finds_the_same_tracks(
    finished: Path, arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    pytest.importorskip("ray")
    summary = ask(*arguments, "--output", tmp_path / "run", "--engine", "ray")
    assert summary["people"] > 0
    on_ray, local = Run.open(tmp_path / "run"), Run.open(finished)
    assert on_ray.state == "finished"
    for camera in CAMERAS:
        ours, theirs = on_ray.observations(camera), local.observations(camera)
        assert np.array_equal(ours.track_ids, theirs.track_ids)
        assert np.array_equal(ours.boxes, theirs.boxes)
    assert sorted(t.key for t in on_ray.tracklets()) == sorted(t.key for t in local.tracklets())
    assert not (tmp_path / "run" / ".cameras").exists()


def test_a_ray_job_goes_on_with_what_its_cameras_had_finished(
    finished: Path, arguments: list[str], tmp_path: Path, ask: Callable[..., dict[str, Any]]
) -> None:
    """As after a kill when the first camera was through and the second one had not begun."""
    pytest.importorskip("ray")
    first = tmp_path / "run" / ".cameras" / "0"
    only_first = [*arguments[:1], arguments[1], *arguments[3:]]
    ask(*only_first, "--output", first, "--no-link")
    header = read_header(first / RUN_FILE)
    header["provenance"]["job"]["engine"] = "ray"  # as a task of the cluster records it
    header["settings"]["link"]["enabled"] = True
    write_header(first, header)
    made = Run.open(first).manifest.files[0].path
    summary = ask(*arguments, "--output", tmp_path / "run", "--engine", "ray", "--resume")
    assert summary["frames"] == 2 * SECONDS * FPS
    both, local = Run.open(tmp_path / "run"), Run.open(finished)
    assert (tmp_path / "run" / made).exists()
    for camera in CAMERAS:
        assert np.array_equal(both.observations(camera).boxes, local.observations(camera).boxes)


def test_chunks_of_a_recording_make_one_run(
    finished: Path,
    arguments: list[str],
    tmp_path: Path,
    ask: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tasks run here one after the other; that Ray runs tasks is seen above."""
    done: list[str] = []

    def one_by_one(job: Job, tasks: Sequence[cluster._Task], report: object) -> tuple[dict[Any, Outcome], list[Any]]:
        done.extend(task.label for task in tasks)
        return {task: cluster._follow_one(cluster._own_job(job, task), task.folder) for task in tasks}, []

    monkeypatch.setattr(cluster, "_follow_all", one_by_one)
    summary = ask(*arguments, "--output", tmp_path / "run", "--engine", "ray", "--set", "run.chunk_s=3")
    assert [label for label in done if "cam2" in label] == [
        "camera cam2 from picture 0 to 29",
        "camera cam2 from picture 30 to 59",
        "camera cam2 from picture 60 to the end",
    ]
    assert summary["frames"] == 2 * SECONDS * FPS
    chunks, whole = Run.open(tmp_path / "run"), Run.open(finished)
    for camera in CAMERAS:
        for ours, theirs in zip(chunks.frames(camera), whole.frames(camera), strict=True):
            assert np.array_equal(ours, theirs)  # each picture once, with its number and time
        rows, others = chunks.observations(camera), whole.observations(camera)
        assert len(rows.frames) >= 0.9 * len(others.frames)  # a new tracker waits two or three frames for each person
        border_of = {track: set(rows.frames[rows.track_ids == track] // 30) for track in np.unique(rows.track_ids)}
        assert all(len(parts) == 1 for parts in border_of.values()), "a track went on in another chunk"
    # Linking joins what the borders cut: nearly as many people as without them.
    assert abs(summary["people"] - len(whole.identities().people())) <= 2
    assert max(len(tracks) for tracks in _tracks_of_people(chunks).values()) >= 3


def _tracks_of_people(run: Run) -> dict[int, list[tuple[str, int]]]:
    """Return by person the keys of its tracklets."""
    identities = run.identities()
    found: dict[int, list[tuple[str, int]]] = {}
    for summary in run.tracklet_summaries(vectors=False):
        person = identities.person_of(summary.camera, np.array([summary.track_id]), np.array([summary.start_time]))
        found.setdefault(int(person[0]), []).append((summary.camera, summary.track_id))
    return found


# --- Real footage ----------------------------------------------------------------------------------------------------


def test_two_real_cameras_with_real_networks(
    shared_data: Path, tmp_path: Path, small_videos: ModuleType, ask: Callable[..., dict[str, Any]]
) -> None:
    """`pets_virtual`, shortened: every part of the main job on pixels, with identities shared by the cameras."""
    frames = 120
    for camera in ("left", "right"):
        video = shared_data / "mcam" / "pets_virtual" / f"{camera}.mp4"
        small_videos.cut(video, tmp_path / f"{camera}.mp4", frames)
        (tmp_path / "truth" / camera / "gt").mkdir(parents=True)
        lines = (shared_data / "mcam" / "pets_virtual" / camera / "gt" / "gt.txt").read_text().splitlines()
        kept = [line for line in lines if int(line.split(",")[0]) <= frames]
        (tmp_path / "truth" / camera / "gt" / "gt.txt").write_text("\n".join(kept) + "\n")
    weights = shared_data / "weights"
    models = ["--detector", weights / "yolo26n.pt", "--reid", weights / "osnet_x0_25_msmt17.pth", "--device", "cpu"]
    sources = [tmp_path / "left.mp4", tmp_path / "right.mp4"]
    summary = ask("track", "--sources", *sources, *models, "--output", tmp_path / "run")
    assert summary["frames"] == 2 * frames
    assert set(summary["seconds"]) >= {"decode", "detect", "embed", "track", "link", "write"}
    scores = ask("evaluate", tmp_path / "run", "--truth", tmp_path / "truth")
    assert scores["combined"]["MOTA"] > 75
    assert scores["across"]["IDF1"] > scores["no_linking"]["IDF1"] + 10


def test_half_of_mot17_by_motion_only(shared_data: Path, tmp_path: Path, ask: Callable[..., dict[str, Any]]) -> None:
    """Point 3 of the first issue: the best of BoxMOT's motion-only trackers has a HOTA of 69.34 on these files."""
    folder = shared_data / "mot" / "MOT17-half"
    sequences = sorted(path for path in folder.iterdir() if path.is_dir())
    options = ["--detector", "file:det_yolox_x/det.txt", "--no-link", "--output", tmp_path / "run"]
    ask("track", "--sources", *sequences, *options)
    scores = ask("evaluate", tmp_path / "run", "--truth", folder)
    assert scores["combined"]["HOTA"] >= 69.4
