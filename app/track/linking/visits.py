"""Where and when each tracklet came into view and left, and the steps from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.frames import Tracklet
from app.track.linking.floors import FootPath, foot_points
from app.track.linking.topology import Clock

END_ROWS = 3
"""The foot at an end of a tracklet is the mean over so many rows: single boxes jitter."""


@dataclass(frozen=True, slots=True)
class Visits:
    """The tracklets as visits to cameras, arrays aligned with them; times by each camera's own clock.

    names: the cameras, rising. cameras: (n,) their numbers. starts, ends: (n,) seconds. entry_feet, exit_feet: (n, 2)
    pixels. heights: (n,) median box height, pixels. tracklets: as given.
    """

    names: tuple[str, ...]
    cameras: NDArray[np.int64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    entry_feet: NDArray[np.float64]
    exit_feet: NDArray[np.float64]
    heights: NDArray[np.float64]
    tracklets: Sequence[Tracklet]

    @classmethod
    def of(cls, tracklets: Sequence[Tracklet]) -> Visits:
        names, cameras = np.unique([tracklet.camera for tracklet in tracklets], return_inverse=True)
        first = [tracklet.boxes[:END_ROWS].mean(axis=0, dtype=np.float64) for tracklet in tracklets]
        last = [tracklet.boxes[-END_ROWS:].mean(axis=0, dtype=np.float64) for tracklet in tracklets]
        return cls(
            tuple(names.tolist()),
            cameras.astype(np.int64),
            np.array([tracklet.start_time for tracklet in tracklets]),
            np.array([tracklet.end_time for tracklet in tracklets]),
            foot_points(np.array(first).reshape(-1, 4)),
            foot_points(np.array(last).reshape(-1, 4)),
            np.maximum([_median(tracklet.boxes[:, 3] - tracklet.boxes[:, 1]) for tracklet in tracklets], 1.0),
            tracklets,
        )

    def path(self, index: int) -> FootPath:
        return FootPath.of(self.tracklets[index])

    def offsets(self, clocks: Mapping[str, Clock]) -> NDArray[np.float64]:
        """Return (n,) how far the clock of each visit's camera is ahead."""
        return np.array([clocks[name].offset_s if name in clocks else 0.0 for name in self.names])[self.cameras]


def _median(values: NDArray[np.float32]) -> float:
    """Return the median of (N,) values; NumPy's own takes ten times as long for few of them."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


@dataclass(frozen=True, slots=True)
class Steps:
    """Confident steps of people from one visit to their next: (S,) numbers of visits, and (S,) of people."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    people: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Steps:
        return Steps(self.before[rows], self.after[rows], self.people[rows])

    def contain(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (N,) which pairs of visits are among the steps."""
        count = max(int(part.max(initial=0)) for part in (self.after, after)) + 1
        return np.isin(before * count + after, self.before * count + self.after)

    def gaps(self, visits: Visits, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (S,) seconds from the end of one visit to the start of the next, free of the clocks' `offsets`."""
        starts = visits.starts[self.after] - offsets[self.after]
        return np.asarray(starts - visits.ends[self.before] + offsets[self.before], np.float64)


def by_camera_pair(cameras: NDArray[np.int64], steps: Steps) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Return for each (from, to) the numbers of its steps."""
    count = int(cameras.max(initial=0)) + 1
    codes = cameras[steps.before] * count + cameras[steps.after]
    order = np.argsort(codes, kind="stable")
    unique, first = np.unique(codes[order], return_index=True)
    parts = np.split(order, first[1:]) if len(order) else []
    return {(int(code) // count, int(code) % count): part for code, part in zip(unique, parts, strict=True)}
