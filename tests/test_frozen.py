"""A camera that is stuck is told from one that looks at a quiet scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.frozen import HOLD_S, FrozenWatch

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
