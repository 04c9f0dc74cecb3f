"""Constrained clustering of a sparse graph: who belongs together, when some never can.

The aim is the partition with the largest sum of log-odds over all pairs inside a cluster (correlation clustering,
Bansal et al., 2004), under hard constraints: two that were seen at one time in one camera, or must not be linked,
never share a cluster. `agglomerate` builds a first partition by average linkage, `refine` improves it by moving
members, exchanging rivals for a place, and splitting off those who fit nowhere.

Pairs without evidence all count the same, so that an edge is one number: by how much its evidence speaks more for one
person than no evidence does. What is done for all edges at once is done by sparse matrices; what changes the partition
step by step looks at a few nodes only.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from app.track.linking.pair_evidence import ABSENT_LOG_ODDS
from app.track.linking.presence import Presence

REFINE_ROUNDS = 20
"""Rounds over all members; improvement ends after two to five."""

LEAST_GAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Graph:
    """What is to be clustered. Node i may stand for several tracklets that are known to be one person.

    presences: when and where each node was seen. sizes: (n,) int64 tracklets in each node.
    weights: (n, n) symmetric sparse float64: the sum over the known tracklet pairs of two nodes of their log-odds minus
    `ABSENT_LOG_ODDS`. Its diagonal is empty.
    cannot_link: for each node that has any, the nodes that are other people, both ways.
    threshold: log-odds from which a pair speaks for one person.
    """

    presences: Sequence[Presence]
    sizes: NDArray[np.int64]
    weights: csr_array
    cannot_link: dict[int, set[int]]
    threshold: float

    @property
    def absent(self) -> float:
        """What a pair of tracklets in one cluster adds to the aim for which there is no evidence."""
        return ABSENT_LOG_ODDS - self.threshold

    def rivals(self, a: int, b: int) -> bool:
        """Return whether two nodes cannot be one person."""
        return b in self.cannot_link.get(a, ()) or self.presences[a].conflicts(self.presences[b])


@dataclass(slots=True)
class _Cluster:
    nodes: list[int]
    size: int
    presence: Presence
    edges: dict[int, float]
    cannot_link: set[int] = field(default_factory=set)


def agglomerate(graph: Graph, labels: Sequence[int] | None = None, target: int | None = None) -> list[int]:
    """Join clusters, best average log-odds first, and return a label for each node.

    labels: where to start; by default every node is a cluster of its own.
    target: number of clusters at which to stop, whatever the threshold; without it joining stops at the threshold.
    """
    absent, whatever = graph.absent, target is not None
    clusters, pairs = _clusters(graph, np.arange(len(graph.sizes)) if labels is None else np.array(labels), whatever)
    versions = dict.fromkeys(clusters, 0)
    heap = [(cost, i, j, 0, 0) for cost, i, j in pairs]
    heapq.heapify(heap)
    while heap and (target is None or len(clusters) > target):
        _, i, j, version_i, version_j = heapq.heappop(heap)
        if versions.get(i) != version_i or versions.get(j) != version_j:
            continue
        if j in clusters[i].cannot_link or clusters[i].presence.conflicts(clusters[j].presence):
            # Whatever else joins either of them, they stay apart.
            del clusters[i].edges[j], clusters[j].edges[i]
            continue
        _join(clusters, i, j)
        del versions[j]
        versions[i] += 1
        size, version = clusters[i].size, versions[i]
        for k, weight in clusters[i].edges.items():
            cost = -weight / (size * clusters[k].size) - absent
            if cost < 0 or whatever:
                entry = (cost, i, k, version, versions[k]) if i < k else (cost, k, i, versions[k], version)
                heapq.heappush(heap, entry)
    result = [0] * len(graph.sizes)
    for label, cluster in clusters.items():
        for node in cluster.nodes:
            result[node] = label
    return result


def refine(graph: Graph, labels: Sequence[int], keep_count: bool = False) -> list[int]:
    """Move single nodes while that raises the sum of log-odds inside clusters, and return the new labels.

    A node may go to another cluster, take the place of the one rival that it has there, or be alone.
    keep_count: leave the number of clusters as it is, so that nobody splits off or leaves an empty cluster behind.
    """
    partition = _Partition(graph, labels, keep_count)
    for _ in range(REFINE_ROUNDS):
        moved = [partition.improve(node) for node in partition.restless().tolist()]
        if not any(moved):
            break
    return partition.labels


class _Partition:
    """Labels of all nodes and the members of all clusters, changed move by move."""

    def __init__(self, graph: Graph, labels: Sequence[int], keep_count: bool) -> None:
        self.graph = graph
        self.labels = list(labels)
        self.keep_count = keep_count
        self.members: dict[int, set[int]] = {}
        self.sizes: dict[int, int] = {}
        self.node_sizes: list[int] = graph.sizes.tolist()
        for node, label in enumerate(labels):
            self.members.setdefault(label, set()).add(node)
            self.sizes[label] = self.sizes.get(label, 0) + self.node_sizes[node]
        self._fresh = max(labels, default=0) + 1

    def restless(self) -> NDArray[np.int64]:
        """Return the nodes that are worth less where they are than alone or in another cluster, rivals aside."""
        count = len(self.labels)
        labels, own = np.unique(self.labels, return_inverse=True)
        sizes = self.graph.sizes
        of_label = np.bincount(own, sizes, len(labels))
        membership = csr_array((np.ones(count), own, np.arange(count + 1)), shape=(count, len(labels)))
        worth = coo_array(self.graph.weights @ membership)
        inside = worth.col == own[worth.row]
        pairs = sizes[worth.row] * (of_label[worth.col] - np.where(inside, sizes[worth.row], 0))
        gains = worth.data + pairs * self.graph.absent
        stay = sizes * (of_label[own] - sizes) * self.graph.absent
        stay[worth.row[inside]] = gains[inside]
        best = np.full(count, -np.inf)
        np.maximum.at(best, worth.row[~inside], gains[~inside])
        return np.flatnonzero((best - stay > LEAST_GAIN) | (stay < -LEAST_GAIN))

    def improve(self, node: int) -> bool:
        """Make the best move of this node, if one raises the aim; return whether one did."""
        own = self.labels[node]
        if self.keep_count and len(self.members[own]) == 1:
            return False
        gains = self._gains(node)
        stay = gains.pop(own, self._gain(0.0, node, self.sizes[own] - self.node_sizes[node]))
        best, best_label, displaced = (LEAST_GAIN, -1, -1) if self.keep_count else (max(-stay, LEAST_GAIN), -1, -1)
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
            if self.keep_count or stay >= -LEAST_GAIN:
                return False
            best_label = self._new_label()
        if displaced >= 0:
            there = self._gain_after_exchange(displaced, own, node)
            self._move(displaced, own if there > 0 or self.keep_count else self._new_label())
        self._move(node, best_label)
        return True

    def _gain(self, weight: float, node: int, size: int) -> float:
        """Return what a node adds to the aim in company of `size` tracklets to which its edges sum to `weight`."""
        return weight + self.node_sizes[node] * size * self.graph.absent

    def _gains(self, node: int) -> dict[int, float]:
        """Return for each cluster that the node has an edge to what its membership is worth."""
        weights = self.graph.weights
        row = slice(*weights.indptr[node : node + 2].tolist())
        sums: dict[int, float] = {}
        for other, weight in zip(weights.indices[row].tolist(), weights.data[row].tolist(), strict=True):
            label = self.labels[other]
            sums[label] = sums.get(label, 0.0) + weight
        own, size = self.labels[node], self.node_sizes[node]
        return {
            label: self._gain(weight, node, self.sizes[label] - (size if label == own else 0))
            for label, weight in sums.items()
        }

    def _rivals(self, node: int, label: int, most: int) -> list[int]:
        found = []
        for other in sorted(self.members[label]):
            if other != node and self.graph.rivals(node, other):
                found.append(other)
                if len(found) == most:
                    break
        return found

    def _pair(self, a: int, b: int) -> float:
        weights = self.graph.weights
        row = slice(*weights.indptr[a : a + 2].tolist())
        weight = weights.data[row][weights.indices[row] == b].sum()
        return self._gain(float(weight), a, self.node_sizes[b])

    def _exchange(self, node: int, rival: int, stay: float, gain: float) -> float:
        """Return the change of the aim when `node` takes the place of `rival`, who goes to the node's old cluster or,
        where that is worse, stays alone. `gain` is what the node's membership is worth with the rival in it."""
        arrives = gain - self._pair(node, rival)
        company = self.sizes[self.labels[rival]] - self.node_sizes[rival]
        leaves = self._gains(rival).get(self.labels[rival], self._gain(0.0, rival, company))
        there = self._gain_after_exchange(rival, self.labels[node], node)
        if self.keep_count and there == float("-inf"):
            return float("-inf")
        return arrives - stay - leaves + (there if self.keep_count else max(there, 0.0))

    def _gain_after_exchange(self, rival: int, label: int, node: int) -> float:
        """Return what `rival` is worth in the cluster that `node` leaves; -inf where it cannot be there."""
        if any(other not in (node, rival) and self.graph.rivals(rival, other) for other in self.members[label]):
            return float("-inf")
        worth = self._gains(rival).get(label)
        if worth is None:
            worth = self._gain(0.0, rival, self.sizes[label])
        return worth - self._pair(rival, node)

    def _move(self, node: int, label: int) -> None:
        old = self.labels[node]
        self.members[old].discard(node)
        self.sizes[old] -= self.node_sizes[node]
        if not self.members[old]:
            del self.members[old], self.sizes[old]
        self.labels[node] = label
        self.members.setdefault(label, set()).add(node)
        self.sizes[label] = self.sizes.get(label, 0) + self.node_sizes[node]

    def _new_label(self) -> int:
        self._fresh += 1
        return self._fresh


