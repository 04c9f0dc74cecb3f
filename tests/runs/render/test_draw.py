"""Drawing: colours of people, boxes and labels, blurring, contact sheets."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.footage.clock import format_time
from app.frames import NO_ID, blank_image
from app.runs.render.draw import (
    DARK,
    GREY,
    annotate,
    blur_boxes,
    blur_people,
    contact_sheet,
    draw_tag,
    fit,
    person_color,
    tag_size,
)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def lab(color: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(np.float32([[color]]) / 255, cv2.COLOR_BGR2LAB)[0, 0])


def draw_boxes(
    image: NDArray[np.uint8],
    boxes: list[list[float]],
    people: list[int],
    tracks: list[int] | None = None,
    **more: object,
) -> NDArray[np.uint8]:
    ids = np.array(people, np.int64)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return annotate(image, rows, ids, ids if tracks is None else np.array(tracks, np.int64), **more)  # type: ignore[arg-type]


def test_colours_of_people_are_stable_and_far_apart() -> None:
    first = [person_color(person) for person in range(12)]
    assert first == [person_color(person) for person in range(12)]
    distances = [np.linalg.norm(lab(a) - lab(b)) for i, a in enumerate(first) for b in first[:i]]
    assert min(distances) > 25, "2.3 is just noticeable"
    assert len({person_color(person) for person in range(48)}) == 48
    assert person_color(0) == person_color(48)
    assert person_color(NO_ID) == GREY
    assert all(np.hypot(*lab(color)[1:]) > 40 for color in first), "none is mistaken for grey"


def test_boxes_are_drawn_in_the_colour_of_the_person() -> None:
    image = np.full((240, 320, 3), 90, np.uint8)
    before = image.copy()
    drawn = draw_boxes(image, [[50, 60, 90, 180], [200, 60, 240, 180]], [3, NO_ID], [7, 8])
    np.testing.assert_array_equal(image, before)
    assert tuple(drawn[120, 50]) == person_color(3)
    assert tuple(drawn[120, 200]) == GREY
    np.testing.assert_array_equal(drawn[120, 60:80], image[120, 60:80])
    assert (drawn[48:58, 52:60] != 90).any(), "a label above the box"
    assert (drawn[40:58, 202:240] == 90).all(), "no label without a person"


def test_detections_without_a_track_are_not_drawn() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    np.testing.assert_array_equal(draw_boxes(image, [[10, 30, 40, 90]], [NO_ID]), image)


def test_frames_without_pixels_can_be_drawn_on() -> None:
    drawn = draw_boxes(blank_image(120, 160), [[50, 60, 90, 110]], [3])
    assert tuple(drawn[90, 50]) == person_color(3)


@settings(max_examples=30, deadline=None)
@given(
    boxes=st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4), max_size=6),
    height=st.integers(8, 200),
    width=st.integers(8, 200),
)
def test_any_box_on_any_picture(boxes: list[list[float]], height: int, width: int) -> None:
    image = noise(height, width)
    before = image.copy()
    people = list(range(len(boxes)))
    trails = {person: np.array([box[:2], box[2:]], np.float32) for person, box in enumerate(boxes)}
    drawn = draw_boxes(image, boxes, people, names={0: "a name that is wider than the picture"}, trails=trails)
    blurred = blur_boxes(image, np.array(boxes, np.float32).reshape(-1, 4))
    assert drawn.shape == blurred.shape == image.shape
    assert drawn.dtype == blurred.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_labels_do_not_cover_each_other() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    drawn = draw_boxes(image, [[100, 200, 140, 300], [108, 204, 148, 310], [112, 198, 150, 320]], [1, 2, 3])
    above = drawn[:195].reshape(-1, 3)
    width, height = tag_size("1", 13)
    for person in (1, 2, 3):
        painted = (above == person_color(person)).all(axis=1).sum()
        assert painted > 0.4 * width * height * 0.5, person


def test_tags_stay_inside_the_picture_and_are_readable() -> None:
    for color in (person_color(0), person_color(1), (0, 0, 0), (255, 255, 255)):
        canvas = np.full((60, 200, 3), 128, np.uint8)
        draw_tag(canvas, "Zoë Łuczak", 500, -40, color, 16)
        width, height = tag_size("Zoë Łuczak", 16)
        assert tuple(canvas[0, 199]) == color
        tag = canvas[:height, 200 - width :]
        text = tag[np.abs(tag.astype(int) - color).sum(axis=2) > 200]
        assert len(text) > 50
        assert (canvas[height:] == 128).all()


def test_trails_are_drawn_in_the_persons_colour() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    trail = np.array([[20, 200], [120, 200]], np.float32)
    drawn = draw_boxes(image, [[100, 60, 140, 200]], [3], [5], trails={5: trail})
    assert tuple(drawn[200, 60]) == person_color(3)


def detail(image: NDArray[np.uint8]) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=0)).mean())


def test_a_box_around_a_part_shows_no_more_of_a_person() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    person, face = [100, 20, 180, 220], [125, 30, 155, 60]
    alone = blur_boxes(image, np.array([person], np.float32))
    for boxes in ([person, face], [face, person]):
        np.testing.assert_array_equal(blur_boxes(image, np.array(boxes, np.float32)), alone)


def test_blurred_people_cannot_be_recognised() -> None:
    image = noise(240, 320)
    blurred = blur_boxes(image, np.array([[100, 60, 160, 200]], np.float32))
    assert detail(blurred[60:200, 100:160]) < 0.05 * detail(image[60:200, 100:160])
    assert (blurred[50:60, 110:150] != image[50:60, 110:150]).any(), "a margin is blurred too"
    np.testing.assert_array_equal(blurred[:, :80], image[:, :80])
    # Two pictures that agree in the averages of the cells look the same afterwards: the details are gone.
    flat = np.full((160, 80, 3), 100, np.uint8)
    checked = flat.copy()
    checked[::2], checked[1::2] = 80, 120
    whole = np.array([[0, 0, 80, 160]], np.float32)
    np.testing.assert_allclose(blur_boxes(flat, whole), blur_boxes(checked, whole), atol=1)


def test_one_person_can_be_left_as_is() -> None:
    image = noise(240, 320)
    boxes = np.array([[20, 60, 80, 200], [200, 60, 260, 200], [250, 60, 300, 200]], np.float32)
    people = np.array([1, 2, NO_ID], np.int64)
    blurred = blur_people(image, boxes, people, keep_person=2)
    np.testing.assert_array_equal(blurred[70:190, 205:240], image[70:190, 205:240])
    assert detail(blurred[60:200, 20:80]) < 0.05 * detail(image[60:200, 20:80])
    assert detail(blurred[60:200, 250:260]) < 0.1 * detail(image[60:200, 250:260]), "others in front stay blurred"
    assert detail(blur_people(image, boxes, people)[60:200, 200:260]) < 0.05 * detail(image)


def test_contact_sheet_has_a_row_per_person_and_a_block_per_camera() -> None:
    red, blue = np.full((90, 40, 3), (0, 0, 255), np.uint8), np.full((50, 60, 3), (255, 0, 0), np.uint8)
    sheet = contact_sheet({4: {"a": [red], "b": [blue, red]}, 9: {"b": [red] * 9}}, {9: "Renée"}, crop_height_px=64)
    is_red = (sheet == (0, 0, 255)).all(axis=2)
    is_blue = (sheet == (255, 0, 0)).all(axis=2)
    rows = np.flatnonzero(is_red[:, -140:].any(axis=1))
    assert rows.max() - rows.min() > 64, "both people have red crops on camera b"
    assert np.flatnonzero(is_blue.any(axis=0)).min() > np.flatnonzero(is_red.any(axis=0)).min(), "a lies left of b"
    single = contact_sheet({4: {"a": [red]}}, crop_height_px=64)
    assert sheet.shape[0] - single.shape[0] == 72
    assert contact_sheet({}).ndim == 3


def test_fit_keeps_proportions() -> None:
    image = np.full((100, 50, 3), 200, np.uint8)
    fitted = fit(image, 80, 40)
    assert fitted.shape == (40, 80, 3)
    assert (fitted[:, 30:50] == 200).all()
    assert tuple(fitted[20, 5]) == DARK
    np.testing.assert_array_equal(fit(image, 50, 100), image)


@pytest.mark.parametrize(
    ("time", "text"),
    [(0.0, "0:00:00.0"), (3723.46, "1:02:03.5"), (-2.25, "-0:00:02.2"), (1.7e9, "2023-11-14 22:13:20.0 UTC")],
)
def test_times_on_the_wall(time: float, text: str) -> None:
    assert format_time(time) == text
