"""Recognising people online: never twice at once, ids that stay, returns, abstention, bounded memory."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import GallerySettings
from app.frames import NO_ID, TrackAppearances, Tracklet
from app.reid.calibrate import Calibration
from app.track.gallery import LinkDecision, PersonGallery

DIMENSION = 64
LOOKS = np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)
"""Row p is what person p looks like; strangers are at right angles."""


def gallery(**changes: object) -> PersonGallery:
    return PersonGallery(GallerySettings.model_validate(changes), Calibration.default(DIMENSION))


def visible(
    camera: str, time: float, tracks: dict[int, tuple[float, np.ndarray]], noise: float = 0.0
) -> TrackAppearances:
    """Tracks by id, each with its start and its (D,) vector, of which an embedding is added every 0.2 s."""
    starts = np.array([start for start, _ in tracks.values()], np.float64)
    vectors = np.array([vector for _, vector in tracks.values()], np.float32).reshape(len(tracks), DIMENSION)
    counts = ((time - starts) / 0.2 + 1.5).astype(np.int64) * np.any(vectors, axis=1)
    noises = np.full(len(tracks), noise)
    return TrackAppearances(camera, np.array(list(tracks), np.int64), starts, vectors, counts, noises)


def watch(
    people: PersonGallery, camera: str, start: float, end: float, tracks: dict[int, np.ndarray], noise: float = 0.0
) -> dict[int, list[int]]:
    """Show the tracks to the gallery from start to end, ten times a second; return each one's person over time."""
    history: dict[int, list[int]] = {track: [] for track in tracks}
    for time in np.arange(start, end, 0.1).tolist():
        seen = visible(camera, time, {track: (start, vector) for track, vector in tracks.items()}, noise)
        (persons,) = people.identify([seen], time)
        for track, person in zip(tracks, persons.tolist(), strict=True):
            history[track].append(person)
    return history


def test_people_return_with_their_ids_in_any_camera() -> None:
    people = gallery()
    first = watch(people, "a", 0, 10, {track: LOOKS[track] for track in range(4)})
    assert sorted(history[-1] for history in first.values()) == [1, 2, 3, 4]
    again = watch(people, "a", 60, 70, {track + 10: LOOKS[track] for track in range(4)})
    elsewhere = watch(people, "b", 200, 210, {track: LOOKS[track] for track in range(4)})
    for track in range(4):
        assert again[track + 10][-1] == elsewhere[track][-1] == first[track][-1]


def test_a_gullible_network_takes_nobody_for_another_where_tracks_are_far_more_alike() -> None:
    """An entrance: people come one by one, floor and light are in every picture, and each is far more like himself."""
    curve = np.array([0, 2], np.float32), np.array([0.99, 0.98], np.float32)
    people = PersonGallery(GallerySettings(), Calibration(np.zeros(DIMENSION, np.float32), *curve))

    def look(person: int, visit: int) -> np.ndarray:
        return np.sqrt(0.88) * LOOKS[0] + np.sqrt(0.1) * LOOKS[person] + np.sqrt(0.02) * LOOKS[30 + visit]

    for visit, person in enumerate((1, 2, 3, 4, 5, 6, 1)):
        (history,) = watch(people, "door", 20 * visit, 20 * visit + 8, {visit: look(person, visit)}, 0.02).values()
        assert history[-1] == person


def test_decisions_come_late_and_stay() -> None:
    people = gallery(min_age_s=2.0)
    (history,) = watch(people, "a", 0, 10, {1: LOOKS[0]}).values()
    assert set(history[:20]) == {NO_ID}
    assert set(history[21:]) == {1}
    decisions = people.decisions()
    assert [(decision.camera, decision.track_id, decision.person_id) for decision in decisions] == [("a", 1, 1)]
    assert 2.0 <= decisions[0].time < 2.2
    assert people.decisions() == []


def test_a_lookalike_of_two_people_is_not_decided_until_waiting_is_over() -> None:
    people = gallery(max_wait_s=6.0)
    watch(people, "a", 0, 10, {track: LOOKS[track] for track in range(8)})
    (clear,) = watch(people, "c", 12, 18, {1: LOOKS[0] + 0.2 * LOOKS[1]}).values()
    assert clear[-1] in range(1, 9)
    between = (LOOKS[0] + LOOKS[1]) / np.sqrt(2)
    (history,) = watch(people, "b", 20, 30, {1: between}).values()
    assert set(history[:59]) == {NO_ID}
    assert history[-1] == 9
    assert people.decisions()[-1].gates == ("waited long enough",)


def test_two_alike_in_one_camera_stay_two_people() -> None:
    people = gallery()
    history = watch(people, "a", 0, 10, {1: LOOKS[0], 2: LOOKS[0]})
    assert {history[1][-1], history[2][-1]} == {1, 2}


def test_a_companion_of_an_undecided_track_is_not_its_person_even_when_gone() -> None:
    """Track 2 is seen together with track 1, which leaves before track 2 is decided."""
    people = gallery()
    watch(people, "a", 0, 5, {1: LOOKS[0]})
    for time in np.arange(5, 6, 0.1).tolist():
        people.identify([visible("a", time, {1: (0, LOOKS[0]), 2: (5, LOOKS[0])})], time)
    for time in np.arange(6, 12, 0.1).tolist():
        (persons,) = people.identify([visible("a", time, {2: (5, LOOKS[0])})], time)
    assert persons.tolist() == [2]


