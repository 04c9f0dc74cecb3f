"""Pieces of real frames: boxes go where the pixels go, and what nobody can know is ignored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.config import DetectorTrainSettings
from app.detect.train import frames
from app.detect.train.degrade import watch
from app.detect.train.frames import COMPOSED, Material, add_people, batches, piece, read_material
from app.detect.train.photos import Photo, Stock
from app.errors import InputError

NOTHING = Stock([], [], [], [], [])


def marked_photo(width: int = 200, height: int = 120) -> Photo:
    """Round white people on black, and a place of which nobody knows what is there."""
    image = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[40, 30, 70, 100], [120, 20, 140, 70]], np.float32)
    for x1, y1, x2, y2 in boxes:
        middle = (round((x1 + x2) / 2), round((y1 + y2) / 2))
        cv2.ellipse(image, middle, (round((x2 - x1) / 2), round((y2 - y1) / 2)), 0, 0, 360, (255, 255, 255), -1)
    ignored = np.array([[160, 40, 190, 110]], np.float32)
    return Photo(image, boxes, np.array([0.9, 0.5], np.float32), ignored)


def test_boxes_follow_the_pixels_and_keep_their_scores() -> None:
    seen = 0
    for seed in range(40):
        sample = piece(np.random.default_rng(seed), marked_photo(), 160, 128)
        assert sample.image.shape == (128, 160, 3)
        for box, score in zip(sample.boxes, sample.scores, strict=True):
            x1, y1, x2, y2 = np.rint(box).astype(int)
            if min(x1, y1) == 0 or x2 == 160 or y2 == 128:
                continue
            inner = sample.image[y1 + (y2 - y1) // 3 : y2 - (y2 - y1) // 3, x1 + (x2 - x1) // 3 : x2 - (x2 - x1) // 3]
            assert inner.mean() > 200, (seed, box)
            assert score in (np.float32(0.9), np.float32(0.5))
            seen += 1
        outside = np.ones((128, 160), bool)
        for x1, y1, x2, y2 in np.concatenate([sample.boxes, sample.ignored]):
            outside[int(max(y1 - 3, 0)) : int(y2) + 4, int(max(x1 - 3, 0)) : int(x2) + 4] = False
        turned = sample.image[outside][:, 0]
        assert (turned > 180).mean() < 0.02, seed  # nobody is left without a box
    assert seen > 30


def test_somebody_cut_off_almost_wholly_is_ignored_and_somebody_outside_is_gone() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[10, 10, 30, 60], [-18, 10, 2, 60], [200, 10, 220, 60], [40, 40, 44, 46]], np.float32)
    clipped = frames._clip(frames.Sample(image, boxes, np.ones(4, np.float32), boxes[:0]), 100, 100)
    np.testing.assert_allclose(clipped.boxes, [[10, 10, 30, 60]])
    np.testing.assert_allclose(clipped.ignored, [[0, 10, 2, 60], [40, 40, 44, 46]])


def test_pasted_people_have_boxes_and_whom_they_hide_is_ignored() -> None:
    cutout = np.full((100, 60, 4), 255, np.uint8)
    photo = marked_photo()
    sample = frames.Sample(photo.image, photo.boxes, photo.scores, photo.ignored)
    lost = 0
    for seed in range(30):
        more = add_people(np.random.default_rng(seed), sample, [cutout])
        assert len(more.boxes) == len(more.scores)
        assert len(more.boxes) + len(more.ignored) > 3
        gone = 2 - int(np.isin(sample.boxes[:, 0], more.boxes[:, 0]).sum())
        lost += gone
        assert len(more.ignored) >= 1 + gone
    assert lost
    assert (photo.image[:, 180] == 0).all()  # the caller's picture is not touched


def settings(**more: object) -> DetectorTrainSettings:
    return DetectorTrainSettings(size_px=128, batch=3, scenes=0, workers=0, **more)  # type: ignore[arg-type]


def test_equal_numbers_give_equal_batches_of_one_size_in_two_shapes() -> None:
    material = Material({"a": [marked_photo()]}, NOTHING, ["a"], np.ones(1))
    source, again = batches(settings(), material, 0), batches(settings(), material, 3)
    made = [next(source) for _ in range(12)]
    for sample, other in zip(made[3], next(again), strict=True):
        assert np.array_equal(sample.image, other.image)
        assert np.array_equal(sample.boxes, other.boxes)
    shapes = {sample.image.shape for batch in made for sample in batch}
    assert shapes == {(128, 128, 3), (96, 192, 3)}
    assert all(len({sample.image.shape for sample in batch}) == 1 for batch in made)
    for sample in (sample for batch in made for sample in batch):
        height, width = sample.image.shape[:2]
        everything = np.concatenate([sample.boxes, sample.ignored])
        assert (everything[:, 2:] > everything[:, :2]).all()
        assert (everything >= 0).all()
        assert (everything <= [width, height, width, height]).all()


def write_set(folder: Path, judged: bool) -> None:
    for kind in ("images", "labels", *(["ignored"] if judged else [])):
        (folder / kind).mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a.png"), marked_photo().image)
    (folder / "labels" / "a.txt").write_text("0 0.3 0.5 0.1 0.5 0.75\n")
    if judged:
        (folder / "ignored" / "a.txt").write_text("0 0.8 0.5 0.1 0.5\n")


def test_what_is_learned_as_it_is_and_what_pictures_are_composed_of(tmp_path: Path) -> None:
    write_set(tmp_path / "marked" / "camera", judged=True)
    write_set(tmp_path / "photos" / "street", judged=False)
    data = [tmp_path / "marked", tmp_path / "photos"]
    material = read_material(settings(draw={"camera": 3.0}), data)
    assert (list(material.kinds), len(material.stock.photos)) == (["camera", COMPOSED], 1)
    np.testing.assert_allclose(material.shares, [0.75, 0.25])
    assert material.frames["camera"][0].scores.tolist() == [0.75]
    both = read_material(settings(draw={"street": 1.0}), data)
    assert list(both.kinds) == ["camera", "street", COMPOSED]
    with pytest.raises(InputError, match="garden"):
        read_material(settings(draw={"garden": 1.0}), data)
    with pytest.raises(InputError, match="no frames to learn from"):
        read_material(settings(), [tmp_path / "photos"])


def test_bad_cameras_change_pixels_and_not_the_size() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    made = [watch(np.random.default_rng(seed), image) for seed in range(60)]
    assert {(each.shape, each.dtype.name) for each in made} == {((40, 60, 3), "uint8")}
    assert any((each[..., 0] == each[..., 1]).all() for each in made)  # grey
    assert any(each.mean() < 0.75 * image.mean() for each in made)  # night
    assert any(np.array_equal(each, image) for each in made)
