"""Three ways to score vectors besides a ranking of the whole gallery.

`OpenSet`: is this the same person, yes or no? The share of true pairs that are accepted (TAR) when a given share of
strangers is (FAR). A watch list, or a person who has never been here, asks that question and no ranking answers it.

`single_shot_ranks`: the protocol of CUHK03 (Li et al., CVPR 2014), in which the gallery shows everyone once.

`split_ranks`: that of VIPeR and the other small sets (Gray & Tao, ECCV 2008): a random part of the people, of whom one
camera's picture asks and another camera's answers, several times over.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError

RATES = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}
"""False accept rates that are reported, by the name that they have in a report."""

DRAWS = 100
"""Random galleries of the single-shot protocol, as in the paper of CUHK03."""


class OpenSet:
    """Collects distances of true pairs and of strangers, block by block, and says how many true pairs are accepted.

    Of the strangers only those are kept that can lie below the threshold of the highest rate: 3,368 × 15,913 distances
    take a few megabytes.
    """

    def __init__(self, negatives: int) -> None:
        """strangers: how many negative pairs will be added in all."""
        self._negatives = negatives
        self._kept = int(max(RATES.values()) * negatives) + 1
        self._nearest = np.zeros(0, np.float32)
        self._true_pairs: list[NDArray[np.float32]] = []

    def add(
        self, distances: NDArray[np.float32], same_person: NDArray[np.bool_], same_camera: NDArray[np.bool_]
    ) -> None:
        """Add pairs; all three have one shape. Pairs of one person on one camera count neither way."""
        self._true_pairs.append(distances[same_person & ~same_camera])
        negatives = distances[~same_person]
        if len(self._nearest) == self._kept:
            negatives = negatives[negatives < self._nearest[-1]]
        together = np.concatenate([self._nearest, negatives])
        if len(together) >= self._kept:
            together = np.partition(together, self._kept - 1)[: self._kept]  # the farthest of them is the last
        self._nearest = together

    def accepted(self) -> dict[str, float]:
        """Return TAR_at_FAR_1e-2, _1e-3 and _1e-4 in percent; empty without any true pair.

        The threshold is the distance of the nearest stranger who must not be accepted any more. With fewer strangers
        than 1 / FAR nobody may be.
        """
        true_pairs = np.concatenate(self._true_pairs) if self._true_pairs else np.zeros(0, np.float32)
        if not len(true_pairs):
            return {}
        nearest = np.append(np.sort(self._nearest), np.float32(np.inf))
        return {
            f"TAR_at_FAR_{name}": 100 * float((true_pairs < nearest[int(rate * self._negatives)]).mean())
            for name, rate in RATES.items()
        }


def single_shot_ranks(
    blocks: Iterable[NDArray[np.float32]],
    query_labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    gallery_labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    seed: int,
    distractor: int = 0,
) -> list[NDArray[np.int64]]:
    """Return, for each query and draw, the place of the one gallery picture that shows its person.

    blocks: (B, G) distances, for the queries in order. Labels are persons and cameras. For each of `DRAWS` draws, one
    picture of everybody in the gallery is drawn, a query's own person from among other cameras' pictures. Pictures of
    the identity `distractor` are taken for one person each. Queries without a picture on another camera are left out.
    """
    random = np.random.default_rng(seed)
    persons, cameras = gallery_labels
    alone = persons == distractor
    groups = np.where(alone, -1 - np.arange(len(persons)), persons)
    order = np.argsort(groups, kind="stable")
    values, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    draws = order[starts + (random.random((DRAWS, len(values))) * counts).astype(np.int64)]  # (draws, people)

    ranks: list[NDArray[np.int64]] = []
    query = 0
    for block in blocks:
        columns, rows, own_draws = [], [], []
        for row in range(len(block)):
            person, camera = query_labels[0][query + row], query_labels[1][query + row]
            own = np.flatnonzero((persons == person) & (cameras != camera))
            if len(own):
                rows.append(row)
                columns.append(int(np.searchsorted(values, person)))
                own_draws.append(own[(random.random(DRAWS) * len(own)).astype(np.int64)])
        query += len(block)
        if not rows:
            continue
        asked = block[rows]
        number = np.arange(len(rows))
        own_distances = np.take_along_axis(asked, np.stack(own_draws), axis=1)  # (rows, draws)
        places = np.empty((DRAWS, len(rows)), np.int64)
        for draw, pictures in enumerate(draws):
            negatives = asked[:, pictures]
            negatives[number, columns] = np.inf
            places[draw] = 1 + (negatives <= own_distances[:, draw, None]).sum(axis=1)
        ranks += list(places.T.reshape(-1, 1))
    return ranks


def split_ranks(
    vectors: NDArray[np.float32],
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    share: float,
    draws: int,
    seed: int,
    distractor: int = 0,
) -> list[NDArray[np.int64]]:
    """Return, for each draw, the (Q,) places of the one gallery picture that shows a query's person.

    vectors: (N, D), compared by Euclidean distance. labels: persons and cameras. share: of the people who were seen by
    two cameras, so many are drawn; in papers the others are trained on. Of each, one picture of one camera asks, one of
    another is in the gallery, with all pictures of the identity `distractor`. Where there are two cameras the first
    asks and the second answers; a gallery of both would favour strangers of the query's own. A set of one camera is
    taken for one in which each picture has a camera of its own.
    Raises InputError if fewer than two people can be drawn.
    """
    persons, cameras = labels[0], labels[1].copy()
    named = persons != distractor
    if len(np.unique(cameras[named])) == 1:
        cameras = np.arange(len(cameras))
    two_cameras = len(np.unique(cameras[named])) == 2
    rows_of = {person: np.flatnonzero(persons == person) for person in np.unique(persons[named])}
    people = [person for person, rows in rows_of.items() if len(np.unique(cameras[rows])) > 1]
    count = round(share * len(people))
    if count < 2:
        raise InputError(f"{len(people)} people were seen by two cameras: too few to look for one of them")
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        asking, answering = [], []
        for person in random.choice(len(people), count, replace=False).tolist():
            rows = rows_of[people[person]]
            here, there = (
                np.unique(cameras[rows])[:2] if two_cameras else random.choice(np.unique(cameras[rows]), 2, False)
            )
            asking.append(random.choice(rows[cameras[rows] == here]))
            answering.append(random.choice(rows[cameras[rows] == there]))
        gallery = np.concatenate([answering, np.flatnonzero(~named)]).astype(np.int64)
        asked, shown = vectors[asking], vectors[gallery]
        distances = (
            np.einsum("qd,qd->q", asked, asked)[:, None]
            + np.einsum("gd,gd->g", shown, shown)[None, :]
            - 2 * asked @ shown.T
        )
        own = distances[np.arange(count), np.arange(count)].copy()
        distances[np.arange(count), np.arange(count)] = np.inf
        found.append(1 + (distances <= own[:, None]).sum(axis=1))
    return found
