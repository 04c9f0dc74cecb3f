"""How well vectors find a person again: CMC, mAP and mINP, as Market-1501 defines them.

Each query picture is looked for in the gallery. Gallery pictures of the same person from the query's own camera are
left out, so that only recognition across cameras counts. Junk is not in the gallery at all; distractors are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.config import ReidSettings
from app.detect.device import choose_device
from app.errors import InputError
from app.reid.checkpoint import Metric, load_checkpoint
from app.reid.datasets import Pictures, open_people_data
from app.reid.embedder import NetworkEmbedder, embedder_of, find_weights, unit_rows
from app.reid.rerank import reranked_distances

Labels = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Person and camera of each picture, (N,) both."""

CHUNK_QUERIES = 256
"""Queries compared with the whole gallery at once: bounds memory to a few times 256 × gallery × 4 bytes."""

CHUNK_PICTURES = 256
"""Pictures decoded before they are embedded."""


def evaluate_reid(
    settings: ReidSettings, data: Path, rerank: bool = False, metric: Metric | None = None
) -> dict[str, float | int]:
    """Score ReID weights on a folder or zip file with `query` and `bounding_box_test` (see `app.reid.datasets`).

    rerank: re-order by k-reciprocal neighbours first.
    metric: how vectors are compared; by default as the checkpoint says, which for foreign files is euclidean.
    Returns rank1, rank5, rank10, mAP, mINP (percent), queries, gallery (counts), seconds (embedding and ranking).
    """
    people = open_people_data(data)
    if not len(people.query) or not len(people.gallery):
        raise InputError(f"{data}: has no query/ and bounding_box_test/ pictures to evaluate on")
    weights = find_weights(settings.weights, choose_device(settings.device, "reid.device"))
    if weights is None:
        raise InputError("reid.weights: no ReID weights are bundled with this installation; name a file with --weights")
    checkpoint = load_checkpoint(weights)
    embedder = embedder_of(checkpoint, settings)
    started = time.perf_counter()
    query = embed_pictures(embedder, people.query)
    gallery = embed_pictures(embedder, people.gallery)
    scores = score_vectors(
        query,
        gallery,
        (people.query.person_ids, people.query.camera_ids),
        (people.gallery.person_ids, people.gallery.camera_ids),
        metric or checkpoint.metric,
        rerank,
    )
    return {**scores, "seconds": round(time.perf_counter() - started, 2)}


def embed_pictures(embedder: NetworkEmbedder, pictures: Pictures) -> NDArray[np.float32]:
    """Return (N, 512) vectors as the network makes them."""
    chunks = [
        embedder.raw_vectors([pictures.decode(row) for row in range(start, min(start + CHUNK_PICTURES, len(pictures)))])
        for start in range(0, len(pictures), CHUNK_PICTURES)
    ]
    return np.concatenate(chunks) if chunks else np.zeros((0, embedder.dimension), np.float32)


def score_vectors(
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_labels: Labels,
    gallery_labels: Labels,
    metric: Metric,
    rerank: bool = False,
) -> dict[str, float | int]:
    """Return rank1, rank5, rank10, mAP and mINP in percent, and the counts, for (Q, D) and (G, D) vectors."""
    if metric == "cosine":
        query, gallery = unit_rows(query), unit_rows(gallery)
    blocks = reranked_distances(query, gallery) if rerank else squared_distances(query, gallery)
    ranks = [
        ranks_of_matches(
            row,
            gallery_labels[0] == query_labels[0][number],
            gallery_labels[1] == query_labels[1][number],
        )
        for number, row in enumerate(row for block in blocks for row in block)
    ]
    return {**summarise(ranks), "queries": len(query), "gallery": len(gallery)}


def squared_distances(query: NDArray[np.float32], gallery: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield (up to `CHUNK_QUERIES`, G) squared Euclidean distances; on unit rows they rank as cosine does."""
    gallery_lengths = np.einsum("gd,gd->g", gallery, gallery)
    for start in range(0, len(query), CHUNK_QUERIES):
        rows = query[start : start + CHUNK_QUERIES]
        lengths = np.einsum("qd,qd->q", rows, rows)
        yield lengths[:, None] + gallery_lengths[None, :] - 2 * (rows @ gallery.T)


def ranks_of_matches(
    distances: NDArray[np.float32], same_person: NDArray[np.bool_], same_camera: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the ascending 1-based places of a query's true matches among the gallery pictures that count.

    distances, same_person, same_camera: (G,). A stranger at the same distance as a match is placed before it.
    """
    matches = np.sort(distances[same_person & ~same_camera])
    strangers = distances[~same_person]
    nearer_matches = np.searchsorted(matches, strangers, side="left")
    strangers_before = np.cumsum(np.bincount(nearer_matches, minlength=len(matches) + 1)[: len(matches)])
    return np.arange(1, len(matches) + 1) + strangers_before


def summarise(ranks: list[NDArray[np.int64]]) -> dict[str, float]:
    """Return rank1, rank5, rank10, mAP and mINP in percent from the places of each query's matches.

    Queries without any match are left out. mINP: Ye et al., "Deep Learning for Person Re-identification", TPAMI 2021.
    """
    answered = [places for places in ranks if len(places)]
    if not answered:
        raise InputError("no query has a picture of the same person from another camera in the gallery")
    first = np.array([places[0] for places in answered])
    precision = np.array([np.mean(np.arange(1, len(places) + 1) / places) for places in answered])
    inverse = np.array([len(places) / places[-1] for places in answered])
    shares: dict[str, NDArray[np.generic]] = {
        "rank1": first <= 1,
        "rank5": first <= 5,
        "rank10": first <= 10,
        "mAP": precision,
        "mINP": inverse,
    }
    return {name: 100 * float(values.astype(np.float64).mean()) for name, values in shares.items()}
