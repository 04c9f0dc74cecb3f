"""The ledger: replay against a plain model, undo, several writers, link stages, erasure."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app.runs.ledger.ledger as ledger_module
from app.errors import InputError
from app.frames import NO_ID, TrackletKey
from app.runs.ledger import database
from app.runs.ledger.identities import WHOLE, Event, Identities
from app.runs.ledger.ledger import GALLERY, LINKER, Ledger
from app.track.gallery import LinkDecision

TRACKLETS: list[TrackletKey] = [("a", 1), ("a", 2), ("b", 1), ("b", 7)]
TIMES = [0.0, 1.0, 2.0, 3.0]
HUMAN = "anna"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "identities.sqlite") as ledger:
        yield ledger


@contextlib.contextmanager
def temporary_ledger() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "identities.sqlite") as ledger:
        yield ledger


def cells(identities: Identities) -> dict[tuple[str, int, float], int]:
    """The person of every tracklet at every time."""
    answer = {}
    for camera in ("a", "b"):
        rows = [(track, time) for name, track in TRACKLETS for time in TIMES if name == camera]
        tracks, times = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        persons = identities.person_of(camera, tracks, times)
        assert persons.tolist() == [identities.person_at(camera, track, time) for track, time in rows]
        answer.update({(camera, *row): int(person) for row, person in zip(rows, persons, strict=True)})
    return answer


def everything(identities: Identities) -> Any:
    return cells(identities), identities.names, identities.confirmed, identities.rejected, identities.people()


class Model:
    """What a ledger means, told with one entry for every tracklet and time, and without any cleverness."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.erased_cells: set[tuple[str, int, float]] = set()
        self.erased_people: set[int] = set()

    def in_force(self, number: int) -> bool:
        undos = [i for i, event in enumerate(self.log, 1) if event.kind == "undo" and event.target == number]
        return not any(self.in_force(undo) for undo in undos)

    def state(
        self,
    ) -> tuple[dict[tuple[str, int, float], int], dict[int, str], dict[tuple[TrackletKey, TrackletKey], bool]]:
        raw = {(camera, track, time): NO_ID for camera, track in TRACKLETS for time in TIMES}
        cuts: dict[TrackletKey, set[float]] = {key: set() for key in TRACKLETS}
        touched: set[TrackletKey] = set()
        same = {person: person for person in range(1, 200)}
        names: dict[int, str] = {}
        pairs: dict[tuple[TrackletKey, TrackletKey], bool] = {}
        for number, event in enumerate(self.log, 1):
            if not self.in_force(number):
                continue
            key = (event.camera, event.track_id)
            if event.kind in ("assign", "split"):
                if event.by_machine and key in touched:
                    continue
                touched |= set() if event.by_machine else {key}
                if event.at_s == WHOLE:
                    cuts[key] = set()
                    begin, end = -math.inf, math.inf
                else:
                    begin, end = event.at_s, min((cut for cut in cuts[key] if cut > event.at_s), default=math.inf)
                    cuts[key].add(begin)
                for time in TIMES:
                    if begin <= time < end:
                        raw[(*key, time)] = event.person
            elif event.kind == "merge":
                ends, stays = same[event.person], same[event.other_person]
                if ends == stays or {ends, stays} & self.erased_people:
                    continue
                same = {person: stays if group == ends else group for person, group in same.items()}
                if ends in names:
                    name = names.pop(ends)
                    names.setdefault(stays, name)
            elif event.kind == "name":
                names.pop(same[event.person], None)
                if event.text:
                    names[same[event.person]] = event.text
            elif event.kind in ("confirm", "reject"):
                pairs[event.pair] = event.kind == "confirm"
        for cell, person in raw.items():
            who = same[person] if person != NO_ID else NO_ID
            raw[cell] = NO_ID if cell in self.erased_cells or {who, person} & self.erased_people else who
        gone = self.erased_people
        return raw, {person: name for person, name in names.items() if person not in gone}, pairs

    def erase(self, person: int) -> None:
        raw, _, _ = self.state()
        self.erased_cells |= {cell for cell, who in raw.items() if who == person}


