"""The audit log keeps what was written, for good."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.parser import main
from app.errors import InputError
from app.runs.check import check_run
from app.runs.folder.audit_log import entries, numbers_text, record
from app.runs.folder.layout import AUDIT_FILE
from app.runs.folder.run import Run


def test_entries_come_back_newest_first_and_stay(tmp_path: Path) -> None:
    assert entries(tmp_path) == []
    record(tmp_path, "anna", "viewed", "person 3")
    record(tmp_path, "bob", "exported", "csv")
    assert [(entry.actor, entry.action, entry.what) for entry in entries(tmp_path)] == [
        ("bob", "exported", "csv"),
        ("anna", "viewed", "person 3"),
    ]
    assert len(entries(tmp_path, 1)) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / AUDIT_FILE)) as connection:
        for change in ("DELETE FROM entries", "UPDATE entries SET actor = 'eve'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(tmp_path / "missing", "anna", "viewed", "person 3")
    assert "cannot write the audit log" in caplog.text
    (tmp_path / AUDIT_FILE).write_text("no database, but long enough to be looked at as one" * 10)
    with pytest.raises(InputError, match=AUDIT_FILE):
        entries(tmp_path)


def test_commands_that_show_people_leave_a_line(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = make_run()
    with Run.open(folder).ledger() as ledger:
        ledger.assign("left", 1, 1, "machine:linker")
        ledger.name(1, "Zebediah", "anna")
    assert main(["people", str(folder), "--json"]) == 0
    assert main(["route", str(folder), "1", "--json"]) == 0
    assert main(["export", str(folder), "--format", "csv", "--output", str(tmp_path / "out"), "--json"]) == 0
    assert main(["erase", str(folder), "1", "--json"]) == 0
    capsys.readouterr()
    assert main(["audit", str(folder), "--json"]) == 0
    told = [(entry["action"], entry["what"]) for entry in json.loads(capsys.readouterr().out)["entries"]]
    assert told == [
        ("erased", "person 1"),
        ("exported", "csv"),
        ("viewed", "person 1"),
        ("viewed", "the list of people"),
        ("corrected", "named person 1 (no name is kept)"),
    ]
    assert b"Zebediah" not in (folder / AUDIT_FILE).read_bytes()
    assert os.listdir(tmp_path / "out")


def test_people_are_named_by_their_numbers() -> None:
    assert numbers_text([3]) == "person 3"
    assert numbers_text([9, 1, 2, 3, 7, 8]) == "persons 1–3, 7–9"
    assert numbers_text([]) == "nobody"


def test_a_log_that_is_gone_or_emptied_is_damage_and_its_successor_says_so(
    make_run: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run()
    assert entries(folder) == []
    record(folder, "anna", "viewed", "person 3")
    for emptied in (True, False):
        (folder / AUDIT_FILE).unlink()
        if emptied:
            (folder / AUDIT_FILE).touch()
        with pytest.raises(InputError, match="the audit log is missing or empty"):
            entries(folder)
        assert any("audit log" in sentence for sentence in check_run(folder)["damage"])
    record(folder, "eve", "viewed", "person 4")
    assert "begun anew" in caplog.text
    assert [entry.what for entry in entries(folder)] == ["person 4", "this log: it was gone, or empty"]
    assert check_run(folder)["damage"] == []
