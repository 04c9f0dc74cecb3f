"""Scores: hand-computed cases, TrackEval's own route over files, and what must hold for any result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import InputError
from app.footage.motchallenge import read_rows, write_rows
from app.frames import NO_ID
from app.runs.evaluate.scores import combine_cameras, evaluate, evaluate_run, scores_table
from app.runs.evaluate.trajectories import Role, Trajectories, frame_times, load_truth, read_result, read_truth
from app.runs.folder.run import Run


def rows(*lines: tuple[int, int, float]) -> Trajectories:
    """Trajectories of (frame, id, left): boxes 10 wide and 20 high on one line."""
    table = np.array(lines, np.float64).reshape(-1, 3)
    left = table[:, 2].astype(np.float32)
    boxes = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 20)], axis=1)
    return Trajectories.of_result(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), boxes)


def walk(person: int, frames: range, left: float = 0.0) -> list[tuple[int, int, float]]:
    return [(frame, person, left) for frame in frames]


def test_the_truth_itself_scores_100() -> None:
    truth = {"a": rows(*walk(1, range(1, 6)), *walk(2, range(1, 6), 50)), "b": rows(*walk(2, range(1, 4)))}
    scores = evaluate(truth, truth)
    for camera in ("a", "b"):
        assert scores["cameras"][camera] == {
            "HOTA": 100.0, "DetA": 100.0, "AssA": 100.0, "MOTA": 100.0, "IDF1": 100.0, "IDSW": 0
        }  # fmt: skip
    assert scores["across"] == {
        "IDF1": 100.0, "IDP": 100.0, "IDR": 100.0, "HOTA": 100.0, "AssA": 100.0, "people": 2, "ids": 2
    }  # fmt: skip
    assert scores["perfect_linking"] == scores["across"]
    assert scores["no_linking"]["ids"] == 3
    # Person 2 has 5 + 3 boxes; only the longer piece can carry the id: 10 of 13 boxes are right.
    assert scores["no_linking"]["IDF1"] == pytest.approx(100 * 10 / 13)


def test_one_id_switch() -> None:
    truth = {"a": rows(*walk(1, range(1, 11)))}
    result = {"a": rows(*walk(7, range(1, 7)), *walk(8, range(7, 11)))}
    scores = evaluate(truth, result)["cameras"]["a"]
    assert scores["IDSW"] == 1
    assert scores["MOTA"] == pytest.approx(100 * (1 - 1 / 10))
    assert scores["IDF1"] == pytest.approx(100 * 6 / 10)
    # Each box of a piece of n boxes has association n / 10: AssA = (6·6 + 4·4) / (10·10).
    assert scores["AssA"] == pytest.approx(52.0)
    assert scores["DetA"] == pytest.approx(100.0)
    assert scores["HOTA"] == pytest.approx(100 * np.sqrt(0.52))


def test_ids_swapped_between_cameras_cost_only_across() -> None:
    truth = {name: rows(*walk(1, range(1, 6)), *walk(2, range(1, 6), 50)) for name in "ab"}
    result = {"a": truth["a"], "b": rows(*walk(2, range(1, 6)), *walk(1, range(1, 6), 50))}
    scores = evaluate(truth, result)
    assert scores["cameras"]["b"]["HOTA"] == 100.0
    assert scores["combined"]["IDF1"] == 100.0
    assert scores["across"]["IDF1"] == pytest.approx(50.0)
    assert scores["perfect_linking"]["IDF1"] == 100.0


def test_missed_people_and_false_alarms() -> None:
    truth = {"a": rows(*walk(1, range(1, 5)), *walk(2, range(1, 5), 50))}
    result = {"a": rows(*walk(1, range(1, 5)), *walk(9, range(1, 3), 200))}
    scores = evaluate(truth, result)
    assert scores["cameras"]["a"]["MOTA"] == pytest.approx(100 * (4 - 2) / 8)
    assert scores["across"]["IDP"] == pytest.approx(100 * 4 / 6)
    assert scores["across"]["IDR"] == pytest.approx(100 * 4 / 8)


def test_nobody_found_and_nobody_there() -> None:
    truth = {"a": rows(*walk(1, range(1, 5)))}
    nobody = {"a": rows()}
    scores = evaluate(truth, nobody, {"a": np.arange(4.0)})
    assert scores["cameras"]["a"]["HOTA"] == 0.0
    assert scores["across"]["ids"] == 0
    assert evaluate(nobody, truth)["across"]["IDP"] == 0.0


def test_rows_without_a_person_count_as_their_own_track() -> None:
    truth = {"a": rows(*walk(1, range(1, 11)))}
    boxes = truth["a"].boxes
    tracks = np.repeat(np.array([4, 5], np.int64), 5)
    undecided = np.full(10, NO_ID, np.int64)
    named = np.where(tracks == 4, 4, undecided)
    for ids in (undecided, named):
        result = {"a": Trajectories.of_result(truth["a"].frames, ids, boxes, tracks)}
        assert evaluate(truth, result)["across"]["ids"] == 2
    set_aside = Trajectories.of_result(truth["a"].frames, undecided, boxes, undecided)
    assert len(set_aside) == 0


def test_perfect_linking_puts_a_person_once_in_a_frame() -> None:
    truth = {"a": rows(*walk(1, range(1, 11)))}
    double = [(frame, 2, 1.0) for frame in range(1, 7)] + [(frame, 3, 1.5) for frame in range(5, 11)]
    perfect = evaluate(truth, {"a": rows(*double)})["perfect_linking"]
    assert perfect["ids"] == 2
    assert perfect["IDR"] == pytest.approx(60.0)


def test_boxes_on_hidden_people_neither_help_nor_harm() -> None:
    shown = rows(*walk(1, range(1, 5)), *walk(2, range(1, 5), 8), *walk(3, range(1, 5), 50))
    roles = np.where(shown.ids == 1, Role.COUNTED, Role.HIDDEN).astype(np.uint8)
    truth = {"a": Trajectories(shown.frames, shown.ids, shown.ids, shown.boxes, roles)}
    alone = evaluate(truth, {"a": rows(*walk(1, range(1, 5)))})
    with_hidden = evaluate(truth, {"a": shown})
    assert with_hidden == alone
    assert alone["across"]["people"] == 1
    # One box alone is between person 1 (counted) and person 2 (hidden) and fits both: it counts for person 1.
    between = evaluate(truth, {"a": rows(*walk(5, range(1, 5), 3))})
    assert between["across"]["IDF1"] == 100.0
    elsewhere = evaluate(truth, {"a": rows(*walk(1, range(1, 5)), *walk(9, range(1, 5), 90))})
    assert elsewhere["across"]["IDP"] == 50.0


def test_gap_recovery() -> None:
    # 10 frames a second. Person 1 is away for 2.1 s and keeps the id, person 2 for 4.1 s and does not; person 3 is
    # away for 6.1 s but never had an id before; person 4 comes back after 12.1 s and is not found.
    absences = {1: 20, 2: 40, 3: 60, 4: 120}
    truth_rows, result_rows = [], []
    for person, absent in absences.items():
        left = 50.0 * person
        before, after = range(1, 21), range(21 + absent, 41 + absent)
        truth_rows += walk(person, before, left) + walk(person, after, left)
        if person != 3:
            result_rows += walk(person, before, left)
        if person != 4:
            result_rows += walk(person if person == 1 else person + 10, after, left)
    truth, result = {"a": rows(*truth_rows)}, {"a": rows(*result_rows)}
    times = {"a": np.arange(200) / 10 + 1000.0}
    scores = evaluate(truth, result, times)
    assert scores["gaps"] == {"1": 3, "3": 2, "5": 1, "10": 1, "30": 0}
    assert scores["gap_recovery"] == {"1": pytest.approx(100 / 3), "3": 0.0, "5": 0.0, "10": 0.0, "30": None}
    assert scores["gap_recovery_by_track"] == scores["gap_recovery"]  # nothing was linked
    assert evaluate(truth, result)["gap_recovery"]["1"] is None
    assert evaluate(truth, result)["gap_recovery_by_track"]["1"] is None
    with pytest.raises(InputError, match="camera a"):
        evaluate(truth, result, {"a": times["a"][:100]})


def test_gap_recovery_beside_the_same_tracks_without_recovery() -> None:
    # Both are away for 2 s. Person 1 is one track throughout; person 2 comes back as another track that was linked.
    seen = {person: (range(1, 11), range(31, 41)) for person in (1, 2)}
    walks = [(person, part, walk(person, frames, 50.0 * person)) for person in seen
             for part, frames in enumerate(seen[person])]  # fmt: skip
    truth = rows(*(row for _, _, own in walks for row in own))
    tracks = np.array([person if part == 0 or person == 1 else 12 for person, part, own in walks for _ in own])
    result = Trajectories.of_result(truth.frames, truth.ids, truth.boxes, tracks)
    scores = evaluate({"a": truth}, {"a": result}, {"a": np.arange(40) / 10})
    assert scores["gap_recovery"]["1"] == 100.0
    assert scores["gap_recovery_by_track"]["1"] == 50.0


def test_a_gap_belongs_to_one_camera() -> None:
    seen = walk(1, range(1, 11)) + walk(1, range(51, 61))
    truth = {"a": rows(*seen), "b": rows(*walk(1, range(21, 31)))}
    times = {camera: np.arange(60) / 10 for camera in truth}
    assert evaluate(truth, truth, times)["gaps"] == {"1": 1, "3": 1, "5": 0, "10": 0, "30": 0}


def random_scene(seed: int) -> tuple[dict[str, Trajectories], dict[str, Trajectories]]:
    """Three people on two cameras, and a result with misses, moved boxes, false alarms and broken tracks."""
    random = np.random.default_rng(seed)
    truth, result = {}, {}
    for camera in ("a", "b"):
        frames, people = np.meshgrid(np.arange(1, 16), np.arange(1, 4))
        frames, people = frames.ravel().astype(np.int64), people.ravel().astype(np.int64)
        left = (people * 30 + frames).astype(np.float32)
        boxes = np.stack([left, 0 * left, left + 10, 0 * left + 20], axis=1)
        truth[camera] = Trajectories.of_result(frames, people, boxes)
        found = random.random(len(frames)) < 0.9
        moved = boxes + random.normal(0, 1.5, (len(boxes), 1)).astype(np.float32)
        tracks = people * 10 + (frames > random.integers(3, 20, 4)[people])
        persons = random.permutation(60)[tracks % 60].astype(np.int64)
        result[camera] = Trajectories.of_result(frames[found], persons[found], moved[found], tracks[found])
    return truth, result


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_names_of_ids_and_order_of_rows_do_not_matter(seed: int) -> None:
    truth, result = random_scene(seed)
    random = np.random.default_rng(seed)
    names = random.permutation(1000)

    def renamed(rows: Trajectories) -> Trajectories:
        order = random.permutation(len(rows))
        return Trajectories(
            rows.frames[order],
            names[rows.ids][order],
            rows.track_ids[order] + 500,
            rows.boxes[order],
            rows.roles[order],
        )

    times = {camera: np.arange(15) / 5 for camera in truth}
    expected = evaluate(truth, result, times)
    got = evaluate({c: renamed(r) for c, r in truth.items()}, {c: renamed(r) for c, r in result.items()}, times)
    for part in ("across", "no_linking", "perfect_linking"):
        assert got[part] == pytest.approx(expected[part], abs=1e-9)
    for camera in truth:
        assert got["cameras"][camera] == pytest.approx(expected["cameras"][camera], abs=1e-9)
    assert got["gap_recovery"] == expected["gap_recovery"]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_perfect_linking_is_a_ceiling(seed: int) -> None:
    truth, result = random_scene(seed)
    scores = evaluate(truth, result)
    ceiling = scores["perfect_linking"]["IDF1"] + 1e-9
    assert scores["no_linking"]["IDF1"] <= ceiling
    assert scores["across"]["IDF1"] <= ceiling


def test_truth_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a" / "gt").mkdir(parents=True)
    (tmp_path / "spare" / "gt").mkdir(parents=True)
    (tmp_path / "a" / "gt" / "gt.txt").write_text("1,4,0,0,10,20,1,1,1\n1,5,0,0,10,20,0,1,1\n2,6,0,0,9,9,1,7,1\n")
    (tmp_path / "spare" / "gt" / "gt.txt").write_text("1,4,0,0,10,20,1,1,1\n")
    (tmp_path / "b.txt").write_text("1,4,0,0,10,20,1,-1,-1,-1\n2,4,0,0,10,20,1,3.25,-2.5,0\n")
    truth = load_truth(tmp_path, ["a", "b"])
    assert truth["a"].roles.tolist() == [Role.COUNTED, Role.HIDDEN, Role.NEUTRAL]
    assert truth["b"].counted.all(), "world coordinates of MOT15 are no classes"
    assert "spare" in caplog.text
    assert len(load_truth(tmp_path / "a", ["whatever"])["whatever"]) == 3
    assert len(load_truth(tmp_path / "b.txt", ["whatever"])["whatever"]) == 2
    with pytest.raises(InputError, match=r"camera c;.*c/gt/gt\.txt.*c\.txt"):
        load_truth(tmp_path, ["a", "c"])
    with pytest.raises(InputError, match="camera c"):
        evaluate(truth, {"c": truth["a"]})


def test_unusable_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("1,4,0,0,10,20,1,3,1\n")
    with pytest.raises(InputError, match=r"x\.txt.*counted"):
        read_truth(file)
    file.write_text("3,4,0,0,10,20,1,1,1\n3,4,5,0,10,20,1,1,1\n")
    for read in (read_truth, read_result):
        with pytest.raises(InputError, match=r"x\.txt: id 4 is twice in frame 3"):
            read(file)
    file.write_text("3,-1,0,0,10,20,0.9\n")
    with pytest.raises(InputError, match="detections"):
        read_result(file)
    with pytest.raises(InputError, match="result of camera a: id 4 is twice"):
        evaluate({"a": rows((1, 4, 0))}, {"a": rows((1, 4, 0), (1, 4, 50))})


def test_times_of_frames_without_a_time() -> None:
    known = frame_times(np.array([1, 2, 4]), np.array([10.0, 10.5, 11.5]), 7, fps=2.0)
    np.testing.assert_allclose(known, [9.5, 10.0, 10.5, 11.0, 11.5, 12.0, 12.5])
    np.testing.assert_allclose(frame_times(np.zeros(0, np.int64), np.zeros(0), 3, fps=4.0), [0.0, 0.25, 0.5])


def test_table_shows_every_camera() -> None:
    truth = {name: rows(*walk(1, range(1, 4))) for name in ("north", "south")}
    within, across, recovery = scores_table(evaluate(truth, truth)).renderables
    assert list(within.columns[0].cells) == ["north", "south", "all, ids apart"]
    assert list(across.columns[1].cells) == ["100.00", "50.00", "100.00"]
    assert list(recovery.columns[1].cells) == ["–", "–", "0"]
    assert list(recovery.columns[0].cells) == ["id recovered", "by track only (control)", "absences"]


def write_truth_of(run: Run, folder: Path) -> Path:
    """Write the tracks of a run as its truth: track 1 is person 7 on both cameras, the others have one camera each."""
    for number, camera in enumerate(run.cameras):
        rows = run.observations(camera.name)
        ids = np.where(rows.track_ids == 1, 7, rows.track_ids + 10 * number + 10)
        folder.mkdir(exist_ok=True)
        write_rows(folder / f"{camera.name}.txt", rows.frames + 1, ids, rows.boxes, np.ones(len(rows)))
    return folder


def test_a_run_is_scored_with_the_people_it_has_now(
    make_run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run.open(make_run())
    truth = write_truth_of(run, tmp_path / "truth")
    scores = evaluate_run(run.folder, truth)
    assert scores["across"] == scores["no_linking"], "nobody has a person yet"
    assert scores["across"]["ids"] == 6
    assert scores["cameras"]["left"]["IDF1"] == 100.0
    with run.ledger() as ledger:
        for camera in ("left", "right"):
            ledger.assign(camera, 1, 3, "human")
    scores = evaluate_run(run.folder, truth)
    assert scores["across"]["IDF1"] == scores["perfect_linking"]["IDF1"] == 100.0
    assert scores["across"]["ids"] == 5
    assert not caplog.records
    with run.ledger() as ledger:
        ledger.assign("left", 2, 3, "human")
    scores = evaluate_run(run.folder, truth)
    assert "person 3 has two boxes" in caplog.text
    assert scores["left_out_boxes"] == 10  # tracks 1 and 2 of `left` share half of its 20 frames
    assert scores["across"]["IDF1"] < 100.0
    (truth / "right.txt").unlink()
    with pytest.raises(InputError, match="camera right"):
        evaluate_run(run.folder, truth)


def test_a_run_that_ended_early_misses_the_rest(
    make_run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run.open(make_run(cameras=("left",)))
    truth = write_truth_of(run, tmp_path / "truth")
    with (truth / "left.txt").open("a") as file:
        file.writelines(f"{frame},7,0,0,30,80,1,1,1\n" for frame in range(21, 61))
    scores = evaluate_run(run.folder, truth)
    assert scores["across"]["IDP"] == 100.0
    assert scores["across"]["IDR"] < 60.0
    assert "truth has 60 frames, the run 20" in caplog.text


@pytest.mark.parametrize("frames", ["21 22", "1 9999999"])
def test_truth_of_another_recording_is_refused(make_run: Callable[..., Path], tmp_path: Path, frames: str) -> None:
    run = make_run(cameras=("left",))
    (tmp_path / "left.txt").write_text("".join(f"{frame},7,0,0,30,80,1,1,1\n" for frame in frames.split()))
    with pytest.raises(InputError, match=r"camera left: the truth goes from frame .* truth of another recording"):
        evaluate_run(run, tmp_path)


SEQUENCES = {"MOT17-02": 120, "MOT17-05": 200}
"""How many frames of each sequence are scored; the first of the two has many boxes of neutral classes."""


def tracks_by_place(boxes: NDArray[np.float32], cells: float = 150.0) -> NDArray[np.int64]:
    """Ids that hold for a while and then change, as those of a poor tracker: the part of the picture a box is in."""
    centers = ((boxes[:, :2] + boxes[:, 2:]) / 2 / cells).astype(np.int64)
    return centers[:, 0] * 100 + centers[:, 1]


def test_equals_trackeval_on_its_own_files(shared_data: Path, tmp_path: Path) -> None:
    from trackeval import Evaluator
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    data, root = shared_data / "mot" / "MOT17-half", tmp_path / "truth"
    folder = tmp_path / "trackers" / "ours" / "data"
    folder.mkdir(parents=True)
    for name, length in SEQUENCES.items():
        lines = (data / name / "gt" / "gt.txt").read_text().splitlines(keepends=True)
        (root / name / "gt").mkdir(parents=True)
        (root / name / "gt" / "gt.txt").write_text("".join(x for x in lines if int(x.split(",")[0]) <= length))
        found = read_rows(data / name / "det_yolox_x" / "det.txt")
        found = found[found.frames <= length]
        ids = tracks_by_place(found.boxes)
        kept = found.scores > 0.5
        _, first = np.unique(np.stack([found.frames[kept], ids[kept]]), axis=1, return_index=True)
        lines = [
            f"{frame},{track},{x1:.1f},{y1:.1f},{x2 - x1:.1f},{y2 - y1:.1f},1,-1,-1,-1\n"
            for frame, track, (x1, y1, x2, y2) in zip(
                found.frames[kept][first], ids[kept][first], found.boxes[kept][first], strict=True
            )
        ]
        (folder / f"{name}.txt").write_text("".join(lines))

    quiet = {"PRINT_RESULTS": False, "PRINT_CONFIG": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False,
             "PLOT_CURVES": False, "TIME_PROGRESS": False, "LOG_ON_ERROR": None}  # fmt: skip
    dataset = MotChallenge2DBox({
        "GT_FOLDER": str(root), "TRACKERS_FOLDER": str(tmp_path / "trackers"), "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": SEQUENCES, "PRINT_CONFIG": False, "TRACKERS_TO_EVAL": ["ours"],
    })  # fmt: skip
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    theirs = Evaluator(quiet).evaluate([dataset], metrics)[0]["MotChallenge2DBox"]["ours"]

    truth = load_truth(root, list(SEQUENCES))
    result = {name: read_result(folder / f"{name}.txt") for name in SEQUENCES}
    ours = evaluate(truth, result)
    for name, scores in [*ours["cameras"].items(), ("COMBINED_SEQ", ours["combined"])]:
        expected = theirs[name]["pedestrian"]
        for key in ("HOTA", "DetA", "AssA"):
            assert scores[key] == pytest.approx(100 * np.mean(expected["HOTA"][key]), abs=1e-6), (name, key)
        assert scores["MOTA"] == pytest.approx(100 * expected["CLEAR"]["MOTA"], abs=1e-6)
        assert scores["IDF1"] == pytest.approx(100 * expected["Identity"]["IDF1"], abs=1e-6)
        assert scores["IDSW"] == expected["CLEAR"]["IDSW"]
    assert combine_cameras(truth, result) == ours["combined"]
