"""A track's life, frame by frame, on people drawn with three lines of arithmetic; then the real MOT17 files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.boxes import iou
from app.config import TrackSettings
from app.footage.motchallenge import read_rows, read_sequence_info
from app.frames import NO_ID, Detections, Embeddings
from app.reid.calibrate import Calibration
from app.runs.evaluate.scores import combine_cameras
from app.runs.evaluate.trajectories import Trajectories, load_truth
from app.track import Tracker
from app.track.tracker import CameraTracker

STILL = np.array([[1.0, 0, 0], [0, 1, 0]])
DIMENSION = 8
CALIBRATION = Calibration(
    np.zeros(DIMENSION, np.float32), np.array([0.1, 0.6], np.float32), np.array([0.99, 0.01], np.float32)
)


def person(x: float, y: float = 200.0, height: float = 100.0) -> list[float]:
    """A box x1 y1 x2 y2 whose feet stand in the middle at (x, y)."""
    return [x - height / 5, y - height, x + height / 5, y]


def found(*boxes: Sequence[float], scores: Sequence[float] | None = None) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.9, np.float32) if scores is None else np.array(scores, np.float32),
    )


def appearance(*who: int) -> Embeddings:
    """Appearance of known people: one axis each, -1 where none was computed."""
    vectors = np.zeros((len(who), DIMENSION), np.float32)
    for row, number in enumerate(who):
        if number >= 0:
            vectors[row, number] = 1
    return Embeddings(vectors, np.array([number >= 0 for number in who], np.bool_))


def motion_tracker(**changes: object) -> CameraTracker:
    return CameraTracker(TrackSettings(**changes), "door", None, 0)


def looks_tracker(**changes: object) -> CameraTracker:
    return CameraTracker(TrackSettings(**changes), "door", CALIBRATION, DIMENSION)


def step(tracker: Tracker, time: float, detections: Detections) -> list[int]:
    return tracker.update(detections, Embeddings.none(len(detections)), time, STILL).tolist()


def test_a_life_frame_by_frame() -> None:
    tracker = motion_tracker(max_lost_s=1.0)
    walker = [found(person(100 + 5 * frame)) for frame in range(60)]
    nobody = found()
    assert step(tracker, 0.0, walker[0]) == [NO_ID]  # tentative
    assert step(tracker, 0.1, walker[1]) == [1]  # confirmed by the second box
    assert step(tracker, 0.2, walker[2]) == [1]
    assert tracker.appearances().track_ids.tolist() == [1]
    assert step(tracker, 0.3, nobody) == []  # lost
    assert tracker.appearances().track_ids.tolist() == []
    assert step(tracker, 0.4, walker[4]) == [1]  # found where it was expected
    for frame in range(5, 14):
        assert step(tracker, frame / 10, nobody) == []
    assert step(tracker, 1.4, walker[14]) == [1]  # lost for exactly max_lost_s
    for frame in range(15, 26):
        assert step(tracker, frame / 10, nobody) == []
    assert step(tracker, 2.6, walker[26]) == [NO_ID]  # dead: whoever comes now is new
    assert step(tracker, 2.7, walker[27]) == [2]


def test_a_false_alarm_never_gets_an_id() -> None:
    tracker = motion_tracker(confirm_hits=3)
    ghost = found(person(100))
    answers = [step(tracker, 0.0, ghost), step(tracker, 0.1, ghost), step(tracker, 0.2, found())]
    answers += [step(tracker, 0.3, ghost), step(tracker, 0.4, ghost)]
    assert answers == [[NO_ID], [NO_ID], [], [NO_ID], [NO_ID]]
    assert step(tracker, 0.5, ghost) == [1]


def test_a_track_without_patience_still_lasts_from_frame_to_frame() -> None:
    tracker = motion_tracker(max_lost_s=0.0)
    assert [step(tracker, time, found(person(100))) for time in (0.0, 0.5, 1.0)] == [[NO_ID], [1], [1]]
    step(tracker, 1.5, found())
    assert step(tracker, 2.0, found(person(100))) == [NO_ID]


def test_one_hit_confirms_at_birth_when_asked() -> None:
    assert step(motion_tracker(confirm_hits=1), 0.0, found(person(0), person(300))) == [1, 2]


def test_doubtful_boxes_need_more_hits_than_sure_ones() -> None:
    needed = {}
    for score in (0.9, 0.6, 0.55):
        tracker = motion_tracker()
        needed[score] = next(
            hits for hits in range(1, 50) if step(tracker, hits / 10, found(person(100), scores=[score])) == [1]
        )
    assert needed == {0.9: 2, 0.6: 5, 0.55: 10}


def test_weak_boxes_continue_tracks_but_start_none() -> None:
    tracker = motion_tracker()
    for frame in range(3):
        step(tracker, frame / 10, found(person(100)))
    both = found(person(300), person(100), scores=[0.3, 0.3])
    assert step(tracker, 0.3, both) == [NO_ID, 1]
    assert step(tracker, 0.4, both) == [NO_ID, 1]
    below = found(person(100), scores=[0.05])
    assert step(tracker, 0.5, below) == [NO_ID]


def doubtful(x: float) -> Detections:
    return found(person(x), scores=[0.45])


def test_a_doubtful_box_is_a_person_once_it_has_walked() -> None:
    walks, stands = motion_tracker(), motion_tracker()
    walked = [step(walks, frame / 10, doubtful(100 + 8 * frame)) for frame in range(20)]
    assert [NO_ID] in walked[:5]
    assert walked[-10:] == [[1]] * 10
    jitter = np.random.default_rng(0).normal(0, 4, 200)
    assert {tuple(step(stands, frame / 10, doubtful(100 + jitter[frame]))) for frame in range(200)} == {(NO_ID,)}


def test_boxes_must_be_likely_enough_to_be_somebody_who_walks() -> None:
    for score, threshold, expected in ((0.35, 0.4, NO_ID), (0.45, 0.4, 1), (0.45, 1.0, NO_ID)):
        tracker = motion_tracker(walking_score=threshold)
        for frame in range(20):
            [last] = step(tracker, frame / 10, found(person(100 + 8 * frame), scores=[score]))
        assert last == expected


def test_a_doubtful_walker_may_be_seen_still_less_well_in_between() -> None:
    tracker = motion_tracker()
    for frame in range(20):
        score = 0.2 if frame % 3 else 0.45
        [last] = step(tracker, frame / 10, found(person(100 + 8 * frame), scores=[score]))
    assert last == 1


def test_a_part_of_somebody_is_nobody_new() -> None:
    tracker = motion_tracker()
    for frame in range(20):
        x = 100 + 8 * frame
        ids = step(tracker, frame / 10, found(person(x), person(x, 160, 60), scores=[0.9, 0.45]))
    assert ids == [1, NO_ID]


def test_what_stands_does_not_walk_because_the_camera_turns() -> None:
    turns, stays = motion_tracker(), motion_tracker()
    turn = np.array([[1.0, 0, 8], [0, 1, 0]])
    for frame in range(20):
        detections, none = doubtful(100 + 8 * frame), Embeddings.none(1)
        assert turns.update(detections, none, frame / 10, turn if frame else STILL).tolist() == [NO_ID]
        last = stays.update(detections, none, frame / 10, STILL).tolist()
    assert last == [1]


def test_ids_are_aligned_with_rows_in_any_order() -> None:
    rng = np.random.default_rng(0)
    tracker = motion_tracker()
    people = np.array([person(100 * number) for number in range(6)])
    first: dict[int, int] = {}
    for frame in range(20):
        order = rng.permutation(6)
        ids = step(tracker, frame / 25, found(*(people[order] + frame)))
        if frame == 1:
            first = dict(zip(order.tolist(), ids, strict=True))
            assert sorted(ids) == [1, 2, 3, 4, 5, 6]
        elif frame > 1:
            assert dict(zip(order.tolist(), ids, strict=True)) == first


def test_the_counter_belongs_to_the_instance() -> None:
    first, second = motion_tracker(), CameraTracker(TrackSettings(), "yard", None, 0, first_track_id=50)
    for time in (0.0, 0.1):
        a, b = step(first, time, found(person(0))), step(second, time, found(person(0)))
    assert (a, b) == ([1], [50])


def test_people_who_cross_keep_their_ids() -> None:
    tracker = motion_tracker()
    for frame in range(60):
        left, right = person(100 + 6 * frame, 200), person(454 - 6 * frame, 215)
        hidden = iou(np.array([left]), np.array([right]))[0, 0] > 0.5  # the farther one is not detected
        ids = step(tracker, frame / 15, found(right) if hidden else found(right, left))
        if frame > 0:
            assert ids == ([1] if hidden else [1, 2]), frame


@pytest.mark.parametrize("fps", [7, 10, 25, 30])
def test_an_occlusion_is_survived_at_any_frame_rate(fps: int) -> None:
    tracker = motion_tracker()
    answers = set()
    for frame in range(6 * fps):
        time = frame / fps
        seen = not 2.0 <= time < 3.2
        answers.update(step(tracker, time, found(person(100 + 60 * time)) if seen else found()))
    assert answers <= {NO_ID, 1}


def test_without_camera_motion_a_swing_of_the_camera_loses_people_with_it_none() -> None:
    swing = np.array([[1.0, 0, 70], [0, 1, -40]])
    boxes = np.array([person(100), person(300)])
    moved = boxes + np.array([70, -40, 70, -40])
    for motion, expected in ((swing, [1, 2]), (STILL, [NO_ID, NO_ID])):
        tracker = motion_tracker()
        for frame in range(3):
            step(tracker, frame / 10, found(*boxes))
        ids = tracker.update(found(*moved), Embeddings.none(2), 0.3, motion)
        assert ids.tolist() == expected


def meet(tracker: CameraTracker, time: float, boxes: Sequence[Sequence[float]], who: Sequence[int]) -> list[int]:
    """One frame as the pipeline runs it: embed what the tracker wants, then update."""
    detections = found(*boxes)
    wanted = tracker.wants(detections, time, STILL)
    given = appearance(*(number if want else -1 for number, want in zip(who, wanted, strict=True)))
    return tracker.update(detections, given, time, STILL).tolist()


def test_appearance_finds_a_person_whom_motion_has_lost() -> None:
    for answer, who in (([1], 3), ([2], 4)):
        tracker = looks_tracker(max_lost_s=1.0, max_recovery_s=5.0)
        for frame in range(10):
            meet(tracker, frame / 10, [person(100)], [3])
        for frame in range(10, 40):
            meet(tracker, frame / 10, [], [])
        came_back = [meet(tracker, 4.0 + frame / 10, [person(250 + frame)], [who]) for frame in range(3)]
        assert came_back[-1] == answer
        assert came_back[0] == (answer if answer == [1] else [NO_ID])


def test_a_calibration_made_elsewhere_lends_no_id_to_a_stranger() -> None:
    """All people of this place share so much of their looks that the calibration takes any two of them for one."""
    gullible = Calibration(
        np.zeros(DIMENSION, np.float32), np.array([0.7, 0.9], np.float32), np.array([0.99, 0.01], np.float32)
    )
    tracker = CameraTracker(TrackSettings(max_lost_s=1.0, max_recovery_s=5.0), "door", gullible, DIMENSION)

    def alike(*who: int) -> Embeddings:
        vectors = np.zeros((len(who), DIMENSION), np.float32)
        vectors[:, 0] = 0.6
        vectors[np.arange(len(who)), who] = 0.8
        return Embeddings(vectors, np.ones(len(who), np.bool_))

    for frame in range(10):
        three = found(person(100), person(400), person(700))
        ids = tracker.update(three, alike(1, 2, 3), frame / 10, STILL).tolist()
    assert ids == [1, 2, 3]
    for frame in range(10, 30):
        ids = tracker.update(found(person(400), person(700)), alike(2, 3), frame / 10, STILL).tolist()
    for frame in range(30, 33):
        scene = found(person(200 + frame), person(400), person(700))
        ids = tracker.update(scene, alike(4, 2, 3), frame / 10, STILL).tolist()
    assert ids == [4, 2, 3]


def test_nobody_is_recovered_from_further_than_a_person_can_go() -> None:
    tracker = looks_tracker(max_lost_s=0.5, max_speed_heights_per_s=2.0)
    for frame in range(10):
        meet(tracker, frame / 10, [person(100)], [3])
    meet(tracker, 1.0, [], [])
    later = [meet(tracker, 1.9 + frame / 10, [person(100 + 400)], [3]) for frame in range(2)]  # 4 heights in 1 s
    assert later[-1] == [2]


def test_appearance_tells_people_apart_who_swap_places_out_of_sight() -> None:
    tracker = looks_tracker()
    for frame in range(10):
        assert meet(tracker, frame / 10, [person(100), person(160)], [1, 2]) in ([NO_ID] * 2, [1, 2])
    for frame in range(10, 15):
        meet(tracker, frame / 10, [], [])
    assert meet(tracker, 1.5, [person(100), person(160)], [2, 1]) == [2, 1]


def test_appearance_does_not_lend_an_id_to_somebody_in_another_place() -> None:
    tracker = looks_tracker()
    for frame in range(10):
        meet(tracker, frame / 10, [person(100)], [1])
    ids = meet(tracker, 1.0, [person(100), person(700)], [1, 1])
    assert ids == [1, NO_ID]


def test_wants_is_asked_before_update_without_changing_the_answer() -> None:
    asked, silent = looks_tracker(), looks_tracker()
    for frame in range(30):
        time, detections = frame / 10, found(person(100 + 8 * frame), person(400 - 8 * frame, 220))
        for _ in range(frame % 3):
            asked.wants(detections, time, STILL)
        assert step(asked, time, detections) == step(silent, time, detections)
        np.testing.assert_array_equal(asked._tracks.motion.position, silent._tracks.motion.position)


def test_wants_new_people_then_rarely() -> None:
    tracker = looks_tracker(refresh_s=2.0)
    wanted = []
    for frame in range(100):
        detections = found(person(100 + frame), person(400))
        wanted.append(tracker.wants(detections, frame / 10, STILL))
        tracker.update(detections, appearance(*np.where(wanted[-1], [1, 2], -1).tolist()), frame / 10, STILL)
    assert wanted[0].all()
    assert np.mean(wanted[1:]) < 0.1
    assert np.sum(wanted[50:], axis=0).max() <= 3  # once in refresh_s, of 5 s


def test_wants_whoever_comes_back_and_rivals_but_not_the_hidden() -> None:
    tracker = looks_tracker()
    for frame in range(40):
        meet(tracker, frame / 10, [person(100), person(400)], [1, 2])
    meet(tracker, 4.0, [person(100)], [1])
    assert tracker.wants(found(person(100), person(400)), 4.1, STILL).tolist() == [False, True]  # was lost
    meet(tracker, 4.1, [person(100), person(400)], [1, 2])
    close = found(person(100), person(100, 205), person(400))  # the first is hidden behind the second
    assert not tracker.wants(close, 4.2, STILL)[0]


def test_wants_nothing_without_a_network_or_without_people() -> None:
    assert motion_tracker().wants(found(person(0)), 0.0, STILL).tolist() == [False]
    assert looks_tracker().wants(found(), 0.0, STILL).shape == (0,)
    assert looks_tracker().wants(found(person(0), scores=[0.3]), 0.0, STILL).tolist() == [False]


def test_appearances_of_visible_tracks() -> None:
    tracker = looks_tracker()
    for frame in range(5):
        meet(tracker, 10 + frame / 10, [person(100), person(400)], [1, 2])
    meet(tracker, 10.5, [person(400)], [2])
    known = tracker.appearances()
    assert known.camera == "door"
    assert known.track_ids.tolist() == [2]
    assert known.start_times.tolist() == [10.0]
    np.testing.assert_allclose(known.vectors, appearance(2).vectors, atol=1e-6)
    assert known.counts[0] >= 1


def test_time_must_not_run_backwards() -> None:
    tracker = motion_tracker()
    step(tracker, 1.0, found())
    with pytest.raises(ValueError, match="door: time runs backwards"):
        step(tracker, 0.9, found())


def test_a_network_needs_its_calibration() -> None:
    with pytest.raises(ValueError, match="calibration"):
        CameraTracker(TrackSettings(), "door", None, 512)


def test_the_tracker_keeps_the_contract() -> None:
    tracker = CameraTracker(TrackSettings(), "door", CALIBRATION, DIMENSION, 7)
    rng = np.random.default_rng(3)
    for frame in range(20):
        count = int(rng.integers(0, 5))
        detections = found(*(person(x) for x in rng.uniform(0, 500, count)))
        wanted = tracker.wants(detections, frame / 10, STILL)
        assert wanted.shape == (count,)
        assert wanted.dtype == np.bool_
        ids = tracker.update(detections, appearance(*np.where(wanted, 1, -1).tolist()), frame / 10, STILL)
        assert ids.shape == (count,)
        assert ids.dtype == np.int64
        assert ((ids == NO_ID) | (ids >= 7)).all()
        assert set(tracker.appearances().track_ids.tolist()) == set(ids[ids != NO_ID].tolist())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), with_looks=st.booleans())
def test_no_id_twice_in_a_frame_and_the_same_answer_every_time(seed: int, with_looks: bool) -> None:
    def run() -> list[list[int]]:
        rng = np.random.default_rng(seed)
        tracker = looks_tracker() if with_looks else motion_tracker()
        time, centers, answers = 0.0, rng.uniform(0, 300, 6), []
        for _ in range(25):
            time += float(rng.choice([0.03, 0.1, 0.5, 3.0], p=[0.5, 0.3, 0.15, 0.05]))
            centers = centers + rng.normal(0, 10, 6)
            seen = np.flatnonzero(rng.random(6) < 0.7)
            detections = found(*(person(centers[n]) for n in seen), scores=rng.uniform(0, 1, len(seen)).tolist())
            given_looks = appearance(*np.where(rng.random(len(seen)) < 0.5, seen, -1).tolist())
            embeddings = given_looks if with_looks else Embeddings.none(len(seen))
            answers.append(tracker.update(detections, embeddings, time, STILL).tolist())
        return answers

    answers = run()
    for ids in answers:
        known = [number for number in ids if number != NO_ID]
        assert len(known) == len(set(known))
    assert answers == run()


def follow(folder: Path) -> Trajectories:
    """Track a MOT17 sequence from its given detections and camera motion, without pixels."""
    info, given = read_sequence_info(folder), read_rows(folder / "det_yolox_x" / "det.txt")
    camera = {int(line[0]): line[1:7].reshape(2, 3) for line in np.loadtxt(folder / "gmc.txt")}
    tracker = motion_tracker()
    track_ids = np.full(len(given), NO_ID, np.int64)
    for frame in range(1, info.frame_count + 1):
        rows = np.flatnonzero(given.frames == frame)
        track_ids[rows] = tracker.update(
            Detections(given.boxes[rows], given.scores[rows]),
            Embeddings.none(len(rows)),
            frame / info.fps,
            camera.get(frame, STILL),
        )
    known = track_ids != NO_ID
    ids = track_ids[known]
    return Trajectories(given.frames[known], ids, ids, given.boxes[known], np.zeros(len(ids), np.uint8))


def test_mot17_half_scores_above_the_best_peer(shared_data: Path) -> None:
    """Over the four sequences; BoxMOT's best motion-only tracker on these files: HOTA 69.34, IDF1 80.13."""
    folder = shared_data / "mot" / "MOT17-half"
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    scores = combine_cameras(load_truth(folder, names), {name: follow(folder / name) for name in names})
    assert scores["HOTA"] >= 70.5
    assert scores["IDF1"] >= 82.0
