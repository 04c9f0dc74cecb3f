"""The most similar pairs among many vectors, without ever holding all pairs.

Few vectors are compared exactly, block by block. Many are first sorted into cells by k-means, and each is compared
with the cells around its own: time and memory then grow with their number, not with its square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

MAX_EXACT = 4096
"""Up to so many vectors all pairs are compared; the cells below cover as many."""

CELL_SIZE = 256
CELLS_SEARCHED = 16
BLOCK_ROWS = 512
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
        blocks = [(everyone[start : start + BLOCK_ROWS], everyone) for start in range(0, len(vectors), BLOCK_ROWS)]
    else:
        vectors = project(vectors, PROJECTED_DIMENSION)
        blocks = _cell_blocks(vectors)
    codes = []
    for rows, candidates in blocks:
        similarity = vectors[rows] @ vectors[candidates].T
        similarity[rows[:, None] == candidates[None, :]] = -np.inf
        kept = min(count, len(candidates) - 1)
        nearest = candidates[np.argpartition(-similarity, kept - 1, axis=1)[:, :kept]]
        low, high = np.minimum(nearest, rows[:, None]), np.maximum(nearest, rows[:, None])
        codes.append((low * len(vectors) + high).ravel())
    unique = np.unique(np.concatenate(codes))
    return unique // len(vectors), unique % len(vectors)


def project(vectors: Vectors, dimension: int) -> Vectors:
    """Return (n, at most `dimension`) float32: the vectors in the directions in which they are largest."""
    sample = vectors[:: max(1, len(vectors) // 8192)].astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)  # eigenvalues rise
    return np.ascontiguousarray(vectors @ directions[:, -dimension:].astype(np.float32))


def _cell_blocks(vectors: Vectors) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each cell (its members, the members of the cells around it)."""
    cell_count = -(-len(vectors) // CELL_SIZE)
    centers = vectors[:: len(vectors) // cell_count][:cell_count].copy()
    sample = vectors[:: max(1, len(vectors) // (64 * cell_count))]
    for _ in range(5):
        cells = _nearest_center(sample, centers)
        order = np.argsort(cells, kind="stable")
        filled, first = np.unique(cells[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        centers[filled] = sums / np.bincount(cells, minlength=cell_count)[filled, None]
    cells = _nearest_center(vectors, centers)
    order = np.argsort(cells, kind="stable")
    bounds = np.searchsorted(cells[order], np.arange(cell_count + 1))
    members = [order[bounds[cell] : bounds[cell + 1]] for cell in range(cell_count)]
    distances = ((centers**2).sum(axis=1)[None, :] - 2 * centers @ centers.T).astype(np.float64)
    np.fill_diagonal(distances, -np.inf)  # a cell searches itself first
    around = np.argsort(distances, axis=1, kind="stable")[:, :CELLS_SEARCHED]
    blocks = []
    for cell in range(cell_count):
        candidates = np.concatenate([members[other] for other in around[cell]])
        if len(candidates) > 1:
            blocks += [
                (members[cell][start : start + BLOCK_ROWS], candidates)
                for start in range(0, len(members[cell]), BLOCK_ROWS)
            ]
    return blocks


def _nearest_center(vectors: Vectors, centers: Vectors) -> NDArray[np.int64]:
    lengths = (centers**2).sum(axis=1) / 2
    found = [
        np.argmax(vectors[start : start + 8192] @ centers.T - lengths, axis=1) for start in range(0, len(vectors), 8192)
    ]
    return np.concatenate(found)
