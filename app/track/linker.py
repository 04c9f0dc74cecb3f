"""Joining tracklets into people over a finished recording.

Constrained clustering: tracklets that look alike are joined, best first, by average linkage on a sparse graph of
neighbours. Nobody is twice in one camera at one instant (`presence`), and what a human confirmed or rejected holds.
A join needs a probability and a lead over the next best choice; else the fragment stays alone, because a fragment is
cheaper than a wrong merge.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.config import LinkSettings
from app.errors import InputError
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.track.evidence import PairEvidence, pair_evidence
from app.track.presence import Presence

Key = tuple[str, int]
"""A tracklet's name: (camera, track_id)."""

ABSENT_LOG_ODDS = -3.0
"""What a pair counts that is not among the most similar ones: P(same) of about 0.05."""


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """Why two tracklets are one person.

    a, b: the most similar pair across the join.
    p_same: probability of the join, from all pairs across it.
    runner_up: probability of the best other join that either side could have made; 0 when there was none.
    gates: what the join passed, for example "not co-present".
    """

    a: Key
    b: Key
    p_same: float
    runner_up: float
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Who is who.

    person_ids: (n,) int64 aligned with the tracklets, numbered from 1 in order of first appearance.
    links: one for each join, so that a person of m tracklets has m - 1 of them.
    """

    person_ids: NDArray[np.int64]
    links: list[LinkEvidence]


@dataclass(slots=True)
class _Cluster:
    members: list[int]
    presence: Presence
    edges: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Other cluster → sum of log-odds and number of known pairs."""
    foes: set[int] = field(default_factory=set)


def link_tracklets(
    tracklets: Sequence[Tracklet],
    calibration: Calibration | None,
    settings: LinkSettings,
    confirmed: Sequence[tuple[Key, Key]] = (),
    rejected: Sequence[tuple[Key, Key]] = (),
) -> LinkResult:
    """Join the tracklets of all cameras into people.

    confirmed, rejected: pairs of tracklet keys that a human said are one person, or are not; keys that are not among
    the tracklets are ignored. Tracklets without vectors are joined only by confirmed pairs.
    Raises InputError when confirmed pairs contradict rejected ones or co-presence, ValueError on a key given twice.
    """
    order = sorted(range(len(tracklets)), key=lambda index: (tracklets[index].start_time, tracklets[index].key))
    ordered = [tracklets[index] for index in order]
    position = {tracklet.key: index for index, tracklet in enumerate(ordered)}
    if len(position) != len(ordered):
        raise ValueError("two tracklets have the same camera and track id")
    dimension = max((tracklet.vectors.shape[1] for tracklet in ordered), default=0)
    evidence = pair_evidence(ordered, calibration or Calibration.default(dimension), settings.neighbours)
    clusters = {i: _Cluster([i], Presence.of(tracklet)) for i, tracklet in enumerate(ordered)}
    links: list[LinkEvidence] = []
    _connect(clusters, evidence)
    for a, b in rejected:
        if a in position and b in position:
            clusters[position[a]].foes.add(position[b])
            clusters[position[b]].foes.add(position[a])
    owner = list(range(len(ordered)))
    for a, b in confirmed:
        if a not in position or b not in position:
            continue
        i, j = owner[position[a]], owner[position[b]]
        if i == j:
            continue
        if j in clusters[i].foes or clusters[i].presence.conflicts(clusters[j].presence):
            raise InputError(f"tracklets {a} and {b} are confirmed as one person, but cannot be: see rejected pairs")
        _join(clusters, i, j)
        for member in clusters[i].members:
            owner[member] = i
        links.append(LinkEvidence(a, b, 1.0, 0.0, ("confirmed",)))
    links.extend(_agglomerate(clusters, ordered, settings))
    person_ids = np.zeros(len(ordered), np.int64)
    for number, cluster in enumerate(sorted(clusters.values(), key=lambda cluster: min(cluster.members)), 1):
        person_ids[[order[member] for member in cluster.members]] = number
    return LinkResult(person_ids, links)


def _connect(clusters: dict[int, _Cluster], evidence: PairEvidence) -> None:
    for i, j, value in zip(evidence.rows.tolist(), evidence.columns.tolist(), evidence.log_odds.tolist(), strict=True):
        clusters[i].edges[j] = (value, 1)
        clusters[j].edges[i] = (value, 1)


def _linkage(clusters: dict[int, _Cluster], i: int, j: int) -> float:
    total, known = clusters[i].edges[j]
    pairs = len(clusters[i].members) * len(clusters[j].members)
    return (total + (pairs - known) * ABSENT_LOG_ODDS) / pairs


def _join(clusters: dict[int, _Cluster], i: int, j: int) -> None:
    """Move cluster j into cluster i."""
    kept, gone = clusters[i], clusters.pop(j)
    kept.members.extend(gone.members)
    kept.presence = kept.presence.joined(gone.presence)
    kept.edges.pop(j, None)
    for other, (total, known) in gone.edges.items():
        if other == i:
            continue
        own_total, own_known = kept.edges.get(other, (0.0, 0))
        kept.edges[other] = (total + own_total, known + own_known)
        clusters[other].edges.pop(j)
        clusters[other].edges[i] = kept.edges[other]
    for other in gone.foes:
        kept.foes.add(other)
        clusters[other].foes.discard(j)
        clusters[other].foes.add(i)


def _agglomerate(
    clusters: dict[int, _Cluster], tracklets: Sequence[Tracklet], settings: LinkSettings
) -> list[LinkEvidence]:
    least = float(np.log(settings.min_probability / (1 - settings.min_probability)))
    versions = dict.fromkeys(clusters, 0)
    heap = [(-_linkage(clusters, i, j), i, j, 0, 0) for i, cluster in clusters.items() for j in cluster.edges if i < j]
    heapq.heapify(heap)
    links = []
    while heap:
        cost, i, j, version_i, version_j = heapq.heappop(heap)
        if -cost < least:
            break
        if i not in clusters or j not in clusters or (versions[i], versions[j]) != (version_i, version_j):
            continue
        if j in clusters[i].foes or clusters[i].presence.conflicts(clusters[j].presence):
            continue
        others = [_linkage(clusters, i, k) for k in clusters[i].edges if k != j]
        others += [_linkage(clusters, j, k) for k in clusters[j].edges if k != i]
        runner_up = 1 / (1 + np.exp(-max(others))) if others else 0.0
        a, b = tracklets[clusters[i].members[0]].key, tracklets[clusters[j].members[0]].key
        links.append(LinkEvidence(a, b, float(1 / (1 + np.exp(cost))), float(runner_up), ("not co-present",)))
        _join(clusters, i, j)
        versions[i] += 1
        for k in clusters[i].edges:
            low, high = min(i, k), max(i, k)
            heapq.heappush(heap, (-_linkage(clusters, i, k), low, high, versions[low], versions[high]))
    return links
