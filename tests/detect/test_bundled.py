"""The detector that comes with the program: small, harmless to load, and it finds people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from app.boxes import iou
from app.config import DetectSettings, SimulateSettings
from app.detect import build_detector
from app.detect.bundled import BUNDLED_FOLDER
from app.detect.evaluate import Truth, evaluate_detector, score
from app.detect.yolo import close_ups, open_yolo
from app.detect.yolo_weights import find_weights, load_weights
from app.frames import Detections, Frame
from app.simulate.scene import HIDDEN_BELOW, Scene


def test_it_is_small_and_complete() -> None:
    weights = find_weights("auto")
    assert weights.parent == BUNDLED_FOLDER
    assert weights.stat().st_size <= 6e6
    assert weights.with_suffix(".md").is_file()
    assert load_weights(weights).names == {0: "person"}
    floats = [tensor for tensor in safetensors.torch.load_file(weights).values() if tensor.is_floating_point()]
    assert {str(tensor.dtype) for tensor in floats} == {"torch.float16"}


def test_it_finds_the_people_of_a_scene_that_it_was_not_trained_on() -> None:
    scene = Scene(SimulateSettings(cameras=1, people=6, seed=424_242, fps=1))
    views = list(scene.views(8))
    frames = [Frame(view.camera.name, view.index, view.time_s, view.image) for view in views]
    found = build_detector(DetectSettings(device="cpu", min_score=0.01), []).detect(frames)
    truths = [Truth(view.boxes, view.visibility >= HIDDEN_BELOW) for view in views]
    scores = score(truths, found)
    assert scores["people"] >= 12
    assert scores["AP50"] >= 0.8
    # Its description asks for fewer boxes on one person than other detectors keep; the setting has the last word.
    assert largest_overlap(found) <= 0.5
    settings = DetectSettings(device="cpu", min_score=0.01, max_overlap_iou=0.7)
    assert 0.5 < largest_overlap(build_detector(settings, []).detect(frames)) <= 0.7


def largest_overlap(found: list[Detections]) -> float:
    """Return the largest IoU of two boxes of one picture."""
    return max(float(np.triu(iou(each.boxes, each.boxes), 1).max()) for each in found if len(each))


def test_it_finds_the_people_of_a_surveillance_video(shared_data: Path) -> None:
    video = shared_data / "mot" / "PETS09-S2L1" / "vtest.avi"
    scores = evaluate_detector(DetectSettings(device="cpu"), [video], every=80)
    assert scores["vtest"]["AP50"] >= 0.45


def test_it_looks_twice_where_the_picture_can_show_people_larger_than_it_has_learned() -> None:
    settings = DetectSettings(device="cpu", image_size_px=640)
    network = open_yolo(settings)
    assert network.largest_person_px == 640  # as large as the picture: one look is enough
    assert close_ups(network, settings) is None
    assert close_ups(network, settings.model_copy(update={"image_size_px": 1280})) is not None
    knows_small_people = replace(network, largest_person_px=250)
    assert close_ups(knows_small_people, settings) is not None
    assert close_ups(knows_small_people, settings.model_copy(update={"close_up_size_px": 0})) is None
    assert close_ups(replace(network, largest_person_px=None), settings) is None


def test_it_takes_pictures_of_any_size() -> None:
    detector = build_detector(DetectSettings(device="cpu", image_size_px=320), [])
    shapes = [(48, 64), (120, 40), (360, 640)]
    frames = [Frame("a", index, float(index), np.zeros((*shape, 3), np.uint8)) for index, shape in enumerate(shapes)]
    for found, (height, width) in zip(detector.detect(frames), shapes, strict=True):
        assert (found.boxes <= [width, height, width, height]).all()


@pytest.mark.parametrize("every", [0, -3])
def test_a_senseless_step_is_refused(every: int, capsys: pytest.CaptureFixture[str]) -> None:
    from app.cli.parser import main

    assert main(["evaluate-detector", "--data", "x", "--every", str(every)]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_bundled_detectors_are_found_by_name_and_the_one_of_real_frames_by_auto() -> None:
    assert find_weights("person_n").name == "person_n.safetensors"
    assert find_weights("auto") == find_weights("person_n_frames")
    assert find_weights("auto").name == "person_n_frames.safetensors"
