"""Layouts of the small data sets, and the protocol by which they are scored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.config import ReidSettings
from app.errors import InputError
from app.reid.datasets import open_people_data
from app.reid.evaluate import evaluate_reid, evaluate_sets
from app.reid.open_set import split_ranks
from tests.reid.conftest import picture_of

LAYOUTS: dict[str, tuple[list[str], list[tuple[int, int]]]] = {
    "VIPeR": (
        ["cam_a/000_45.bmp", "cam_a/001_0.bmp", "cam_b/000_90.bmp", "cam_b/001_180.bmp"],
        [(1, 1), (2, 1), (1, 2), (2, 2)],
    ),
    "PRID": (  # 201 on one camera is not 201 on the other
        ["cam_a/person_0007.png", "cam_a/person_0201.png", "cam_b/person_0007.png", "cam_b/person_0201.png"],
        [(8, 1), (8, 2), (0, 2)],
    ),
    "GRID": (
        ["gallery/0000_2_300.jpeg", "gallery/0003_2_17.jpeg", "probe/0003_1_16.jpeg"],
        [(0, 2), (3, 2), (3, 1)],
    ),
    "3DPeS": (["9_895_FRAME_27_RGB.bmp", "9_896_FRAME_1_RGB.bmp"], [(10, 895), (10, 896)]),
    "CUHK01": ([f"0000{n:03d}.png" for n in range(1, 5)], [(1, 1), (1, 1), (1, 2), (1, 2)]),
    "i-LIDS": (["0001001.jpg", "0001002.jpg", "0002001.jpg"], [(2, 1), (2, 2), (3, 1)]),
    "CAVIAR": (
        [f"0001{n:03d}.jpg" for n in range(1, 21)] + [f"0002{n:03d}.jpg" for n in range(1, 11)],
        [(2, 1)] * 10 + [(2, 2)] * 10 + [(3, 1)] * 10,
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_person_and_camera_are_read_from_the_names(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / file), np.full((8, 4, 3), 90, np.uint8))
    train = open_people_data(tmp_path).train
    assert list(zip(train.person_ids.tolist(), train.camera_ids.tolist(), strict=True)) == expected


def test_a_perfect_network_finds_everybody_and_a_blind_one_nobody() -> None:
    people = np.repeat(np.arange(1, 11), 4)
    cameras = np.tile([1, 1, 2, 2], 10)
    known = np.eye(11, dtype=np.float32)[people]
    for places in split_ranks(known, (people, cameras), 0.5, 3, seed=0):
        assert places.tolist() == [1] * 5
    alike = np.ones((40, 3), np.float32)
    assert [places.tolist() for places in split_ranks(alike, (people, cameras), 0.5, 3, seed=0)] == [[5] * 5] * 3


def test_the_first_camera_asks_and_the_second_answers() -> None:
    people, cameras = np.repeat(np.arange(1, 6), 2), np.tile([1, 2], 5)
    vectors = np.eye(10, dtype=np.float32)
    vectors[cameras == 1] *= 3  # nearer to each other than to any picture of the other camera
    vectors[1::2] += 0.5 * vectors[::2]
    (places,) = split_ranks(vectors, (people, cameras), 1.0, 1, seed=0)
    assert places.tolist() == [1] * 5


def test_distractors_are_in_every_gallery_and_never_asked_for() -> None:
    people = np.array([1, 1, 2, 2, 0])
    cameras = np.array([1, 2, 1, 2, 2])
    vectors = np.array([[1, 0], [0.5, 0], [0, 1], [0, 0.5], [0.9, 0]], np.float32)
    (places,) = split_ranks(vectors, (people, cameras), 1.0, 1, seed=0)
    assert sorted(places.tolist()) == [1, 2]  # the distractor is nearer to the first person than her own picture


def test_draws_follow_from_the_seed() -> None:
    random = np.random.default_rng(0)
    labels = (np.repeat(np.arange(1, 21), 2), np.tile([1, 2], 20))
    vectors = random.normal(size=(40, 3)).astype(np.float32)
    first, again, other = (np.stack(split_ranks(vectors, labels, 0.5, 4, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_too_few_people_are_refused() -> None:
    with pytest.raises(InputError, match="1 people were seen by two cameras"):
        split_ranks(np.eye(2, dtype=np.float32), (np.array([1, 1]), np.array([1, 2])), 1.0, 1, 0)


def test_several_sets_are_scored_at_once_with_their_mean(
    small_market: Path, small_weights: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for camera in ("cam_a", "cam_b"):
        (tmp_path / "small_viper" / camera).mkdir(parents=True)
        for person in range(8):
            cv2.imwrite(str(tmp_path / "small_viper" / camera / f"{person:03d}_0.png"), picture_of(person, random))
    settings = ReidSettings(weights=str(small_weights), device="cpu", backend="torch")
    scores = evaluate_sets(settings, [small_market, tmp_path / "small_viper"])
    assert list(scores) == ["small_market0", "small_viper", "mean"]
    viper = scores["small_viper"]
    assert (viper["queries"], viper["gallery"], viper["draws"]) == (4, 4, 10)
    assert viper["rank1_spread"] >= 0
    mean = (scores["small_market0"]["mAP"] + viper["mAP"]) / 2
    assert scores["mean"]["mAP"] == pytest.approx(mean)
    everybody = evaluate_reid(settings, tmp_path / "small_viper", split_share=1.0)
    assert everybody["queries"] == 8
    with pytest.raises(InputError, match="leave out --rerank"):
        evaluate_reid(settings, tmp_path / "small_viper", rerank=True)
