"""Constrained clustering of a sparse graph: who belongs together, when some never can.

The aim is the partition with the largest sum of log-odds over all pairs inside a cluster (correlation clustering,
Bansal et al., 2004), under hard constraints: two that were seen at one time in one camera, or were declared foes,
never share a cluster. `agglomerate` builds a first partition by average linkage, `refine` improves it by moving
members, exchanging rivals for a place, and splitting off those who fit nowhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.track.evidence import ABSENT_LOG_ODDS
from app.track.presence import Presence

REFINE_ROUNDS = 10
"""Rounds over all members; improvement ends after two or three."""


@dataclass(slots=True)
class Graph:
    """What is to be clustered. Node i may stand for several tracklets that are known to be one person.

    presences: when and where each node was seen. sizes: tracklets in each node.
    edges: for each node, other node → (sum of log-odds, number of tracklet pairs that it is over), both ways.
    foes: for each node, the nodes that are other people.
    threshold: log-odds from which a pair speaks for one person.
    """

    presences: list[Presence]
    sizes: list[int]
    edges: list[dict[int, tuple[float, int]]]
    foes: list[set[int]]
    threshold: float

    def rivals(self, a: int, b: int) -> bool:
        """Whether two nodes cannot be one person."""
        return b in self.foes[a] or self.presences[a].conflicts(self.presences[b])

    def gain(self, total: float, known: int, pairs: int) -> float:
        """Return what joining adds to the aim, over `pairs` of which `known` have evidence that sums to `total`."""
        return total + (pairs - known) * ABSENT_LOG_ODDS - pairs * self.threshold


@dataclass(slots=True)
class _Cluster:
    nodes: list[int]
    size: int
    presence: Presence
    edges: dict[int, tuple[float, int]] = field(default_factory=dict)
    foes: set[int] = field(default_factory=set)


def agglomerate(graph: Graph, labels: list[int] | None = None, target: int | None = None) -> list[int]:
    """Join clusters, best average log-odds first, and return a label for each node.

    labels: where to start; by default every node is a cluster of its own.
    target: number of clusters at which to stop, whatever the threshold; without it joining stops at the threshold.
    """
    labels = list(range(len(graph.sizes))) if labels is None else labels
    clusters = _clusters(graph, labels)

    def linkage(i: int, j: int) -> float:
        total, known = clusters[i].edges[j]
        pairs = clusters[i].size * clusters[j].size
        return graph.gain(total, known, pairs) / pairs

    versions = dict.fromkeys(clusters, 0)
    heap = [(-linkage(i, j), i, j, 0, 0) for i, cluster in clusters.items() for j in cluster.edges if i < j]
    if target is None:
        heap = [entry for entry in heap if entry[0] < 0]
    heapq.heapify(heap)
    while heap and (target is None or len(clusters) > target):
        _, i, j, version_i, version_j = heapq.heappop(heap)
        if versions.get(i) != version_i or versions.get(j) != version_j:
            continue
        if j in clusters[i].foes or clusters[i].presence.conflicts(clusters[j].presence):
            continue
        _join(clusters, i, j)
        del versions[j]
        versions[i] += 1
        for k in clusters[i].edges:
            cost = -linkage(i, k)
            if cost < 0 or target is not None:
                low, high = min(i, k), max(i, k)
                heapq.heappush(heap, (cost, low, high, versions[low], versions[high]))
    result = [0] * len(graph.sizes)
    for label, cluster in clusters.items():
        for node in cluster.nodes:
            result[node] = label
    return result


def refine(graph: Graph, labels: list[int], keep_count: bool = False) -> list[int]:
    """Move single nodes while that raises the sum of log-odds inside clusters, and return the new labels.

    A node may go to another cluster, take the place of the one rival that it has there, or be alone.
    keep_count: leave the number of clusters as it is, so that nobody splits off or leaves an empty cluster behind.
    """
    partition = _Partition(graph, labels, keep_count)
    for _ in range(REFINE_ROUNDS):
        moved = [partition.improve(node) for node in range(len(graph.sizes))]
        if not any(moved):
            break
    return partition.labels


class _Partition:
    """Labels of all nodes and the members of all clusters, changed move by move."""

    def __init__(self, graph: Graph, labels: list[int], keep_count: bool) -> None:
        self.graph = graph
        self.labels = list(labels)
        self.keep_count = keep_count
        self.members: dict[int, set[int]] = {}
        self.sizes: dict[int, int] = {}
        for node, label in enumerate(labels):
            self.members.setdefault(label, set()).add(node)
            self.sizes[label] = self.sizes.get(label, 0) + graph.sizes[node]
        self._fresh = max(labels, default=0) + 1

    def improve(self, node: int) -> bool:
        """Make the best move of this node, if one raises the aim; return whether one did."""
        own = self.labels[node]
        if self.keep_count and len(self.members[own]) == 1:
            return False
        gains = self._gains(node)
        stay = gains.pop(own, 0.0 if len(self.members[own]) == 1 else self._gain_without_evidence(node, own))
        best, best_label, displaced = (1e-6, -1, -1) if self.keep_count else (max(-stay, 1e-6), -1, -1)
        for gain, label in sorted(
            ((gain, label) for label, gain in gains.items()), key=lambda item: (-item[0], item[1])
        ):
            if gain - stay <= best:
                break
            rivals = self._rivals(node, label, most=2)
            if not rivals:
                best, best_label, displaced = gain - stay, label, -1
                break
            if len(rivals) == 1 and not (self.keep_count and len(self.members[label]) == 1):
                change = self._exchange(node, rivals[0], stay, gain)
                if change > best:
                    best, best_label, displaced = change, label, rivals[0]
        if best_label < 0:
            if self.keep_count or stay >= -1e-6:
                return False
            best_label = self._new_label()
        if displaced >= 0:
            there = self._gain_after_exchange(displaced, own, node)
            self._move(displaced, own if there > 0 or self.keep_count else self._new_label())
        self._move(node, best_label)
        return True

    def _gains(self, node: int) -> dict[int, float]:
        """Return for each cluster that the node has an edge to what its membership is worth."""
        graph = self.graph
        sums: dict[int, tuple[float, int]] = {}
        for other, (total, known) in graph.edges[node].items():
            label = self.labels[other]
            sum_so_far, known_so_far = sums.get(label, (0.0, 0))
            sums[label] = (sum_so_far + total, known_so_far + known)
        own, size = self.labels[node], graph.sizes[node]
        return {
            label: graph.gain(total, known, size * (self.sizes[label] - (size if label == own else 0)))
            for label, (total, known) in sums.items()
        }

    def _gain_without_evidence(self, node: int, label: int) -> float:
        size = self.graph.sizes[node]
        return self.graph.gain(0.0, 0, size * (self.sizes[label] - size))

    def _rivals(self, node: int, label: int, most: int) -> list[int]:
        found = []
        for other in sorted(self.members[label]):
            if other != node and self.graph.rivals(node, other):
                found.append(other)
                if len(found) == most:
                    break
        return found

    def _pair(self, a: int, b: int) -> float:
        total, known = self.graph.edges[a].get(b, (0.0, 0))
        return self.graph.gain(total, known, self.graph.sizes[a] * self.graph.sizes[b])

    def _exchange(self, node: int, rival: int, stay: float, gain: float) -> float:
        """Return the change of the aim when `node` takes the place of `rival`, who goes to the node's old cluster or,
        where that is worse, stays alone. `gain` is what the node's membership is worth with the rival in it."""
        arrives = gain - self._pair(node, rival)
        leaves = self._gains(rival).get(self.labels[rival], 0.0)
        there = self._gain_after_exchange(rival, self.labels[node], node)
        if self.keep_count and there == float("-inf"):
            return float("-inf")
        return arrives - stay - leaves + (there if self.keep_count else max(there, 0.0))

    def _gain_after_exchange(self, rival: int, label: int, node: int) -> float:
        """Return what `rival` is worth in the cluster that `node` leaves; -inf where it cannot be there."""
        if any(other not in (node, rival) and self.graph.rivals(rival, other) for other in self.members[label]):
            return float("-inf")
        gains = self._gains(rival)
        worth = gains.get(label)
        if worth is None:
            worth = self.graph.gain(0.0, 0, self.graph.sizes[rival] * self.sizes[label])
        return worth - self._pair(rival, node)

    def _move(self, node: int, label: int) -> None:
        old = self.labels[node]
        self.members[old].discard(node)
        self.sizes[old] -= self.graph.sizes[node]
        if not self.members[old]:
            del self.members[old], self.sizes[old]
        self.labels[node] = label
        self.members.setdefault(label, set()).add(node)
        self.sizes[label] = self.sizes.get(label, 0) + self.graph.sizes[node]

    def _new_label(self) -> int:
        self._fresh += 1
        return self._fresh


