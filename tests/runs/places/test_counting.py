"""Zones and lines: who stood where for how long, who crossed which way, part by part as in one piece."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from app.errors import InputError
from app.runs.folder.layout import COUNTERS_FILE
from app.runs.folder.refined import refine_run
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations
from app.runs.ledger.identities import Identities, People
from app.runs.places.counters import (
    Counters,
    Line,
    Zone,
    points_from_text,
    read_counters,
    with_line,
    with_zone,
    without,
    write_counters,
)
from app.runs.places.counting import Crossing, Stay, _LineCounter, _ZoneCounter, count, summarise
from app.runs.places.heat import heat, shown_s
from app.runs.places.report import change_counters, places_of

MakeRun = Callable[..., Path]
NOBODY = Identities({}, {}, People(), 1)
SQUARE = Zone("square", "left", ((10, 10), (50, 10), (50, 50), (10, 50)))
DOOR = Line("door", "left", (100, 200), (100, 0))  # upwards: its right is where x is larger


def rows(path: list[tuple[float, float, float]], track: int = 1, height: float = 20.0) -> Observations:
    """Rows of a track whose feet are at (time, x, y)."""
    times, x, y = np.array(path, np.float64).T
    boxes = np.column_stack([x - 5, y - height, x + 5, y]).astype(np.float32)
    count = len(path)
    return Observations(np.arange(count), times, np.full(count, track), boxes, np.ones(count, np.float32))


def joined(*parts: Observations) -> Observations:
    return Observations(*(np.concatenate([getattr(part, name) for part in parts])
                          for name in ("frames", "times", "track_ids", "boxes", "scores")))  # fmt: skip


def stays(zone: Zone, *parts: Observations) -> list[Stay]:
    counter = _ZoneCounter(zone)
    for part in parts:
        counter.update(part, np.column_stack([part.boxes[:, [0, 2]].mean(axis=1), part.boxes[:, 3]]))
    return sorted(counter.stays(NOBODY), key=lambda stay: (stay.start_s, stay.track_id))


def crossings(line: Line, *parts: Observations) -> list[Crossing]:
    counter = _LineCounter(line)
    for part in parts:
        feet = np.column_stack([part.boxes[:, [0, 2]].mean(axis=1), part.boxes[:, 3]]).astype(float)
        counter.update(part, feet, (part.boxes[:, 3] - part.boxes[:, 1]).astype(float))
    return list(counter.crossings(NOBODY))


def test_a_zone_holds_what_is_inside_also_if_it_is_hollow() -> None:
    horseshoe = Zone("u", "left", ((0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30)))
    assert horseshoe.holds(np.array([[5.0, 20], [15, 20], [25, 20], [15, 5], [40, 20]])).tolist() == [
        True, False, True, True, False,
    ]  # fmt: skip


def test_a_short_absence_does_not_end_a_stay_and_a_glimpse_is_none() -> None:
    inside, outside = (30.0, 30.0), (80.0, 30.0)
    path = [(t / 2, *(inside if t in (0, 1, 2, 4, 5, 6, 14, 15, 16, 17, 30) else outside)) for t in range(32)]
    found = [(stay.start_s, stay.end_s) for stay in stays(SQUARE, rows(path))]
    assert found == [(0.0, 3.0), (7.0, 8.5)]  # out at 1.5 s: too short to be away; at 15 s a single picture


def test_a_crossing_has_a_direction_a_time_and_a_place() -> None:
    (crossing,) = crossings(DOOR, rows([(0, 60, 100), (1, 90, 100), (2, 110, 100), (3, 150, 100)]))
    assert (crossing.inwards, crossing.time_s, crossing.track_id) == (True, 1.5, 1)
    (back,) = crossings(DOOR, rows([(0, 150, 100), (1, 50, 100)]))
    assert not back.inwards
    assert crossings(DOOR, rows([(0, 60, 250), (1, 150, 250)])) == []  # beyond its end


def test_standing_on_a_line_is_no_crossing() -> None:
    trembling = [(t / 10, 100 + (-1) ** t * 0.8, 100.0) for t in range(30)]
    (crossing,) = crossings(DOOR, rows([(-1, 60, 100), *trembling, (4, 140, 100)]))
    assert crossing.inwards


@pytest.mark.parametrize("cuts", [[7], [3, 11, 12], list(range(1, 40))])
def test_parts_count_as_the_whole(cuts: list[int]) -> None:
    random = np.random.default_rng(1)
    tracks = [
        rows(
            [(t / 4, *p) for t, p in enumerate(np.cumsum(random.normal(0, 14, (40, 2)), 0) + np.array([90, 40]))], track
        )
        for track in range(1, 9)
    ]
    whole = joined(*tracks)
    order = np.argsort(whole.times, kind="stable")
    whole = whole[order]
    line, zone = replace(DOOR, start=(100, 90), end=(100, -50)), SQUARE
    bounds = [-1.0, *(cut / 4 for cut in cuts), 99.0]
    parts = [whole[(whole.times >= start) & (whole.times < end)] for start, end in itertools.pairwise(bounds)]
    assert stays(zone, whole) == stays(zone, *parts)
    key = attrgetter("time_s", "track_id")
    assert len(crossings(line, whole)) > 3
    assert sorted(crossings(line, whole), key=key) == sorted(crossings(line, *parts), key=key)


def test_counts_of_a_run_are_of_people(make_run: MakeRun) -> None:
    run = Run.open(make_run(part_frames=3))
    with run.ledger() as ledger:  # the first two tracks of `left` are one person; feet of track t: 40 t + 15 + frame
        ledger.assign("left", 1, 1, "tester")
        ledger.assign("left", 2, 1, "tester")
        identities = ledger.replay()
    counters = with_zone(run, Counters(), "all", "left", [[0, 0], [300, 0], [300, 300], [0, 300]])
    counters = with_line(run, counters, "gate", "left", [[60, 300], [60, 0]])
    answer = summarise(counters, *count(run, identities, counters))
    (zone,) = answer["zones"]
    assert (zone["people"], zone["stays"]) == (2, 3)  # person 1 twice, and a track whose person is not decided
    assert zone["longest_dwell_s"] == pytest.approx(1.4)
    (line,) = answer["lines"]
    assert (line["in"], line["out"], line["people"]) == (1, 0, 1)


def test_heat_is_where_people_stood(make_run: MakeRun) -> None:
    run = Run.open(make_run())
    grid = heat(run, run.camera("left"))
    assert grid.shape == (36, 64)
    assert grid.sum() == pytest.approx(len(run.observations("left")) / run.camera("left").fps)
    x = int((40 + 15.25) / run.camera("left").width * 64)
    assert grid[:, x].sum() > 0
    assert grid[:5].sum() == 0


def test_heat_counts_the_time_that_passed(make_run: MakeRun) -> None:
    """A camera that gives 25 frames/s by day and 5 at night: frames are no measure of time, and a gap is nobody's."""
    times = np.array([*np.arange(100) / 25, *(4 + np.arange(20) / 5), 100.0, 100.2])
    shown = shown_s(times, 15.3)
    assert shown[:100].sum() == pytest.approx(4.0)
    assert shown[100:120].sum() == pytest.approx(3.8 + 1.0)
    assert shown[-1] == pytest.approx(0.04)
    assert shown_s(times[:1], 10.0).tolist() == [0.1]


