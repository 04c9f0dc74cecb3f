"""What cameras did is written down durably, and says when they were blind."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from app.errors import InputError
from app.footage.camera import StateChange
from app.runs.folder.camera_states import BlindTime, StateLog, blind_seconds, blind_times, read_states
from app.runs.folder.layout import STATES_FILE
from app.runs.people.report import people_report, people_table
from app.runs.places.report import places_of, places_table


def log(folder: Path, now_s: float = 100.0, last: dict[str, float] | None = None) -> StateLog:
    return StateLog(folder, ["door", "yard"], now_s, last or {})


def test_blind_from_to_and_why(tmp_path: Path) -> None:
    states = log(tmp_path)
    states.note([StateChange("door", "live", 100.4), StateChange("yard", "live", 103.0)])
    states.note([StateChange("door", "lost", 110.0, "no answer")])
    states.note(
        [StateChange("door", "refused", 120.0, "wrong password"), StateChange("yard", "frozen", 130.0, "stuck")]
    )
    assert blind_times(tmp_path)[-1] == BlindTime("yard", 130.0, None, "frozen", "stuck")
    states.note([StateChange("door", "live", 150.0)])
    states.stop(160.0)
    assert blind_times(tmp_path) == [
        BlindTime("door", 110.0, 120.0, "lost", "no answer"),
        BlindTime("door", 120.0, 150.0, "refused", "wrong password"),
        BlindTime("yard", 100.0, 103.0, "connecting", ""),
        BlindTime("yard", 130.0, 160.0, "frozen", "stuck"),
    ]
    assert blind_seconds(blind_times(tmp_path), "door", 115.0, 125.0) == 10.0
    assert blind_seconds(blind_times(tmp_path), "yard", 103.0, 130.0) == 0.0


def test_a_kill_while_everything_was_well_is_blind_until_the_run_goes_on(tmp_path: Path) -> None:
    states = log(tmp_path)
    states.note([StateChange("door", "live", 100.0), StateChange("yard", "live", 100.0)])
    states.note([StateChange("yard", "lost", 150.0, "no answer")])
    log(tmp_path, 300.0, {"door": 198.0, "yard": 150.0}).note(
        [StateChange("door", "live", 302.0), StateChange("yard", "live", 300.2)]
    )
    assert [(one.camera, one.start_s, one.end_s, one.state) for one in blind_times(tmp_path)] == [
        ("door", 198.0, 300.0, "stopped"),
        ("door", 300.0, 302.0, "connecting"),
        ("yard", 150.0, 300.0, "lost"),
    ]


def test_a_line_that_a_crash_cut_off_does_not_count_and_is_cut_away(tmp_path: Path) -> None:
    log(tmp_path).note([StateChange("door", "live", 101.0)])
    file = tmp_path / STATES_FILE
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        read = read_states(tmp_path)
        assert [change.camera for change in read] == ["door", "yard", "door"][: len(read)]
    log(tmp_path, 200.0)
    assert [change.since_s for change in read_states(tmp_path)] == [100.0, 100.0, 200.0, 200.0]


@pytest.mark.parametrize(
    "line", ["no JSON", "[]", '{"camera": "a"}', '{"camera":"a","state":"well","since_s":1,"why":""}']
)
def test_a_damaged_file_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    log(tmp_path)
    with (tmp_path / STATES_FILE).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=f"{STATES_FILE}:3"):
        blind_times(tmp_path)


def test_reports_say_where_nobody_is_known_to_be_absent(make_run: Callable[..., Path]) -> None:
    """The left camera (0 to 2 s) was blind from 0.5 s on: for all of the stretches from 1 s on, and half of another."""
    run = make_run()
    states = StateLog(run, ["left", "right"], 0.0, {})
    states.note([StateChange("left", "live", 0.0), StateChange("right", "live", 0.0)])
    states.note([StateChange("left", "lost", 0.75, "no answer")])
    report = people_report(run)
    assert report["blind"] == [{"camera": "left", "start_s": 0.75, "end_s": None, "state": "lost", "why": "no answer"}]
    places = places_of(run, 0.5)
    assert places["blind"] == report["blind"]
    left, right = (places["occupancy"]["cameras"][name] for name in ("left", "right"))
    assert left["blind_s"][:3] == [0.0, 0.25, 0.5]
    assert [mean is None for mean in left["mean"]] == [False, False, True, True]
    assert [peak is None for peak in left["peak"]] == [False, False, True, True]
    assert None not in right["mean"]
    json.dumps([report, places], allow_nan=False)
    for table in (people_table(report), places_table(places)):
        console = Console(width=200, file=StringIO())
        console.print(table)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "Blind cameras" in text
        assert "no answer" in text


def test_recordings_were_never_blind(tmp_path: Path) -> None:
    assert blind_times(tmp_path) == []


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["live", "lost", "frozen", "refused"]), st.floats(-50, 50)), min_size=1, max_size=20
    )
)
def test_times_never_run_backwards_whatever_is_noted(tmp_path_factory: pytest.TempPathFactory, changes: list) -> None:
    folder = tmp_path_factory.mktemp("log")
    states = log(folder)
    now_s = 100.0
    for state, step_s in changes:
        now_s += step_s
        states.note([StateChange("door", state, now_s)])
    states.stop(now_s)
    times = [change.since_s for change in read_states(folder) if change.camera == "door"]
    assert times == sorted(times)
    ends = [one.end_s for one in blind_times(folder) if one.camera == "door"]
    assert None not in ends
    json.dumps([change.camera for change in read_states(folder)])
