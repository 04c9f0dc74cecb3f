"""Corrections by words, and the reports that show what they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.cli_runs import ACTIONS as CHOICES
from app.corrections import ACTIONS, correct
from app.errors import InputError
from app.people_report import people_report, route_report
from app.runs import Run


@pytest.fixture
def folder(make_run: Callable[..., Path]) -> Path:
    folder = make_run()
    evidence = {"with": ["left", 1], "p_same": 0.9, "runner_up": 0.2, "gates": []}
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "machine:linker")
        ledger.assign("right", 1, 1, "machine:linker", evidence)
        ledger.assign("left", 2, 2, "machine:linker")
    return folder


def test_the_command_line_corrects_and_undoes_exactly(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def people() -> int:
        capsys.readouterr()
        assert main(["people", str(folder), "--json"]) == 0
        return len(json.loads(capsys.readouterr().out)["people"])

    before = people_report(folder)
    assert people() == 2
    for words, after in (
        (["merge", "2", "1"], 1),
        (["split", "left", "1"], 3),
        (["split", "left", "1", "0.5"], 3),
        (["reject", "right", "1", "left", "1"], 3),
        (["confirm", "right", "1", "left", "1"], 2),
        (["name", "2", "Ada"], 2),
    ):
        assert main(["correct", str(folder), *words, "--json", "--actor", "anna"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert len(said["events"]) == 1 + (words[0] == "reject")
        assert people() == after, words
        assert main(["correct", str(folder), "undo"]) == 0
        assert capsys.readouterr().out.startswith("Undone: ")
        assert people_report(folder) == before
    with Run.open(folder).ledger() as ledger:
        assert {event.actor for event in ledger.corrections()} == {"anna", "command line"}


def test_a_route_says_where_and_why(folder: Path) -> None:
    with Run.open(folder).ledger() as ledger:
        correct(ledger, "name", ["1", "Ada"], "anna")
        correct(ledger, "merge", ["2", "1"], "anna")
    report = route_report(folder, 2)  # by the number that was merged away
    assert (report["person"], report["name"], report["cameras"]) == (1, "Ada", ["left", "right"])
    assert [(visit["camera"], visit["track"]) for visit in report["route"]] == [("left", 1), ("right", 1), ("left", 2)]
    assert report["route"][1]["evidence"]["p_same"] == 0.9
    assert report["route"][0]["away_s"] is None
    assert report["route"][1]["away_s"] < 0  # both cameras see the person
    assert [change["what"] for change in report["corrections"]] == [
        "named person 1 “Ada”",
        "merged person 2 into person 1",
    ]
    with pytest.raises(InputError, match="no person 9"):
        route_report(folder, 9)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["merge", "1", "9"], "no person 9"),
        (["merge", "1", "1"], "one person already"),
        (["merge", "one", "1"], "'one' is no number"),
        (["merge", "1"], "merge PERSON INTO"),
        (["split", "left", "77"], "no track 77"),
        (["split", "left", "1", "soon"], "'soon' is no time"),
        (["confirm", "left", "1", "nowhere", "1"], "'nowhere'"),
        (["name", "9", "Ada"], "no person 9"),
        (["undo"], "no correction"),
        (["undo", "99"], "no event 99"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    folder: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["correct", str(folder), *words]) == 2
    assert reason in capsys.readouterr().err
    with Run.open(folder).ledger() as ledger:
        assert ledger.corrections() == []


def test_the_command_offers_every_action(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(ACTIONS) == CHOICES
    assert main(["correct", str(folder), "merge", "1", "2", "--actor", "machine:me"]) == 2
    assert main(["people", str(folder)]) == 0
    assert main(["route", str(folder), "1"]) == 0
    assert main(["places", str(folder), "--stretch-s", "1"]) == 0
    said = capsys.readouterr().out
    assert "Ways between cameras" in said
    assert "left, right" in said
