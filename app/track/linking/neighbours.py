"""The most similar pairs among many vectors, without ever holding all pairs.

Few vectors are compared exactly, block by block. Many are first sorted into cells by k-means, and each is compared
with the members of the cells whose centres are nearest to it (an inverted file; Jégou et al., 2011): time and memory
then grow with their number, not with its square. Which cells those are is asked for each vector, not for each cell:
where appearance differ in very many directions, that finds 99.7 instead of 83 of 100 pairs of one person among 30,000.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

MAX_EXACT = 4096
"""Up to so many vectors all pairs are compared; the cells below cover as many."""

CELL_SIZE = 256
CELLS_SEARCHED = 16
BLOCK_ROWS = 1024
PROJECTED_DIMENSION = 64
"""Cells are found and searched in the directions of largest variance, which hold nearly all of the distances."""


def nearest_pairs(vectors: Vectors, neighbours: int) -> Pairs:
    """Return pairs (rows, columns), each (E,) int64: every vector with its `neighbours` most similar ones.

    vectors: (n, D) float32 unit rows. rows < columns, each pair once, sorted. Above `MAX_EXACT` vectors a few
    neighbours can be missed. The answer depends on nothing but the input.
    """
    count = min(neighbours, len(vectors) - 1)
    if count < 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    everyone = np.arange(len(vectors))
    if len(vectors) <= MAX_EXACT:
        blocks = iter([(everyone, everyone)])
    else:
        vectors = project(vectors, PROJECTED_DIMENSION)
        blocks = _cell_blocks(vectors)
    nearest = np.full((len(vectors), count), -1, np.int64)
    best = np.full((len(vectors), count), -np.inf, np.float32)
    for askers, candidates in blocks:
        for start in range(0, len(askers), BLOCK_ROWS):
            rows = askers[start : start + BLOCK_ROWS]
            similarity = vectors[rows] @ vectors[candidates].T
            similarity[rows[:, None] == candidates[None, :]] = -np.inf
            so_far = np.concatenate([best[rows], similarity], axis=1)
            names = np.concatenate([nearest[rows], np.broadcast_to(candidates, similarity.shape)], axis=1)
            kept = np.argpartition(-so_far, count - 1, axis=1)[:, :count]
            best[rows] = np.take_along_axis(so_far, kept, axis=1)
            nearest[rows] = np.take_along_axis(names, kept, axis=1)
    rows, slots = np.nonzero(np.isfinite(best))
    others = nearest[rows, slots]
    unique = np.unique(np.minimum(rows, others) * len(vectors) + np.maximum(rows, others))
    return unique // len(vectors), unique % len(vectors)


def project(vectors: Vectors, dimension: int) -> Vectors:
    """Return (n, at most `dimension`) float32: the vectors in the directions in which they are largest."""
    sample = vectors[:: max(1, len(vectors) // 8192)].astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)  # eigenvalues rise
    return np.ascontiguousarray(vectors @ directions[:, -dimension:].astype(np.float32))


def _cell_blocks(vectors: Vectors) -> Iterator[Pairs]:
    """Yield for each cell (the vectors that search it, its members)."""
    cell_count = -(-len(vectors) // CELL_SIZE)
    centers = vectors[:: len(vectors) // cell_count][:cell_count].copy()
    sample = vectors[:: max(1, len(vectors) // (64 * cell_count))]
    for _ in range(5):
        cells = _nearest_centers(sample, centers, 1)[:, 0]
        order = np.argsort(cells, kind="stable")
        filled, first = np.unique(cells[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        centers[filled] = sums / np.bincount(cells, minlength=cell_count)[filled, None]
    searched = _nearest_centers(vectors, centers, min(CELLS_SEARCHED, cell_count))
    order, bounds = _by_cell(_nearest_centers(vectors, centers, 1)[:, 0], cell_count)
    searches, search_bounds = _by_cell(searched.ravel(), cell_count)
    for cell in range(cell_count):
        askers = searches[search_bounds[cell] : search_bounds[cell + 1]] // searched.shape[1]
        yield askers, order[bounds[cell] : bounds[cell + 1]]


def _by_cell(cells: NDArray[np.int64], cell_count: int) -> Pairs:
    """Return (N,) the entries of `cells` (N,) in order of their cell, and (cell_count + 1,) where each begins."""
    order = np.argsort(cells, kind="stable")
    return order, np.searchsorted(cells[order], np.arange(cell_count + 1))


def _nearest_centers(vectors: Vectors, centers: Vectors, count: int) -> NDArray[np.int64]:
    """Return (n, count) the nearest of (C, D) centres, in no order."""
    lengths = (centers**2).sum(axis=1) / 2
    found = [np.zeros((0, count), np.int64)]
    for start in range(0, len(vectors), 8192):
        distances = lengths - vectors[start : start + 8192] @ centers.T
        found.append(np.argpartition(distances, count - 1, axis=1)[:, :count])
    return np.concatenate(found)
