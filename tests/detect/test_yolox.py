"""The YOLOX layout: cells of three grids, decoded as the paper says."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from app import boxes as geometry
from app.config import DetectSettings
from app.detect import build_detector
from app.detect.yolox import has_yolox_layout
from app.errors import InputError
from app.frames import Frame

CELLS = 8 * 12 + 4 * 6 + 2 * 3  # of an input of 64 × 96 at strides 8, 16, 32


def test_cells_are_decoded(tmp_path: Path, small_networks: ModuleType) -> None:
    answer = np.zeros((1, CELLS, 85), np.float32)
    # Column 2, row 1 at stride 8; then column 5, row 3 at stride 16, where the box is twice as wide as the stride.
    answer[0, 12 + 2, :7] = [0.5, 0.5, 0, 0, 0.8, 0.5, 0.9]
    answer[0, 96 + 3 * 6 + 5, :7] = [0, 0, np.log(2), 0, 0.9, 0.9, 0]
    path = small_networks.write_onnx(tmp_path / "x.onnx", answer, (64, 96))
    assert has_yolox_layout(path)
    frame = small_networks.make_frame(height=128, width=192)  # twice the input
    found = build_detector(DetectSettings(weights=str(path)), []).detect([frame])[0]
    np.testing.assert_allclose(found.scores, [0.81, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.boxes, [[128, 80, 192, 112], [32, 16, 48, 32]], atol=1e-4)


def test_ultralytics_layout_is_not_taken_for_it(tmp_path: Path, small_networks: ModuleType) -> None:
    path = small_networks.write_onnx(tmp_path / "u.onnx", np.zeros((1, 5, CELLS), np.float32), (64, 96))
    assert not has_yolox_layout(path)


def test_classes_that_it_does_not_name_are_not_guessed(tmp_path: Path, small_networks: ModuleType) -> None:
    path = small_networks.write_onnx(tmp_path / "x.onnx", np.zeros((1, CELLS, 8), np.float32), (64, 96))
    with pytest.raises(InputError, match="does not name its 3 classes"):
        build_detector(DetectSettings(weights=str(path)), [])


def test_it_does_not_run_on_a_gpu(tmp_path: Path, small_networks: ModuleType) -> None:
    path = small_networks.write_onnx(tmp_path / "x.onnx", np.zeros((1, CELLS, 6), np.float32), (64, 96))
    with pytest.raises(InputError, match="CPU"):
        build_detector(DetectSettings(weights=str(path), device="cuda:0"), [])


def test_finds_the_people_of_a_real_picture(shared_data: Path) -> None:
    video = cv2.VideoCapture(str(shared_data / "mot" / "PETS09-S2L1" / "vtest.avi"))
    image = video.read()[1]
    truth = np.loadtxt(shared_data / "mot" / "PETS09-S2L1" / "gt" / "gt.txt", delimiter=",")
    truth = truth[truth[:, 0] == 1, 2:6]
    truth[:, 2:] += truth[:, :2]
    settings = DetectSettings(weights=str(shared_data / "weights" / "yolox_nano.onnx"), min_score=0.3)
    found = build_detector(settings, []).detect([Frame("a", 0, 0.0, np.asarray(image))])[0]
    overlap = geometry.iou(truth, found.boxes.astype(float))
    assert (overlap.max(axis=1) > 0.5).all()  # everybody is found
