"""How well vectors find a person again: CMC, mAP and mINP, as Market-1501 defines them, and more (`open_set.py`).

Each query picture is looked for in the gallery. Gallery pictures of the same person from the query's own camera are
left out, so that only recognition across cameras counts. Junk is not in the gallery at all; distractors are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import ReidSettings
from app.errors import InputError
from app.reid.calibrate import unit_rows
from app.reid.checkpoint import Checkpoint, Metric, load_checkpoint
from app.reid.datasets import PeopleData, Pictures, check_evaluation, note_counts, open_people_data
from app.reid.embedder import NetworkEmbedder, embedder_of, find_weights
from app.reid.open_set import DRAWS, OpenSet, single_shot_ranks, split_ranks
from app.reid.rerank import reranked_distances
from app.system.device import choose_device
from app.system.files import claim_folder

Labels = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Person and camera of each picture, (N,) both."""

CHUNK_QUERIES = 256
"""Queries compared with the whole gallery at once: bounds memory to a few times 256 × gallery × 4 bytes."""

SPLITS = 10
"""Random parts of a small data set, as its authors draw them."""

CHUNK_CROPS = 256
"""Pictures decoded before they are embedded."""


def evaluate_reid(
    settings: ReidSettings,
    data: Path,
    rerank: bool = False,
    metric: Metric | None = None,
    single_shot: bool = False,
    seed: int = 0,
    pictures: Path | None = None,
    split_share: float = 0.5,
) -> dict[str, float | int]:
    """Score ReID weights on a folder or zip file (see `app.reid.datasets`).

    A set without queries and gallery of its own is scored as the small ones are: `SPLITS` times a random part of the
    people, one picture of each asking and one answering (`app.reid.open_set.split_ranks`).

    rerank: re-order by k-reciprocal neighbours first.
    metric: how vectors are compared; by default as the checkpoint says, which for foreign files is euclidean.
    single_shot: CUHK03's protocol, with galleries drawn with `seed` that show everyone once.
    pictures: a folder for `ranked.png`, `reliability.png` and, unless the weights are an exported network,
        `activation.png` (see `app.reid.visualize`).
    split_share: of the people of a set without queries, how many are drawn each time; 1 for all.
    Returns rank1, rank5, rank10, mAP, mINP (percent), queries, gallery (counts), seconds (embedding and ranking), and
    TAR_at_FAR_… (percent) or, with `single_shot`, draws (count), or of a set without queries
    the means, rank1_spread and mAP_spread (standard deviation over the draws) and draws.
    """
    if rerank and single_shot:
        raise InputError("re-ranking needs everybody's pictures; leave out --rerank or --single-shot")
    # The data, and whether it can be scored as asked.
    people = open_people_data(data)
    note_counts(people)
    check_evaluation(people)
    whole = not len(people.query) and not len(people.gallery)
    if whole and (rerank or single_shot or pictures is not None):
        raise InputError(
            f"{data}: has no query/ and bounding_box_test/ pictures, and is scored on random halves: leave out "
            "--rerank, --single-shot and --pictures"
        )
    if not whole and not (len(people.query) and len(people.gallery)):
        raise InputError(f"{data}: has no query/ or no bounding_box_test/ pictures to evaluate on")
    # The network.
    weights = find_weights(settings.weights, choose_device(settings.device, "reid.device"))
    if weights is None:
        raise InputError("reid.weights: no ReID weights are bundled with this installation; name a file with --weights")
    checkpoint = load_checkpoint(weights, trust=settings.trust_weights)
    embedder = embedder_of(checkpoint, settings)
    started = time.perf_counter()
    if whole:
        vectors = embed_images(embedder, people.train)
        labels = (people.train.person_ids, people.train.camera_ids)
        scores = score_splits(vectors, labels, metric or checkpoint.metric, split_share, seed)
        return {**scores, "seconds": round(time.perf_counter() - started, 2)}
    # Vectors, and what they score.
    query = embed_images(embedder, people.query)
    gallery = embed_images(embedder, people.gallery)
    query_labels = (people.query.person_ids, people.query.camera_ids)
    gallery_labels = (people.gallery.person_ids, people.gallery.camera_ids)
    metric = metric or checkpoint.metric
    if single_shot:
        scores = score_single_shot(query, gallery, query_labels, gallery_labels, metric, seed)
    else:
        scores = score_vectors(query, gallery, query_labels, gallery_labels, metric, rerank)
    scores = {**scores, "seconds": round(time.perf_counter() - started, 2)}
    if pictures is not None:
        write_pictures(pictures, people, checkpoint, query, gallery, metric)
    return scores


def write_pictures(
    folder: Path,
    people: PeopleData,
    checkpoint: Checkpoint,
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    metric: Metric,
) -> None:
    """Write pictures of an evaluation into a folder, made if need be; the vectors are as the network makes them."""
    from app.reid.visualize import activation_maps, ranked_lists, reliability, write_reliability_diagram

    try:
        claim_folder(folder, "evaluation", ["ranked.png", "reliability.png", "activation.png"], option="--pictures")
    except OSError as error:
        raise InputError(f"--pictures {folder}: cannot make this folder ({error.strerror})") from error
    unit_query, unit_gallery = unit_rows(query), unit_rows(gallery)
    ranked = (unit_query, unit_gallery) if metric == "cosine" else (query, gallery)
    cv2.imwrite(str(folder / "ranked.png"), ranked_lists(people, *ranked))
    found = reliability(checkpoint.calibration, unit_query, unit_gallery, people)
    write_reliability_diagram(folder / "reliability.png", *found)
    if checkpoint.network_file is None:
        maps = activation_maps(people, checkpoint.network(), checkpoint.preprocessing)
        cv2.imwrite(str(folder / "activation.png"), maps)


