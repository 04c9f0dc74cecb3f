"""What known people look like, beside a plain dictionary of vectors that is compared one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.frames import NO_ID, TrackletKey
from app.track.known_appearances import KnownAppearances
from app.track.likeness import CENTER_SHRINKAGE

DIMENSION = 6
LIMIT = 3

people = st.integers(1, 4)
tracks = st.tuples(st.sampled_from("ab"), st.integers(1, 5))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("learn"), people, tracks, st.integers(0, 2**16), st.booleans()),
        st.tuples(st.just("forget"), people),
        st.tuples(st.just("forget"), people, tracks),
        st.tuples(st.just("regroup"), st.permutations([NO_ID, 1, 2, 3, 4])),
    ),
    max_size=25,
)


def unit(seed: int) -> np.ndarray:
    """Looks that share much, as those of one camera do."""
    vector = np.abs(np.random.default_rng(seed).normal(size=DIMENSION)) + 1
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Plain:
    """The same as nested dictionaries."""

    def __init__(self) -> None:
        self.appearance: dict[int, dict[TrackletKey, np.ndarray]] = {}
        self.counted: list[tuple[str, np.ndarray]] = []

    def learn(self, person: int, key: TrackletKey, vector: np.ndarray, first: bool) -> None:
        if first:
            self.counted.append((key[0], vector))
        own = self.appearance.setdefault(person, {})
        own.pop(key, None)
        own[key] = vector
        self.limit(own, key[0])

    def limit(self, own: dict[TrackletKey, np.ndarray], camera: str) -> None:
        for key in [key for key in own if key[0] == camera][:-LIMIT]:
            del own[key]

    def forget(self, person: int, key: TrackletKey | None = None) -> None:
        if key is None:
            self.appearance.pop(person, None)
        else:
            self.appearance.get(person, {}).pop(key, None)

    def regroup(self, owner: Any, last_time: Any) -> None:
        entries = [(key, person, vector) for person, own in self.appearance.items() for key, vector in own.items()]
        self.appearance = {}
        for key, person, vector in sorted(entries, key=lambda entry: last_time(entry[0])):
            if owner(person, key) != NO_ID:
                own = self.appearance.setdefault(owner(person, key), {})
                own[key] = vector
                self.limit(own, key[0])

    def center(self, camera: str) -> np.ndarray:
        overall = sum((vector for _, vector in self.counted), np.zeros(DIMENSION)) / max(1, len(self.counted))
        own = [vector for name, vector in self.counted if name == camera]
        return (sum(own, np.zeros(DIMENSION)) + CENTER_SHRINKAGE * overall) / (len(own) + CENTER_SHRINKAGE)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_matrices_say_what_a_dictionary_says(steps: list[tuple[Any, ...]]) -> None:
    fast, plain = KnownAppearances(LIMIT), Plain()
    held: set[TrackletKey] = set()  # a track shows one person only
    for kind, *rest in steps:
        if kind == "learn":
            person, key, seed, first = rest
            if key in held and key not in fast.of(person):
                continue
            rest = [person, key, unit(seed), first]
        elif kind == "regroup":
            table = dict(zip([1, 2, 3, 4], rest[0], strict=False))
            rest = [lambda person, key, table=table: table[person], lambda key: float(key[1])]
        for appearance in (fast, plain):
            getattr(appearance, kind)(*rest)
        held = {key for own in plain.appearance.values() for key in own}
    for person in range(1, 5):
        assert fast.of(person) == tuple(plain.appearance.get(person, {}))
    given_vectors = np.stack([unit(70_000), unit(70_001)])
    likeness = fast.likeness("a", given_vectors)
    if not held:
        assert likeness is None or len(likeness.people) == 0
        return
    assert likeness is not None
    for values, centred in ((likeness.plain, False), (likeness.centred, True)):
        means, known = likeness.means(values, [1, 2, 3, 4])
        for person in range(1, 5):
            own = plain.appearance.get(person, {})
            assert known[person - 1] == bool(own)
            for row, vector in enumerate(given_vectors):
                expected = [_cosine(plain, vector, key, other, centred) for key, other in own.items()]
                np.testing.assert_allclose(means[row, person - 1], np.mean(expected or [0.0]), atol=2e-3)


def _cosine(plain: Plain, vector: np.ndarray, key: TrackletKey, other: np.ndarray, centred: bool) -> float:
    if centred:
        vector, other = vector - plain.center("a"), other - plain.center(key[0])
    product = np.linalg.norm(vector) * np.linalg.norm(other)
    return float(vector @ other / product) if product > 1e-4 else 0.0
