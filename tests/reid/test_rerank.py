"""Re-ranking against a dense implementation of the paper's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.reid.rerank import reranked_distances


def dense(
    query: NDArray[np.float64], gallery: NDArray[np.float64], k1: int, k2: int, share: float
) -> NDArray[np.float64]:
    """The paper's equations with whole matrices and sets."""
    everyone = np.concatenate([query, gallery])
    count = len(everyone)
    distances = ((everyone[:, None] - everyone[None]) ** 2).sum(2)
    distances = distances / distances.max(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1)

    def reciprocal(row: int, k: int) -> set[int]:
        return {int(other) for other in order[row, : k + 1] if row in order[other, : k + 1]}

    encoded = np.zeros((count, count))
    for row in range(count):
        members = reciprocal(row, k1)
        expanded = set(members)
        for other in members:
            wider = reciprocal(other, round(k1 / 2))
            if len(wider & members) > 2 / 3 * len(wider):
                expanded |= wider
        columns = sorted(expanded)
        weights = np.exp(-distances[row, columns])
        encoded[row, columns] = weights / weights.sum()
    encoded = np.stack([encoded[order[row, :k2]].mean(axis=0) for row in range(count)])
    answers = np.zeros((len(query), len(gallery)))
    for row in range(len(query)):
        for column in range(len(gallery)):
            shared = np.minimum(encoded[row], encoded[len(query) + column]).sum()
            answers[row, column] = 1 - shared / (2 - shared)
    return answers * (1 - share) + distances[: len(query), len(query) :] * share


@pytest.mark.parametrize(("k1", "k2"), [(6, 3), (4, 1)])
def test_agrees_with_the_papers_formulas(k1: int, k2: int) -> None:
    random = np.random.default_rng(0)
    people = random.normal(size=(8, 6))
    everyone = (people[random.integers(0, 8, 60)] + 0.4 * random.normal(size=(60, 6))).astype(np.float32)
    query, gallery = everyone[:15], everyone[15:]
    ours = np.concatenate(list(reranked_distances(query, gallery, k1, k2)))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, dense(query.astype(float), gallery.astype(float), k1, k2, 0.3), atol=1e-4)


def test_blocks_cover_all_queries_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    query, gallery = (random.normal(size=(count, 4)).astype(np.float32) for count in (10, 30))
    whole = np.concatenate(list(reranked_distances(query, gallery, 5, 2)))
    monkeypatch.setattr("app.reid.rerank.BLOCK_ROWS", 3)
    blocks = list(reranked_distances(query, gallery, 5, 2))
    assert [len(block) for block in blocks] == [3, 3, 3, 1]
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-5)


def test_fewer_pictures_than_neighbours() -> None:
    random = np.random.default_rng(2)
    query, gallery = (random.normal(size=(count, 4)).astype(np.float32) for count in (2, 3))
    assert np.concatenate(list(reranked_distances(query, gallery))).shape == (2, 3)
