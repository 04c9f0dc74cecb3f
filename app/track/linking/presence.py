"""Who is in which camera when: the fact that no appearance can overrule.

Nobody is twice in one camera at one instant, so two tracklets of one camera that were seen at the same time belong to
two people. A tracklet counts as present while its rows follow one another closely; in a longer hole its person may
just as well be another tracklet of that camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.frames import Tracklet

HOLE_S = 2.0
"""Seconds without a row after which a tracklet no longer counts as present."""


@dataclass(frozen=True, slots=True)
class Presence:
    """When somebody was seen, camera by camera: closed intervals, rising and apart from each other.

    spans: for each camera its (S,) float64 starts and (S,) float64 ends, in seconds.
    """

    spans: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

    @classmethod
    def of(cls, tracklet: Tracklet) -> Presence:
        """Return when and where the tracklet was seen."""
        times = tracklet.times
        if times[-1] - times[0] <= HOLE_S or np.max(times[1:] - times[:-1]) <= HOLE_S:
            return cls({tracklet.camera: (times[:1], times[-1:])})
        holes = np.flatnonzero(np.diff(times) > HOLE_S)
        starts = times[np.concatenate([[0], holes + 1])]
        ends = times[np.concatenate([holes, [len(times) - 1]])]
        return cls({tracklet.camera: (starts, ends)})

    def conflicts(self, other: Presence) -> bool:
        """Return whether both were seen in one camera at one time, so that they cannot be one person."""
        few, many = sorted((self.spans, other.spans), key=len)
        for camera, (starts, ends) in few.items():
            if camera not in many:
                continue
            other_starts, other_ends = many[camera]
            if starts[0] > other_ends[-1] or other_starts[0] > ends[-1]:
                continue
            following = np.searchsorted(other_ends, starts)  # first interval that ends no earlier than this one starts
            inside = following < len(other_ends)
            if np.any(other_starts[following[inside]] <= ends[inside]):
                return True
        return False

    def joined(self, other: Presence) -> Presence:
        """Return when and where either was seen; only for two that do not conflict."""
        spans = dict(self.spans)
        for camera, (starts, ends) in other.spans.items():
            if camera in spans:
                own_starts, own_ends = spans[camera]
                all_starts, all_ends = np.concatenate([own_starts, starts]), np.concatenate([own_ends, ends])
                order = np.argsort(all_starts, kind="stable")
                spans[camera] = (all_starts[order], all_ends[order])
            else:
                spans[camera] = (starts, ends)
        return Presence(spans)


def least_people(presences: Sequence[Presence]) -> int:
    """Return how many people there are at the least: the most that any camera saw at one instant."""
    events: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for presence in presences:
        for camera, span in presence.spans.items():
            events.setdefault(camera, []).append(span)
    most = min(1, len(presences))
    for spans in events.values():
        starts = np.sort(np.concatenate([start for start, _ in spans]))
        ends = np.sort(np.concatenate([end for _, end in spans]))
        # Intervals are closed: one that ends at the instant at which another starts still counts.
        present = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, side="left")
        most = max(most, int(present.max()))
    return most


def co_present_pairs(presences: Sequence[Presence], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return up to about `most` pairs (rows, columns) that conflict, rows in rising order, spread over the whole.

    Each presence is compared with the few that begin next in its camera, which is where conflicts are.
    """
    begin: dict[str, list[tuple[float, float, int]]] = {}
    for index, presence in enumerate(presences):
        for camera, (starts, ends) in presence.spans.items():
            begin.setdefault(camera, []).append((float(starts[0]), float(ends[-1]), index))
    pairs = set()
    for entries in begin.values():
        entries.sort()
        for position, (_, end, index) in enumerate(entries):
            for start, _, other in entries[position + 1 : position + 9]:
                if start > end:
                    break
                pairs.add((min(index, other), max(index, other)))
    candidates = sorted(pairs)
    sampled = candidates[:: max(1, len(candidates) // most)]
    kept = [(a, b) for a, b in sampled if presences[a].conflicts(presences[b])]
    table = np.array(kept, np.int64).reshape(len(kept), 2)
    return table[:, 0], table[:, 1]