tracklets = st.sampled_from(TRACKLETS)
people = st.integers(1, 6)
actors = st.sampled_from([HUMAN, HUMAN, GALLERY, LINKER])
cut_times = st.sampled_from([WHOLE, 1.0, 2.0, 3.0])
operations = st.one_of(
    st.builds(
        lambda key, person, actor: Event("assign", actor, *key, person),
        tracklets,
        st.one_of(people, st.just(NO_ID)),
        st.sampled_from([GALLERY, LINKER, GALLERY, HUMAN]),
    ),
    st.builds(
        lambda key, person, at_s, actor: Event("split", actor, *key, person, at_s=at_s),
        tracklets,
        st.integers(7, 12),
        cut_times,
        actors,
    ),
    st.builds(lambda a, b: Event("merge", HUMAN, person=a, other_person=b), st.integers(1, 9), st.integers(1, 9)),
    st.builds(
        lambda person, text: Event("name", HUMAN, person=person, text=text), people, st.sampled_from(["", "Eve"])
    ),
    st.builds(
        lambda kind, a, b: Event(kind, HUMAN, *a, other_camera=b[0], other_track_id=b[1]),
        st.sampled_from(["confirm", "reject"]),
        tracklets,
        tracklets,
    ),
    st.builds(lambda target: Event("undo", HUMAN, target=target), st.integers(1, 12)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(operations, max_size=25), st.integers(0, 30), st.booleans())
def test_replay_equals_a_plain_model(events: list[Event], erase_after: int, one_by_one: bool) -> None:
    model = Model()
    with temporary_ledger() as ledger:
        for step, event in enumerate(events):
            try:
                ledger.append([event])
            except InputError:
                continue
            model.log.append(event)
            if one_by_one:
                ledger.replay()
            if step == erase_after and ledger.replay().people():
                person = ledger.replay().people()[0]
                tombstone = ledger.erase(person, HUMAN)
                model.erase(person)
                model.erased_people.update(tombstone.evidence["people"])
                model.log.append(tombstone)
        state, names, pairs = model.state()
        identities = ledger.replay()
        assert cells(identities) == state
        if not model.erased_people:
            assert identities.names == names
        assert dict.fromkeys(identities.confirmed, True) | dict.fromkeys(identities.rejected, False) == pairs
        for person in identities.people():
            owned = {
                (*segment.key, time)
                for segment in identities.tracklets_of(person)
                for time in TIMES
                if segment.start_s <= time < segment.end_s
            }
            assert owned == {cell for cell, who in state.items() if who == person}
        with Ledger(ledger.path) as fresh:
            assert everything(fresh.replay()) == everything(identities)


@settings(max_examples=40, deadline=None)
@given(st.lists(operations, max_size=12), operations)
def test_undo_restores_exactly_and_undo_of_undo_redoes(before: list[Event], event: Event) -> None:
    with temporary_ledger() as ledger:
        for earlier in before:
            with contextlib.suppress(InputError):
                ledger.append([earlier])
        old = everything(ledger.replay())
        try:
            number = ledger.append([event])[0]
        except InputError:
            assert everything(ledger.replay()) == old
            return
        new = everything(ledger.replay())
        undo = ledger.undo(number, HUMAN)
        assert everything(ledger.replay()) == old
        assert number in ledger.undone()
        ledger.undo(undo, HUMAN)
        assert everything(ledger.replay()) == new
        assert number not in ledger.undone()


def test_what_each_kind_does(ledger: Ledger) -> None:
    ledger.assign("a", 1, 3, GALLERY, {"p_same": 0.9})
    ledger.assign("a", 2, 4, GALLERY)
    ledger.assign("b", 1, 4, GALLERY)
    ledger.name(4, "Ben", HUMAN)
    merge = ledger.merge(3, 4, HUMAN)
    assert ledger.replay().people() == [4]
    assert ledger.replay().names == {4: "Ben"}
    ledger.assign("b", 7, 3, GALLERY)  # 3 is 4 now, also for what comes later
    assert cells(ledger.replay())["b", 7, 0.0] == 4
    split, person = ledger.split("a", 1, 2.0, HUMAN)
    assert person == 5
    assert [cells(ledger.replay())["a", 1, time] for time in TIMES] == [4, 4, 5, 5]
    assert ledger.replay().segments("a", 1) == [(-math.inf, 4), (2.0, 5)]
    ledger.undo(merge, HUMAN)
    assert ledger.replay().people() == [3, 4, 5]
    ledger.undo(split, HUMAN)
    assert cells(ledger.replay())["a", 1, 3.0] == 3
    assert [event.kind for event in ledger.events(camera="a", track_id=1)] == ["assign", "split"]
    assert next(ledger.events(camera="a", track_id=1)).evidence == {"p_same": 0.9}
    assert [event.kind for event in ledger.events(person=4)] == ["assign", "assign", "name", "merge"]


def test_a_machine_does_not_overrule_a_human(ledger: Ledger) -> None:
    ledger.assign("a", 1, 1, GALLERY)
    ledger.assign("a", 1, 2, HUMAN)
    ledger.assign("a", 1, 3, LINKER)
    assert ledger.replay().people() == [2]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Event("assign", "", "a", 1, 1), "actor"),
        (Event("assign", HUMAN, "", 1, 1), "no tracklet"),
        (Event("assign", HUMAN, "a", 1, 0), "people count from 1"),
        (Event("merge", HUMAN, person=1, other_person=1), "merged into"),
        (Event("confirm", HUMAN, "a", 1, other_camera="a", other_track_id=1), "two different"),
        (Event("split", HUMAN, "a", 1, 2, at_s=math.nan), "no time"),
        (Event("name", HUMAN, person=1, text="x" * 201), "at most 200"),
        (Event("name", HUMAN, person=1, text="two\nlines"), "one line"),
        (Event("undo", HUMAN, target=99), "no event 99"),
    ],
)
def test_nonsense_is_refused_as_a_whole(ledger: Ledger, event: Event, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ledger.append([Event("assign", HUMAN, "a", 1, 1), event])
    assert list(ledger.events()) == []


def test_nothing_is_undone_twice(ledger: Ledger) -> None:
    number = ledger.assign("a", 1, 1, GALLERY)
    with pytest.raises(InputError, match="undone already"):
        ledger.append([Event("undo", HUMAN, target=number), Event("undo", HUMAN, target=number)])
    ledger.undo(number, HUMAN)
    with pytest.raises(InputError, match="undone already"):
        ledger.undo(number, HUMAN)


def test_written_events_cannot_be_changed(ledger: Ledger) -> None:
    ledger.assign("a", 1, 1, GALLERY)
    with sqlite3.connect(ledger.path) as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET person = 2", "UPDATE events SET actor = 'me'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "identities.sqlite").write_text("something else, long enough to be no header" * 30)
    with pytest.raises(InputError, match=r"identities\.sqlite"):
        Ledger(tmp_path / "identities.sqlite")


