"""Clock offsets from walks to and fro, and from pairs of cameras to all of them."""

from __future__ import annotations

import numpy as np
import pytest

from app.track.linking.clocks import Shift, Walks, shift_of_crowds, shift_of_walks, solve_clocks


def walks(seed: int, shift_s: float, count: int = 30, forward_share: float = 0.5) -> Walks:
    """Ten people of different speeds on a street whose unseen part is longer on one side; a fifth goes elsewhere."""
    rng = np.random.default_rng(seed)
    people = rng.integers(10, size=count)
    forward = rng.random(count) < forward_share
    lane = rng.uniform(0, 1, count)
    seconds = (5 + 4 * lane) / np.linspace(0.9, 1.6, 10)[people] + rng.normal(0, 0.2, count)
    elsewhere = rng.random(count) < 0.2
    seconds[elsewhere] += rng.uniform(5, 60, int(elsewhere.sum()))
    feet = np.column_stack([np.full(count, 600.0), 150 + 120 * lane]) + rng.normal(0, 2, (count, 2))
    return Walks(seconds + np.where(forward, shift_s, -shift_s), forward, people, feet, feet[:, ::-1].copy())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift_s", [-3.0, 0.0, 20.0])
def test_shift_is_found_and_so_is_its_uncertainty(seed: int, shift_s: float) -> None:
    found = shift_of_walks(walks(seed, shift_s, 40), 60.0)
    assert found is not None
    assert found[0] == pytest.approx(shift_s, abs=0.3)
    assert abs(found[0] - shift_s) < 4 * found[1] < 1.5


def test_explanations_make_it_sharper_than_half_the_difference_of_medians() -> None:
    errors, plain = [], []
    for seed in range(12):
        seen = walks(seed, 2.0, 30)
        found = shift_of_walks(seen, 60.0)
        assert found is not None
        errors.append(found[0] - 2.0)
        plain.append((np.median(seen.gaps_s[seen.forward]) - np.median(seen.gaps_s[~seen.forward])) / 2 - 2.0)
    assert np.sqrt(np.mean(np.square(errors))) < 0.5 * np.sqrt(np.mean(np.square(plain)))


def test_traffic_in_one_direction_says_nothing() -> None:
    assert shift_of_walks(walks(0, 1.0, 60, forward_share=1.0), 60.0) is None
    assert shift_of_walks(walks(0, 1.0, 5), 60.0) is None


def test_a_shift_beyond_the_largest_is_not_believed() -> None:
    found = shift_of_walks(walks(0, 20.0, 40), 5.0)
    assert found is None or abs(found[0]) < 6


def test_pairs_are_put_together() -> None:
    shifts = [Shift("a", "b", 2.0, 0.1), Shift("b", "c", -1.0, 0.1), Shift("a", "c", 1.3, 0.2)]
    clocks = solve_clocks(["a", "b", "c", "d"], shifts, {})
    assert (clocks["a"].state, clocks["a"].offset_s, clocks["a"].uncertainty_s) == ("reference", 0.0, 0.0)
    assert clocks["b"].offset_s == pytest.approx(2.05, abs=0.01)
    assert clocks["c"].offset_s == pytest.approx(1.1, abs=0.02)
    assert 0.05 < clocks["b"].uncertainty_s < 0.1
    assert (clocks["d"].state, clocks["d"].uncertainty_s) == ("unknown", float("inf"))


def test_locked_clocks_are_taken_as_they_are() -> None:
    clocks = solve_clocks(["a", "b", "c"], [Shift("a", "b", 2.0, 0.1), Shift("b", "c", 1.0, 0.1)], {"b": 5.0})
    assert (clocks["b"].state, clocks["b"].offset_s) == ("locked", 5.0)
    assert clocks["a"].offset_s == pytest.approx(3.0)
    assert clocks["c"].offset_s == pytest.approx(6.0)
    assert clocks["a"].state == clocks["c"].state == "estimated"


def test_cameras_that_nothing_joins_to_a_known_clock_stay_unknown() -> None:
    clocks = solve_clocks(["a", "b", "c"], [Shift("b", "c", 1.0, 0.1)], {})
    assert [clocks[name].state for name in "abc"] == ["reference", "unknown", "unknown"]
    assert solve_clocks([], [], {}) == {}


def crowd(seed: int, shift_s: float, sign: int, walkers: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaps of `walkers` right pairs, who take 7 s, among 60 wrong ones at any time, and equal weights."""
    rng = np.random.default_rng([seed, sign + 1])
    gaps = np.concatenate([rng.uniform(-60, 60, 60), 7 + sign * shift_s + rng.normal(0, 1, walkers)])
    return gaps, np.full(len(gaps), 0.4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift_s", [-6.0, 0.0, 2.5])
def test_a_shift_is_found_among_many_wrong_pairs(seed: int, shift_s: float) -> None:
    found = shift_of_crowds(crowd(seed, shift_s, 1, 12), crowd(seed, shift_s, -1, 12), 20.0)
    assert found is not None
    assert abs(found[0] - shift_s) < 3 * found[1]


def test_wrong_pairs_alone_and_one_direction_make_no_crowd() -> None:
    none = [shift_of_crowds(crowd(seed, 0, 1, 0), crowd(seed, 0, -1, 0), 20.0) for seed in range(20)]
    assert sum(found is not None for found in none) <= 1
    assert shift_of_crowds(crowd(0, 2.5, 1, 12), (np.zeros(0), np.zeros(0)), 20.0) is None