def embed_images(embedder: NetworkEmbedder, pictures: Pictures) -> NDArray[np.float32]:
    """Return (N, D) vectors as the network makes them."""
    chunks = [
        embedder.raw_vectors([pictures.decode(row) for row in range(start, min(start + CHUNK_CROPS, len(pictures)))])
        for start in range(0, len(pictures), CHUNK_CROPS)
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
    """Return rank1, rank5, rank10, mAP, mINP, TAR_at_FAR_… (percent) and the counts, for (Q, D) and (G, D) vectors.

    TAR_at_FAR_1e-3 is the share of true pairs across cameras that are nearer than all but a thousandth of the pairs of
    strangers.
    """
    if metric == "cosine":
        query, gallery = unit_rows(query), unit_rows(gallery)
    blocks = reranked_distances(query, gallery) if rerank else squared_distances(query, gallery)
    matches = np.intersect1d(query_labels[0], gallery_labels[0])
    counts = [(labels[0][:, None] == matches).sum(axis=0) for labels in (query_labels, gallery_labels)]
    open_set = OpenSet(len(query) * len(gallery) - int(counts[0] @ counts[1]))
    ranks = []
    start = 0
    for block in blocks:
        rows = slice(start, start + len(block))
        same_person = query_labels[0][rows, None] == gallery_labels[0]
        same_camera = query_labels[1][rows, None] == gallery_labels[1]
        ranks += list(map(ranks_of_matches, block, same_person, same_camera))
        open_set.add(block, same_person, same_camera)
        start += len(block)
    return {**summarise(ranks), **open_set.accepted(), "queries": len(query), "gallery": len(gallery)}


def score_single_shot(
    query: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_labels: Labels,
    gallery_labels: Labels,
    metric: Metric,
    seed: int,
) -> dict[str, float | int]:
    """Return what `score_vectors` does (but no TAR) for galleries that show everyone once, and how many were drawn."""
    if metric == "cosine":
        query, gallery = unit_rows(query), unit_rows(gallery)
    ranks = single_shot_ranks(squared_distances(query, gallery), query_labels, gallery_labels, seed)
    return {**summarise(ranks), "queries": len(query), "gallery": len(gallery), "draws": DRAWS}


def score_splits(
    vectors: NDArray[np.float32], labels: Labels, metric: Metric, share: float, seed: int
) -> dict[str, float | int]:
    """Return the means over `SPLITS` random parts of the people of what `score_vectors` does (but no TAR), and spreads.

    vectors: (N, D) of all pictures. share: see `split_ranks`; all draws of a share of 1 have the same people, not the
    same pictures.
    """
    if metric == "cosine":
        vectors = unit_rows(vectors)
    drawn = split_ranks(vectors, labels, share, SPLITS, seed)
    scores = [summarise(list(places[:, None])) for places in drawn]
    means = {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
    spreads = {f"{name}_spread": float(np.std([score[name] for score in scores])) for name in ("rank1", "mAP")}
    distractors = int(np.count_nonzero(labels[0] == 0))
    return {**means, **spreads, "queries": len(drawn[0]), "gallery": len(drawn[0]) + distractors, "draws": SPLITS}


def evaluate_sets(
    settings: ReidSettings, data: Sequence[Path], split_share: float = 0.5, seed: int = 0
) -> dict[str, dict[str, float | int]]:
    """Return `evaluate_reid`'s scores by data set, and under `mean` rank1 and mAP averaged over the sets."""
    scores: dict[str, dict[str, float | int]] = {}
    for path in data:
        name = path.stem if path.stem not in scores else str(path)
        scores[name] = evaluate_reid(settings, path, seed=seed, split_share=split_share)
    means = {name: float(np.mean([score[name] for score in scores.values()])) for name in ("rank1", "mAP")}
    return {**scores, "mean": dict(means)}


def sets_table(scores: Mapping[str, Mapping[str, float | int]]) -> Any:
    """Return a rich table of what `evaluate_sets` found."""
    from rich.table import Table

    table = Table("data set", "queries", "gallery", "rank-1", "rank-5", "mAP")
    for name, row in scores.items():
        spread = f" ± {row['rank1_spread']:.1f}" if "rank1_spread" in row else ""
        counts = [f"{row[key]:,}" if key in row else "" for key in ("queries", "gallery")]
        fifth = f"{row['rank5']:.1f}" if "rank5" in row else ""
        table.add_row(name, *counts, f"{row['rank1']:.1f}{spread}", fifth, f"{row['mAP']:.1f}")
    return table


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
    negatives = distances[~same_person]
    nearer_matches = np.searchsorted(matches, negatives, side="left")
    negatives_before = np.cumsum(np.bincount(nearer_matches, minlength=len(matches) + 1)[: len(matches)])
    return np.arange(1, len(matches) + 1) + negatives_before


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