WRITER = """
import sys
from pathlib import Path
from app.runs.ledger.identities import Event
from app.runs.ledger.ledger import Ledger
mine = int(sys.argv[2])
with Ledger(Path(sys.argv[1])) as ledger:
    for batch in range(40):
        tracks = range(5 * batch, 5 * batch + 5)
        ledger.append([Event("assign", "machine:gallery", f"camera {mine}", track, batch + 1) for track in tracks])
        ledger.split(f"camera {mine}", 5 * batch, 1.0, f"human {mine}")
        ledger.replay()
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "identities.sqlite"
    children = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(mine)]) for mine in (1, 2)]
    assert [child.wait(120) for child in children] == [0, 0]
    with Ledger(path) as ledger:
        events = list(ledger.events())
        assert [event.id for event in events] == list(range(1, 481))
        for mine in (1, 2):  # every batch is whole and in order
            own = [event for event in events if event.camera == f"camera {mine}" and event.kind == "assign"]
            assert [event.track_id for event in own] == list(range(200))
        split_off = [event.person for event in events if event.kind == "split"]
        assert len(set(split_off)) == len(split_off) == 80
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_one_ledger_sees_what_another_writes(ledger: Ledger) -> None:
    with Ledger(ledger.path) as other:
        ledger.assign("a", 1, 1, GALLERY)
        number = other.assign("a", 1, 2, HUMAN)
        assert ledger.replay().people() == [2]
        ledger.undo(number, HUMAN)
        assert other.replay().people() == [1]


def decision(track_id: int, person: int) -> LinkDecision:
    return LinkDecision("a", track_id, person, 1.5, 0.9, 0.2, ("not co-present",))


def test_decisions_of_the_gallery(ledger: Ledger) -> None:
    ledger.append_decisions([decision(1, 1), decision(2, 2)])
    event = next(ledger.events())
    assert (event.actor, event.camera, event.track_id, event.person) == (GALLERY, "a", 1, 1)
    assert event.evidence == {"time_s": 1.5, "p_same": 0.9, "runner_up": 0.2, "gates": ["not co-present"]}
    with Ledger(ledger.path) as ui:
        assert ui.split("a", 2, 1.0, HUMAN)[1] == 3
    ledger.append_decisions([decision(3, 3), decision(4, 4), decision(5, 3), decision(6, 1)])
    persons = {key: who for key in [("a", t) for t in (3, 4, 5, 6)] for _, who in ledger.replay().segments(*key)}
    assert persons["a", 3] == persons["a", 5] != 3  # 3 is somebody else: the one whom the human split off
    assert len({3, persons["a", 3], persons["a", 4], persons["a", 6]}) == 4
    assert persons["a", 6] == 1


def test_a_gallery_that_took_over_the_ledger_has_its_numbers(ledger: Ledger) -> None:
    ledger.append_decisions([decision(1, 1)])
    with Ledger(ledger.path) as ui:
        ui.split("a", 1, 1.0, HUMAN)  # person 2
    ledger.append_decisions([decision(2, 2)])  # another one, stored as 3
    identities = ledger.hand_to_gallery()
    assert [identities.latest_person("a", track) for track in (1, 2, 9)] == [2, 3, NO_ID]
    assert identities.next_person_id == 4
    ledger.append_decisions([decision(3, 2), decision(4, 3), decision(5, 4)])
    assert [ledger.replay().latest_person("a", track) for track in (3, 4, 5)] == [2, 3, 4]


def test_decisions_after_a_resume_go_on_with_known_people(ledger: Ledger) -> None:
    ledger.append_decisions([decision(1, 1)])
    with Ledger(ledger.path) as later:
        later.append_decisions([decision(2, 1), decision(3, 2)])
        assert later.replay().people() == [1, 2]


# Link stages


def persons(identities: Identities) -> dict[TrackletKey, int]:
    return {key: identities.segments(*key)[0][1] for key in identities.known_tracklets()}


def test_people_keep_their_ids_over_link_stages(ledger: Ledger) -> None:
    for track, person in enumerate([1, 1, 2, 3], 1):
        ledger.assign("a", track, person, GALLERY)
    ledger.reassign(
        {("a", 1): 50, ("a", 2): 50, ("a", 3): 60, ("a", 4): 50, ("a", 5): 70}, evidence={("a", 4): {"p": 1}}
    )
    assert persons(ledger.replay()) == {("a", 1): 1, ("a", 2): 1, ("a", 3): 2, ("a", 4): 1, ("a", 5): 4}
    written = list(ledger.events(after=4))
    assert [(event.track_id, event.person, event.actor) for event in written] == [(4, 1, LINKER), (5, 4, LINKER)]
    assert written[0].evidence == {"p": 1}
    ledger.reassign({("a", 1): 1, ("a", 2): 1, ("a", 4): NO_ID})
    assert persons(ledger.replay()) == {("a", 1): 1, ("a", 2): 1, ("a", 3): NO_ID, ("a", 4): NO_ID, ("a", 5): NO_ID}


def test_a_link_stage_of_a_run_that_goes_on_leaves_newer_tracklets_alone(ledger: Ledger) -> None:
    for track, person in enumerate([1, 2, 3], 1):
        ledger.assign("a", track, person, GALLERY)
    ledger.reassign({("a", 1): 1, ("a", 2): 1}, keep_others=True)
    assert persons(ledger.replay()) == {("a", 1): 1, ("a", 2): 1, ("a", 3): 3}
    ledger.reassign({("a", 1): NO_ID}, keep_others=True)
    assert persons(ledger.replay()) == {("a", 1): NO_ID, ("a", 2): 1, ("a", 3): 3}


def test_a_link_stage_respects_humans(ledger: Ledger) -> None:
    for track, person in enumerate([1, 1, 2, 3, 1], 1):
        ledger.assign("a", track, person, GALLERY)
    ledger.name(2, "Ben", HUMAN)
    _, taken_out = ledger.split("a", 5, WHOLE, HUMAN)
    same, different = ledger.replay().constraints()
    assert same == []
    assert different == [(("a", 1), ("a", 5)), (("a", 2), ("a", 5))]
    ledger.reassign({("a", track): 9 for track in range(1, 6)})  # a linker that does not listen
    now = persons(ledger.replay())
    assert now["a", 3] == 2
    assert now["a", 5] == taken_out
    assert taken_out not in (now["a", 1], now["a", 2])
    assert ledger.replay().names == {2: "Ben"}


def test_constraints_hold_merged_people_together(ledger: Ledger) -> None:
    for track, person in enumerate([1, 2, 3, 4], 1):
        ledger.assign("a", track, person, GALLERY)
    ledger.merge(1, 2, HUMAN)
    ledger.confirm(("a", 4), ("a", 3), HUMAN)
    ledger.reject(("a", 1), ("a", 4), HUMAN)
    same, different = ledger.replay().constraints()
    assert same == [(("a", 1), ("a", 2)), (("a", 3), ("a", 4))]
    assert different == [(("a", 1), ("a", 4))]
    ledger.reassign({("a", 1): 1, ("a", 2): 2, ("a", 3): 3, ("a", 4): 3})
    now = persons(ledger.replay())
    assert now["a", 1] == now["a", 2] == 2
    assert now["a", 3] == now["a", 4]


group_numbers = st.lists(st.one_of(st.integers(0, 3), st.just(NO_ID)), min_size=4, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(operations, max_size=12), group_numbers)
def test_link_stage_rules_hold_after_any_history(events: list[Event], groups: list[int]) -> None:
    with temporary_ledger() as ledger:
        for event in events:
            with contextlib.suppress(InputError):
                ledger.append([event])
        before = ledger.replay()
        pinned, (_, rejected) = before.pinned(), before.constraints()
        ledger.reassign(dict(zip(TRACKLETS, groups, strict=True)))
        after = ledger.replay()
        assert after.names == before.names
        for key in pinned:
            assert after.segments(*key) == before.segments(*key)
        loose = {key: group for key, group in zip(TRACKLETS, groups, strict=True) if key not in pinned}
        now = {key: after.segments(*key)[0][1] if after.segments(*key) else NO_ID for key in loose}
        for first, group in loose.items():
            assert (now[first] == NO_ID) == (group == NO_ID)
            for second, other in loose.items():
                if first < second and group != NO_ID != other and group != other:
                    assert now[first] != now[second]
                if first < second and group == other != NO_ID and not rejected:
                    assert now[first] == now[second]
        for first, second in rejected:
            if (first in loose or second in loose) and after.segments(*first) and after.segments(*second):
                mine, theirs = ({who for _, who in after.segments(*key)} - {NO_ID} for key in (first, second))
                assert not mine & theirs


# Opening


@settings(max_examples=60, deadline=None)
@given(events=st.lists(operations, max_size=25), cut=st.integers(0, 25))
def test_a_checkpoint_changes_nothing_but_the_time(events: list[Event], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "_CHECKPOINT_EVENTS", 1)
        path = Path(folder) / "identities.sqlite"
        for part in (events[:cut], events[cut:]):
            with Ledger(path) as ledger:  # opening writes a checkpoint of what the part before left
                for event in part:
                    with contextlib.suppress(InputError):
                        ledger.append([event])
        with Ledger(path) as ledger:
            expected = everything(ledger.replay()), ledger.replay().next_person_id
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM checkpoints")
        with Ledger(path) as ledger:
            assert (everything(ledger.replay()), ledger.replay().next_person_id) == expected


def test_a_long_ledger_is_read_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_CHECKPOINT_EVENTS", 10)
    path = tmp_path / "identities.sqlite"
    with Ledger(path) as ledger:
        ledger.append([Event("assign", GALLERY, "a", track, track % 3 + 1) for track in range(20)])
        expected = everything(ledger.replay())
    with Ledger(path) as ledger:
        assert everything(ledger.replay()) == expected
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT camera, last_id FROM checkpoints").fetchall() == [("a", 20)]
        connection.execute("DROP TRIGGER events_do_not_change")
        connection.execute("UPDATE events SET person = 7")  # nobody looks at what is before the checkpoint
    with Ledger(path) as ledger:
        assert everything(ledger.replay()) == expected


def test_a_ledger_of_an_older_version_gets_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "identities.sqlite"
    with Ledger(path) as ledger:
        ledger.assign("a", 1, 1, HUMAN)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP INDEX rare_events; DROP TABLE checkpoints")
    with Ledger(path) as ledger:
        assert [event.person for event in ledger.corrections()] == [1]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = DELETE; DROP INDEX rare_events; DROP TABLE checkpoints")
    before = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # a medium that can only be read
        with Ledger(path) as ledger:
            assert ledger.replay().people() == [1]
            assert len(ledger.corrections()) == 1
    assert path.read_bytes() == before


def test_the_latest_evidence_in_force_is_asked_for_some_tracklets_or_all(ledger: Ledger) -> None:
    ledger.assign("a", 1, 1, GALLERY, {"p_same": 0.6})
    second = ledger.assign("a", 1, 2, GALLERY, {"p_same": 0.7})
    ledger.assign("a", 2, 1, GALLERY, {"p_same": 0.8})
    ledger.assign("a", 2, 1, HUMAN, {"p_same": 1.0})
    ledger.assign("b", 3, 1, GALLERY)

    def found(keys: list[TrackletKey] | None = None) -> dict[TrackletKey, float]:
        return {key: event.evidence["p_same"] for key, event in ledger.latest_evidence(keys).items()}

    assert found() == {("a", 1): 0.7, ("a", 2): 0.8}
    ledger.undo(second, HUMAN)
    assert found() == {("a", 1): 0.6, ("a", 2): 0.8}
    assert found([("a", 2), ("b", 3)]) == {("a", 2): 0.8}


# Erasure


def test_a_tombstone_holds_no_name_and_no_evidence(ledger: Ledger) -> None:
    ledger.assign("a", 1, 1, GALLERY, {"why": "red shirt of Zebediah"})
    ledger.assign("a", 2, 2, GALLERY, {"why": "kept evidence"})
    ledger.assign("b", 1, 3, GALLERY)
    ledger.name(3, "Zebediah", HUMAN)
    ledger.merge(3, 1, HUMAN)
    _, part = ledger.split("a", 2, 2.0, HUMAN)
    ledger.merge(part, 1, HUMAN)
    tombstone = ledger.erase(3, HUMAN)  # by an id that was merged away
    assert tombstone.person == 1
    assert tombstone.evidence["people"] == [1, 3, 4]
    assert tombstone.evidence["segments"] == [["a", 1, None, None], ["a", 2, 2.0, None], ["b", 1, None, None]]
    identities = ledger.replay()
    assert identities.people() == [2]
    assert identities.names == {}
    assert [cells(identities)["a", 2, time] for time in TIMES] == [2, 2, NO_ID, NO_ID]
    stored = b"".join(path.read_bytes() for path in ledger.path.parent.iterdir())
    assert b"Zebediah" not in stored
    ledger.assign("b", 7, 1, GALLERY)  # whoever still calls somebody 1 does not bring the person back
    assert ledger.replay().people() == [2]
    for refused in (
        Event("undo", HUMAN, target=tombstone.id),
        Event("merge", HUMAN, person=2, other_person=3),
        Event("name", HUMAN, person=1, text="Zebediah"),
    ):
        with pytest.raises(InputError, match=r"erased|erasure"):
            ledger.append([refused])
    with pytest.raises(InputError, match="no person 1"):
        ledger.erase(1, HUMAN)


def test_an_undo_does_not_bring_back_the_erased(ledger: Ledger) -> None:
    ledger.assign("a", 1, 1, GALLERY)
    ledger.assign("a", 2, 2, GALLERY)
    merge = ledger.merge(2, 1, HUMAN)
    ledger.erase(1, HUMAN)
    ledger.undo(merge, HUMAN)
    assert ledger.replay().people() == []


def test_who_may_not_write_still_sees_what_was_decided_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run in use the newest events are in the write-ahead log, which an immutable database would skip."""
    path = tmp_path / "identities.sqlite"

    def person_seen() -> list[int]:
        with monkeypatch.context() as patched:
            patched.setattr(database, "is_writable", lambda _: False)
            with Ledger(path) as reader:
                return reader.replay().person_of("left", np.array([1]), np.array([0.0])).tolist()

    with Ledger(path) as writer:
        writer.append([Event("assign", "tester", "left", 1, 1)])
        assert person_seen() == [1]
    assert person_seen() == [1]


def test_a_ledger_without_its_newest_decisions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "identities.sqlite"
    with Ledger(path) as writer:
        writer.append([Event("assign", "tester", "left", 1, 1)])
    path.with_name(f"{path.name}-wal").write_bytes(b"x" * 5000)

    def refused(*_: Any, **__: Any) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(database, "is_writable", lambda _: False)
    monkeypatch.setattr(sqlite3, "connect", refused)
    with pytest.raises(InputError, match=r"newest decisions are in identities\.sqlite-wal"):
        Ledger(path)
