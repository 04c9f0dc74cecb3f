"""Which pictures form a batch: P people with K pictures each, so that every batch holds matches and strangers.

Pairs that a human judged can be added: the losses over a batch then see them side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError


def batches_by_set(
    person_ids: NDArray[np.int64],
    person_sets: NDArray[np.int64],
    people_per_batch: int,
    pictures_per_person: int,
    seed: int,
    epoch: int,
) -> NDArray[np.int64]:
    """Return the (B, P * K) picture numbers of an epoch over several data sets, each batch from one of them.

    Pictures of two data sets are told apart by light and camera alone: a stranger has to be one of the same place.

    person_ids: (N,) from 0 to C - 1. person_sets: (C,). See `people_batches` for the rest.
    """
    sets = np.unique(person_sets)
    parts = []
    for number in sets:
        rows = np.flatnonzero(person_sets[person_ids] == number)
        of_set = seed if len(sets) == 1 else seed * len(sets) + int(number)
        parts.append(rows[people_batches(person_ids[rows], people_per_batch, pictures_per_person, of_set, epoch)])
    if len(parts) == 1:
        return parts[0]
    together = np.concatenate(parts)
    return together[np.random.default_rng((seed, epoch, 2)).permutation(len(together))]


def with_unlabelled(batches: NDArray[np.int64], pictures: int, count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the (B, count) numbers of pictures without a person's name that go along with each of the (B, R) batches.

    All of the `pictures` are used equally often in an epoch, to within one time.
    """
    random = np.random.default_rng((seed, epoch, 3))
    needed = len(batches) * count
    rounds = -(-needed // max(pictures, 1))
    drawn = [random.permutation(pictures) for _ in range(rounds)] if pictures else []
    return np.concatenate([np.zeros(0, np.int64), *drawn])[:needed].reshape(len(batches), -1)


def people_batches(
    person_ids: NDArray[np.int64], people_per_batch: int, pictures_per_person: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Return the (B, P * K) picture numbers of an epoch; a person's K pictures stand side by side.

    Every picture is used about once in an epoch. A person with fewer than K pictures has some repeated. The answer
    depends on the arguments only, so that an interrupted epoch can be taken up again.
    """
    random = np.random.default_rng((seed, epoch))
    groups = [
        _groups(np.flatnonzero(person_ids == person), pictures_per_person, random) for person in np.unique(person_ids)
    ]
    if len(groups) < people_per_batch:
        raise InputError(f"train.people_per_batch: {people_per_batch}, but there are {len(groups)} people to train on")
    left = np.array([len(own) for own in groups])
    batches = []
    while np.count_nonzero(left) >= people_per_batch:
        # People with more pictures left are likelier, so that all run out together near the end of the epoch.
        chosen = random.choice(len(groups), people_per_batch, replace=False, p=left / left.sum())
        left[chosen] -= 1
        batches.append(np.concatenate([groups[person][left[person]] for person in chosen]))
    return np.stack(batches)


def with_pairs(
    batches: NDArray[np.int64], pairs: NDArray[np.int64], count: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Return (B, R + 2 * count) picture numbers: each of the (B, R) batches with `count` of the (M, 2) pairs behind it.

    What a human had to say is what a network got wrong, and two pictures of different people that look alike seldom
    meet in a batch by chance. Once they do, the batch-hard triplet loss takes them for its hardest cases.
    """
    if not len(pairs) or not count:
        return batches
    random = np.random.default_rng((seed, epoch, 1))
    drawn = pairs[random.integers(len(pairs), size=(len(batches), count))]
    return np.concatenate([batches, drawn.reshape(len(batches), 2 * count)], axis=1)


def _groups(pictures: NDArray[np.int64], size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Divide one person's pictures at random into (G, size) groups."""
    shuffled = random.permutation(pictures)
    missing = -len(shuffled) % size
    if len(shuffled) >= size and missing > size // 2:
        shuffled = shuffled[: len(shuffled) - (size - missing)]  # a small remainder waits for another epoch
    elif missing:
        shuffled = np.concatenate([shuffled, random.choice(pictures, missing)])
    return shuffled.reshape(-1, size)
