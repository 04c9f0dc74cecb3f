"""The online loop: what each part is asked, in which order, and that results stay aligned."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.config import GallerySettings, RenderSettings, Settings, TrackSettings
from app.footage.camera import SourceInfo
from app.frames import NO_ID, Detections, Frame, FrameResult
from app.pipeline.step import Lane, Pipeline, Sink, Stopwatch, detect_ahead
from app.reid.calibrate import Calibration
from app.runs.folder.writer import RunWriter
from app.runs.render.videos import open_videos
from app.track.gallery import PersonGallery
from app.track.tracker import CameraTracker
from app.track.tracklets import TrackletBuilder

ROOT = Path(__file__).resolve().parents[2]
DIMENSION = 4
CALIBRATION = Calibration(
    np.zeros(DIMENSION, np.float32), np.array([0.0, 1.0], np.float32), np.array([0.99, 0.01], np.float32)
)


def frame(camera: str, index: int, fps: float = 10.0) -> Frame:
    image = np.zeros((120, 200, 3), np.uint8)
    image[:, :100] = (200, 30, 30)
    image[:, 100:] = (30, 30, 200)
    return Frame(camera, index, index / fps, image)


def two_people(index: int) -> Detections:
    """A person in the blue half who walks right, and one in the red half who walks left."""
    boxes = np.array([[10 + index, 20, 30 + index, 80], [170 - index, 30, 190 - index, 90]], np.float32)
    return Detections(boxes, np.array([0.9, 0.8], np.float32))


class FakeDetector:
    name = "fake"
    weights_sha256 = ""

    def __init__(self, fail_at: int = 10**9, delay_s: float = 0.0) -> None:
        self.calls = 0
        self.fail_at = fail_at
        self.delay_s = delay_s

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls += 1
        time.sleep(self.delay_s)
        if self.calls == self.fail_at:
            raise RuntimeError("the detector broke")
        return [two_people(frame.index) for frame in frames]


class ColourEmbedder:
    """Embeds the colour in the middle of a box, and counts what it was asked."""

    name = "colour"
    weights_sha256 = ""
    dimension = DIMENSION
    calibration = CALIBRATION

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.floating[Any]]]
    ) -> list[NDArray[np.float32]]:
        self.batches.append(sum(map(len, boxes)))
        vectors = []
        for image, rows in zip(images, boxes, strict=True):
            centers = ((rows[:, :2] + rows[:, 2:]) / 2).astype(int)
            colours = image[centers[:, 1], centers[:, 0]].astype(np.float32)
            full = np.zeros((len(rows), DIMENSION), np.float32)
            full[:, :3] = colours / np.maximum(np.linalg.norm(colours, axis=1, keepdims=True), 1)
            vectors.append(full)
        return vectors


class Still:
    """No camera motion."""

    def step(self, frame: Frame, people: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.eye(2, 3)


class Recorder:
    def __init__(self) -> None:
        self.results: list[FrameResult] = []

    def write(self, result: FrameResult) -> None:
        self.results.append(result)


def build(cameras: Sequence[str], embedder: ColourEmbedder | None, sinks: Sequence[Sink] = ()) -> Pipeline:
    calibration = CALIBRATION if embedder else None
    dimension = DIMENSION if embedder else 0
    lanes = {
        camera: Lane(CameraTracker(TrackSettings(), camera, calibration, dimension), Still(), TrackletBuilder(camera))
        for camera in cameras
    }
    return Pipeline(lanes, embedder, PersonGallery(GallerySettings(), calibration), sinks)


def run(pipeline: Pipeline, cameras: Sequence[str], count: int = 60) -> None:
    for index in range(count):
        pipeline.step([frame(camera, index) for camera in cameras], [two_people(index)] * len(cameras))


def test_one_batch_over_all_cameras_and_few_embeddings() -> None:
    embedder = ColourEmbedder()
    run(build(["a", "b", "c"], embedder), ["a", "b", "c"])
    assert len(embedder.batches) == 60
    assert embedder.batches[0] == 6  # everybody is new
    assert sum(embedder.batches) < 0.4 * 60 * 6


def test_a_person_has_one_id_on_all_cameras() -> None:
    recorder = Recorder()
    pipeline = build(["a", "b"], ColourEmbedder(), [recorder])
    run(pipeline, ["a", "b"])
    last = {result.frame.camera: result for result in recorder.results}
    assert last["a"].person_ids.tolist() == last["b"].person_ids.tolist()
    assert len(set(last["a"].person_ids.tolist())) == 2
    assert NO_ID not in last["a"].person_ids
    assert pipeline.people == 2
    assert {(d.camera, d.track_id) for d in pipeline.decisions()} == {("a", 1), ("a", 2), ("b", 1), ("b", 2)}


def test_without_a_network_every_track_is_a_person() -> None:
    recorder = Recorder()
    run(build(["a", "b"], None, [recorder]), ["a", "b"])
    last = {result.frame.camera: result for result in recorder.results}
    assert len({*last["a"].person_ids.tolist(), *last["b"].person_ids.tolist()}) == 4


def test_sinks_see_every_frame_in_order_with_the_rows_of_the_detector() -> None:
    recorder = Recorder()
    run(build(["a"], ColourEmbedder(), [recorder]), ["a"], 20)
    assert [result.frame.index for result in recorder.results] == list(range(20))
    for result in recorder.results:
        assert np.array_equal(result.detections.boxes, two_people(result.frame.index).boxes)


def test_tracklets_are_handed_out_once() -> None:
    pipeline = build(["a"], ColourEmbedder())
    run(pipeline, ["a"])
    assert len(pipeline.open_tracklets()) == 2
    assert len(pipeline.close()) == 2
    assert pipeline.close() == []


def info(folder: Path) -> SourceInfo:
    return SourceInfo("a", 200, 120, 10.0, 20, 0.0, False, True, "a.mp4", folder, ())


SINKS: dict[str, Callable[[Path], Any]] = {
    "run folder": lambda folder: RunWriter.create(folder / "run", Settings(), [info(folder)], {"weights": {}}),
    "videos": lambda folder: open_videos([info(folder)], folder / "video", RenderSettings(), 240),
}


@pytest.mark.parametrize("name", SINKS)
def test_every_sink_takes_frames_with_and_without_people(name: str, tmp_path: Path) -> None:
    sink = SINKS[name](tmp_path)
    empty = np.zeros(0, np.int64)
    with sink:
        sink.write(FrameResult(frame("a", 0), Detections.empty(), empty, empty))
        image = frame("a", 1)
        before = image.image.copy()
        undecided = np.array([1, NO_ID], np.int64)
        sink.write(FrameResult(image, two_people(1), undecided, np.full(2, NO_ID, np.int64)))
        assert np.array_equal(image.image, before)


def ticks(count: int) -> Iterator[list[Frame]]:
    for index in range(count):
        yield [frame("a", index)]


def test_detecting_ahead_keeps_the_order() -> None:
    seen = [frames[0].index for frames, _ in detect_ahead(ticks(30), FakeDetector(), Stopwatch())]
    assert seen == list(range(30))


def test_nobody_is_counted_of_whom_there_is_no_image() -> None:
    class Beyond(FakeDetector):
        def detect(self, frames: Sequence[Frame]) -> list[Detections]:
            boxes = np.array(
                [[10, 20, 30, 80], [-40, 20, -5, 80], [10, 120, 30, 180], [199.6, 20, 240, 80]], np.float32
            )
            return [Detections(boxes, np.full(4, 0.9, np.float32)) for _ in frames]

    for frames, detections in detect_ahead(ticks(3), Beyond(), Stopwatch()):
        assert (frames[0].width, frames[0].height) == (200, 120)
        assert detections[0].boxes.tolist() == [[10, 20, 30, 80]]


def test_an_error_while_detecting_reaches_the_caller_after_what_came_before() -> None:
    seen: list[int] = []
    with pytest.raises(RuntimeError, match="the detector broke"):
        seen.extend(frames[0].index for frames, _ in detect_ahead(ticks(30), FakeDetector(fail_at=6), Stopwatch()))
    assert seen == [0, 1, 2, 3, 4]


def test_detection_runs_ahead_but_not_far() -> None:
    detector = FakeDetector()
    detected = detect_ahead(ticks(100), detector, Stopwatch(), ahead=2)
    next(detected)
    time.sleep(0.3)
    assert 2 <= detector.calls <= 4
    detected.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "detect"]


def test_a_request_to_stop_ends_the_wait_for_a_picture() -> None:
    stop = threading.Event()
    waiting = threading.Event()

    def endless() -> Iterator[list[Frame]]:
        yield [frame("a", 0)]
        waiting.wait(5)

    detected = detect_ahead(endless(), FakeDetector(), Stopwatch(), stop)
    next(detected)
    threading.Timer(0.1, stop.set).start()
    start = time.perf_counter()
    threading.Timer(1.0, waiting.set).start()
    assert list(detected) == []
    assert time.perf_counter() - start < 4


def test_telemetry_is_off_before_any_library_is_imported() -> None:
    code = "import app, os; print(os.environ['GRADIO_ANALYTICS_ENABLED'], os.environ['YOLO_AUTOINSTALL'], "
    code += "os.environ['RAY_USAGE_STATS_ENABLED'], os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GRADIO", "YOLO", "RAY", "HF"))}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "false", "0", "1"]