def test_a_lost_track_that_comes_back_too_late_becomes_somebody_else() -> None:
    people = gallery()
    watch(people, "a", 0, 5, {1: LOOKS[0]})
    watch(people, "a", 5, 10, {2: LOOKS[0]})  # the same person, for all the gallery knows
    people.decisions()
    (persons,) = people.identify([visible("a", 10, {1: (0, LOOKS[0]), 2: (5, LOOKS[0])})], 10)
    assert persons[1] == 1
    assert persons[0] not in (1, NO_ID)
    (decision,) = people.decisions()
    assert (decision.track_id, decision.person_id) == (1, persons[0])


def test_a_calibration_made_elsewhere_makes_one_person_of_nobody() -> None:
    """It doubts little at a cosine of 0.36, and so alike are all in this place; two in view together show it."""
    gullible = Calibration(
        np.zeros(DIMENSION, np.float32), np.array([0.4, 0.9], np.float32), np.array([0.99, 0.3], np.float32)
    )
    of_the_place = 0.6 * LOOKS[40] + 0.8 * LOOKS[:6]
    people = PersonGallery(GallerySettings(), gullible)
    together = watch(people, "a", 0, 10, {1: of_the_place[0], 2: of_the_place[1]})
    rather_like_the_first = 0.6 * LOOKS[40] + 0.77 * LOOKS[2] + 0.22 * LOOKS[0]
    (third,) = watch(people, "b", 20, 30, {1: rather_like_the_first}).values()
    (first,) = watch(people, "b", 40, 50, {2: of_the_place[0]}).values()
    assert third[-1] not in (NO_ID, together[1][-1], together[2][-1])
    assert first[-1] == together[1][-1]


Step = tuple[str, frozenset[int]]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.sampled_from("ab"), st.frozensets(st.integers(0, 6), max_size=4)), max_size=25),
)
def test_never_the_same_person_twice_and_ids_are_sticky(seed: int, steps: list[Step]) -> None:
    """Whatever looks tracks have and however they come and go, at every instant and in the final decisions."""
    rng = np.random.default_rng(seed)
    palette = LOOKS[:2] + 0.1 * rng.normal(size=(2, DIMENSION)).astype(np.float32)
    appearance = {(camera, track): palette[rng.integers(2)] for camera in "ab" for track in range(7)}
    people = gallery(min_age_s=0.5, max_wait_s=1.5, min_embeddings=1)
    starts: dict[tuple[str, int], float] = {}
    together: set[tuple[str, int, int]] = set()
    given_to: dict[tuple[str, int], list[LinkDecision]] = {}
    for number, (camera, tracks) in enumerate(steps):
        time = 0.5 * number
        shown = {t: (starts.setdefault((camera, t), time), appearance[camera, t]) for t in sorted(tracks)}
        (persons,) = people.identify([visible(camera, time, shown)], time)
        decided = persons[persons != NO_ID].tolist()
        assert len(decided) == len(set(decided))
        together |= {(camera, a, b) for a in tracks for b in tracks if a < b}
        for decision in people.decisions():
            given_to.setdefault((decision.camera, decision.track_id), []).append(decision)
    for decisions in given_to.values():
        assert all("came back" in later.gates[0] for later in decisions[1:])
    final = {key: decisions[-1].person_id for key, decisions in given_to.items()}
    for camera, a, b in together:
        if (camera, a) in final and (camera, b) in final:
            assert final[camera, a] != final[camera, b]


def test_motion_only_gives_each_track_its_own_person_at_once() -> None:
    people = PersonGallery(GallerySettings(), None)
    nothing = np.zeros((2, 0), np.float32)
    seen = TrackAppearances("a", np.array([1, 2]), np.zeros(2), nothing, np.zeros(2, np.int64), np.zeros(2))
    assert people.identify([seen], 0.0)[0].tolist() == [1, 2]
    assert people.identify([seen], 0.1)[0].tolist() == [1, 2]


def test_a_track_never_embedded_is_a_new_person_after_waiting() -> None:
    people = gallery(max_wait_s=4.0)
    (history,) = watch(people, "a", 0, 6, {1: np.zeros(DIMENSION, np.float32)}).values()
    assert history[35] == NO_ID
    assert history[-1] == 1


def test_forgotten_people_come_back_as_new_ones() -> None:
    people = gallery(memory_s=60.0)
    watch(people, "a", 0, 5, {1: LOOKS[0]})
    (soon,) = watch(people, "a", 50, 55, {2: LOOKS[0]}).values()
    (late,) = watch(people, "a", 200, 205, {3: LOOKS[0]}).values()
    assert soon[-1] == 1
    assert late[-1] == 2