def _clusters(graph: Graph, labels: Iterable[int]) -> dict[int, _Cluster]:
    """Return the clusters of a labelling by the smallest node in each, with edges and foes between clusters."""
    first: dict[int, int] = {}
    clusters: dict[int, _Cluster] = {}
    own: list[int] = []
    for node, label in enumerate(labels):
        root = first.setdefault(label, node)
        own.append(root)
        if root == node:
            clusters[root] = _Cluster([node], graph.sizes[node], graph.presences[node])
        else:
            clusters[root].nodes.append(node)
            clusters[root].size += graph.sizes[node]
            clusters[root].presence = clusters[root].presence.joined(graph.presences[node])
    for node, edges in enumerate(graph.edges):
        cluster = clusters[own[node]]
        cluster.foes |= {own[foe] for foe in graph.foes[node]}
        for other, (total, known) in edges.items():
            if own[other] != own[node]:
                sum_so_far, known_so_far = cluster.edges.get(own[other], (0.0, 0))
                cluster.edges[own[other]] = (sum_so_far + total, known_so_far + known)
    return clusters


def _join(clusters: dict[int, _Cluster], i: int, j: int) -> None:
    """Move cluster j into cluster i."""
    kept, gone = clusters[i], clusters.pop(j)
    kept.nodes.extend(gone.nodes)
    kept.size += gone.size
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
