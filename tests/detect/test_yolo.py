"""Ultralytics networks: the same boxes as Ultralytics itself, every kind of file, and nothing loaded on trust."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from app import boxes as geometry
from app.config import DetectSettings
from app.detect import build_detector, yolo_weights
from app.detect import bundled as bundled_module
from app.detect.bundled import bundled_weights
from app.detect.yolo_outputs import person_classes
from app.detect.yolo_weights import find_weights, load_ultralytics, load_weights
from app.errors import InputError
from app.frames import Detections, Frame
from app.system.checksum import read_tensors
from app.system.openvino_cache import cache_folder, convert_once

ROOT = Path(__file__).parents[2]
Weights = Callable[[bool], Path]


def vtest_frames(shared_data: Path, count: int) -> list[Frame]:
    """Every 150th picture of vtest.avi."""
    video = cv2.VideoCapture(str(shared_data / "mot" / "PETS09-S2L1" / "vtest.avi"))
    frames = []
    for index in range(count):
        video.set(cv2.CAP_PROP_POS_FRAMES, index * 150)
        frames.append(Frame("a", index, index / 10, np.asarray(video.read()[1])))
    return frames


def assert_same(found: Detections, boxes: np.ndarray, scores: np.ndarray, iou: float, score: float) -> None:
    """Each of the wanted boxes is found, with its score, and nothing else."""
    assert len(found) == len(boxes)
    overlap = geometry.iou(boxes, found.boxes)
    assert (overlap.max(axis=1) > iou).all()
    np.testing.assert_allclose(found.scores[overlap.argmax(axis=1)], scores, atol=score)


@pytest.mark.parametrize(
    ("weights", "backend"), [("yolo26n.pt", "torch"), ("yolo26n.pt", "openvino"), ("yolo11n.pt", "torch")]
)
def test_agrees_with_ultralytics_on_real_pictures(shared_data: Path, weights: str, backend: str) -> None:
    frames = vtest_frames(shared_data, 2)
    path = shared_data / "weights" / weights
    settings = DetectSettings(
        weights=str(path),
        backend=backend,  # type: ignore[arg-type]
        device="cpu",
        min_score=0.25,
        # Ultralytics keeps what overlaps where a network is end-to-end.
        max_overlap_iou=1.0 if weights == "yolo26n.pt" else 0.7,
    )
    found = build_detector(settings, []).detect(frames)
    load_ultralytics()
    from ultralytics import YOLO

    network = YOLO(path)
    for frame, mine in zip(frames, found, strict=True):
        theirs = network.predict(frame.image, conf=0.25, iou=0.7, classes=[0], imgsz=640, device="cpu", verbose=False)
        boxes = theirs[0].boxes
        assert len(boxes) > 2
        assert_same(mine, boxes.xyxy.numpy(), boxes.conf.numpy(), iou=0.98, score=0.02)


@pytest.mark.parametrize("end2end", [False, True])
def test_openvino_agrees_with_torch(small_weights: Weights, small_networks: ModuleType, end2end: bool) -> None:
    frames = [small_networks.make_frame("a", 0), small_networks.make_frame("b", 1, 90, 60)]
    results = [
        build_detector(
            DetectSettings(
                weights=str(small_weights(end2end)), backend=backend, device="cpu", image_size_px=96, min_score=0.5
            ),
            [],
        ).detect(frames)
        for backend in ("torch", "openvino")
    ]
    for torch_found, openvino_found in zip(*results, strict=True):
        assert len(torch_found) > 0
        assert_same(openvino_found, torch_found.boxes, torch_found.scores, iou=0.98, score=0.01)


@pytest.mark.parametrize("end2end", [False, True])
def test_own_format_keeps_the_network(small_weights: Weights, small_networks: ModuleType, end2end: bool) -> None:
    model = small_networks.small_yolo(end2end)
    loaded = load_weights(small_weights(end2end))
    assert loaded.names == {0: "cat", 1: "person"}
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.eval()(images)[0], model(images)[0], atol=0.05, rtol=0.01)  # float16


def test_own_format_that_does_not_fit_is_refused(small_weights: Weights, tmp_path: Path) -> None:
    weights, description = small_weights(True), small_weights(True).with_suffix(".yaml")
    path = tmp_path / "other.safetensors"
    path.write_bytes(weights.read_bytes())
    with pytest.raises(InputError, match=r"other\.yaml: cannot read the description"):
        load_weights(path)
    path.with_suffix(".yaml").write_text(description.read_text().replace("nc: 2", "nc: 3"))
    with pytest.raises(InputError, match=r"other\.yaml: damaged, or of other weights than other\.safetensors"):
        load_weights(path)
    path.with_suffix(".yaml").write_text(description.read_text())
    path.write_bytes(weights.read_bytes()[:-2] + b"xx")
    with pytest.raises(InputError, match=r"other\.safetensors: damaged"):
        load_weights(path)


def test_the_bundled_detector_comes_first(small_weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = small_weights(True)
    monkeypatch.setattr(bundled_module, "BUNDLED_FOLDER", bundled.parent)
    monkeypatch.setattr(bundled_module, "DEFAULT_BUNDLED", bundled.stem)
    assert find_weights("auto") == bundled
    assert bundled_weights("auto") == bundled_weights(bundled.stem) == bundled
    assert bundled_weights(str(bundled)) is bundled_weights("yolo26n.pt") is None


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No bundled weights, an empty cache and nobody who answers; returns the cache folder."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(bundled_module, "BUNDLED_FOLDER", tmp_path / "nothing")
    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path / "cache"


@pytest.mark.parametrize("weights", ["auto", "yolo26n.pt", "yolo11s.pt"])
def test_without_a_network_the_error_says_what_to_do(no_network: Path, weights: str) -> None:
    with pytest.raises(InputError, match=r"cannot download.*Name or service not known.*--detector file:"):
        find_weights(weights)


def test_a_download_goes_to_the_cache_and_happens_once(
    no_network: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load_ultralytics()
    calls = []

    def download(path: Path, **_: object) -> str:
        calls.append(path)
        path.write_bytes(b"weights")
        return str(path)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ultralytics.utils.downloads.attempt_download_asset", download)
    monkeypatch.setattr(yolo_weights, "_check_reachable", lambda url: None)
    first = find_weights("auto")
    assert find_weights("yolo26n.pt") == first == no_network / "weights" / "yolo26n.pt"
    assert len(calls) == 1
    assert not (tmp_path / "yolo26n.pt").exists()


def test_a_name_that_is_neither_a_file_nor_official(no_network: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file yolo99\.pt"):
        find_weights("yolo99.pt")


class Intruder:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_an_unknown_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "unknown.pt"
    torch.save({"model": Intruder(f"touch {tmp_path}/executed")}, path)
    with pytest.raises(InputError, match=r"origin of this one is unknown \(sha256 [0-9a-f]{64}\).*--trust-weights"):
        build_detector(DetectSettings(weights=str(path)), [])
    assert not (tmp_path / "executed").exists()


def test_a_downloaded_pickle_may_use_permitted_classes_only(no_network: Path, tmp_path: Path) -> None:
    path = no_network / "weights" / "yolo26n.pt"
    path.parent.mkdir(parents=True)
    torch.save({"model": Intruder(f"touch {tmp_path}/executed")}, path)
    with pytest.raises(InputError, match="not weights that Ultralytics can load"):
        build_detector(DetectSettings(weights="yolo26n.pt"), [])
    assert not (tmp_path / "executed").exists()


def test_a_trusted_pickle_is_loaded(small_networks: ModuleType, tmp_path: Path) -> None:
    model = small_networks.small_yolo(True)
    path = tmp_path / "mine.pt"
    torch.save({"model": model}, path)
    settings = DetectSettings(weights=str(path), trust_weights=True, device="cpu", backend="torch", image_size_px=96)
    assert build_detector(settings, []).name == "mine.pt (torch, cpu)"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", pickle.dumps([1, 2])])
def test_a_damaged_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.pt: not weights that Ultralytics can load"):
        build_detector(DetectSettings(weights=str(path), trust_weights=True), [])


def test_a_network_for_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "linear.pt"
    torch.save({"model": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(InputError, match="a Linear, not a plain detection network"):
        build_detector(DetectSettings(weights=str(path), trust_weights=True), [])


def test_the_classes_of_people() -> None:
    path = Path("x.pt")
    assert person_classes({0: "dog", 1: "Person"}, [], path) == [1]
    assert person_classes({0: "head"}, [], path) == [0]
    assert person_classes({0: "pedestrian", 1: "people", 3: "car"}, [], path) == [0, 1]
    assert person_classes({0: "person", 5: "Cyclist"}, ["cyclist"], path) == [5]
    with pytest.raises(InputError, match=r"none of the network's 2 classes.*detect\.person_names.*dog, cat"):
        person_classes({0: "dog", 1: "cat"}, [], path)
    with pytest.raises(InputError, match=r"detect\.person_names: x\.pt has no class rider; its 2 are: dog, cat"):
        person_classes({0: "dog", 1: "cat"}, ["cat", "rider"], path)


@pytest.mark.parametrize("form", ["columns", "rows"])
def test_several_classes_are_people_whatever_their_numbers(
    form: str, tmp_path: Path, small_networks: ModuleType
) -> None:
    if form == "columns":
        answer = np.zeros((1, 7, 126), np.float32)
        answer[0, :, 3] = [15, 25, 10, 30, 0.9, 0.05, 0.2]  # pedestrian
        answer[0, :, 8] = [50, 25, 10, 30, 0.05, 0.9, 0.05]  # car
        answer[0, :, 9] = [80, 25, 10, 30, 0.1, 0.05, 0.8]  # people
    else:
        answer = np.zeros((1, 300, 6), np.float32)
        answer[0, :3] = [[10, 10, 20, 40, 0.9, 0], [45, 10, 55, 40, 0.9, 1], [75, 10, 85, 40, 0.8, 2]]
    path = tmp_path / "visdrone.onnx"
    names = {"names": "{0: 'Pedestrian', 1: 'car', 2: 'people'}"}
    small_networks.write_onnx(path, answer, (64, 96), names)

    def found(*wanted: str) -> list[list[float]]:
        settings = DetectSettings(weights=str(path), person_names=list(wanted))
        return build_detector(settings, []).detect([small_networks.make_frame()])[0].boxes.tolist()

    assert found() == [[10, 10, 20, 40], [75, 10, 85, 40]]
    assert found("CAR") == [[45, 10, 55, 40]]
    with pytest.raises(InputError, match="has no class bicycle; its 3 are: Pedestrian, car, people"):
        found("bicycle")


def test_exported_columns_are_read(tmp_path: Path, small_networks: ModuleType) -> None:
    answer = np.zeros((1, 6, 126), np.float32)
    answer[0, :, 5] = [48, 32, 20, 40, 0.95, 0.3]  # centre, size, cat, person
    answer[0, :, 6] = [49, 32, 20, 40, 0.0, 0.9]  # the same person, better
    answer[0, :, 9] = [20, 20, 10, 10, 0.9, 0.0]  # a cat
    path = tmp_path / "columns.onnx"
    small_networks.write_onnx(path, answer, (64, 96), {"names": "{0: 'cat', 1: 'person'}", "task": "detect"})
    found = build_detector(DetectSettings(weights=str(path)), []).detect([small_networks.make_frame()])[0]
    assert_same(found, np.array([[39.0, 12, 59, 52]]), np.array([0.9]), iou=0.999, score=1e-6)


def test_exported_rows_are_read(tmp_path: Path, small_networks: ModuleType) -> None:
    answer = np.zeros((1, 300, 6), np.float32)
    answer[0, 0] = [10, 10, 20, 40, 0.9, 1]
    answer[0, 1] = [10, 30, 20, 60, 0.8, 1]
    answer[0, 2] = [30, 10, 50, 40, 0.9, 0]
    answer[0, 3] = [11, 10, 20, 40, 0.7, 1]  # the first one again: an end-to-end network does that now and then
    path = tmp_path / "rows.onnx"
    small_networks.write_onnx(path, answer, (64, 96), {"names": "{0: 'cat', 1: 'person'}"})
    frames = [small_networks.make_frame(index=index) for index in range(3)]  # more than the one that it was made for
    for found in build_detector(DetectSettings(weights=str(path)), []).detect(frames):
        np.testing.assert_allclose(found.boxes, answer[0, :2, :4])


def test_a_description_that_is_not_of_these_weights_is_refused(tmp_path: Path, small_weights: Weights) -> None:
    path = tmp_path / "small.safetensors"
    path.write_bytes(small_weights(True).read_bytes())
    description = small_weights(True).with_suffix(".yaml").read_text()
    settings = DetectSettings(weights=str(path), min_score=0.5, image_size_px=96, device="cpu")
    changed = description.replace("person", "cat").replace("cat", "person", 1)
    assert changed != description
    path.with_suffix(".yaml").write_text(changed)  # as good a description, only of other classes
    with pytest.raises(InputError, match="of other weights"):
        build_detector(settings, [])
    path.with_suffix(".yaml").write_text(description.replace("\n", "\r\n"))  # as some tools write lines
    build_detector(settings, [])
    tensors, _ = read_tensors(path)
    safetensors.torch.save_file(tensors, path, None)
    path.with_suffix(".yaml").write_text(changed)
    build_detector(settings, [])  # weights of an earlier version say nothing of it


def test_openvino_folder(tmp_path: Path, small_networks: ModuleType, small_weights: Weights) -> None:
    def export() -> torch.nn.Module:
        model = small_networks.small_yolo(True).half().float()  # as `save_weights` keeps it
        model.model[-1].export = True
        model(torch.zeros(1, 3, 64, 96))  # anchors become constants
        return model

    network = convert_once(export, "exported", (1, 3, 64, 96))
    for suffix in (".xml", ".bin"):
        (tmp_path / f"small{suffix}").write_bytes(network.with_suffix(suffix).read_bytes())
    (tmp_path / "metadata.yaml").write_text("task: detect\nnames: {0: cat, 1: person}\n")
    frame = small_networks.make_frame()
    found = build_detector(DetectSettings(weights=str(tmp_path), min_score=0.5), []).detect([frame])[0]
    settings = DetectSettings(weights=str(small_weights(True)), min_score=0.5, image_size_px=96, device="cpu")
    wanted = build_detector(settings, []).detect([frame])[0]
    assert len(wanted) > 0
    assert_same(found, wanted.boxes, wanted.scores, iou=0.98, score=0.01)


def test_other_tasks_and_outputs_are_refused(tmp_path: Path, small_networks: ModuleType) -> None:
    flat = small_networks.write_onnx(tmp_path / "flat.onnx", np.zeros((1, 1000), np.float32), (64, 96))
    pose = small_networks.write_onnx(
        tmp_path / "pose.onnx", np.zeros((1, 56, 126), np.float32), (64, 96), {"task": "pose"}
    )
    for path in (flat, pose):
        with pytest.raises(InputError, match="not a detection network"):
            build_detector(DetectSettings(weights=str(path)), [])


def test_devices_that_are_not_there(small_weights: Weights, tmp_path: Path) -> None:
    weights = str(small_weights(True))
    with pytest.raises(InputError, match=r"detect\.device: 'tpu' is not a device"):
        build_detector(DetectSettings(weights=weights, device="tpu"), [])
    with pytest.raises(InputError, match=r"detect\.device: 'cuda:99' is not there"):
        build_detector(DetectSettings(weights=weights, device="cuda:99"), [])
    (tmp_path / "x.engine").touch()
    with pytest.raises(InputError, match=r"needs an NVIDIA GPU"):
        build_detector(DetectSettings(weights=str(tmp_path / "x.engine"), device="cpu"), [])


def test_ultralytics_is_silent_and_stays_out_of_the_users_folders(small_weights: Weights, tmp_path: Path) -> None:
    program = f"""
import os, socket
def no_look_up(*_, **__): raise AssertionError("ultralytics asked the network")
socket.getaddrinfo = socket.create_connection = no_look_up
from app.config import DetectSettings
from app.detect import build_detector
build_detector(DetectSettings(weights={str(small_weights(True))!r}, device="cpu", backend="torch"), [])
from ultralytics.utils import SETTINGS, ONLINE
from ultralytics.utils.events import events
assert not ONLINE and not SETTINGS["sync"] and not events.enabled
assert "OMP_NUM_THREADS" not in os.environ
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OMNITRACK_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert [entry.name for entry in home.iterdir() if entry.name != ".cache"] == []
    assert (tmp_path / "cache" / "ultralytics").is_dir()
    assert cache_folder() != tmp_path / "cache"
