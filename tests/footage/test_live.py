"""Streams over a local server: reading, reconnecting, giving up, and keeping the password to ourselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from app.config import SourceSettings
from app.errors import InputError
from app.footage.camera import PLAIN
from app.footage.live import LiveFootage, arrival_time
from app.footage.sources import open_sources
from app.footage.ticks import ticks
from app.frames import Frame

SETTINGS = SourceSettings(stream_timeout_s=2.0, reconnect_s=1.0)


@pytest.fixture
def camera(camera_server: ModuleType, small_videos: ModuleType) -> Iterator[Any]:
    server = camera_server.CameraServer(lambda _, number: small_videos.numbered_picture(number), pictures=20)
    yield server
    server.close()


def test_stream_is_read_reconnected_and_numbered(camera: Any, small_videos: ModuleType) -> None:
    before = arrival_time()
    [source] = open_sources([f"http://{camera.address}/live/main"], [], SETTINGS)
    assert source.info.live
    assert (source.info.width, source.info.height, source.info.frame_count) == (64, 48, None)
    assert source.info.camera == "127.0.0.1_live_main"
    assert source.info.start_time >= before
    frames: list[Frame] = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 30:  # more than one connection gives
            break
    assert camera.connections >= 3, "one to look, two to read"
    assert [frame.index for frame in frames] == list(range(30))
    assert [small_videos.picture_number(frame.image) for frame in frames[:5]] == [0, 1, 2, 3, 4]
    assert all(a.time <= b.time for a, b in pairwise(frames))
    assert frames[0].time >= before
    assert frames[-1].time <= arrival_time()


def test_a_stream_that_stays_away_is_given_up(camera: Any, caplog: pytest.LogCaptureFixture) -> None:
    secret = "hunter2"
    url = f"http://admin:{secret}@{camera.address}/live?token={secret}"
    camera.refuses_after = 2
    with caplog.at_level(logging.DEBUG, logger="app"):
        [source] = open_sources([url], [], SETTINGS)
        seen = [frame for tick in ticks([source], {source.info.camera: 100}) for frame in tick]
    assert seen[0].index >= 100, "a resumed live source counts on"
    assert 1 <= len(seen) <= 20
    assert source.dropped <= 20 - len(seen)
    assert "not back within 1 s" in source.problem
    changes = source.changes()
    assert [change.state for change in changes] == ["live", "lost"]
    assert secret not in caplog.text + source.problem + repr(source.info) + repr(changes)


def test_closing_ticks_ends_a_stream_that_is_lost(camera: Any) -> None:
    camera.refuses_after = 2
    [source] = open_sources([f"http://{camera.address}/live"], [], SourceSettings(reconnect_s=1000.0))
    running = ticks([source])
    next(running)
    time.sleep(0.4)  # the connection is lost by now
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 2.0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode ")]


def test_a_stream_that_cannot_be_opened_is_an_error_without_the_password() -> None:
    with pytest.raises(InputError, match="cannot be opened") as error:
        open_sources(["rtsp://admin:hunter2@127.0.0.1:9/stream1"], [], SETTINGS)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
    assert "rtsp://***@127.0.0.1:9/stream1" in str(error.value)


def test_recordings_and_live_cameras_do_not_mix(camera: Any, small_videos: ModuleType, tmp_path) -> None:
    video = small_videos.write(tmp_path / "a.mp4", 2)
    with pytest.raises(InputError, match="cannot run together"):
        open_sources([str(video), f"http://{camera.address}/live"], [], SETTINGS)


def test_a_recording_behind_http_is_a_recording(
    small_videos: ModuleType, tmp_path, web_server: Callable[[Path], str]
) -> None:
    address = web_server(small_videos.write(tmp_path / "clip.mp4", 12, index_first=True))
    [source] = open_sources([f"http://{address}"], [], SETTINGS)
    assert not source.info.live
    assert [frame.time for frame in source] == pytest.approx(np.arange(12) / 10)


def test_a_camera_number_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="camera 97: cannot be opened"):
        open_sources(["97"], [], SETTINGS)


def test_a_camera_that_changes_its_picture_size_is_scaled_back() -> None:
    sizes = iter([(64, 48), (64, 48), (32, 24), (64, 24)])

    class Connection:
        def __init__(self) -> None:
            self.width, self.height = next(sizes, (64, 48))
            self.fps, self.reading = 10.0, PLAIN
            self._left = 2

        def read(self) -> np.ndarray | None:
            self._left -= 1
            return np.full((self.height, self.width, 3), 255, np.uint8) if self._left >= 0 else None

        def close(self) -> None:
            pass

    footage = LiveFootage(Connection, Connection(), "cam", "camera", SourceSettings())
    pictures = footage.video_frames(0)
    images = [next(pictures).image for _ in range(6)]
    assert {image.shape for image in images} == {(48, 64, 3)}
    assert [float(image.mean()) for image in images] == [255.0] * 4 + [127.5] * 2, "another shape has black beside it"
    footage.stop()
    assert list(pictures) == []


def test_pixels_of_a_live_camera_may_be_narrow(camera: Any, tmp_path: Any) -> None:
    listed = tmp_path / "cameras.yaml"
    listed.write_text(f"cameras:\n- files: http://{camera.address}/live/main\n  aspect: 2\n")
    (source,) = open_sources([str(listed)], [], SETTINGS)
    assert (source.info.width, source.info.height, source.info.reading.file_size) == (128, 48, (64, 48))
    assert next(iter(source)).image.shape == (48, 128, 3)
    source.stop()
