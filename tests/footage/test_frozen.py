"""A camera that is stuck is told from one that looks at a quiet scene."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.footage.frozen import HOLD_S, FrozenWatch

AFTER_S = 10.0
Image = NDArray[np.uint8]


def scene() -> Image:
    coarse = np.random.default_rng(0).integers(20, 90, (18, 32, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (320, 180), interpolation=cv2.INTER_CUBIC), np.uint8)


def verdicts(picture_of: Callable[[int], Image], seconds: int = 20, fps: int = 5) -> list[str]:
    watch = FrozenWatch(AFTER_S, 6.0)
    return [watch.look(picture_of(n), 1000.0 + n / fps) for n in range(seconds * fps)]


def with_clock(image: Image, second: int, top: bool = True) -> Image:
    written = image.copy()
    place = (6, 16) if top else (6, 174)
    cv2.putText(written, f"2024-05-01 13:00:{second:02d}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    return written


def as_jpeg(image: Image) -> Image:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("clock", ["none", "top", "bottom"])
def test_one_picture_again_and_again_is_frozen_with_or_without_a_clock(clock: str) -> None:
    still = scene()

    def picture_of(number: int) -> Image:
        return as_jpeg(still if clock == "none" else with_clock(still, number // 5, clock == "top"))

    seen = verdicts(picture_of)
    assert seen[0] == "moving"
    assert seen[int(5 * HOLD_S) + 1] == "still", "left out before anybody calls it frozen"
    assert seen[int(5 * AFTER_S) + 1 :] == ["frozen"] * (len(seen) - int(5 * AFTER_S) - 1)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_a_quiet_night_with_the_noise_of_a_sensor_is_not(sigma: float) -> None:
    quiet, rng = scene() // 3, np.random.default_rng(1)

    def picture_of(number: int) -> Image:
        return as_jpeg(np.clip(np.rint(quiet + rng.normal(0, sigma, quiet.shape)), 0, 255).astype(np.uint8))

    assert set(verdicts(picture_of)) == {"moving"}


def test_somebody_small_who_walks_before_a_scene_without_noise_is_seen() -> None:
    def picture_of(number: int) -> Image:
        image = scene()
        image[80:100, 20 + number : 26 + number] = 200
        return image

    assert set(verdicts(picture_of)) == {"moving"}


def test_it_moves_again_at_once() -> None:
    watch = FrozenWatch(AFTER_S, 6.0)
    pictures: Iterator[Image] = iter([scene()] * 3 + [255 - scene()])
    assert [watch.look(next(pictures), time_s) for time_s in (0.0, 5.0, 12.0, 12.2)] == [
        "moving",
        "still",
        "frozen",
        "moving",
    ]
    assert watch.moved_s == 12.2


def test_it_can_be_switched_off() -> None:
    watch = FrozenWatch(0.0, 6.0)
    assert {watch.look(scene(), time_s) for time_s in (0.0, 100.0)} == {"moving"}


def as_h264(pictures: Iterator[Image], fps: int, **options: str) -> list[Image]:
    """Return pictures as a camera sends them that codes them as H.264, with a key picture every 2 s."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 180, "yuv420p", 2 * fps
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "sc_threshold": "0", **options}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("quality", ["23", "30"])
@pytest.mark.parametrize("sigma", [0.0, 0.6, 2.0])
def test_a_sensor_that_is_stuck_before_an_encoder_is_told_from_one_that_makes_noise(sigma: float, quality: str) -> None:
    rng = np.random.default_rng(2)
    stuck = np.clip(scene() + rng.normal(0, 1.5, (180, 320, 3)), 0, 255)

    def pictures() -> Iterator[Image]:
        for number in range(5 * 40):
            picture = np.clip(np.rint(stuck + rng.normal(0, sigma, stuck.shape)), 0, 255).astype(np.uint8)
            yield with_clock(picture, number // 5)

    shown = as_h264(pictures(), 5, crf=quality)
    seen = verdicts(lambda number: shown[number], seconds=len(shown) // 5)
    if sigma:
        assert "frozen" not in seen
        assert seen.count("moving") > 0.9 * len(seen)
    else:
        assert seen[-5:] == ["frozen"] * 5


def test_a_short_film_again_and_again_is_not_frozen() -> None:
    def picture_of(number: int) -> Image:
        image = scene()
        image[80:110, 10 * (number % 30) : 10 * (number % 30) + 12] = 200
        return image

    assert set(verdicts(picture_of, seconds=60)) == {"moving"}
