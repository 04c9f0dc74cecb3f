"""Links that stand out, and those that don't: runner-ups that can be, doubt, links taken back."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from app.frames import Tracklet
from app.track.linking.margin import Standing, stands_out
from app.track.linking.pair_evidence import PairEvidence
from app.track.linking.presence import Presence


def seen(camera: str, number: int, start: float) -> Tracklet:
    times = start + np.arange(4.0)
    nothing = np.zeros((0, 2), np.float32)
    boxes, ones = np.zeros((4, 4), np.float32), np.ones(4, np.float32)
    return Tracklet(camera, number, times, boxes, ones, (), nothing, np.zeros(0, np.float32))


def evidence(pairs: dict[tuple[int, int], float]) -> PairEvidence:
    rows, columns = (np.array([pair[side] for pair in sorted(pairs)], np.int64) for side in (0, 1))
    return PairEvidence(rows, columns, logit([pairs[pair] for pair in sorted(pairs)]).astype(np.float32))


PRESENCES = [Presence.of(one) for one in (seen("a", 0, 0), seen("a", 1, 10), seen("b", 2, 20), seen("a", 3, 10))]
"""1 and 3 are in view together."""

PEOPLE = np.array([1, 1, 2, 3])


def test_a_link_with_a_likelier_runner_up_is_taken_back() -> None:
    standing = Standing.of(PEOPLE, evidence({(0, 1): 0.5, (1, 2): 0.97}), PRESENCES, {})
    np.testing.assert_allclose(standing.own, [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(standing.runner_up, [0, 0.97, 0.97, 0])
    assert standing.taken_back(0.1).tolist() == [False, True, False, False], "nobody is taken from a person of one"
    assert not standing.taken_back(0.48).any()


def test_whom_a_tracklet_cannot_be_is_no_runner_up() -> None:
    pairs = evidence({(0, 1): 0.5, (1, 3): 0.97, (1, 2): 0.6})
    np.testing.assert_allclose(Standing.of(PEOPLE, pairs, PRESENCES, {}).runner_up[1], 0.6, atol=1e-6)
    rejected = Standing.of(PEOPLE, pairs, PRESENCES, {1: {2}, 2: {1}})
    assert rejected.runner_up[1] == 0
    assert Standing.of(np.array([1, 1, 3, 3]), pairs, PRESENCES, {}).runner_up[1] == 0, "nor is that person by others"


def test_a_link_stands_out_by_the_margin_or_is_doubtful() -> None:
    assert stands_out(0.9, 0.75, 0.1)
    assert not stands_out(0.97, 0.9, 0.1)
    assert not stands_out(0.6, 0.7, 0.0)
