"""Corrections by words, and the reports that show what they did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.parser import main
from app.cli.runs import ACTIONS as CHOICES
from app.errors import InputError
from app.runs.folder.run import Run
from app.runs.ledger.identities import WHOLE
from app.runs.ledger.ledger import Ledger
from app.runs.people.corrections import ACTIONS, correct
from app.runs.people.report import people_report, route_report
from app.runs.people.visits import fingerprint


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
        (["merge", "2", "1", "--anyway"], 1),
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
        assert main(["correct", str(folder), "undo"]) == 2  # that was anna, not "command line"
        assert "is by anna" in capsys.readouterr().err
        assert main(["correct", str(folder), "undo", "--anybody"]) == 0
        assert re.fullmatch(r"Undone: \w+ .*, decided by anna\.\n", capsys.readouterr().out)
        assert people_report(folder) == before
    with Run.open(folder).ledger() as ledger:
        assert {event.actor for event in ledger.corrections()} == {"anna", "command line"}


def test_undo_is_of_ones_own_unless_asked_for(folder: Path) -> None:
    run = Run.open(folder)
    with run.ledger() as ledger:
        correct(run, ledger, "name", ["1", "Ada"], "anna")
        correct(run, ledger, "name", ["2", "Ben"], "ben")
        anna, _ = (event.id for event in ledger.corrections())
        with pytest.raises(InputError, match=r"clara has decided nothing .* by ben: named person 2 “Ben”"):
            correct(run, ledger, "undo", [], "clara")
        with pytest.raises(InputError, match=r"named person 1 “Ada”\) is by anna, not by ben"):
            correct(run, ledger, "undo", [str(anna)], "ben")
        assert ledger.replay().names == {1: "Ada", 2: "Ben"}
        assert correct(run, ledger, "undo", [], "anna") == "Undone: named person 1 “Ada”."
        assert correct(run, ledger, "undo", [], "anna", anybody=True).endswith("“Ben”, decided by ben.")
        assert ledger.replay().names == {}


def test_who_is_in_view_together_is_one_person_only_if_somebody_insists(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["merge", "2", "1"], ["confirm", "left", "2", "left", "1"]):
        assert main(["correct", str(folder), *words]) == 2
        said = capsys.readouterr().err
        assert "in the same frame 10 times, on left from 0:00:00.5 to 0:00:01.4" in said
        assert "--anyway" in said
    with Run.open(folder).ledger() as ledger:
        assert ledger.corrections() == []
    assert main(["correct", str(folder), "merge", "2", "1", "--anyway"]) == 0
    assert main(["correct", str(folder), "confirm", "left", "2", "left", "1", "--anyway"]) == 0
    # The human's word stands, and linking goes on with everybody else.
    assert main(["link", str(folder)]) == 0
    identities = Run.open(folder).identities()
    assert identities.segments("left", 1)[0][1] == identities.segments("left", 2)[0][1] == 1


def test_two_who_never_share_a_frame_are_merged_without_a_question(folder: Path) -> None:
    run = Run.open(folder)
    with run.ledger() as ledger:
        _, part = ledger.split("left", 1, 1.0, "anna")
        assert "one person now" in correct(run, ledger, "merge", [str(part), "1"], "anna")


def test_nothing_is_judged_of_tracks_that_are_not_there(folder: Path) -> None:
    with Run.open(folder).ledger() as ledger:
        for kind in ("confirm", "reject"):
            for pair in ((("left", 1), ("left", 99)), (("left", 99), ("left", 1)), (("up", 1), ("left", 1))):
                with pytest.raises(InputError, match="there is no track"):
                    getattr(ledger, kind)(*pair, "anna")
        with pytest.raises(InputError, match="there is no track 3 on camera 'left'"):
            ledger.split("left", 3, 1.0, "anna")  # in the footage, but nobody's
        ledger.erase(2, "anna")
        with pytest.raises(InputError, match="there is no track 2"):
            ledger.confirm(("left", 1), ("left", 2), "anna")
        assert [event.kind for event in ledger.corrections()] == ["erase"]


def test_a_fingerprint_changes_with_what_a_page_shows(folder: Path) -> None:
    def look(ledger: Ledger) -> dict[int, str]:
        identities = ledger.replay()
        return {number: fingerprint(identities, number) for number in identities.people()}

    with Run.open(folder).ledger() as ledger:
        before = look(ledger)
        for act, changed in (
            (lambda: ledger.name(1, "Ada", "anna"), {1}),
            (lambda: ledger.split("left", 1, 0.5, "anna")[0], {1}),
            (lambda: ledger.split("right", 1, WHOLE, "anna")[0], {1}),
            (lambda: ledger.reject(("left", 1), ("left", 2), "anna"), {1, 2}),
            (lambda: ledger.merge(2, 1, "anna"), {1, 2}),
        ):
            event = act()
            now = look(ledger)
            assert {number for number in before if now.get(number) != before[number]} == changed
            ledger.undo(event, "anna")
            assert look(ledger) == before


def test_a_route_says_where_and_why(folder: Path) -> None:
    run = Run.open(folder)
    with run.ledger() as ledger:
        correct(run, ledger, "name", ["1", "Ada"], "anna")
        correct(run, ledger, "merge", ["2", "1"], "anna", anyway=True)
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
