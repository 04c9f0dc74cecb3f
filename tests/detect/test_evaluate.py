"""Average precision: worked by hand on small cases, and the command over data on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.cli.parser import main
from app.detect.evaluate import Truth, detector_table, mean_scores, score
from app.frames import Detections


def truth(*boxes: tuple[float, ...], counted: list[bool] | None = None) -> Truth:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Truth(rows, np.array(counted if counted is not None else [True] * len(rows), bool))


def found(*rows: tuple[float, ...]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4])


A = (0.0, 0.0, 20.0, 40.0)
B = (50.0, 0.0, 90.0, 80.0)
NOWHERE = (100.0, 100.0, 120.0, 140.0)


def test_perfect_boxes_score_one_and_no_boxes_score_nothing() -> None:
    perfect = score([truth(A, B)], [found((*A, 0.9), (*B, 0.3))])
    assert perfect["AP50"] == perfect["AP50_95"] == 1.0
    assert score([truth(A)], [found()])["AP50"] == 0.0
    assert score([truth()], [found((*A, 0.9))])["AP50"] is None


def test_a_false_alarm_costs_only_where_it_is_surer_than_a_find() -> None:
    assert score([truth(A)], [found((*A, 0.9), (*NOWHERE, 0.5))])["AP50"] == 1.0
    assert score([truth(A)], [found((*A, 0.5), (*NOWHERE, 0.9))])["AP50"] == pytest.approx(0.5)
    half = score([truth(A, B)], [found((*A, 0.9), (*NOWHERE, 0.5))])["AP50"]
    assert half == pytest.approx(51 / 101)  # recall 0 to 0.5 at precision 1


def test_a_second_box_on_the_same_person_is_a_false_alarm() -> None:
    twice = score([truth(A, B)], [found((*A, 0.9), (0, 1, 20, 40, 0.8), (*B, 0.7))])["AP50"]
    assert twice == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_overlap_decides_which_levels_count() -> None:
    shifted = (0.0, 0.0, 20.0, 31.0, 0.9)  # overlap 0.775: found at 0.50 to 0.75, six of ten levels
    scores = score([truth(A)], [found(shifted)])
    assert scores["AP50"] == 1.0
    assert scores["AP50_95"] == pytest.approx(0.6)


def test_people_who_do_not_count_are_neither_missed_nor_false() -> None:
    scores = score([truth(A, B, counted=[True, False])], [found((*B, 0.95), (*A, 0.9))])
    assert scores["AP50"] == 1.0
    assert scores["people"] == 1


def test_boxes_where_nobody_knows_count_neither_way() -> None:
    unknown = Truth(truth(A).boxes, truth(A).counted, np.array([[45, 0, 130, 150]], np.float32))
    scores = score([unknown], [found((*NOWHERE, 0.95), (*B, 0.92), (*A, 0.9))])
    assert scores["AP50"] == scores["found"] == scores["right"] == 1.0
    half_out = (0.0, 0.0, 80.0, 100.0, 0.95)
    assert score([unknown], [found(half_out, (*A, 0.9))])["right"] == pytest.approx(0.5)


def test_found_and_right_count_confident_boxes_only() -> None:
    scores = score([truth(A, B), truth(A)], [found((*A, 0.9), (*B, 0.49), (*NOWHERE, 0.5)), found((*A, 0.5))])
    assert scores["found"] == pytest.approx(2 / 3)
    assert scores["right"] == pytest.approx(2 / 3)
    nothing = score([truth(A)], [found()])
    assert (nothing["found"], nothing["right"]) == (0.0, None)
    assert score([truth()], [found()])["found"] is None


def test_several_data_sets_have_a_mean_in_which_each_counts_the_same() -> None:
    scores = {
        "large": score([truth(A)] * 9, [found((*A, 0.9))] * 9),
        "small": score([truth(A)], [found()]),
        "nobody": score([truth()], [found()]),
    }
    assert mean_scores(scores) == {"AP50": 0.5, "AP50_95": 0.5, "found": 0.5, "right": 1.0}
    assert [str(row) for row in detector_table(scores).columns[0].cells][-1] == "mean"
    assert "mean" not in [str(row) for row in detector_table({"one": scores["large"]}).columns[0].cells]


def test_heights_are_scored_apart() -> None:
    scores = score([truth(A, B)], [found((*A, 0.9), (*NOWHERE, 0.95))])["by_height"]  # A is 40 high, B is 80
    assert scores["0-32"] == {"people": 0, "AP50": None}
    assert scores["32-64"] == {"people": 1, "AP50": pytest.approx(0.5)}
    assert scores["64-128"] == {"people": 1, "AP50": 0.0}


def test_the_command_scores_a_data_set_and_a_video(
    tmp_path: Path, small_weights: Callable[[bool], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = tmp_path / "set" / "images", tmp_path / "set" / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    cv2.imwrite(str(images / "a.png"), picture)
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.5\n")
    video = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(5):
        writer.write(picture)
    writer.release()
    arguments = ["evaluate-detector", "--weights", str(small_weights(False)), "--every", "2"]
    arguments += ["--data", str(tmp_path / "set"), str(video)]
    assert main(arguments) == 2
    assert "no truth for this video" in capsys.readouterr().err
    (tmp_path / "film" / "gt").mkdir(parents=True)
    (tmp_path / "film" / "gt" / "gt.txt").write_text("1,1,10,10,20,40,1\n3,1,10,10,20,40,1\n4,1,0,0,9,9,1\n")
    assert main([*arguments, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["set"]["pictures"] == 1
    assert (scores["film"]["pictures"], scores["film"]["people"]) == (3, 2)
    assert main(arguments) == 0
    assert "AP50" in capsys.readouterr().out
