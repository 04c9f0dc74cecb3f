"""From boxes to network input: geometry, colours, and the same answer on CPU and device."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.reid.preprocess import Preprocessing, crop_on_cpu, crop_on_device, scale, whole_pixels

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


boxes_strategy = st.lists(
    st.tuples(*(st.floats(-500, 500, width=32),) * 4), min_size=0, max_size=5
).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))  # fmt: skip


@given(boxes_strategy, st.integers(1, 90), st.integers(1, 120))
def test_every_box_keeps_a_pixel_of_the_picture(boxes: NDArray[np.float32], width: int, height: int) -> None:
    x1, y1, x2, y2 = whole_pixels(boxes, width, height).T
    assert (x1 >= 0).all()
    assert (y1 >= 0).all()
    assert (x2 > x1).all()
    assert (y2 > y1).all()
    assert (x2 <= width).all()
    assert (y2 <= height).all()


def test_boxes_inside_are_rounded_and_not_moved() -> None:
    box = np.array([[3.4, 5.6, 20.5001, 41.2]], np.float32)
    np.testing.assert_array_equal(whole_pixels(box, 100, 100), [[3, 6, 21, 41]])


def test_a_box_of_no_sense_is_still_answered() -> None:
    box = np.array([[np.nan, np.inf, -np.inf, 3]], np.float32)
    assert whole_pixels(box, 10, 10).shape == (1, 4)


@settings(max_examples=30)
@given(boxes_strategy, boxes_strategy, st.sampled_from([(32, 16), (17, 40)]))
def test_device_and_cpu_agree(first: NDArray[np.float32], second: NDArray[np.float32], size: tuple[int, int]) -> None:
    images, boxes = [noise(90, 70), noise(130, 300)], [first, second]
    on_cpu = crop_on_cpu(images, boxes, *size).astype(int)
    on_device = crop_on_device(images, boxes, *size, CPU).numpy()
    assert on_device.shape == on_cpu.shape == (len(first) + len(second), *size, 3)
    assert (np.abs(on_cpu - on_device) <= 2).all()  # OpenCV rounds its weights to 11 bits, twice where it averages


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    picture = noise(20, 10)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(picture).permute(2, 0, 1)[None].float(), (64, 32), mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    assert np.abs(scale(picture, 64, 32) - expected.numpy()).max() <= 1


def test_nothing_outside_the_box_is_seen() -> None:
    image = np.full((60, 60, 3), 255, np.uint8)
    image[10:40, 20:35] = 7
    crop = crop_on_cpu([image], [np.array([[20, 10, 35, 40]], np.float32)], 64, 32)
    assert (crop == 7).all()
    assert (crop_on_device([image], [np.array([[20, 10, 35, 40]], np.float32)], 64, 32, CPU) == 7).all()


def test_shrinking_averages_fine_patterns() -> None:
    stripes = np.zeros((512, 256, 3), np.uint8)
    stripes[::2] = 255
    shrunk = scale(stripes, 128, 64)
    assert np.abs(shrunk.astype(int) - 128).max() <= 2


def test_input_is_not_modified_and_order_is_kept() -> None:
    images = [np.full((50, 50, 3), value, np.uint8) for value in (10, 20, 30)]
    copies = [image.copy() for image in images]
    box = np.array([[5, 5, 20, 40]], np.float32)
    crops = crop_on_cpu(images, [np.repeat(box, 2, 0), np.zeros((0, 4)), box], 16, 8)
    assert crops[:, 0, 0, 0].tolist() == [10, 10, 30]
    assert crop_on_device(images, [np.repeat(box, 2, 0), np.zeros((0, 4)), box], 16, 8, CPU)[:, 0, 0, 0].tolist() == [
        10,
        10,
        30,
    ]
    for image, copy in zip(images, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


def test_no_boxes_give_no_crops() -> None:
    assert crop_on_cpu([], [], 16, 8).shape == (0, 16, 8, 3)
    assert crop_on_device([noise(9, 9)], [np.zeros((0, 4))], 16, 8, CPU).shape == (0, 16, 8, 3)


def test_bgr_becomes_normalised_rgb() -> None:
    blue = np.zeros((1, 4, 2, 3), np.uint8)
    blue[..., 0] = 255
    preprocessing = Preprocessing(4, 2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.25))
    normalised = preprocessing.normalise(torch.from_numpy(blue))
    assert normalised.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(normalised[0, :, 0, 0], [-0.2, -0.4, 2.8], rtol=1e-5)
    assert cv2.cvtColor(blue[0], cv2.COLOR_BGR2RGB)[0, 0, 2] == 255
