"""Letterboxing, batching over cameras and removal of overlaps, with a network that finds what it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.detect.network import PADDING_GREY, CloseUps, Letterbox, NetworkDetector, remove_overlaps
from app.errors import InputError
from app.frames import Frame, blank_image

side = st.integers(1, 900)


class FakeNetwork:
    """Answers every picture with the same boxes and remembers what it was given."""

    name = "fake"
    weights = Path(__file__)

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        self.seen: list[NDArray[np.uint8]] = []
        self._answer = (np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))

    def letterbox(self, height: int, width: int) -> Letterbox:
        return Letterbox.rectangular(height, width, 64, 32)

    def find(
        self, images: NDArray[np.uint8], min_score: float
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        self.seen.append(images)
        boxes, scores = self._answer
        return [(boxes[scores >= min_score], scores[scores >= min_score])] * len(images)


def frame(height: int, width: int, grey: int = 0) -> Frame:
    return Frame("a", 0, 0.0, np.full((height, width, 3), grey, np.uint8))


@given(side, side, st.sampled_from([64, 320, 640]))
def test_rectangular_input_holds_the_picture_with_less_than_a_stride_to_spare(
    height: int, width: int, longer: int
) -> None:
    box = Letterbox.rectangular(height, width, longer, 32)
    rows, columns = box.size
    assert max(rows, columns) == longer
    assert rows % 32 == columns % 32 == 0
    assert max(box.width, box.height) == longer
    assert 0 <= columns - box.width < 32
    assert 0 <= rows - box.height < 32


@given(side, side, st.sampled_from(["rectangular", "middle", "corner"]), st.integers(0, 2**32 - 1))
def test_boxes_return_from_the_letterbox_to_where_they_were(height: int, width: int, kind: str, seed: int) -> None:
    if kind == "rectangular":
        box = Letterbox.rectangular(height, width, 640, 32)
    else:
        box = Letterbox.fixed(height, width, (416, 512), centered=kind == "middle")
    assert box.top + box.height <= box.size[0]
    assert box.left + box.width <= box.size[1]
    corners = np.random.default_rng(seed).uniform(0, 1, (5, 4)) * [width, height, width, height]
    inside = corners * ([box.scale_x, box.scale_y] * 2) + [box.left, box.top] * 2
    np.testing.assert_allclose(
        box.to_image(inside.astype(np.float32)), corners, atol=1e-3 * max(height, width) / 64 + 1e-3
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300))
def test_picture_is_prepared_as_ultralytics_does(height: int, width: int) -> None:
    from app.detect.yolo_weights import load_ultralytics

    load_ultralytics()
    from ultralytics.data.augment import LetterBox

    image = np.random.default_rng(height * 1000 + width).integers(0, 255, (height, width, 3)).astype(np.uint8)
    for box, theirs in (
        (Letterbox.rectangular(height, width, 160, 32), LetterBox((160, 160), auto=True, stride=32)),
        (Letterbox.fixed(height, width, (96, 160), centered=True), LetterBox((96, 160), auto=False)),
    ):
        ours = np.empty((*box.size, 3), np.uint8)
        box.draw(image, ours)
        np.testing.assert_array_equal(ours, theirs(image=image))


def test_picture_in_the_corner_is_padded_with_grey() -> None:
    target = np.zeros((32, 64, 3), np.uint8)
    Letterbox.fixed(10, 10, (32, 64), centered=False).draw(np.full((10, 10, 3), 7, np.uint8), target)
    assert (target[:, :32] == 7).all()
    assert (target[:, 32:] == PADDING_GREY).all()


@given(st.integers(0, 40), st.sampled_from([0.3, 0.5, 0.7]), st.integers(0, 2**32 - 1))
def test_overlaps_are_removed_as_torchvision_does(count: int, max_iou: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (count, 2))], axis=1).astype(np.float32)
    scores = random.permutation(count).astype(np.float32)
    expected = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), max_iou).numpy()
    np.testing.assert_array_equal(remove_overlaps(boxes, scores, max_iou), expected)


def test_one_call_for_all_cameras_of_one_input_size() -> None:
    network = FakeNetwork([[0, 0, 8, 8]], [0.9])
    frames = [frame(64, 64, 1), frame(32, 64, 2), frame(128, 128, 3), frame(256, 512, 4)]
    results = NetworkDetector(network, 0.1, 0.7).detect(frames)
    assert [images.shape for images in network.seen] == [(2, 64, 64, 3), (2, 32, 64, 3)]
    assert [int(image[0, 0, 0]) for images in network.seen for image in images] == [1, 3, 2, 4]
    # Each answer is scaled to the frame that it belongs to.
    assert [float(found.boxes[0, 2]) for found in results] == [8, 8, 16, 64]


def test_results_are_best_first_inside_the_frame_and_not_empty() -> None:
    boxes = [[1.0, 1, 9, 9], [-20, -20, 30, 200], [70, 10, 90, 20], [9, 9, 4, 4]]
    found = NetworkDetector(FakeNetwork(boxes, [0.5, 0.9, 0.8, 0.7]), 0.1, 0.7).detect([frame(64, 64)])[0]
    np.testing.assert_allclose(found.boxes, [[0, 0, 30, 64], [1, 1, 9, 9]])
    np.testing.assert_allclose(found.scores, [0.9, 0.5])


def test_overlaps_are_removed_whatever_the_network_says_of_itself() -> None:
    boxes = [[0.0, 0, 20, 20], [1, 1, 20, 20]]
    for max_iou, count in ((0.7, 1), (0.95, 2)):
        detector = NetworkDetector(FakeNetwork(boxes, [0.5, 0.6]), 0.1, max_iou)
        assert len(detector.detect([frame(64, 64)])[0]) == count


def test_a_second_look_adds_large_people_and_takes_away_their_parts() -> None:
    head, far, near = [20.0, 2, 30, 12], [50.0, 20, 60, 40], [10.0, 0, 40, 60]
    small_in_second = [45.0, 5, 50, 15]
    first = FakeNetwork([head, far], [0.5, 0.8])
    second = FakeNetwork([near, small_in_second], [0.7, 0.9])
    found = NetworkDetector(first, 0.1, 0.7, CloseUps(second, least_height=0.5)).detect([frame(64, 64)])[0]
    np.testing.assert_allclose(found.boxes, [far, near])
    np.testing.assert_allclose(found.scores, [0.8, 0.7])


def test_a_part_that_looks_surer_than_the_close_up_stays() -> None:
    first, second = FakeNetwork([[20.0, 2, 30, 12]], [0.9]), FakeNetwork([[10.0, 0, 40, 60]], [0.3])
    found = NetworkDetector(first, 0.1, 0.7, CloseUps(second, least_height=0.5)).detect([frame(64, 64)])[0]
    assert len(found) == 2


def test_nothing_found_and_nothing_asked() -> None:
    detector = NetworkDetector(FakeNetwork([], []), 0.1, 0.7)
    assert len(detector.detect([frame(64, 64)])[0]) == 0
    assert detector.detect([]) == []


def test_a_frame_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match=r"cam7.*no pictures.*--detector file:"):
        NetworkDetector(FakeNetwork([], []), 0.1, 0.7).detect(
            [Frame("cam7", 0, 0.0, blank_image(48, 64), has_pixels=False)]
        )
