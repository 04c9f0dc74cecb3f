"""Evidence from sets of crops, and the search for neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from app.frames import Tracklet
from app.reid.calibrate import Calibration, unit_rows
from app.track.likeness import calibration_trust, open_set_probabilities, typical_vector
from app.track.linking import neighbours
from app.track.linking.neighbours import nearest_pairs
from app.track.linking.pair_evidence import (
    UNKNOWN_WEIGHT,
    Scale,
    Sets,
    camera_centers,
    pair_evidence,
    unfamiliar_log_odds,
)
from app.track.linking.presence import Presence


def random_units(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return unit_rows(rng.normal(size=shape).astype(np.float32))


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.integers(0, 1000))
def test_set_similarity_is_the_mean_of_best_matches(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [random_units(rng, count, 6) for count in counts]
    rows, columns = np.triu_indices(len(sets), 1)
    got = Sets.of(sets).similarities(rows, columns)
    for row, column, similarity in zip(rows, columns, got, strict=True):
        matches = sets[row] @ sets[column].T
        assert similarity == pytest.approx((matches.max(axis=0).mean() + matches.max(axis=1).mean()) / 2, abs=1e-5)


def test_no_pairs_have_no_similarities() -> None:
    none = np.zeros(0, np.int64)
    assert Sets.of([np.ones((1, 2), np.float32)]).similarities(none, none).shape == (0,)


def test_a_person_seen_from_two_sides_matches_by_the_common_side() -> None:
    front, back, stranger = np.eye(3, dtype=np.float32)
    sets = Sets.of([np.stack([front, back]), back[None], stranger[None]])
    known, unknown = sets.similarities(np.array([0, 0]), np.array([1, 2]))
    assert known == pytest.approx(0.75)
    assert unknown == 0.0


def test_centres_take_a_cameras_light_away() -> None:
    rng = np.random.default_rng(0)
    appearance, light = rng.normal(size=(30, 16)), 3 * rng.normal(size=(2, 16))
    cameras = np.repeat([0, 1], 30)
    vectors = unit_rows((np.tile(appearance, (2, 1)) + light[cameras]).astype(np.float32))
    moved = unit_rows(vectors - camera_centers(vectors, cameras)[cameras])
    before, after = (rows[:30] @ rows[30:].T for rows in (vectors, moved))
    assert (before.argmax(axis=1) == np.arange(30)).mean() < 0.8
    assert (after.argmax(axis=1) == np.arange(30)).mean() > 0.95


def test_scale_follows_the_footage_when_it_shows_enough() -> None:
    assumed = Scale.of(np.zeros(0), np.zeros(0))
    assert assumed == Scale()
    learned = Scale.of(np.full(2000, 0.5), np.full(2000, 0.9))
    assert learned.negatives == pytest.approx(0.5, abs=0.01)
    assert learned.same == pytest.approx(0.9, abs=0.01)
    negatives, between, same = learned.log_odds(np.array([0.5, 0.7, 0.9]))
    assert negatives < -2 < 0 < between < same
    inverted = Scale.of(np.full(2000, 0.9), np.full(2000, 0.5))
    assert inverted.same > inverted.negatives


def test_a_calibration_that_takes_strangers_for_one_person_is_not_believed() -> None:
    assert calibration_trust(0, 0) == 1.0
    assert calibration_trust(100 * 0.02, 100) > 0.9
    assert calibration_trust(100 * 0.9, 100) == 0.0


def similar(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


BELIEVES_ALL = Calibration(np.zeros(4, np.float32), similar(0, 2), similar(0.99, 0.98))


@effort(deadline=None)  # a busy machine takes its time
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=9), st.floats(0, 0.99), st.integers(0, 300))
def test_unfamiliar_looks_are_read_with_the_prior_of_a_stranger(values: list[float], alike: float, others: int) -> None:
    similarities, halves = np.sort(similar(*values)), similar(alike)
    calibration = Calibration.default(4)
    found = unfamiliar_log_odds(similarities, halves, calibration, others)
    assert np.all(np.diff(found) >= 0), "the more alike, the likelier"
    balanced = calibration.probability(1 - similarities)
    assert np.all(found <= np.log(0.99 / 0.01) - np.log(UNKNOWN_WEIGHT) + 1e-5)
    assert np.all(found[balanced <= 0.5] <= -np.log(UNKNOWN_WEIGHT) + 1e-5), "no evidence: no more than the prior"
    assert np.all(unfamiliar_log_odds(similarities, halves, calibration, others + 1) <= found)
    steadier = unfamiliar_log_odds(similarities, similar(min(alike + 0.005, 1)), calibration, others)
    assert np.all(steadier <= found + 1e-6)


def test_a_gullible_network_links_nobody_where_halves_of_a_tracklet_are_far_more_alike() -> None:
    """Every picture of an entrance has the same floor: all are alike, and each person far more like itself."""
    halves = similar(0.98, 0.97, 0.99)
    like_halves, like_others = unfamiliar_log_odds(similar(0.98, 0.93), halves, BELIEVES_ALL, 4)
    assert like_halves > 0 > like_others


def people_one_by_one(count: int, network: Calibration) -> np.ndarray:
    """What is made of `count` people of one place who come one after another, by a network that believes all."""
    rng = np.random.default_rng(count)
    place, own = random_units(rng, 1, 64), random_units(rng, count, 64)
    tracklets = []
    for number in range(count):
        vectors = unit_rows(0.8 * place + 0.6 * own[number] + 0.07 * random_units(rng, 8, 64)).astype(np.float32)
        times = 10.0 * number + np.arange(4.0)
        boxes, ones = np.zeros((4, 4), np.float32), np.ones(4, np.float32)
        crops = tuple("abcdefgh")
        tracklets.append(Tracklet("door", number, times, boxes, ones, crops, vectors, np.ones(8, np.float32)))
    presences = [Presence.of(tracklet) for tracklet in tracklets]
    return pair_evidence(tracklets, presences, network, 32).log_odds


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_people_who_come_one_by_one_are_not_counted_by_the_network_that_judges_them(count: int) -> None:
    assert people_one_by_one(count, BELIEVES_ALL).max() < 0


def test_good_crops_weigh_more_in_the_typical_vector() -> None:
    vectors = np.eye(2, dtype=np.float32)
    times = np.zeros(1)
    tracklet = Tracklet(
        "cam", 1, times, np.zeros((1, 4), np.float32), np.ones(1, np.float32), ("a", "b"), vectors,
        np.array([0.9, 0.1], np.float32),
    )  # fmt: skip
    typical = typical_vector(tracklet)
    assert np.linalg.norm(typical) == pytest.approx(1)
    assert typical[0] > 5 * typical[1]
    alone = pair_evidence([tracklet], [Presence.of(tracklet)], Calibration.default(2), 10)
    assert len(alone.rows) == 0


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 100))
def test_exact_neighbours(count: int, wanted: int, seed: int) -> None:
    vectors = random_units(np.random.default_rng(seed), count, 4)
    rows, columns = nearest_pairs(vectors, wanted)
    expected = set()
    for index in range(count):
        similarity = vectors @ vectors[index]
        similarity[index] = -np.inf
        expected |= {tuple(sorted((index, int(other)))) for other in np.argsort(-similarity)[: min(wanted, count - 1)]}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_cells_find_nearly_all_near_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_EXACT", 1000)
    monkeypatch.setattr(neighbours, "CELL_SIZE", 64)
    rng = np.random.default_rng(0)
    people = random_units(rng, 600, 32)
    vectors = unit_rows(np.repeat(people, 5, axis=0) + 0.08 * rng.normal(size=(3000, 32)).astype(np.float32))
    rows, columns = nearest_pairs(vectors, 8)
    assert np.all(rows < columns)
    assert len(rows) < 3000 * 8
    found = np.count_nonzero(rows // 5 == columns // 5)
    assert found > 0.9 * 600 * 10


def test_cells_find_neighbours_where_looks_differ_in_very_many_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_EXACT", 1000)
    monkeypatch.setattr(neighbours, "CELL_SIZE", 32)
    monkeypatch.setattr(neighbours, "CELLS_SEARCHED", 4)
    rng = np.random.default_rng(0)
    people = random_units(rng, 600, 256)
    vectors = unit_rows(np.tile(people, (5, 1)) + 0.05 * rng.normal(size=(3000, 256)).astype(np.float32))
    rows, columns = nearest_pairs(vectors, 8)
    assert np.count_nonzero(rows % 600 == columns % 600) > 0.95 * 600 * 10


log_odds_of_people = st.lists(st.floats(-50, 50) | st.just(-np.inf), min_size=1, max_size=12)


@effort(deadline=None)  # a busy machine takes its time
@given(log_odds_of_people, st.data())
def test_nobody_is_an_answer_to_who_it_is(values: list[float], data: st.DataObject) -> None:
    found = open_set_probabilities(np.array(values))
    assert np.all((found >= 0) & (found <= 1))
    assert found.sum() < 1 + 1e-9
    np.testing.assert_array_equal(found[np.isneginf(values)], 0)
    alone = open_set_probabilities(np.array(values[:1]))[0]
    assert found[0] <= alone + 1e-12, "more people to be mistaken for make nobody surer"
    row = data.draw(st.integers(0, len(values) - 1))
    more_alike = np.array(values)
    more_alike[row] = max(values[row], -30.0) + 1.0
    after = open_set_probabilities(more_alike)
    assert after[row] >= found[row]
    assert np.all(np.delete(after, row) <= np.delete(found, row) + 1e-12)


def test_without_evidence_nobody_is_more_likely_than_beforehand() -> None:
    for people in (1, 4, 100):
        found = open_set_probabilities(np.zeros((3, people)))
        np.testing.assert_allclose(found, 1 / (UNKNOWN_WEIGHT + people))
    assert open_set_probabilities(np.full((2, 5), -20.0)).max() < 1e-8
    assert open_set_probabilities(np.zeros((2, 0))).shape == (2, 0)
