"""People as visits, and the corrections of a review."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from app.cli.parser import main
from app.runs.folder.run import Run
from app.runs.ledger.identities import Event
from app.runs.people import corrections
from app.runs.people.report import people_report, route_report, route_table
from app.runs.people.review import last_correction, links_in_force, links_not_made, open_questions
from app.runs.people.visits import people_of


def test_a_split_tracklet_is_a_visit_for_each_of_its_people(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    with run.ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
        ledger.assign("right", 1, 1, "tester")
        _, new = ledger.split("left", 1, 0.75, "tester")
        people = people_of(run, ledger.replay())
    whole = next(summary for summary in run.tracklet_summaries() if summary.key == ("left", 1))
    (first,) = [visit for visit in people[1].visits if visit.camera == "left"]
    (rest,) = people[new].visits
    assert (first.start_s, first.end_s) == (whole.start_time, 0.75)
    assert (rest.start_s, rest.end_s) == (0.75, whole.end_time)
    assert (*first.crops, *rest.crops) == whole.crops
    assert people[1].cameras == ("left", "right")
    assert people[1].last_s == max(visit.end_s for visit in people[1].visits)


def test_a_no_takes_the_visit_out_and_undo_brings_it_back(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    evidence = {"with": ["left", 1], "p_same": 0.6, "runner_up": 0.4, "gates": ["not co-present"]}
    with run.ledger() as ledger:
        ledger.append([Event("assign", "machine:linker", "left", 1, 1)])
        ledger.append([Event("assign", "machine:linker", "right", 1, 1, evidence=evidence)])
        links = links_in_force(people_of(run, ledger.replay()), ledger.latest_evidence())
        (link,) = open_questions(links, ledger.replay())
        assert (link.own, link.other, link.p_same) == (("right", 1), ("left", 1), 0.6)
        ledger.separate(link.own, link.other, "tester")
        identities = ledger.replay()
        assert identities.rejected == (link.pair,)
        assert len(identities.people()) == 2
        assert [event.kind for event in last_correction(ledger)] == ["reject", "split"]
        corrections.undo(ledger, None, "tester")
        assert ledger.replay().rejected == ()
        assert ledger.replay().people() == [1]
        assert last_correction(ledger) == []


def test_a_name_is_text_in_tables(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # on a narrow terminal a long name takes several lines
    folder = make_run()
    name = "[/b] [red]Ada[/red] :boom:"
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
        ledger.name(1, name, "anna")
    for words in (["people", str(folder)], ["route", str(folder), "1"], ["audit", str(folder)]):
        assert main(words) == 0
        assert name in " ".join(capsys.readouterr().out.replace("│", " ").split()), words


def test_a_route_says_where_two_cameras_saw_a_person_at_the_same_time(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    with run.ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
        ledger.assign("right", 1, 1, "tester")
    report = route_report(run.folder, 1)
    overlap_s = report["route"][1]["away_s"]
    assert overlap_s < 0
    shown = Console(width=200, record=True, file=io.StringIO())
    shown.print(route_table(report))
    text = shown.export_text()
    assert "at the same time" in text
    assert f"{overlap_s:.1f} s" not in text


def test_links_with_small_margin_are_doubtful_until_somebody_confirms_them(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    with run.ledger() as ledger:
        for key, (p_same, runner_up) in {("right", 1): (0.97, 0.98), ("right", 3): (0.99, 0.2)}.items():
            evidence = {"with": ["left", key[1]], "p_same": p_same, "runner_up": runner_up, "gates": []}
            ledger.assign("left", key[1], key[1], "machine:linker")
            ledger.assign(*key, key[1], "machine:linker", evidence)
        assert [person["doubtful_links"] for person in people_report(run.folder)["people"]] == [1, 0]
        route = route_report(run.folder, 1)["route"]
        assert [visit["evidence"].get("doubtful") for visit in route] == [None, True]
        assert route[1]["evidence"]["band"] == "very likely"
        ledger.confirm(("left", 1), ("right", 1), "tester")
    assert [person["doubtful_links"] for person in people_report(run.folder)["people"]] == [0, 0]


def test_review_asks_about_pairs_that_were_nearly_linked(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    with run.ledger() as ledger:
        for row, key in enumerate((("left", 1), ("right", 1), ("left", 2), ("right", 2)), 1):
            ledger.assign(*key, row, "machine:linker")
        proposals = [
            (("left", 1), ("right", 1), 0.7),
            (("left", 2), ("right", 2), 0.6),
            (("left", 1), ("right", 9), 0.9),
        ]
        ledger.propose(proposals)

        def asked() -> list[tuple[int, float]]:
            identities = ledger.replay()
            people = people_of(run, identities)
            links = links_not_made(people, ledger.proposals(), identities)
            return [(link.person, link.p_same) for link in open_questions(links, identities)]

        assert asked() == [(1, 0.7), (3, 0.6)]  # a track that is not there is nobody
        said = corrections.same(run, ledger, ("right", 1), ("left", 1), "tester")
        assert said == "Person 2 and person 1 are one person now: person 1."
        assert ledger.replay().confirmed == ((("left", 1), ("right", 1)),)
        assert asked() == [(3, 0.6)]
        corrections.undo(ledger, None, "tester")  # both events were one step
        assert asked() == [(1, 0.7), (3, 0.6)]
        corrections.reject(ledger, ("left", 2), ("right", 2), "tester")
        assert ledger.replay().people() == [1, 2, 3, 4]  # they were apart already
        assert asked() == [(1, 0.7)]
        ledger.erase(1, "tester")
        assert ledger.proposals() == [proposals[1]]
