"""What the people known online look like: for each camera one matrix, so that comparing with everybody is a product.

Cosines of centred vectors are computed from the plain ones: the centre of a camera moves with every new track, and
subtracting it from thousands of vectors at each comparison is what would take the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.frames import NO_ID, TrackletKey
from app.reid.calibrate import unit_rows
from app.track.likeness import CENTER_SHRINKAGE

_FIRST_ROWS = 16
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much (R,) given vectors are like the (K,) known ones.

    people: (K,) int64 whose each known vector is.  plain, centred: (R, K) float32 cosines of the vectors as they are,
    and less their cameras' centres.
    """

    people: NDArray[np.int64]
    plain: NDArray[np.float32]
    centred: NDArray[np.float32]

    def means(
        self, values: NDArray[np.float32], people: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the (R, P) means of (R, K) values over the vectors of each of (P,) sorted people, and (P,) bool: who
        has any; the means of the others are 0. Everybody with vectors must be among `people`."""
        columns = np.searchsorted(people, self.people)
        counts = np.bincount(columns, minlength=len(people))
        sums = [np.bincount(columns, row, len(people)) for row in values]
        return np.array(sums).reshape(len(values), len(people)) / np.maximum(counts, 1), counts > 0


@dataclass(slots=True)
class _View:
    """What one camera showed. Row r of (n, D) `vectors` is how (n,) `people` [r] looks there, `NO_ID` for a free row;
    lengths: (n,) of the vectors, squared.  total, count: sum and number of all tracks' vectors so far, also of those
    that were forgotten."""

    vectors: NDArray[np.float32]
    lengths: NDArray[np.float32]
    people: NDArray[np.int64]
    free: list[int]
    total: NDArray[np.float64]
    count: int = 0

    @classmethod
    def empty(cls, dimension: int) -> _View:
        return cls(
            np.zeros((0, dimension), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            [],
            np.zeros(dimension),
        )

    def free_row(self) -> int:
        if not self.free:
            rows = len(self.people)
            more = max(_FIRST_ROWS, rows)
            self.vectors = np.concatenate([self.vectors, np.zeros((more, self.vectors.shape[1]), np.float32)])
            self.lengths = np.concatenate([self.lengths, np.zeros(more, np.float32)])
            self.people = np.concatenate([self.people, np.full(more, NO_ID)])
            self.free = list(range(rows + more - 1, rows - 1, -1))
        return self.free.pop()


@dataclass(slots=True)
class KnownAppearances:
    """The looks of people: for each of them in each camera those of the latest tracks.

    limit: tracks that are kept of a person in a camera.
    """

    limit: int
    _views: dict[str, _View] = field(default_factory=dict)
    _rows: dict[int, dict[TrackletKey, int]] = field(default_factory=dict)
    """For each person the rows of its tracks, the latest last."""

    def of(self, person: int) -> tuple[TrackletKey, ...]:
        """Return the tracks by whose appearance a person is known, the latest last."""
        return tuple(self._rows.get(person, ()))

    def learn(self, person: int, key: TrackletKey, vector: NDArray[np.float32], first: bool) -> None:
        """Remember how a person looks in this track; of each camera only the latest tracks are kept.

        vector: (D,), unit length.  first: this track was not learned before, and counts for the camera's centre.
        """
        view = self._views.get(key[0])
        if view is None:
            view = self._views[key[0]] = _View.empty(len(vector))
        if first:
            view.total += vector
            view.count += 1
        own = self._rows.setdefault(person, {})
        row = own.pop(key, None)
        own[key] = row = view.free_row() if row is None else row
        view.vectors[row], view.people[row] = vector, person
        view.lengths[row] = vector @ vector
        self._limit(own, key[0])

    def forget(self, person: int, key: TrackletKey | None = None) -> None:
        """Forget a person, or how the person looks in one track."""
        own = self._rows.get(person, {})
        for gone in list(own) if key is None else [key] if key in own else []:
            self._release(gone, own.pop(gone))
        if not own:
            self._rows.pop(person, None)

    def regroup(self, owner: Callable[[int, TrackletKey], int], last_time: Callable[[TrackletKey], float]) -> None:
        """Give the appearance of every track to whom they belong now.

        owner: from the person before and the track to the person now; `NO_ID` to forget those looks.
        last_time: when a track was last seen; it decides which ones are the latest.
        """
        before = [(key, person, row) for person, own in self._rows.items() for key, row in own.items()]
        self._rows = {}
        for key, person, row in sorted(before, key=lambda entry: last_time(entry[0])):
            now = owner(person, key)
            if now == NO_ID:
                self._release(key, row)
                continue
            own = self._rows.setdefault(now, {})
            own[key] = row
            self._views[key[0]].people[row] = now
            self._limit(own, key[0])

    def likeness(self, camera: str, vectors: NDArray[np.float32]) -> Likeness | None:
        """Compare the (R, D) unit vectors of tracks of a camera with everybody; None while nobody is known."""
        if not self._rows:
            return None
        centers = self._centers()
        here = unit_rows(vectors - (centers[camera] if camera in centers else self._overall()))
        people, plain, centred = [], [], []
        for name, view in self._views.items():
            used = np.flatnonzero(view.people != NO_ID)
            center = centers[name]
            cosines = vectors @ view.vectors.T
            # |v - c|² and h · (v - c), for known v, centre c and given h
            lengths = view.lengths - 2 * (view.vectors @ center) + center @ center
            products = here @ view.vectors.T - (here @ center)[:, None]
            own = products / np.sqrt(np.maximum(lengths, _TINY))
            people.append(view.people[used])
            plain.append(cosines[:, used])
            centred.append(own[:, used])
        return Likeness(np.concatenate(people), np.concatenate(plain, axis=1), np.concatenate(centred, axis=1))

    def _centers(self) -> dict[str, NDArray[np.float32]]:
        """Return the (D,) mean vector of each camera's tracks: light and viewpoint, which all its vectors share; drawn
        towards the mean of all cameras while it has shown little."""
        overall = self._overall()
        return {
            name: ((view.total + CENTER_SHRINKAGE * overall) / (view.count + CENTER_SHRINKAGE)).astype(np.float32)
            for name, view in self._views.items()
        }

    def _overall(self) -> NDArray[np.float32]:
        """Return the (D,) mean appearance of all tracks."""
        total = np.sum([view.total for view in self._views.values()], axis=0)
        return np.asarray(total / max(1, sum(view.count for view in self._views.values())), np.float32)

    def _limit(self, own: dict[TrackletKey, int], camera: str) -> None:
        same = [key for key in own if key[0] == camera]
        for gone in same[: -self.limit]:
            self._release(gone, own.pop(gone))

    def _release(self, key: TrackletKey, row: int) -> None:
        view = self._views[key[0]]
        view.people[row] = NO_ID
        view.free.append(row)
