"""Place and time, learned from a first answer and used for the next: clocks, ways, zones, floors; what users lock."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from app.config import LinkSettings
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.track.linking.linker import LinkResult, link_tracklets
from app.track.linking.pair_evidence import PairEvidence
from app.track.linking.place_evidence import place_evidence
from app.track.linking.topology_learning import learn_topology
from app.track.linking.visits import Visits

CALIBRATION = Calibration.default(64)


@pytest.fixture(scope="module")
def small_street() -> ModuleType:
    spec = importlib.util.spec_from_file_location("small_street", Path(__file__).with_name("small_street.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def link(tracklets: list[Tracklet], **settings: object) -> LinkResult:
    return link_tracklets(tracklets, CALIBRATION, LinkSettings.model_validate(settings))


def pair_f1(person_ids: np.ndarray, owners: np.ndarray) -> float:
    upper = np.triu(np.ones((len(owners),) * 2, bool), 1)
    joined, true = ((ids[:, None] == ids[None, :]) & upper for ids in (person_ids, owners))
    return float(2 * (joined & true).sum() / (joined.sum() + true.sum()))


def test_clocks_ways_and_zones_are_learned(small_street: ModuleType) -> None:
    tracklets, _ = small_street.street(0, noise=0.4)
    topology = link(tracklets).topology
    assert topology is not None
    for camera, offset_s in (("cam0", 0.0), ("cam1", 2.6), ("cam2", -2.2)):
        clock = topology.clocks[camera]
        assert clock.offset_s == pytest.approx(offset_s, abs=0.3)
        assert clock.uncertainty_s < 0.3
    assert topology.clocks["cam0"].state == "reference"
    # Six metres out of sight at 1.0 to 1.6 m/s, less where the lane is seen further.
    for way in (("cam0", "cam1"), ("cam1", "cam0"), ("cam1", "cam2"), ("cam2", "cam1")):
        assert topology.transits[way].links > 10
        assert 3.0 < (topology.transits[way].median_s or 0) < 6.0
    left, right = sorted(zone.center[0] for zone in topology.entries["cam1"])
    assert left < 30
    assert right > 370
    assert topology.links > 50
    assert topology.floors == {}


def test_linking_is_better_with_place_and_time(small_street: ModuleType) -> None:
    gains = []
    for seed in range(2):
        tracklets, owners = small_street.street(seed, noise=1.1)
        without = pair_f1(link(tracklets, place_and_time=False).person_ids, owners)
        gains.append(pair_f1(link(tracklets).person_ids, owners) - without)
    assert min(gains) > -0.02
    assert np.mean(gains) > 0.03


def test_without_it_nothing_is_learned(small_street: ModuleType) -> None:
    tracklets, _ = small_street.street(0, walks=2)
    assert link(tracklets, place_and_time=False).topology is None


def passers(starts: list[float]) -> list[Tracklet]:
    """People who pass one camera, each of them for five seconds."""
    times, boxes, ones = np.arange(5.0), np.tile(np.array([0, 0, 40, 100], np.float32), (5, 1)), np.ones(5, np.float32)
    none, no_vectors = np.zeros(0, np.float32), np.zeros((0, 4), np.float32)
    return [
        Tracklet("door", number, start + times, boxes, ones, (), no_vectors, none)
        for number, start in enumerate(starts)
    ]


def test_a_link_is_not_confirmed_by_its_own_time_and_one_step_tells_little() -> None:
    """One link of strangers says that people come back after 30 s: that must not join the next two strangers."""
    visits = Visits.of(passers([0.0, 12.0, 35.0, 47.0, 75.0, 99.0, 140.0]))
    rows, columns = np.triu_indices(7, 1)
    appearance = np.full(len(rows), -2.0, np.float32)
    pair = {(int(row), int(column)): number for number, (row, column) in enumerate(zip(rows, columns, strict=True))}
    appearance[pair[0, 2]] = 4.0
    people = np.array([1, 2, 1, 3, 4, 5, 6])
    learned = learn_topology(visits, PairEvidence(rows, columns, appearance), people, LinkSettings())
    assert len(learned.steps.before) == 1
    said = place_evidence(visits, rows, columns, people, learned).walks
    assert said[pair[0, 2]] == pytest.approx(0, abs=0.01), "nothing else is known than this link itself"
    assert 0 < said[pair[1, 3]] < 1, "as long on the way, and yet but one step speaks for it"


def test_a_locked_clock_is_the_reference(small_street: ModuleType) -> None:
    tracklets, _ = small_street.street(0, noise=0.4)
    topology = link(tracklets, cameras={"cam1": {"clock_offset_s": 0.0}}).topology
    assert topology is not None
    assert (topology.clocks["cam1"].state, topology.clocks["cam1"].offset_s) == ("locked", 0.0)
    assert topology.clocks["cam0"].offset_s == pytest.approx(-2.6, abs=0.3)


def test_nobody_is_faster_than_a_locked_way_allows(small_street: ModuleType) -> None:
    tracklets, _ = small_street.street(0, offsets_s=(0.0, 0.0), noise=0.4, walks=2)
    settings = {"cameras": {name: {"clock_offset_s": 0.0} for name in ("cam0", "cam1")}}
    assert _across(tracklets, link(tracklets, **settings)) == 10
    ways = [{"from_camera": a, "to_camera": b, "shortest_s": 500.0} for a, b in (("cam0", "cam1"), ("cam1", "cam0"))]
    locked = link(tracklets, **settings, ways=ways)
    assert _across(tracklets, locked) == 0
    assert locked.topology is not None
    assert locked.topology.transits["cam0", "cam1"].locked


def _across(tracklets: list[Tracklet], result: LinkResult) -> int:
    """Return how many people are on both cameras."""
    seen = {(person, t.camera) for person, t in zip(result.person_ids.tolist(), tracklets, strict=True)}
    return sum((person, "cam0") in seen and (person, "cam1") in seen for person in set(result.person_ids.tolist()))


def test_a_shared_floor_is_learned_and_outdoes_looks(small_street: ModuleType) -> None:
    """Two cameras see the same ten metres; their clocks differ, and people look much less alike than usual."""
    tracklets, owners = small_street.street(0, offsets_s=(0.0, 1.4), between_m=1.0, noise=1.2)
    without = pair_f1(link(tracklets, place_and_time=False).person_ids, owners)
    result = link(tracklets)
    assert result.topology is not None
    assert result.topology.floors["cam0", "cam1"].error_heights == pytest.approx(0.0, abs=0.1)
    assert result.topology.clocks["cam1"].offset_s == pytest.approx(1.4, abs=0.15)
    assert pair_f1(result.person_ids, owners) > without + 0.05


def test_given_calibrations_part_who_stands_apart(small_street: ModuleType) -> None:
    """Everybody looks the same; only where they stand tells who is who."""
    tracklets, _ = small_street.street(1, offsets_s=(0.0, 0.0), between_m=1.0, people=8, walks=1, noise=0.2)
    same = [
        Tracklet(t.camera, t.track_id, t.times, t.boxes, t.scores, t.crops, tracklets[0].vectors, t.qualities)
        for t in tracklets
    ]
    scale = 1 / small_street.PIXELS_PER_M
    cameras = {
        f"cam{number}": {"clock_offset_s": 0.0, "image_to_floor": [[scale, 0, float(number)], [0, 0.05, 0], [0, 0, 1]]}
        for number in range(2)
    }
    result = link(same, cameras=cameras)
    assert result.topology is not None
    assert result.topology.floors["cam0", "cam1"].given
    far_apart = 0
    for i, a in enumerate(same):
        for j, b in enumerate(same[:i]):
            metres = _closest_m(a, b, scale)
            if a.camera != b.camera and metres > 3.5:
                far_apart += 1
                assert result.person_ids[i] != result.person_ids[j]
    assert far_apart > 3


def _closest_m(a: Tracklet, b: Tracklet, scale: float) -> float:
    """Return how close two came to each other on the floor of the test above while both were seen; 0 if never."""
    times = np.arange(max(a.start_time, b.start_time), min(a.end_time, b.end_time), 0.1)
    if len(times) < 10:
        return 0.0
    places = []
    for one in (a, b):
        x = np.interp(times, one.times, one.boxes[:, [0, 2]].mean(axis=1)) * scale + int(one.camera[-1])
        places.append(np.stack([x, np.interp(times, one.times, one.boxes[:, 3]) * 0.05], axis=1))
    return float(np.linalg.norm(places[0] - places[1], axis=1).min())


def test_without_vectors_a_calibrated_floor_links_who_is_seen_together(small_street: ModuleType) -> None:
    tracklets, owners = small_street.street(2, offsets_s=(0.0, 0.0), between_m=1.0, people=3, walks=1)
    blind = [
        Tracklet(t.camera, t.track_id, t.times, t.boxes, t.scores, (), t.vectors[:0], t.qualities[:0])
        for t in tracklets
    ]
    scale = 1 / small_street.PIXELS_PER_M
    cameras = {
        f"cam{number}": {"clock_offset_s": 0.0, "image_to_floor": [[scale, 0, float(number)], [0, 0.05, 0], [0, 0, 1]]}
        for number in range(2)
    }
    assert pair_f1(link(blind, cameras=cameras).person_ids, owners) == 1.0
