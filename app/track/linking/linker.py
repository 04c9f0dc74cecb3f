"""Joining tracklets into people over a finished recording. `link_tracklets` is the page to read.

All tracklets of all cameras are clustered at once: hand-over to another camera and re-entry into the same one are the
same problem. Nobody is twice in one camera at one instant (`presence`), what a human confirmed or rejected holds, and
everything else is weighed (`pair_evidence`, `clustering`). Every link keeps its reasons.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from app.config import LinkSettings
from app.errors import InputError
from app.frames import Tracklet, TrackletKey
from app.reid.calibrate import Calibration
from app.track.likeness import probability
from app.track.linking.clustering import Graph, agglomerate, refine
from app.track.linking.margin import Standing, stands_out
from app.track.linking.neighbours import MAX_EXACT
from app.track.linking.pair_evidence import ABSENT_LOG_ODDS, PairEvidence, pair_evidence
from app.track.linking.place_evidence import close_in_time, place_evidence, with_candidates
from app.track.linking.presence import Presence, least_people
from app.track.linking.topology import Topology
from app.track.linking.topology_learning import learn_topology
from app.track.linking.visits import Visits

logger = logging.getLogger(__name__)

MOST_ROUNDS = 3
"""Place and time are learned and used so often at the most; each round can join more, of which the next one learns."""

LEAST_PLACE_LOG_ODDS = 1.0
"""Of two that do not look alike, place and time must say at least this to be compared at all."""

MOST_PROPOSALS = 200
LEAST_PROPOSED = 0.2
"""A pair less probable than this is not worth a human's time."""

ABSENT_PROBABILITY = float(probability(ABSENT_LOG_ODDS))

"""A tracklet's name: (camera, track_id)."""


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """Why two tracklets are one person.

    a, b: a tracklet (b) and the one among the earlier linked tracklets of its person that it resembles most (a).
    p_same: P(same) of this pair; 1 where a human confirmed it.
    runner_up: P(same) of the most similar tracklet of another person that it could be; 0 when there is none.
    doubtful: that person is about as likely (`link.min_margin`).
    gates: what the link passed: "not co-present" always, "confirmed", "alike" (the pair alone is convincing) or
        "company" (the person's other tracklets carried it).
    """

    a: TrackletKey
    b: TrackletKey
    p_same: float
    runner_up: float
    gates: tuple[str, ...]
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two tracklets that were left apart and yet may be one person: of two people the pair with the highest P(same)."""

    a: TrackletKey
    b: TrackletKey
    p_same: float


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Who is who.

    person_ids: (n,) int64 aligned with the tracklets, numbered from 1 in order of first appearance.
    links: a person of m tracklets has m - 1 of them, which connect them all.
    proposals: the likeliest links that were not made, at most `MOST_PROPOSALS`, the likeliest first.
    topology: what was learned of place and time, None if that is switched off.
    """

    person_ids: NDArray[np.int64]
    links: list[LinkEvidence]
    topology: Topology | None = None
    proposals: tuple[Proposal, ...] = ()


