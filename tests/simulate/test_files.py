"""Scenes on disk."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from app.boxes import iou
from app.config import SimulateSettings
from app.errors import RunError
from app.footage.camera_list import read_camera_list
from app.footage.motchallenge import read_rows, read_sequence_info
from app.simulate import simulate
from app.simulate.scene import Scene

SETTINGS = SimulateSettings(
    cameras=2, people=6, seconds=6.0, fps=5.0, width_px=192, height_px=108, clock_offset_s=3.0, seed=2, mixed=True
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("scene")
    return folder, simulate(folder / "new" / "scene", SETTINGS)


@pytest.fixture(scope="module")
def output(made: tuple[Path, dict[str, Any]]) -> Path:
    return made[0] / "new" / "scene"


def test_videos_have_the_pictures_times_and_size_that_are_promised(output: Path) -> None:
    for camera, fps, size in (("cam1", 5.0, (192, 108)), ("cam2", 4.0, (154, 86))):
        info = read_sequence_info(output / camera)
        with av.open(str(output / f"{camera}.mp4")) as container:
            frames = list(container.decode(video=0))
        assert [frame.time for frame in frames] == pytest.approx(np.arange(len(frames)) / fps, abs=1e-3)
        assert len(frames) == info.frame_count == round(6 * fps)
        assert (frames[0].width, frames[0].height) == (info.width, info.height) == size
        assert info.fps == fps


def test_video_shows_the_scene(output: Path) -> None:
    first = next(Scene(SETTINGS).views())
    with av.open(str(output / "cam1.mp4")) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert np.abs(decoded.astype(int) - first.image).mean() < 6


def test_truth_is_that_of_the_scene(output: Path) -> None:
    rows = {camera: read_rows(output / camera / "gt" / "gt.txt") for camera in ("cam1", "cam2")}
    views = [view for view in Scene(SETTINGS).views(6.0) if len(view.person_ids)]
    assert len(views) > 10
    for view in views:
        truth = rows[view.camera.name]
        here = truth[truth.frames == view.index + 1]
        np.testing.assert_array_equal(here.ids, view.person_ids)
        np.testing.assert_allclose(here.boxes, view.boxes, atol=0.06)
        np.testing.assert_allclose(here.visibility, view.visibility, atol=1e-3)
        np.testing.assert_array_equal(here.scores, (view.visibility >= 0.1).astype(np.float32))
    assert sum(map(len, rows.values())) == sum(len(view.person_ids) for view in views)


def test_detections_look_like_a_detectors(output: Path) -> None:
    found = misses = alarms = 0
    for camera in ("cam1", "cam2"):
        truth, detections = read_rows(output / camera / "gt" / "gt.txt"), read_rows(output / camera / "det" / "det.txt")
        assert set(detections.ids.tolist()) == {-1}
        assert np.all((detections.scores > 0) & (detections.scores <= 1))
        clear = truth[truth.visibility > 0.8]
        for frame in np.unique(clear.frames):
            overlap = iou(clear.boxes[clear.frames == frame], detections.boxes[detections.frames == frame])
            matched = overlap.max(axis=1, initial=0) > 0.6
            found += int(matched.sum())
            misses += int((~matched).sum())
        alarms += len(detections) - len(truth)
    assert found > 20
    assert misses < 0.2 * found


def test_calibration_maps_the_floor_to_the_picture(output: Path) -> None:
    for camera in Scene(SETTINGS).cameras:
        written = yaml.safe_load((output / camera.name / "calibration.yaml").read_text())
        point = np.array([camera.position[0] + 0.7, 5.0, 0.0])
        seen = np.array(written["K"]) @ (np.array(written["R"]) @ point + np.array(written["t"]))
        mapped = np.array(written["floor_to_image"]) @ [point[0], point[1], 1.0]
        np.testing.assert_allclose(seen[:2] / seen[2], mapped[:2] / mapped[2])
        np.testing.assert_allclose(camera.project(point[None])[0][0], mapped[:2] / mapped[2])


def test_floor_holds_everybody_who_is_in_the_scene(output: Path) -> None:
    with (output / "floor.csv").open() as file:
        rows = list(csv.DictReader(file))
    at = {(float(row["time_s"]), int(row["person"])): (float(row["x_m"]), float(row["y_m"])) for row in rows}
    assert {time_s for time_s, _ in at} >= {0.0, 3.0, 5.8}
    checked = 0
    for view in Scene(SETTINGS).views(6.0):
        for person, place in zip(view.person_ids.tolist(), view.floor, strict=True):
            if (round(view.time_s, 6), person) in at:
                np.testing.assert_allclose(at[round(view.time_s, 6), person], place, atol=2e-3)
                checked += 1
    assert checked > 20


def test_scene_file_tells_the_clocks(made: tuple[Path, dict[str, Any]], output: Path) -> None:
    scene = json.loads((output / "scene.json").read_text())
    assert scene == made[1]
    for camera in scene["cameras"]:
        assert camera["recorded_start_s"] == pytest.approx(camera["start_s"] + camera["clock_offset_s"])
    assert scene["cameras"][1]["clock_offset_s"] != 0
    assert scene["settings"] == SETTINGS.model_dump()
    assert scene["overlapping"] == []


def test_camera_list_believes_the_wrong_clocks(output: Path) -> None:
    first, second = read_camera_list(output / "cameras.yaml", "")
    scene = json.loads((output / "scene.json").read_text())
    assert first.start is not None
    assert second.start is not None
    assert second.start.time_s - first.start.time_s == pytest.approx(scene["cameras"][1]["recorded_start_s"], abs=2e-3)
    assert Path(second.sources[0]).is_file()


def test_the_same_scene_is_written_twice_alike(output: Path, tmp_path: Path) -> None:
    simulate(tmp_path, SETTINGS)
    for file in sorted(path.relative_to(output) for path in output.rglob("*") if path.is_file()):
        assert (tmp_path / file).read_bytes() == (output / file).read_bytes(), file


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunError, match=str(blocked)):
        simulate(blocked / "scene", SETTINGS)