def _clusters(
    graph: Graph, labels: NDArray[np.int64], whatever: bool
) -> tuple[dict[int, _Cluster], list[tuple[float, int, int]]]:
    """Return the clusters of a labelling by the smallest node in each, with edges and cannot-link pairs between
    clusters, and the pairs of clusters to begin with as (minus average log-odds over the threshold, smaller, larger).

    whatever: all pairs that have an edge; else those alone that speak for one person.
    """
    count = len(labels)
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    root = first[group]
    sizes = np.bincount(root, graph.sizes, count).astype(np.int64)
    weights = coo_array(graph.weights)
    between = coo_array((weights.data, (root[weights.row], root[weights.col])), shape=(count, count)).tocsr().tocoo()
    i, j, weight = between.row.astype(np.int64), between.col.astype(np.int64), between.data
    cost = -weight / (sizes[i] * sizes[j]) - graph.absent
    kept = i != j
    if not whatever:
        # Clusters are joined along edges that speak for it, so that no other edge leaves a component of those.
        speaking = kept & (cost < 0)
        ones = np.ones(int(speaking.sum()), np.int8)
        component = connected_components(csr_array((ones, (i[speaking], j[speaking])), shape=(count, count)), False)[1]
        kept &= component[i] == component[j]
    i, j, weight, cost = i[kept], j[kept], weight[kept], cost[kept]
    bounds = np.searchsorted(i, np.arange(count + 1)).tolist()
    others, values = j.tolist(), weight.tolist()
    clusters: dict[int, _Cluster] = {}
    for node, (own, size) in enumerate(zip(root.tolist(), sizes.tolist(), strict=True)):
        if own == node:
            row = slice(bounds[node], bounds[node + 1])
            edges = dict(zip(others[row], values[row], strict=True))
            clusters[node] = _Cluster([node], size, graph.presences[node], edges)
        else:
            clusters[own].nodes.append(node)
            clusters[own].presence = clusters[own].presence.joined(graph.presences[node])
    for node, cannot_link in graph.cannot_link.items():
        clusters[int(root[node])].cannot_link |= set(root[list(cannot_link)].tolist())
    begin = i < j if whatever else (i < j) & (cost < 0)
    return clusters, list(zip(cost[begin].tolist(), i[begin].tolist(), j[begin].tolist(), strict=True))


def _join(clusters: dict[int, _Cluster], i: int, j: int) -> None:
    """Move cluster j into cluster i."""
    kept, gone = clusters[i], clusters.pop(j)
    kept.nodes.extend(gone.nodes)
    kept.size += gone.size
    kept.presence = kept.presence.joined(gone.presence)
    kept.edges.pop(j, None)
    for other, weight in gone.edges.items():
        if other == i:
            continue
        edges = clusters[other].edges
        del edges[j]
        kept.edges[other] = edges[i] = kept.edges.get(other, 0.0) + weight
    for other in gone.cannot_link:
        kept.cannot_link.add(other)
        clusters[other].cannot_link.discard(j)
        clusters[other].cannot_link.add(i)
