"""The data recipe: tight boxes round what was pasted, none for hidden people, equal pictures for equal seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.detect.train import compose as recipe
from app.detect.train.compose import SMALLEST_PERSON_PX, Canvas, compose, dress, paste, random_height
from app.detect.train.photos import Photo, Stock

SIZE = 128
LARGEST = 250.0


def person(height: int = 40, width: int = 16, margin: int = 0) -> NDArray[np.uint8]:
    """An opaque red rectangle with `margin` transparent pixels around it."""
    picture = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    picture[margin : margin + height, margin : margin + width] = (0, 0, 255, 255)
    return picture


def canvas() -> Canvas:
    return Canvas.empty(np.full((SIZE, SIZE, 3), 90, np.uint8))


def stock() -> Stock:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 255, (96, 120, 3)).astype(np.uint8)
    photo = Photo(noise, np.array([[30, 20, 60, 90]], np.float32))
    scene = Photo(rng.integers(0, 255, (90, 160, 3)).astype(np.uint8), np.array([[70, 30, 90, 80]], np.float32))
    return Stock([photo], [photo], [noise[:, ::-1]], [person(200, 80), person(180, 60)], [scene])


def test_the_box_is_tight_round_the_pasted_pixels() -> None:
    drawn = canvas()
    paste(drawn, person(margin=3), x=50, foot=100)
    red = np.argwhere(drawn.image[:, :, 2] > 200)
    (y1, x1), (y2, x2) = red.min(axis=0), red.max(axis=0) + 1
    assert drawn.truth().tolist() == [[x1, y1, x2, y2]]
    assert (x2 - x1, y2 - y1) == (16, 40)


def test_a_box_covers_the_hidden_part_of_a_person_and_ends_at_the_edge_of_the_picture() -> None:
    drawn = canvas()
    paste(drawn, person(), x=30, foot=80)
    paste(drawn, person(), x=40, foot=84)  # hides some of the first one
    paste(drawn, person(), x=SIZE - 4, foot=80)
    boxes = drawn.truth()
    assert boxes[:2].tolist() == [[22, 40, 38, 80], [32, 44, 48, 84]]
    assert boxes[2].tolist() == [SIZE - 12, 40, SIZE, 80]


@pytest.mark.parametrize(("shift", "expected"), [(2, 1), (8, 2)])
def test_somebody_who_can_hardly_be_seen_has_no_box(shift: int, expected: int) -> None:
    drawn = canvas()
    paste(drawn, person(), x=30, foot=80)
    paste(drawn, person(), x=30 + shift, foot=81)
    assert len(drawn.truth()) == expected


def test_somebody_mostly_outside_or_tiny_has_no_box() -> None:
    drawn = canvas()
    paste(drawn, person(), x=-6, foot=80)
    paste(drawn, person(), x=300, foot=80)
    paste(drawn, person(9, 5), x=60, foot=80)
    assert len(drawn.truth()) == 0


def test_who_lies_under_a_piece_of_another_photo_is_forgotten_and_its_people_have_boxes() -> None:
    drawn = canvas()
    paste(drawn, person(), x=64, foot=84)
    photo = Photo(np.zeros((SIZE, SIZE, 3), np.uint8), np.array([[10, 20, 40, 100]], np.float32))
    recipe._place_window(np.random.default_rng(0), drawn, photo, 1.0)
    assert drawn.truth().tolist() == [[10, 20, 40, 100]]


def test_equal_seeds_give_equal_pictures_and_others_do_not() -> None:
    material = stock()
    first, again, other = (compose(np.random.default_rng(seed), material, SIZE, LARGEST) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.image, other.image)


def test_boxes_lie_within_the_picture_and_some_pictures_hold_several_people() -> None:
    material = stock()
    photos = [compose(np.random.default_rng([1, number]), material, SIZE, LARGEST) for number in range(20)]
    boxes = np.concatenate([photo.boxes for photo in photos])
    assert all(photo.image.shape == (SIZE, SIZE, 3) and photo.image.dtype == np.uint8 for photo in photos)
    assert boxes.min() >= 0
    assert boxes.max() <= SIZE
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert max(len(photo.boxes) for photo in photos) >= 4


@pytest.mark.parametrize("left_out", ["photos", "portraits", "empty", "cutouts", "scenes"])
def test_no_kind_of_material_is_required(left_out: str) -> None:
    material = stock()
    material = Stock(*([] if name == left_out else getattr(material, name) for name in Stock.__slots__))
    for number in range(5):
        assert compose(np.random.default_rng(number), material, SIZE, LARGEST).image.shape == (SIZE, SIZE, 3)


def test_a_dressed_person_has_about_the_asked_height_and_premultiplied_colours() -> None:
    for number in range(20):
        worn = dress(np.random.default_rng(number), person(200, 80), 50.0)
        assert 15 <= worn.shape[0] <= 51
        assert (worn[worn[:, :, 3] == 0] == 0).all()


def test_heights_are_those_of_people_in_use() -> None:
    rng = np.random.default_rng(0)
    heights = [random_height(rng, LARGEST) for _ in range(500)]
    assert min(heights) >= SMALLEST_PERSON_PX
    assert max(heights) <= LARGEST
    assert 40 < np.median(heights) < 70
    assert 300 < max(random_height(rng, 640.0) for _ in range(500)) <= 640
