"""Linking the tracklets of a recording: what can never be joined, what must be, and that it beats no linking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from app.config import LinkSettings
from app.errors import InputError
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.track.linking.linker import LinkResult, link_tracklets
from app.track.linking.presence import Presence, co_present_pairs, least_people

DIMENSION = 64


def tracklet(camera: str, track_id: int, start: float, end: float, vectors: np.ndarray | None = None) -> Tracklet:
    """A tracklet with a row every half second; `vectors` (K, D) of any length, none by default."""
    times = np.arange(start, end + 0.25, 0.5)
    appearance = np.zeros((0, DIMENSION)) if vectors is None else vectors
    unit = (appearance / np.maximum(np.linalg.norm(appearance, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return Tracklet(
        camera=camera,
        track_id=track_id,
        times=times,
        boxes=np.tile(np.array([0, 0, 40, 100], np.float32), (len(times), 1)),
        scores=np.ones(len(times), np.float32),
        crops=tuple(f"{track_id}_{number}.jpg" for number in range(len(unit))),
        vectors=unit,
        qualities=np.full(len(unit), 0.5, np.float32),
    )


def world(seed: int, people: int = 12, cameras: int = 3, visits: int = 2) -> tuple[list[Tracklet], np.ndarray]:
    """People who walk past every camera `visits` times, with each camera's own light; their tracklets and owners."""
    rng = np.random.default_rng(seed)
    appearance = rng.normal(size=(people, DIMENSION))
    light = 1.5 * rng.normal(size=(cameras, DIMENSION))
    tracklets, owners = [], []
    for camera in range(cameras):
        for visit in range(visits):
            for person in range(people):
                start = 100.0 * visit + 4.0 * person + rng.uniform(0, 3)
                vectors = 3 + appearance[person] + light[camera] + 0.7 * rng.normal(size=(4, DIMENSION))
                tracklets.append(tracklet(f"cam{camera}", len(tracklets), start, start + 9, vectors))
                owners.append(person)
    return tracklets, np.array(owners)


def pair_scores(person_ids: np.ndarray, owners: np.ndarray) -> tuple[float, float]:
    """Return (precision, recall) over pairs of tracklets."""
    upper = np.triu(np.ones((len(owners), len(owners)), bool), 1)
    joined = (person_ids[:, None] == person_ids[None, :]) & upper
    true = (owners[:, None] == owners[None, :]) & upper
    return float((joined & true).sum() / max(joined.sum(), 1)), float((joined & true).sum() / true.sum())


def link(tracklets: list[Tracklet], **settings: object) -> LinkResult:
    return link_tracklets(tracklets, Calibration.default(DIMENSION), LinkSettings.model_validate(settings))