def test_counters_survive_the_file_and_nonsense_is_refused(make_run: MakeRun) -> None:
    run = Run.open(make_run())
    assert read_counters(run) == Counters()
    counters = with_zone(run, Counters(), " till ", "left", [[1, 1], [30, 1], [30, 9999]])
    assert counters.zones[0].points[2][1] == run.camera("left").height
    counters = with_line(run, counters, "door", "right", [[1, 1], [30, 40]])
    write_counters(run, counters)
    assert read_counters(run) == counters
    assert without(counters, "till").names == ["door"]
    for name, points, words in (
        ("till", [[1, 1], [30, 1], [30, 30]], "already"),
        ("", [[1, 1], [30, 1], [30, 30]], "name"),
        ("flat", [[1, 1], [30, 1], [60, 1]], "no area"),
        ("thin", [[1, 1], [30, 1]], "corners"),
        ("lost", [[1, float("nan")], [30, 1], [30, 30]], "numbers"),
    ):
        with pytest.raises(InputError, match=words):
            with_zone(run, counters, name, "left", points)
    with pytest.raises(InputError, match="no camera"):
        with_line(run, counters, "x", "nowhere", [[0, 0], [9, 9]])
    with pytest.raises(InputError, match="two ends"):
        with_line(run, counters, "x", "left", [[5, 5], [5, 6]])
    with pytest.raises(InputError, match="410,300"):
        points_from_text(["4;5"])
    (run.folder / COUNTERS_FILE).write_text(json.dumps({"format": 1, "zones": [{"name": "a"}], "lines": []}))
    with pytest.raises(InputError, match=COUNTERS_FILE):
        read_counters(run)


def test_the_command_draws_and_counts(make_run: MakeRun) -> None:
    folder = make_run()
    zone = ["all", "left", "0,0", "300,0", "300,300"]
    assert change_counters(folder, [zone], [["gate", "left", "60,300", "60,0"]], []).names == ["all", "gate"]
    values = places_of(folder, 1.0)
    assert [line["in"] for line in values["lines"]] == [1]
    assert len(values["occupancy"]["edges_s"]) == 3
    assert change_counters(folder, [], [], ["all"]).names == ["gate"]
    with pytest.raises(InputError, match="no zone or line 'all'"):
        change_counters(folder, [], [], ["all"])


def test_counts_and_heat_follow_the_rows_after_linking(make_run: MakeRun) -> None:
    folder = make_run()
    run = Run.open(folder)
    everywhere = Counters((Zone("all", "left", ((0, 0), (320, 0), (320, 240), (0, 240))),), ())
    before = heat(run, run.camera("left")).sum()
    short = [tracklet for tracklet in run.tracklets() if tracklet.track_id == 3]  # a picture is missing within
    refine_run(run, short, 5.0)
    refined = Run.open(folder)
    rows = refined.refined("left")
    assert 0 < rows.filled.sum() < len(rows)
    assert heat(refined, refined.camera("left")).sum() == pytest.approx(len(rows) / 10) != before
    found, _ = count(refined, refined.identities(), everywhere)
    assert [stay.track_id for stay in found] == [3]
