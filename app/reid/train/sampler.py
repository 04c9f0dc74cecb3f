"""Which pictures form a batch: P people with K pictures each, so that every batch holds matches and strangers.

Pairs that a human judged can be added: the losses over a batch then see them side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError


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
