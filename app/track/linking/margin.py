"""Whether a link stands out: how the person that a tracklet was given compares with the next best one.

Clustering looks at the sum over all pairs, so it may leave a tracklet with a person whom it hardly resembles although
it is much like somebody else. A person whom it cannot be (both were in view of one camera at once, or a human said so)
is no rival. Links that do not stand out are taken back where the other person is likelier, and marked where the two are
about equally likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.track.likeness import probability
from app.track.linking.pair_evidence import PairEvidence
from app.track.linking.presence import Presence


def stands_out(p_same: float, runner_up: float, min_margin: float) -> bool:
    """Return whether a link is no doubtful one: P(same) leads that of the best somebody else by `min_margin`."""
    return p_same - runner_up >= min_margin


@dataclass(frozen=True, slots=True)
class Standing:
    """Of each of n tracklets, float64 in [0, 1]; 0 where there is none.

    own: P(same) of the most similar tracklet of its person.
    runner_up: of the most similar tracklet of somebody else that it can be.
    """

    own: NDArray[np.float64]
    runner_up: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        people: NDArray[np.int64],
        evidence: PairEvidence,
        presences: Sequence[Presence],
        cannot_link: Mapping[int, set[int]],
    ) -> Standing:
        """people: (n,) person of each tracklet. cannot_link: of tracklets the ones that are other people, both ways."""
        rows, columns = evidence.rows, evidence.columns
        p_same = probability(evidence.log_odds)
        within = people[rows] == people[columns]
        own, runner_up = np.zeros(len(people)), np.zeros(len(people))
        for ends in (rows, columns):
            np.maximum.at(own, ends[within], p_same[within])
        members = _members(people)
        together = _joined(people, presences)
        pairs = np.flatnonzero(~within)
        # The likeliest pairs first: after the first rival the others of a tracklet need not be looked at.
        for pair in pairs[np.argsort(-p_same[pairs], kind="stable")].tolist():
            for one, other in ((rows[pair], columns[pair]), (columns[pair], rows[pair])):
                if runner_up[one] == 0:
                    person = int(people[other])
                    excluded = not cannot_link.get(int(one), set()).isdisjoint(members[person])
                    if not excluded and not presences[one].conflicts(together[person]):
                        runner_up[one] = p_same[pair]
        return cls(own, runner_up)

    def taken_back(self, min_margin: float) -> NDArray[np.bool_]:
        """Return (n,) bool: whose link is not to be made, because somebody else is likelier by `min_margin`."""
        return np.asarray((self.own > 0) & (self.runner_up - self.own >= min_margin))


def _members(people: NDArray[np.int64]) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {}
    for index, person in enumerate(people.tolist()):
        members.setdefault(person, []).append(index)
    return members


def _joined(people: NDArray[Any], presences: Sequence[Presence]) -> dict[int, Presence]:
    """Return when and where each person was seen."""
    joined: dict[int, Presence] = {}
    for person, presence in zip(people.tolist(), presences, strict=True):
        joined[person] = joined[person].joined(presence) if person in joined else presence
    return joined