@st.composite
def anything(draw: st.DrawFn) -> list[Tracklet]:
    """Up to 14 tracklets of few different looks, in two cameras, that overlap in time at random."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = rng.normal(size=(draw(st.integers(1, 4)), DIMENSION))
    noise = draw(st.sampled_from([0.0, 0.3, 1.0]))
    result = []
    for number in range(draw(st.integers(0, 14))):
        start = float(draw(st.integers(0, 20)))
        count = draw(st.integers(0, 3))
        vectors = palette[rng.integers(len(palette))] + noise * rng.normal(size=(count, DIMENSION))
        result.append(tracklet(draw(st.sampled_from("ab")), number, start, start + draw(st.integers(0, 8)), vectors))
    return result


@effort(deadline=None)  # a busy machine takes its time
@given(anything())
def test_nobody_is_twice_in_one_camera_at_one_instant(tracklets: list[Tracklet]) -> None:
    person_ids = link(tracklets).person_ids
    seen = [
        (person, tracklet.camera, time)
        for person, tracklet in zip(person_ids.tolist(), tracklets, strict=True)
        for time in tracklet.times.tolist()
    ]
    assert len(seen) == len(set(seen))


@effort(deadline=None)  # a busy machine takes its time
@given(anything(), st.randoms(use_true_random=False))
def test_result_does_not_depend_on_the_order_of_tracklets(tracklets: list[Tracklet], random: object) -> None:
    order = list(range(len(tracklets)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = link(tracklets)
    shuffled = link([tracklets[index] for index in order])
    np.testing.assert_array_equal(shuffled.person_ids, straight.person_ids[order])
    assert shuffled.links == straight.links


@effort(deadline=None)  # a busy machine takes its time
@given(anything(), st.data())
def test_confirmed_and_rejected_pairs_hold(tracklets: list[Tracklet], data: st.DataObject) -> None:
    if len(tracklets) < 3:
        return
    a, b, c = data.draw(st.permutations([tracklet.key for tracklet in tracklets]))[:3]
    by_key = {tracklet.key: index for index, tracklet in enumerate(tracklets)}
    presence = [Presence.of(tracklets[by_key[key]]) for key in (a, b)]
    settings = LinkSettings()
    if presence[0].conflicts(presence[1]):
        with pytest.raises(InputError, match="in view at the same time"):
            link_tracklets(tracklets, None, settings, confirmed=[(a, b)])
        return
    result = link_tracklets(tracklets, None, settings, confirmed=[(a, b)], rejected=[(b, c), (("gone", 1), a)])
    people = result.person_ids
    assert people[by_key[a]] == people[by_key[b]] != people[by_key[c]]
    assert any(set(link.gates) >= {"confirmed"} and {link.a, link.b} == {a, b} for link in result.links)
    with pytest.raises(InputError, match="withdraw"):
        link_tracklets(tracklets, None, settings, confirmed=[(a, b)], rejected=[(b, a)])


@effort(deadline=None)  # a busy machine takes its time
@given(anything())
def test_every_person_is_connected_by_links(tracklets: list[Tracklet]) -> None:
    result = link(tracklets)
    position = {tracklet.key: index for index, tracklet in enumerate(tracklets)}
    groups = list(range(len(tracklets)))
    for evidence in result.links:
        old, new = groups[position[evidence.a]], groups[position[evidence.b]]
        assert old != new
        groups = [old if group == new else group for group in groups]
        assert 0 <= evidence.p_same <= 1
        assert 0 <= evidence.runner_up <= 1
    people = result.person_ids.tolist()
    assert len(set(zip(groups, people, strict=True))) == len(set(groups)) == len(set(people))
    if people:
        first = sorted(range(len(people)), key=lambda index: (tracklets[index].start_time, tracklets[index].key))
        assert list(dict.fromkeys(people[index] for index in first)) == list(range(1, max(people) + 1))


@pytest.mark.parametrize("seed", range(3))
def test_linking_beats_no_linking_although_cameras_differ(seed: int) -> None:
    tracklets, owners = world(seed)
    precision, recall = pair_scores(link(tracklets).person_ids, owners)
    assert precision > 0.85
    assert recall > 0.75


def test_one_person_alone_in_front_of_two_cameras() -> None:
    """Too few people for statistics of the footage: the network's calibration decides."""
    rng = np.random.default_rng(0)
    man, woman = rng.normal(size=(2, DIMENSION))

    def seen(camera: str, number: int, start: float, appearance: np.ndarray) -> Tracklet:
        return tracklet(camera, number, start, start + 3, appearance + 0.1 * rng.normal(size=(4, DIMENSION)))

    result = link([seen("a", 1, 0, man), seen("b", 1, 10, man), seen("a", 2, 20, man), seen("b", 2, 30, woman)])
    assert result.person_ids.tolist() == [1, 1, 1, 2]


def test_number_of_people_can_be_given() -> None:
    tracklets, _ = world(0)
    assert link(tracklets, num_people=12).person_ids.max() == 12
    assert link(tracklets, num_people=15).person_ids.max() == 15


def test_number_of_people_yields_to_what_cameras_saw(caplog: pytest.LogCaptureFixture) -> None:
    same = np.ones((2, DIMENSION))
    crowd = [tracklet("cam", number, 0, 5, same) for number in range(4)]
    assert link(crowd, num_people=2).person_ids.tolist() == [1, 2, 3, 4]
    assert "up to 4 were in view" in caplog.text


def test_without_vectors_every_tracklet_is_a_person() -> None:
    tracklets = [tracklet("cam", number, 10.0 * number, 10.0 * number + 5) for number in range(4)]
    assert link_tracklets(tracklets, None, LinkSettings()).person_ids.tolist() == [1, 2, 3, 4]
    assert link_tracklets([], None, LinkSettings()).person_ids.shape == (0,)


def test_a_key_given_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="same camera and track id"):
        link([tracklet("cam", 1, 0, 1), tracklet("cam", 1, 5, 6)])


def test_a_tracklet_is_absent_in_its_long_holes() -> None:
    gone = tracklet("cam", 1, 0, 20)
    kept = (gone.times < 5) | (gone.times > 15)
    holed = Tracklet("cam", 1, gone.times[kept], gone.boxes[kept], gone.scores[kept], (), gone.vectors, gone.qualities)
    presence = Presence.of(holed)
    assert not presence.conflicts(Presence.of(tracklet("cam", 2, 7, 13)))
    assert presence.conflicts(Presence.of(tracklet("cam", 3, 4.5, 13)))
    assert presence.conflicts(Presence.of(tracklet("cam", 4, 16, 30)))
    assert not presence.conflicts(Presence.of(tracklet("elsewhere", 4, 0, 30)))


@effort(deadline=None)  # a busy machine takes its time
@given(anything())
def test_presence_agrees_with_counting_instant_by_instant(tracklets: list[Tracklet]) -> None:
    presences = [Presence.of(tracklet) for tracklet in tracklets]
    crowd: dict[tuple[str, float], int] = {}
    for one in tracklets:
        for time in one.times.tolist():
            crowd[one.camera, time] = crowd.get((one.camera, time), 0) + 1
    assert least_people(presences) == max(crowd.values(), default=0)
    rows, columns = co_present_pairs(presences, 1000)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        a, b = tracklets[row], tracklets[column]
        assert a.camera == b.camera
        assert set(a.times.tolist()) & set(b.times.tolist())
