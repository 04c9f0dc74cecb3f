"""Camera motion: the file's convention, exact rest on static cameras, and accuracy on a camera that turns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.boxes import iou
from app.config import SourceSettings
from app.errors import InputError
from app.footage.camera import SourceInfo
from app.footage.camera_motion import FileCameraMotion, FlowCameraMotion, NoCameraMotion, build_camera_motion
from app.footage.motchallenge import read_rows
from app.footage.sources import open_sources
from app.frames import Frame, blank_image

NOBODY = np.zeros((0, 4), np.float32)
IDENTITY = np.eye(2, 3)
WIDTH, HEIGHT = 640, 360
NOISE = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def scenery(seed: int = 0, width: int = 1600, height: int = 900) -> NDArray[np.uint8]:
    """A large picture of rectangles and discs, with corners everywhere."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 120, np.uint8)
    for _ in range(900):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + int(rng.integers(8, 60)), y + int(rng.integers(8, 60))), colour, -1)
        else:
            cv2.circle(image, (x, y), int(rng.integers(4, 25)), colour, -1)
    return cv2.GaussianBlur(image, (3, 3), 0)


def view(scene: NDArray[np.uint8], x: float, y: float, angle: float = 0.0, zoom: float = 1.0) -> NDArray[np.float64]:
    """Return the (2, 3) affine from the scene to a picture that is centred on x, y."""
    rotation = cv2.getRotationMatrix2D((x, y), angle, zoom)
    rotation[:, 2] += (WIDTH / 2 - x, HEIGHT / 2 - y)
    return rotation


