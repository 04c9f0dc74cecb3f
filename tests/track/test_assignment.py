from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from app.track.assignment import assign


def random_costs(seed: int, rows: int, columns: int, forbidden: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    costs = rng.normal(0, 2, (rows, columns)).round(1)  # rounded, so that there are ties
    costs[rng.random((rows, columns)) < forbidden] = np.inf
    return costs


shapes = {
    "seed": st.integers(0, 10**6),
    "rows": st.integers(0, 9),
    "columns": st.integers(0, 9),
    "forbidden": st.sampled_from([0.0, 0.3, 0.8, 1.0]),
}


def assert_one_to_one(costs: np.ndarray, rows: np.ndarray, columns: np.ndarray, max_cost: float = np.inf) -> None:
    assert rows.dtype == columns.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert len(set(columns.tolist())) == len(columns)
    assert np.isfinite(costs[rows, columns]).all()
    assert (costs[rows, columns] <= max_cost).all()


@settings(max_examples=200, deadline=None)
@given(max_cost=st.sampled_from([-1.0, 0.0, 0.5, 2.0]), **shapes)
def test_total_with_max_cost_agrees_with_scipy(
    seed: int, rows: int, columns: int, forbidden: float, max_cost: float
) -> None:
    costs = random_costs(seed, rows, columns, forbidden)
    matched, to = assign(costs, max_cost)
    assert_one_to_one(costs, matched, to, max_cost)
    # Each row may also stay alone at max_cost: scipy solves that as one rectangular problem with a private column.
    alone = np.full((rows, rows), 1e6)
    np.fill_diagonal(alone, max_cost)
    padded = np.concatenate([np.where(costs <= max_cost, costs, 1e6), alone], axis=1)
    i, j = linear_sum_assignment(padded)
    assert costs[matched, to].sum() + max_cost * (rows - len(matched)) == pytest.approx(padded[i, j].sum())


@settings(max_examples=200, deadline=None)
@given(**shapes)
def test_without_max_cost_makes_the_most_pairs_at_the_least_cost(
    seed: int, rows: int, columns: int, forbidden: float
) -> None:
    costs = random_costs(seed, rows, columns, forbidden)
    matched, to = assign(costs)
    assert_one_to_one(costs, matched, to)
    padded = np.where(np.isfinite(costs), costs, 1e4)
    i, j = linear_sum_assignment(padded)
    allowed = np.isfinite(costs[i, j])
    assert len(matched) == allowed.sum()
    assert costs[matched, to].sum() == pytest.approx(costs[i, j][allowed].sum())


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_empty_input_gives_no_pairs(shape: tuple[int, int]) -> None:
    rows, columns = assign(np.zeros(shape), 0.5)
    assert len(rows) == len(columns) == 0


def test_all_forbidden_gives_no_pairs() -> None:
    assert len(assign(np.full((3, 4), np.inf))[0]) == 0


def test_the_total_decides_not_the_single_best_pair() -> None:
    rows, columns = assign(np.array([[0.1, 0.2], [0.2, 0.9]]), 1.0)
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]


def test_input_is_not_changed() -> None:
    costs = random_costs(1, 5, 4, 0.3)
    before = costs.copy()
    assign(costs, 0.5)
    np.testing.assert_array_equal(costs, before)
