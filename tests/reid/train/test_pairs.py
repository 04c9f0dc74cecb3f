"""Judged pairs: read from a file that people and programs write, and divided into training and test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.errors import InputError
from app.reid.train.data import Listing, list_training_data
from app.reid.train.pairs import JudgedPairs, has_pairs, people_of_test, read_pairs


def folder_of(path: Path, pairs: str | None) -> Path:
    """A data set of three people with two pictures each and one of nobody; pictures are not decoded here."""
    pictures = path / "bounding_box_train"
    pictures.mkdir(parents=True)
    for name in ("0001_c1", "0001_c2", "0002_c1", "0002_c2", "0003_c1", "0003_c2", "-1_c1"):
        (pictures / f"{name}s1_000000_00.jpg").touch()
    if pairs is not None:
        (path / "pairs.csv").write_text(pairs)
    return path


def crop(name: str) -> str:
    return f"bounding_box_train/{name}s1_000000_00.jpg"


HEADER = "crop_a,crop_b,same\n"


def test_pairs_name_rows_of_all_data_sets_together(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "a", None)
    rows = [(crop("0001_c1"), crop("0001_c2"), 1), (crop("0001_c1"), crop("0002_c1"), 0)]
    second = folder_of(tmp_path / "b", HEADER + "".join(f"{a},{b},{same}\n" for a, b, same in rows))
    assert not has_pairs([first])
    assert has_pairs([first, second])
    listing = list_training_data([first, second])
    pairs = read_pairs(listing)
    assert pairs.rows.tolist() == [[6, 7], [6, 8]]  # six pictures of the first set come before
    assert pairs.people.tolist() == [[3, 3], [3, 4]]
    assert pairs.same.tolist() == [True, False]


def test_pairs_of_nobody_and_against_the_names_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("0001_c1", "-1_c1", 1), ("0001_c1", "0002_c1", 1), ("0003_c1", "0003_c2", 0), ("0002_c1", "0002_c2", 1)]
    text = HEADER + "".join(f"{crop(a)},{crop(b)},{same}\n" for a, b, same in rows)
    pairs = read_pairs(list_training_data([folder_of(tmp_path / "a", text)]))
    assert pairs.people.tolist() == [[1, 1]]
    assert "1 pairs left out because a picture shows nobody, 2 because" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n", r"pairs\.csv:1: .*crop_a,crop_b,same"),
        ("", r"pairs\.csv:1"),
        (f"{HEADER}{crop('0001_c1')},{crop('0009_c1')},1\n", r"pairs\.csv:2: .*0009_c1"),
        (f"{HEADER}{crop('0001_c1')},{crop('0001_c2')},yes\n", r"pairs\.csv:2: expected"),
        (f"{HEADER}{crop('0001_c1')},1\n", r"pairs\.csv:2: expected"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    listing = list_training_data([folder_of(tmp_path / "a", text)])
    with pytest.raises(InputError, match=said):
        read_pairs(listing)


def pairs_of(people: list[tuple[int, int]]) -> JudgedPairs:
    array = np.array(people, np.int64)
    return JudgedPairs(np.arange(2 * len(people)).reshape(-1, 2), array, array[:, 0] == array[:, 1])


def test_a_share_of_both_kinds_is_kept_apart_with_all_their_people() -> None:
    people = [(person, person) for person in range(30)] + [(person, person + 1) for person in range(0, 30, 2)]
    pairs = pairs_of(people)
    apart = people_of_test(pairs, people=40, share=0.3, seed=5)
    np.testing.assert_array_equal(apart, people_of_test(pairs, people=40, share=0.3, seed=5))
    assert apart.tolist() != people_of_test(pairs, people=40, share=0.3, seed=6).tolist()
    inside = np.isin(pairs.people, apart).all(axis=1)
    for kind in (True, False):
        assert 0.3 <= inside[pairs.same == kind].mean() <= 0.5
    assert len(people_of_test(pairs, 40, 0.0, 0)) == 0


def test_a_test_never_takes_most_people_away() -> None:
    pairs = pairs_of([(0, 1), (2, 3), (4, 5), (6, 6), (7, 7)])
    assert len(people_of_test(pairs, people=8, share=0.9, seed=0)) <= 0.4 * 8


def test_groups_are_unordered_pairs_of_people() -> None:
    assert pairs_of([(3, 4), (4, 3), (5, 5), (3, 4)]).groups.tolist() == [0, 0, 1, 0]


def test_a_listing_without_pairs_is_empty(tmp_path: Path) -> None:
    listing: Listing = list_training_data([folder_of(tmp_path / "a", None)])
    assert len(read_pairs(listing)) == 0
