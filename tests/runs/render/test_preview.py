"""The picture of a run that goes on, and how far it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from app.config import RenderSettings
from app.footage.camera import SourceInfo
from app.frames import Detections, Frame, FrameResult
from app.runs.folder.layout import PICTURE_FILE, PROGRESS_FILE
from app.runs.folder.progress import Progress, read_progress
from app.runs.render.preview import Preview

INFOS = [SourceInfo(name, 320, 240, 10.0, 20, 0.0, False, True, f"{name}.mp4", None, ()) for name in ("left", "right")]


def result(camera: str, index: int) -> FrameResult:
    """A frame of stripes with one person who is in the middle."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, ::4] = 255
    detections = Detections(np.array([[120, 40, 200, 220]], np.float32), np.array([0.9], np.float32))
    return FrameResult(Frame(camera, index, index / 10, image), detections, np.array([1]), np.array([5]))


def test_a_run_can_be_watched_while_it_goes_on(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    with Preview(tmp_path, INFOS, RenderSettings()) as preview:
        preview.write(result("left", 0))
        preview.report(Progress(1, 40, 0.5, 1, 2))
        assert read_progress(tmp_path) == Progress(1, 40, 0.5, 1, 2)
        wall = cv2.imread(str(tmp_path / PICTURE_FILE))
        assert wall.shape[1] > wall.shape[0] > 240  # two cameras side by side
        left, right = wall[:, : wall.shape[1] // 2], wall[:, wall.shape[1] // 2 :]
        assert left.std() > 3 * right.std()  # the other one has no picture yet
        preview.write(result("right", 0))
        preview.report(Progress(2, 40, 0.6, 1, 2))  # within the same second: nothing is written
        assert read_progress(tmp_path) == Progress(1, 40, 0.5, 1, 2)
    assert not (tmp_path / PICTURE_FILE).exists()
    assert not (tmp_path / PROGRESS_FILE).exists()


def test_people_are_unrecognisable_where_the_video_blurs_them(tmp_path: Path) -> None:
    contrast = {}
    for blur in (False, True):
        with Preview(tmp_path, INFOS[:1], RenderSettings(blur=blur)) as preview:
            preview.write(result("left", 0))
            preview.report(Progress(1, 40, 0.5, 1, 1))
            wall = cv2.imread(str(tmp_path / PICTURE_FILE), cv2.IMREAD_GRAYSCALE)
        height, width = wall.shape
        inside = wall[int(0.4 * height) : int(0.6 * height), int(0.46 * width) : int(0.54 * width)]
        contrast[blur] = float(inside.std())
    assert contrast[True] < 0.3 * contrast[False]