def link_tracklets(
    tracklets: Sequence[Tracklet],
    calibration: Calibration | None,
    settings: LinkSettings,
    confirmed: Sequence[tuple[TrackletKey, TrackletKey]] = (),
    rejected: Sequence[tuple[TrackletKey, TrackletKey]] = (),
) -> LinkResult:
    """Join the tracklets of all cameras into people.

    calibration: that of the network which made the vectors; None where there are none.
    confirmed, rejected: pairs of tracklet keys that a human said are one person, or are not; keys that are not among
    the tracklets are ignored. Tracklets without vectors are joined only by confirmed pairs.
    The result depends on the tracklets, not on their order.
    Raises InputError when confirmed pairs contradict rejected ones or co-presence, ValueError on a key given twice.
    """
    order = sorted(range(len(tracklets)), key=lambda index: (tracklets[index].start_time, tracklets[index].key))
    ordered = [tracklets[index] for index in order]
    position = {tracklet.key: index for index, tracklet in enumerate(ordered)}
    if len(position) != len(ordered):
        raise ValueError("two tracklets have the same camera and track id")
    presences = [Presence.of(tracklet) for tracklet in ordered]
    dimension = max((tracklet.vectors.shape[1] for tracklet in ordered), default=0)
    evidence = pair_evidence(ordered, presences, calibration or Calibration.default(dimension), settings.neighbours)
    held = [(position[a], position[b]) for a, b in confirmed if a in position and b in position]
    apart = [(position[a], position[b]) for a, b in rejected if a in position and b in position]
    node_of = _confirmed_groups(len(ordered), held)

    def decide(evidence: PairEvidence, impossible: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        # Who a human says is one person is that, wherever it was seen.
        cannot_link = [*apart, *((a, b) for a, b in impossible if node_of[a] != node_of[b])]
        graph = _graph(ordered, presences, node_of, cannot_link, evidence, settings.min_probability)
        labels = _cluster(graph, settings.num_people)
        return _number(np.array(labels, np.int64)[node_of].tolist())

    people = decide(evidence, [])
    topology = None
    if settings.place_and_time and ordered:
        people, evidence, topology = _relink(ordered, evidence, people, settings, decide)
    cannot_link = _cannot_link(apart, np.arange(len(ordered)))
    standing = Standing.of(people, evidence, presences, cannot_link)
    if settings.num_people is None:
        loose = standing.taken_back(settings.min_margin)
        loose[[index for pair in held for index in pair]] = False
        if loose.any():
            fresh = people.max() + 1 + np.arange(len(people))
            people = _number(np.where(loose, fresh, people).tolist())
            standing = Standing.of(people, evidence, presences, cannot_link)
    person_ids = np.zeros(len(ordered), np.int64)
    person_ids[order] = people
    if settings.num_people is not None and people.max(initial=0) != settings.num_people:
        logger.warning(
            "link.num_people is %d, but the tracklets make %d people; up to %d were in view of one camera at once",
            settings.num_people,
            people.max(initial=0),
            least_people(presences),
        )
    links = _explain(ordered, people, evidence, standing, held, settings)
    return LinkResult(person_ids, links, topology, _propose(ordered, presences, people, evidence, apart))


def _relink(
    tracklets: Sequence[Tracklet],
    appearance: PairEvidence,
    people: NDArray[np.int64],
    settings: LinkSettings,
    decide: Callable[[PairEvidence, Sequence[tuple[int, int]]], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], PairEvidence, Topology]:
    """Learn place and time from the first answer, decide again with it, and repeat while that changes anything.

    looks: the evidence of the vectors alone.
    Returns who is who, the evidence with place and time, and what was learned.
    """
    visits = Visits.of(tracklets)
    seen = np.array([tracklet.vectors.size > 0 for tracklet in tracklets])
    evidence, learned = appearance, learn_topology(visits, appearance, people, settings)
    # Of very many tracklets the first answer teaches enough, and clustering them again is what takes the time.
    for _ in range(MOST_ROUNDS if len(tracklets) <= MAX_EXACT else 1):
        candidates, added = with_candidates(appearance, *close_in_time(visits, learned.topology), seen)
        place = place_evidence(visits, candidates.rows, candidates.columns, people, learned)
        worth = ~added | (place.log_odds > LEAST_PLACE_LOG_ODDS)
        evidence = PairEvidence(
            candidates.rows[worth], candidates.columns[worth], (candidates.log_odds + place.log_odds)[worth]
        )
        impossible = np.flatnonzero(place.impossible)
        cannot_link = zip(candidates.rows[impossible].tolist(), candidates.columns[impossible].tolist(), strict=True)
        before, people = people, decide(evidence, list(cannot_link))
        if np.array_equal(before, people):
            break
        learned = learn_topology(visits, appearance, people, settings, learned)
    return people, evidence, learned.topology


def _cluster(graph: Graph, num_people: int | None) -> list[int]:
    """Return a label for each node: join, improve, and join again what the improvement has made possible."""
    labels = refine(graph, agglomerate(graph, target=num_people), keep_count=num_people is not None)
    if num_people is None:
        labels = refine(graph, agglomerate(graph, labels))
    return labels


def _confirmed_groups(count: int, confirmed: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return (count,) for each tracklet the number of its group of tracklets that are confirmed to be one person."""
    root = list(range(count))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for a, b in confirmed:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(find(index), len(numbers)) for index in range(count)], np.int64)


def _graph(
    tracklets: Sequence[Tracklet],
    presences: Sequence[Presence],
    node_of: NDArray[np.int64],
    rejected: Sequence[tuple[int, int]],
    evidence: PairEvidence,
    min_probability: float,
) -> Graph:
    """Return the graph over confirmed groups. Raises InputError when a group contradicts itself."""
    count = int(node_of.max(initial=-1)) + 1
    joined: list[Presence | None] = [None] * count
    for index, node in enumerate(node_of.tolist()):
        before = joined[node]
        if before is not None and before.conflicts(presences[index]):
            raise InputError(
                f"tracklet {tracklets[index].key} was confirmed as somebody who was in view at the same time, in the "
                "same camera; withdraw that confirmation"
            )
        joined[node] = presences[index] if before is None else before.joined(presences[index])
    for a, b in rejected:
        if node_of[a] == node_of[b]:
            raise InputError(
                f"tracklets {tracklets[a].key} and {tracklets[b].key} are confirmed as one person and rejected as one; "
                "withdraw one of the two"
            )
    rows, columns = node_of[evidence.rows], node_of[evidence.columns]
    between = rows != columns
    weights = evidence.log_odds[between].astype(np.float64) - ABSENT_LOG_ODDS
    ends = np.concatenate([rows[between], columns[between]]), np.concatenate([columns[between], rows[between]])
    return Graph(
        presences=[presence for presence in joined if presence is not None],
        sizes=np.bincount(node_of, minlength=count),
        weights=csr_array((np.tile(weights, 2), ends), shape=(count, count)),
        cannot_link=_cannot_link(rejected, node_of),
        threshold=float(np.log(min_probability / (1 - min_probability))),
    )


def _cannot_link(pairs: Sequence[tuple[int, int]], number_of: NDArray[np.int64]) -> dict[int, set[int]]:
    """Return for each number that has any the numbers of other people, both ways."""
    cannot_link: dict[int, set[int]] = {}
    for a, b in pairs:
        cannot_link.setdefault(int(number_of[a]), set()).add(int(number_of[b]))
        cannot_link.setdefault(int(number_of[b]), set()).add(int(number_of[a]))
    return cannot_link


def _number(labels: Sequence[int]) -> NDArray[np.int64]:
    """Return labels as numbers from 1 in order of first appearance."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(label, len(numbers) + 1) for label in labels], np.int64)


def _explain(
    tracklets: Sequence[Tracklet],
    people: NDArray[np.int64],
    evidence: PairEvidence,
    standing: Standing,
    confirmed: Sequence[tuple[int, int]],
    settings: LinkSettings,
) -> list[LinkEvidence]:
    """Return for each person a tree of links, grown along the most similar pairs; confirmed pairs come first."""
    within: dict[int, dict[int, float]] = {}
    rows, columns, probabilities = evidence.rows, evidence.columns, probability(evidence.log_odds)
    same = people[rows] == people[columns]
    pairs = (values[same].tolist() for values in (rows, columns, probabilities))
    for a, b, p_same in zip(*pairs, strict=True):
        within.setdefault(a, {})[b] = within.setdefault(b, {})[a] = p_same
    runner_up = standing.runner_up.tolist()
    for a, b in confirmed:
        within.setdefault(a, {})[b] = within.setdefault(b, {})[a] = 1.0
    said = {pair for a, b in confirmed for pair in ((a, b), (b, a))}
    members: dict[int, list[int]] = {}
    for index, person in enumerate(people.tolist()):
        members.setdefault(person, []).append(index)
    links = []
    for group in members.values():
        linked = [group[0]]
        # For everybody not linked yet: the best link so far, as (P(same), linked tracklet).
        best = {index: _link(within, group[0], index) for index in group[1:]}
        while best:
            new = max(best, key=lambda index: (best[index][0], -index))
            p_same, old = best.pop(new)
            gate = "confirmed" if (old, new) in said else "alike" if p_same >= settings.min_probability else "company"
            doubtful = gate != "confirmed" and not stands_out(p_same, runner_up[new], settings.min_margin)
            keys = tracklets[old].key, tracklets[new].key
            links.append(LinkEvidence(*keys, p_same, runner_up[new], ("not co-present", gate), doubtful))
            linked.append(new)
            for index in best:
                best[index] = max(best[index], _link(within, new, index))
    return links


def _propose(
    tracklets: Sequence[Tracklet],
    presences: Sequence[Presence],
    people: NDArray[np.int64],
    evidence: PairEvidence,
    rejected: Sequence[tuple[int, int]],
) -> tuple[Proposal, ...]:
    """Return the likeliest pairs of different people that nothing forbids: for a human who can see more."""
    together: dict[int, Presence] = {}
    for index, person in enumerate(people.tolist()):
        before = together.get(person)
        together[person] = presences[index] if before is None else before.joined(presences[index])
    refused = {frozenset((int(people[a]), int(people[b]))) for a, b in rejected}
    probabilities = probability(evidence.log_odds)
    apart = (people[evidence.rows] != people[evidence.columns]) & (probabilities >= LEAST_PROPOSED)
    candidates = np.flatnonzero(apart)
    found: dict[frozenset[int], Proposal] = {}
    for pair in candidates[np.argsort(-probabilities[candidates], kind="stable")].tolist():
        a, b = int(evidence.rows[pair]), int(evidence.columns[pair])
        first, second = int(people[a]), int(people[b])
        both = frozenset((first, second))
        if both in found or both in refused:
            continue
        if together[first].conflicts(together[second]):
            refused.add(both)
            continue
        found[both] = Proposal(tracklets[a].key, tracklets[b].key, float(probabilities[pair]))
        if len(found) == MOST_PROPOSALS:
            break
    return tuple(found.values())


def _link(within: dict[int, dict[int, float]], linked: int, index: int) -> tuple[float, int]:
    return within.get(linked, {}).get(index, ABSENT_PROBABILITY), linked
