"""Tracklets that change their person half-way, and those that only look as if they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.config import LinkSettings
from app.frames import Tracklet
from app.reid.calibrate import Calibration
from app.runs.folder.run import Run
from app.runs.ledger.identities import WHOLE
from app.runs.ledger.ledger import Ledger
from app.runs.people.linking import link_run
from app.track.linking.linker import LinkResult
from app.track.linking.splitting import Judge, change_time, cut_mixed
from tests import small_run

DIMENSION = 8
CALIBRATION = Calibration(
    np.zeros(DIMENSION, np.float32), np.array([0.1, 0.6], np.float32), np.array([0.99, 0.01], np.float32)
)


def tracklet(*who: int, jump_row: int = 23) -> tuple[Tracklet, np.ndarray]:
    """Rows every 0.1 s for 4 s; a crop of each of `who` at even distances, best last; the box jumps at `jump_row`."""
    times = np.arange(40) / 10
    boxes = np.tile(np.float32([100, 50, 140, 150]), (40, 1))
    boxes[jump_row:, [0, 2]] += 30
    crop_times = times[np.linspace(2, 37, len(who)).astype(int)]
    vectors = np.eye(DIMENSION, dtype=np.float32)[list(who)] if who else np.zeros((0, DIMENSION), np.float32)
    order = np.arange(len(who))[::-1]
    crops = tuple(f"crops/door/7_{round(time * 10)}.jpg" for time in crop_times[order])
    qualities = np.linspace(0.9, 0.5, len(who), dtype=np.float32)
    record = Tracklet("door", 7, times, boxes, np.full(40, 0.9, np.float32), crops, vectors[order], qualities)
    return record, crop_times[order]


def changed_at(record: Tracklet, crop_times: np.ndarray) -> float | None:
    return change_time(record, crop_times, Judge.of([record], CALIBRATION))


def test_a_change_is_cut_where_the_boxes_jump() -> None:
    assert changed_at(*tracklet(0, 0, 0, 0, 1, 1, 1, 1, jump_row=20)) == pytest.approx(2.0)
    assert changed_at(*tracklet(0, 0, 0, 0, 1, 1, 1, 1, jump_row=18)) == pytest.approx(1.8)


@pytest.mark.parametrize(
    "who", [(0,) * 8, (0, 1, 0, 1, 0, 1), (0, 0, 0, 1), (0, 0, 1, 1, 0, 0), (0, 1, 2, 3), (0, 1), ()]
)
def test_one_person_a_walker_through_and_chaos_stay_whole(who: tuple[int, ...]) -> None:
    assert changed_at(*tracklet(*who)) is None


def test_parts_share_out_rows_and_crops() -> None:
    mixed, crop_times = tracklet(0, 0, 0, 1, 1, 1)
    parts, cuts = cut_mixed([mixed], [crop_times], CALIBRATION, {"door": 30})
    assert [part.key for part in parts] == [("door", 7), ("door", 30)]
    [(key, cut)] = cuts.items()
    assert (key, cut.key) == (("door", 30), ("door", 7))
    assert parts[0].times[-1] < cut.at_s == parts[1].times[0]
    assert len(parts[0].times) + len(parts[1].times) == 40
    assert [part.vectors[:, :2].sum(axis=0).tolist() for part in parts] == [[3, 0], [0, 3]]
    assert [len(part.crops) for part in parts] == [len(part.qualities) for part in parts] == [3, 3]


def test_a_split_by_the_linker_is_in_the_ledger_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        groups = {("door", 1): 1, ("door", 7): 1, ("door", 30): 2, ("door", 2): 2}
        cuts = {("door", 30): (("door", 7), 2.0)}
        reasons = {("door", 30): {"p_same": 0.9}}
        ledger.reassign(groups, evidence=reasons, cuts=cuts)
        assert ledger.replay().segments("door", 7) == [(WHOLE, 1), (2.0, 2)]
        assert ledger.replay().segments("door", 30) == []
        [split] = [event for event in ledger.events() if event.kind == "split"]
        assert split.evidence == reasons["door", 30]
        assert len(ledger.reassign(groups, evidence=reasons, cuts=cuts)) == 0  # nothing new
        ledger.reassign({**groups, ("door", 30): 1}, cuts=cuts)  # now both parts are taken for one person
        assert ledger.replay().segments("door", 7) == [(WHOLE, 1)]
        ledger.reassign(groups, cuts=cuts)
        ledger.reassign({("door", 1): 1, ("door", 7): 2, ("door", 2): 2})  # and now it was not cut at all
        assert ledger.replay().segments("door", 7) == [(WHOLE, 2)]


def test_what_a_human_said_of_a_tracklet_since_it_was_cut_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.assign("door", 7, 5, "anna")
        ledger.reassign({("door", 7): 1, ("door", 30): 2, ("door", 2): 2}, cuts={("door", 30): (("door", 7), 2.0)})
        identities = ledger.replay()
        assert identities.segments("door", 7) == [(WHOLE, 5)]
        assert identities.segments("door", 2) != []


def test_linking_splits_a_mixed_tracklet_unless_a_human_spoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_run.write(tmp_path / "run")
    # The crops of the small run tell nothing, so what is seen in them and who is linked is given.
    monkeypatch.setattr("app.runs.people.linking.run_calibration", lambda run: CALIBRATION)
    monkeypatch.setattr(
        "app.track.linking.splitting.change_time", lambda own, *_: 1.0 if own.key == ("left", 2) else None
    )
    monkeypatch.setattr(
        "app.runs.people.linking.link_tracklets", lambda parts, *_: LinkResult(np.arange(1, len(parts) + 1), [], None)
    )
    link_run(folder, LinkSettings())
    run = Run.open(folder)
    first, second = run.identities().segments("left", 2)
    assert [first[0], second[0]] == [WHOLE, 1.0]
    assert first[1] != second[1]
    assert sum(len(run.identities().segments(*tracklet.key)) for tracklet in run.tracklets()) == 7
    with run.ledger() as ledger:
        before = len(list(ledger.events()))
        link_run(folder, LinkSettings())
        assert len(list(ledger.events())) == before
        ledger.assign("left", 2, first[1], "somebody")
        link_run(folder, LinkSettings())
        assert ledger.replay().segments("left", 2) == [(WHOLE, first[1])]
