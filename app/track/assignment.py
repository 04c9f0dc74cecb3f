"""One-to-one assignment of rows to columns at the least total cost, with forbidden pairs."""

from __future__ import annotations

from typing import Any

import lap
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def assign(costs: NDArray[np.floating[Any]], max_cost: float = np.inf) -> tuple[Indices, Indices]:
    """Return matched (rows, columns), each (M,) int64, rows rising.

    costs: (R, C), not NaN; +inf forbids a pair. Finite costs may be negative.
    max_cost: pairs above it are forbidden too, and a pair is made only if that lowers the total when every pair left
        unmade counts `max_cost`. Without it as many pairs are made as the forbidden ones allow, and among those
        choices the cheapest.
    """
    none = np.zeros(0, np.int64)
    if costs.size == 0:
        return none, none
    allowed = costs <= max_cost if np.isfinite(max_cost) else np.isfinite(costs)
    # Rows and columns without an allowed pair only make the problem larger.
    rows = np.flatnonzero(allowed.any(axis=1))
    columns = np.flatnonzero(allowed.any(axis=0))
    if len(rows) == 0:
        return none, none
    allowed = allowed[rows[:, None], columns]
    part = np.asarray(costs[rows[:, None], columns], np.float64)
    if np.isfinite(max_cost):
        # A pair is worth what it saves against leaving both alone; a forbidden pair is the same as no pair.
        matched = _solve(np.where(allowed, part - max_cost, 0.0))
    else:
        finite = part[allowed]
        # One forbidden pair must cost more than any choice of allowed ones.
        span = float(finite.max() - finite.min()) + 1.0
        penalty = float(finite.max()) + span * (min(part.shape) + 1)
        matched = _solve(np.where(allowed, part, penalty))
    inside = (matched >= 0).nonzero()[0]
    inside = inside[allowed[inside, matched[inside]]]
    return rows[inside], columns[matched[inside]]


def _solve(costs: NDArray[np.float64]) -> Indices:
    """Return for each row of a finite (R, C) matrix its column, or -1; min(R, C) pairs of the least total cost."""
    _, column_of_row, _ = lap.lapjv(np.ascontiguousarray(costs), extend_cost=costs.shape[0] != costs.shape[1])
    return np.asarray(column_of_row, np.int64)