def test_memory_is_bounded() -> None:
    people = gallery(max_people=10, memory_s=300.0, vectors_per_camera=2)
    rng = np.random.default_rng(0)
    for track in range(60):
        appearance = rng.normal(size=DIMENSION).astype(np.float32)
        watch(people, "a", 5.0 * track, 5.0 * track + 5, {track: appearance / np.linalg.norm(appearance)})
    for track in range(60, 80):
        watch(people, "a", 5.0 * track, 5.0 * track + 5, {track: LOOKS[0]})
    assert len(people._people) <= 11
    assert len(people._tracks) <= 62
    assert people._looks is not None
    assert max(len(people._looks.of(person)) for person in people._people) <= 2


def test_people_of_an_earlier_part_are_recognised() -> None:
    people = gallery()
    earlier = [
        Tracklet(
            "a", track, np.array([0.0, 1.0]), np.zeros((2, 4), np.float32), np.ones(2, np.float32), ("crop",),
            LOOKS[track][None], np.ones(1, np.float32),
        )
        for track in range(3)
    ]  # fmt: skip
    people.seed_people([7, 4, NO_ID], earlier, next_person_id=12)
    history = watch(people, "b", 2, 8, {1: LOOKS[0], 2: LOOKS[1], 3: LOOKS[2]})
    assert [history[track][-1] for track in (1, 2)] == [7, 4]
    assert history[3][-1] == 12


def test_people_of_earlier_runs_are_recognised_and_never_forgotten_within_a_run() -> None:
    people = gallery(memory_s=30.0)
    people.know({3: [("a", LOOKS[0]), ("b", LOOKS[0])], 5: [("a", LOOKS[1])]}, next_person_id=9)
    first = watch(people, "a", 0, 6, {1: LOOKS[1], 2: LOOKS[2]})
    assert [history[-1] for history in first.values()] == [5, 9]
    assert people.decisions()[-1].person_id == 9
    later = watch(people, "c", 200, 206, {1: LOOKS[0], 2: LOOKS[2]})
    assert [history[-1] for history in later.values()] == [3, 10]


def everybody(person: int) -> int:
    """Whoever is known from earlier runs stays who it is."""
    return person


def test_what_linking_decided_is_taken_over() -> None:
    people = gallery()
    watch(people, "a", 0, 10, {1: LOOKS[0], 2: LOOKS[1], 3: LOOKS[2]})
    linked = {("a", 1): 1, ("a", 2): 9, ("a", 3): NO_ID}
    people.decisions()
    people.adopt(lambda camera, track: linked[camera, track], everybody, 12)
    now = watch(people, "a", 10, 14, {1: LOOKS[0], 2: LOOKS[1], 3: LOOKS[2]})
    assert (set(now[1]), set(now[2])) == ({1}, {9})
    assert now[3][-1] == 12, "undecided again, and not somebody who was there before"
    again = watch(people, "b", 60, 70, {1: LOOKS[1], 2: LOOKS[2]})
    assert (again[1][-1], again[2][-1]) == (9, 12)


def test_people_that_were_merged_know_the_looks_of_both() -> None:
    people = gallery()
    watch(people, "a", 0, 10, {1: LOOKS[0], 2: LOOKS[3]})
    other = 0.6 * LOOKS[0] + 0.8 * LOOKS[1]
    assert set(watch(people, "a", 20, 30, {3: other})[3][-1:]) == {3}
    people.adopt(lambda camera, track: {1: 1, 2: 2, 3: 1}[track], everybody, 4)
    blended = (LOOKS[0] + other) / np.linalg.norm(LOOKS[0] + other)
    (history,) = watch(people, "b", 60, 70, {1: blended}).values()
    assert history[-1] == 1
    assert people.decisions()[-1].runner_up < 0.2, "nobody else has those looks any more"


def test_two_tracks_in_view_that_became_one_person_part_again() -> None:
    people = gallery()
    watch(people, "a", 0, 10, {1: LOOKS[0], 2: LOOKS[1]})
    people.adopt(lambda camera, track: 1, everybody, 3)
    now = watch(people, "a", 10, 12, {1: LOOKS[0], 2: LOOKS[1]})
    assert {now[1][-1], now[2][-1]} == {1, 3}


def test_only_as_many_looks_are_kept_after_taking_over_and_the_latest() -> None:
    people = gallery(vectors_per_camera=1)
    watch(people, "a", 0, 10, {1: LOOKS[0]})
    watch(people, "a", 20, 30, {2: LOOKS[1]})
    people.adopt(lambda camera, track: 1, everybody, 3)
    assert people._looks is not None
    assert people._looks.of(1) == (("a", 2),)


def test_people_of_earlier_runs_are_merged_and_forgotten_as_the_ledger_says() -> None:
    people = gallery()
    other = 0.8 * LOOKS[0] + 0.6 * LOOKS[1]
    people.know({1: [("a", LOOKS[0])], 2: [("a", other)], 3: [("a", LOOKS[2])]}, 4)
    people.adopt(lambda camera, track: NO_ID, {1: 1, 2: 1, 3: NO_ID}.__getitem__, 4)
    now = watch(people, "b", 10_000, 10_010, {1: other, 2: LOOKS[2]})
    assert (now[1][-1], now[2][-1]) == (1, 4)
