"""The motion gate: closed while nothing happens, open for whoever comes, however he comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from app.detect.gate import GatedDetector, counts_together
from app.frames import Detections, Frame, blank_image

HEIGHT, WIDTH, FPS = 180, 320, 10.0
NOBODY = Detections.empty()
Paint = Callable[[NDArray[np.float32], int], None]


def one(box: tuple[float, float, float, float], score: float) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32))


class Eye:
    """Finds what `found` says, and remembers at which frames it was asked."""

    name = "eye"
    weights_sha256 = "e" * 64

    def __init__(self, found: Callable[[int], Detections] = lambda number: NOBODY) -> None:
        self.found = found
        self.asked: list[int] = []

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.asked += [frame.index for frame in frames]
        return [self.found(frame.index) for frame in frames]


def watch(eye: Eye, paint: Paint, frames: int, noise: float = 2.0, every_s: float = 60.0) -> list[Detections]:
    """Show a street for `frames` pictures, each changed by `paint`; return what the gated detector says."""
    rng = np.random.default_rng(0)
    street = rng.uniform(40, 160, (HEIGHT // 20, WIDTH // 20)).repeat(20, 0).repeat(20, 1).astype(np.float32)
    gated = GatedDetector(eye, every_s, 1.0, 0.4)
    answers = []
    for number in range(frames):
        grey = street.copy()
        paint(grey, number)
        grey = grey + rng.normal(0, noise, grey.shape)
        image = np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
        answers += gated.detect([Frame("street", number, number / FPS, image)])
    assert gated.counts["street"] == {"frames": frames, "looked_at": len(eye.asked)}
    return answers


def empty(grey: NDArray[np.float32], number: int) -> None:
    pass


def walker(step: float, contrast: float = 40.0, height: int = 24, first: int = 30, top: int = 100) -> Paint:
    """Somebody who comes in at the left edge at frame `first` and goes on by `step` pixels a frame."""

    def paint(grey: NDArray[np.float32], number: int) -> None:
        right = int(step * (number - first))
        if right > 0:
            grey[top : top + height, max(0, right - height // 3) : right] -= contrast

    return paint


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
def test_it_does_not_look_at_an_empty_street(noise: float) -> None:
    eye = Eye()
    watch(eye, empty, 200, noise)
    assert eye.asked[0] == 0
    assert len(eye.asked) <= 4


@pytest.mark.parametrize(
    ("paint", "noise", "within"),
    [
        (walker(4.0), 2.0, 3),
        (walker(0.1), 2.0, 60),  # six pixels in a minute's tenth: nobody is learned away
        (walker(3.0, contrast=7.0), 2.0, 6),  # a dark coat at night
        (walker(3.0, contrast=25.0), 8.0, 6),  # the noise of an infrared camera
        (walker(2.0, height=12), 2.0, 6),  # far away
        (walker(2.0, top=HEIGHT - 24), 2.0, 6),  # in the corner
    ],
)
def test_whoever_comes_in_is_looked_at(paint: Paint, noise: float, within: int) -> None:
    eye = Eye()
    watch(eye, paint, 130, noise)
    assert any(30 < number <= 30 + within for number in eye.asked)
    assert not [number for number in eye.asked if 3 < number < 30]


def test_somebody_who_stands_still_is_not_lost() -> None:
    standing = one((0, 100, 8, 124), 0.8)
    eye = Eye(lambda number: standing if number >= 31 else NOBODY)
    answers = watch(eye, lambda grey, number: walker(2.0)(grey, min(number, 34)), 200)
    assert [len(answer) for answer in answers[40:]] == [1] * 160
    assert eye.asked[-165:] == list(range(35, 200)), "as long as he is there, every picture"


def test_a_weak_box_goes_on_showing_whoever_was_there() -> None:
    box = (0.0, 100.0, 8.0, 124.0)
    eye = Eye(lambda number: one(box, 0.8 if number == 31 else 0.2) if number >= 31 else NOBODY)
    watch(eye, lambda grey, number: walker(2.0)(grey, min(number, 34)), 100)
    assert eye.asked[-1] == 99


def test_it_goes_on_looking_for_a_while_after_the_last_person() -> None:
    eye = Eye(lambda number: one((0, 100, 8, 124), 0.8) if number in (31, 32) else NOBODY)
    watch(eye, lambda grey, number: walker(4.0)(grey, number) if number in (31, 32) else None, 100)
    assert set(range(31, 43)) <= set(eye.asked)
    assert max(eye.asked) < 50


def test_where_it_does_not_look_its_last_answer_stands() -> None:
    """A box that is too weak for a person may hide one all the same where everybody is blurred."""
    weak = one((200, 60, 230, 120), 0.2)
    eye = Eye(lambda number: weak)
    answers = watch(eye, empty, 60)
    assert len(eye.asked) <= 3
    assert all(np.array_equal(answer.boxes, weak.boxes) for answer in answers)


def test_it_looks_now_and_then_in_any_case() -> None:
    eye = Eye()
    watch(eye, empty, 100, every_s=2.0)
    assert np.diff(eye.asked).max() <= 20
    assert len(eye.asked) <= 8
    everything = Eye()
    watch(everything, empty, 20, every_s=0.0)
    assert everything.asked == list(range(20))


def test_a_light_that_is_switched_on_costs_one_look() -> None:
    def light(grey: NDArray[np.float32], number: int) -> None:
        if number >= 50:
            grey += 40

    eye = Eye()
    watch(eye, light, 150)
    assert 50 in eye.asked
    assert len(eye.asked) <= 6


def test_a_clock_in_the_picture_opens_it_no_more_after_a_while() -> None:
    def clock(grey: NDArray[np.float32], number: int) -> None:
        grey[5:15, 250:300] = 255 * np.random.default_rng(number // 10).integers(0, 2, (10, 50))

    eye = Eye()
    watch(eye, clock, 600)
    assert len(eye.asked) < 60
    assert len([number for number in eye.asked if number >= 300]) < 15

    def clock_and_walker(grey: NDArray[np.float32], number: int) -> None:
        clock(grey, number)
        walker(3.0, first=400)(grey, number)

    eye = Eye()
    watch(eye, clock_and_walker, 500)
    assert any(400 < number <= 406 for number in eye.asked), "elsewhere it is as watchful as before"


def test_cameras_have_gates_of_their_own_and_blank_frames_are_passed_on() -> None:
    eye = Eye()
    gated = GatedDetector(eye, 60.0, 1.0, 0.4)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for number in range(5):
        dark = image if number < 3 else image // 3
        gated.detect([Frame("left", number, number / FPS, image), Frame("right", number, number / FPS, dark)])
    assert gated.counts == {"left": {"frames": 5, "looked_at": 1}, "right": {"frames": 5, "looked_at": 2}}
    assert (gated.name, gated.weights_sha256) == (eye.name, eye.weights_sha256)
    blank = [Frame("none", number, number / FPS, blank_image(HEIGHT, WIDTH), has_pixels=False) for number in range(3)]
    assert [len(gated.detect([frame])) for frame in blank] == [1, 1, 1]
    assert gated.counts["none"] == {"frames": 3, "looked_at": 3}


def test_a_picture_of_another_size_is_looked_at() -> None:
    eye = Eye()
    gated = GatedDetector(eye, 60.0, 1.0, 0.4)
    for number, side in enumerate((200, 200, 240, 240)):
        gated.detect([Frame("street", number, number / FPS, np.full((side, side, 3), 90, np.uint8))])
    assert eye.asked == [0, 2]


def test_counts_of_the_parts_of_a_run_add_up() -> None:
    first = {"a": {"frames": 5, "looked_at": 2}}
    assert counts_together(first, {"a": {"frames": 1, "looked_at": 1}, "b": {"frames": 2, "looked_at": 0}}) == {
        "a": {"frames": 6, "looked_at": 3},
        "b": {"frames": 2, "looked_at": 0},
    }
    assert counts_together({}, first) == first
