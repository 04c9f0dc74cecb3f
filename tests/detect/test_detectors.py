"""What every detector of `BUILDERS` must do, and which one a setting picks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from app.config import DetectSettings
from app.detect import BUILDERS, build_detector
from app.errors import InputError
from app.frames import Detections

Weights = Callable[[bool], Path]


@pytest.fixture(params=sorted(BUILDERS))
def setting(
    request: pytest.FixtureRequest, tmp_path: Path, small_networks: ModuleType, small_weights: Weights
) -> DetectSettings:
    """Settings that pick each detector in turn."""
    if request.param == "file":
        for camera in "ab":
            (tmp_path / camera).mkdir()
            (tmp_path / camera / "det.txt").write_text("1,-1,1,2,30,40,0.9\n1,-1,5,5,20,20,0.4\n")
        return DetectSettings(weights="file:det.txt")
    if request.param == "yolo":
        return DetectSettings(weights=str(small_weights(False)), image_size_px=64, device="cpu", min_score=0.3)
    cells = 8 * 12 + 4 * 6 + 2 * 3
    answer = np.zeros((1, cells, 6), np.float32)
    answer[0, [3, 50, 100], 4:] = 0.9
    return DetectSettings(weights=str(small_networks.write_onnx(tmp_path / "x.onnx", answer, (64, 96))))


def test_contract(setting: DetectSettings, tmp_path: Path, small_networks: ModuleType) -> None:
    sources = [small_networks.make_info(camera, tmp_path / camera) for camera in "ab"]
    detector = build_detector(setting, sources)
    frames = [
        small_networks.make_frame("a", 0, 64, 96),
        small_networks.make_frame("b", 0, 100, 50),
        small_networks.make_frame("a", 1, 64, 96),
    ]
    before = [frame.image.copy() for frame in frames]
    results = detector.detect(frames)

    assert detector.name
    assert detector.detect([]) == []
    assert len(results) == len(frames)
    assert len(results[0]) > 0
    for found in results:
        assert isinstance(found, Detections)  # which checks shapes and types
        assert np.isfinite(found.boxes).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert ((found.scores >= setting.min_score) & (found.scores <= 1)).all()
    for frame, image in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame.image, image)

    again = [detector.detect([frame])[0] for frame in frames]
    for first, second in zip(results, again, strict=True):
        np.testing.assert_allclose(first.boxes, second.boxes, atol=1e-3)
        np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)


def test_raising_the_least_score_only_removes(
    setting: DetectSettings, tmp_path: Path, small_networks: ModuleType
) -> None:
    sources = [small_networks.make_info(camera, tmp_path / camera) for camera in "ab"]
    frame = small_networks.make_frame("a", 0, 64, 96)
    all_found = build_detector(setting, sources).detect([frame])[0]
    limit = float(np.median(all_found.scores)) + 1e-4
    sure = build_detector(setting.model_copy(update={"min_score": limit}), sources).detect([frame])[0]
    np.testing.assert_allclose(sure.boxes, all_found.boxes[all_found.scores >= limit], atol=1e-3)


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    for name in ("broken.onnx", "broken.pt", "broken.safetensors", "broken.xml", "broken.txt"):
        (tmp_path / name).write_bytes(b"not a network")
        (tmp_path / "broken.yaml").write_text("nothing: 1")
        with pytest.raises(InputError, match=name.replace("safetensors", "yaml")):
            build_detector(DetectSettings(weights=str(tmp_path / name), trust_weights=True), [])


def test_importing_the_package_loads_neither_torch_nor_ultralytics() -> None:
    program = "import sys, app.detect; assert not {'torch', 'ultralytics', 'openvino', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