def take(scene: NDArray[np.uint8], affine: NDArray[np.float64], index: int, fps: float = 25.0) -> Frame:
    image = cv2.warpAffine(scene, affine, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    return Frame("cam", index, index / fps, cv2.add(image, np.roll(NOISE, 997 * index, axis=1)))


def between(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    bottom = np.array([[0.0, 0.0, 1.0]])
    return (np.vstack([after, bottom]) @ np.linalg.inv(np.vstack([before, bottom])))[:2]


def error_px(measured: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Largest difference of the two affines over the picture, in pixels."""
    points = np.array([[x, y, 1] for x in (0, WIDTH / 2, WIDTH) for y in (0, HEIGHT / 2, HEIGHT)])
    return float(np.abs(points @ (measured - true).T).max())


def test_a_pan_is_measured_to_a_fraction_of_a_pixel() -> None:
    scene, motion = scenery(), FlowCameraMotion()
    views = [view(scene, 500 + 4 * n, 400 + 1.5 * n) for n in range(25)]
    measured = [motion.step(take(scene, affine, n), NOBODY) for n, affine in enumerate(views)]
    errors = [error_px(measured[n], between(views[n - 1], views[n])) for n in range(1, 25)]
    assert np.array_equal(measured[0], IDENTITY)
    assert np.median(errors) < 0.3
    assert max(errors) < 1.0


def test_rotation_and_zoom_are_measured() -> None:
    scene, motion = scenery(1), FlowCameraMotion()
    views = [view(scene, 800, 450, angle=0.5 * n, zoom=1.01**n) for n in range(15)]
    measured = [motion.step(take(scene, affine, n), NOBODY) for n, affine in enumerate(views)]
    errors = [error_px(measured[n], between(views[n - 1], views[n])) for n in range(1, 15)]
    assert np.median(errors) < 0.6


def test_a_static_camera_gives_the_exact_identity_and_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, motion = scenery(2), FlowCameraMotion()
    affine = view(scene, 800, 450)
    frames = [take(scene, affine, n % 8) for n in range(8)]
    calls = 0
    follow = cv2.calcOpticalFlowPyrLK

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        return follow(*args, **kwargs)

    monkeypatch.setattr(cv2, "calcOpticalFlowPyrLK", counted)
    for index in range(250):  # ten seconds
        frame = Frame("cam", index, index / 25, frames[index % 8].image)
        assert np.array_equal(motion.step(frame, NOBODY), IDENTITY)
    assert calls < 35, "every frame of the first second, then a look every two seconds"


def test_a_camera_that_begins_to_turn_is_noticed_and_rests_again() -> None:
    scene, motion = scenery(3), FlowCameraMotion()
    position, measured, true, before = 500.0, [], [], None
    for index in range(90):
        position += 6.0 if 30 <= index < 60 else 0.0
        affine = view(scene, position, 450)
        measured.append(motion.step(take(scene, affine, index, fps=10.0), NOBODY))
        true.append(IDENTITY if before is None else between(before, affine))
        before = affine
    assert all(np.array_equal(step, IDENTITY) for step in measured[:30])
    assert max(error_px(measured[n], true[n]) for n in range(51, 60)) < 1.0, "two seconds after the turn began"
    assert all(np.array_equal(step, IDENTITY) for step in measured[61:])


def test_people_who_fill_the_picture_are_not_taken_for_the_camera() -> None:
    scene, crowd = scenery(4), scenery(5)
    affine = view(scene, 800, 450)
    box = np.array([[90, 40, 560, 340]], np.float32)
    motion = FlowCameraMotion()
    for index in range(20):
        image = take(scene, affine, index).image.copy()
        image[40:340, 90:560] = crowd[100:400, 100 + 6 * index : 570 + 6 * index]
        frame = Frame("cam", index, index / 25, image)
        assert np.array_equal(motion.step(frame, box), IDENTITY)


def test_a_gap_in_time_starts_anew() -> None:
    scene, motion = scenery(6), FlowCameraMotion()
    motion.step(take(scene, view(scene, 500, 450), 0), NOBODY)
    assert np.array_equal(motion.step(take(scene, view(scene, 520, 450), 100), NOBODY), IDENTITY)


@pytest.mark.parametrize("level", [0, 255])
def test_pictures_without_corners_give_the_identity(level: int) -> None:
    motion = FlowCameraMotion()
    for index in range(60):
        frame = Frame("cam", index, index / 25, np.full((HEIGHT, WIDTH, 3), level, np.uint8))
        assert np.array_equal(motion.step(frame, NOBODY), IDENTITY)


def blank_frame(index: int) -> Frame:
    return Frame("cam", index, index / 10, blank_image(HEIGHT, WIDTH), False)


def test_line_n_of_a_file_is_the_motion_from_frame_n_minus_1(tmp_path: Path) -> None:
    path = tmp_path / "gmc.txt"
    path.write_text("1 1 0 9 0 1 9\n2 1 0 5 0 1 -2\n3 2 0 0 0 2 0\n\n5,1,0,1,0,1,1\n")
    motion = FileCameraMotion(path)
    assert np.array_equal(motion.step(blank_frame(0), NOBODY), IDENTITY)
    assert motion.step(blank_frame(1), NOBODY).tolist() == [[1, 0, 5], [0, 1, -2]]
    assert motion.step(blank_frame(2), NOBODY).tolist() == [[2, 0, 0], [0, 2, 0]]
    assert np.array_equal(motion.step(blank_frame(3), NOBODY), IDENTITY)
    skipping = FileCameraMotion(path)
    skipping.step(blank_frame(0), NOBODY)
    assert skipping.step(blank_frame(2), NOBODY).tolist() == [[2, 0, 10], [0, 2, -4]]


@pytest.mark.parametrize(
    "line",
    [
        *("1 1 0 0 0 1", "1 1 0 0 0 1 x", "1 1 0 nan 0 1 0"),
        *("0 1 0 0 0 1 0", "2.5 1 0 0 0 1 0", "2 1 0 1e9 0 1 0"),
        "1 1 0 5 0 1 0",  # the first line's frame again
    ],
)
def test_a_bad_motion_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "gmc.txt"
    path.write_text(f"1 1 0 0 0 1 0\n{line}\n")
    with pytest.raises(InputError, match=r"gmc\.txt:2: "):
        FileCameraMotion(path)


def test_motion_of_frames_that_are_not_there_is_mentioned_and_that_of_another_recording_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gmc.txt"
    path.write_text("2 1 0 0 0 1 0\n7 1 0 0 0 1 0\n")
    FileCameraMotion(path, 6)
    assert "1 of 2 rows are for frames after the last of the recording (6), the first for frame 7" in caplog.text
    with pytest.raises(InputError, match="no row fits the recording"):
        FileCameraMotion(path, 1)


def test_the_estimator_fits_the_source(tmp_path: Path) -> None:
    def info(has_pixels: bool) -> SourceInfo:
        return SourceInfo("c", 64, 48, 10.0, 10, 0.0, False, has_pixels, "c", tmp_path, ())

    settings = SourceSettings()
    assert isinstance(build_camera_motion(info(True), settings), FlowCameraMotion)
    assert isinstance(build_camera_motion(info(False), settings), NoCameraMotion)
    (tmp_path / "gmc.txt").write_text("1 1 0 0 0 1 0\n")
    assert isinstance(build_camera_motion(info(True), settings), FileCameraMotion)
    assert isinstance(build_camera_motion(info(True), SourceSettings(camera_motion="none")), NoCameraMotion)


def test_a_motion_file_that_holds_nothing_is_mentioned_and_one_that_is_none_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gmc.txt").touch()
    FileCameraMotion(tmp_path / "gmc.txt")
    assert "gmc.txt: is empty" in caplog.text
    (tmp_path / "gmc.txt").unlink()
    (tmp_path / "gmc.txt").mkdir()
    with pytest.raises(InputError, match=r"gmc\.txt: cannot read"):
        build_camera_motion(SourceInfo("c", 64, 48, 10.0, 10, 0.0, False, True, "c", tmp_path, ()), SourceSettings())


def test_real_motion_file_belongs_to_the_frames_it_is_used_for(shared_data: Path) -> None:
    """When the camera nods, all detections do, in the same frame as the file says: not one sooner or later."""
    folder = shared_data / "mot" / "MOT17-half" / "MOT17-05"
    [source] = open_sources([str(folder)], [], SourceSettings())
    motion = build_camera_motion(source.info, SourceSettings())
    rows = read_rows(folder / "det_yolox_x" / "det.txt")
    seen, told = [], []
    previous = NOBODY
    for frame in source:
        affine = motion.step(frame, NOBODY)
        present = rows.boxes[(rows.frames == frame.index + 1) & (rows.scores > 0.6)]
        overlap = iou(previous, present)
        before, now = np.nonzero((overlap == overlap.max(axis=1, keepdims=True, initial=0.0)) & (overlap > 0.4))
        centres = (previous[before, :2] + previous[before, 2:]) / 2
        told.append(np.median(centres @ affine[:, :2].T + affine[:, 2] - centres, axis=0) if len(before) else [0, 0])
        seen.append(np.median((present[now] - previous[before])[:, :2], axis=0) if len(before) else [0, 0])
        previous = present

    def agreement(shift: int) -> float:
        return float(np.corrcoef(np.array(seen)[5:-5, 1], np.roll(told, shift, axis=0)[5:-5, 1])[0, 1])

    assert agreement(0) > 0.5
    assert agreement(0) > 0.3 + max(agreement(-1), agreement(1))


def test_real_static_camera_is_left_alone(shared_data: Path) -> None:
    [source] = open_sources([str(shared_data / "mot" / "PETS09-S2L1" / "vtest.avi")], [], SourceSettings())
    motion = build_camera_motion(source.info, SourceSettings())
    for frame in source:
        assert np.array_equal(motion.step(frame, NOBODY), IDENTITY)
        if frame.index == 300:
            break


def test_motion_from_a_file_is_in_the_pixels_of_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "gmc.txt"
    path.write_text("1 1 0 0 0 1 0\n2 1 0.5 11 0 1 6\n")
    motion = FileCameraMotion(path, 2, (0.5, 2.0))  # pixels of the file for a square one: twice as wide, half as high
    nobody = np.zeros((0, 4))
    frames = [Frame("c", index, float(index), blank_image(48, 64)) for index in range(2)]
    motion.step(frames[0], nobody)
    np.testing.assert_allclose(motion.step(frames[1], nobody), [[1, 2, 22], [0, 1, 3]])
