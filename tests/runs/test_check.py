"""`main.py check RUN` finds whatever was changed, cut short or taken away."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from app.cli.parser import main
from app.errors import InputError
from app.runs.check import check_run
from app.runs.folder.crop_files import crop_is_whole
from app.runs.folder.layout import LEDGER_FILE
from app.runs.folder.run import Run


@pytest.fixture(scope="module")
def flip_bits() -> ModuleType:
    """The bench `tests/bench/flip_bits.py`."""
    path = Path(__file__).parents[1] / "bench" / "flip_bits.py"
    spec = importlib.util.spec_from_file_location("flip_bits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(flip_bits: ModuleType, tmp_path: Path) -> Path:
    return flip_bits.full_run(tmp_path / "run")


def test_a_whole_run_is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["damage"] == report["notes"] == []
    assert report["state"] == "finished"
    assert report["crops"] == 12
    assert report["parts"] == len(Run.open(folder).manifest.files)


def test_no_flipped_bit_changes_anything_without_a_word(folder: Path, flip_bits: ModuleType) -> None:
    before = repr(flip_bits.content(folder))
    for name, bit in flip_bits.flipped(folder, 24, seed=1):
        assert flip_bits.noticed(folder) or repr(flip_bits.content(folder)) == before, (name, bit)


@pytest.mark.parametrize("pattern", ["observations/left/*0.parquet", "frames/*/*", "crops/right/*", "manifest.jsonl"])
def test_what_is_missing_or_cut_short_is_named(folder: Path, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted(folder.glob(pattern))[0]
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["check", str(folder)]) == 1
    assert path.name in capsys.readouterr().out
    path.unlink()
    assert main(["check", str(folder)]) == 1
    assert path.name in capsys.readouterr().out


def test_a_missing_or_emptied_ledger_is_an_error_not_an_empty_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / LEDGER_FILE).write_bytes(b"")
    assert main(["people", str(folder)]) == 2
    (folder / LEDGER_FILE).unlink()
    assert main(["people", str(folder)]) == 2
    assert "who is who is missing" in capsys.readouterr().err
    assert any("who is who is missing" in sentence for sentence in check_run(folder)["damage"])
    Run.open(folder).ledger(make=True).close()
    assert Run.open(folder).identities().people() == []


def test_a_changed_row_of_the_ledger_is_found(folder: Path) -> None:
    with closing(sqlite3.connect(folder / LEDGER_FILE)) as connection, connection:
        connection.execute("DROP TRIGGER events_do_not_change")
        connection.execute("UPDATE events SET person = 3 WHERE id = 2")
    assert any("1 rows of events are damaged, the first number 2" in text for text in check_run(folder)["damage"])


def test_what_is_erased_leaves_no_false_alarm(folder: Path) -> None:
    from app.runs.privacy.erase import erase_person

    erase_person(folder, 1)
    assert check_run(folder)["damage"] == []


def test_a_crop_carries_its_own_checksum(folder: Path) -> None:
    data = sorted((folder / "crops").rglob("*.jpg"))[0].read_bytes()
    assert crop_is_whole(data)
    assert crop_is_whole(data[:-1]) is False
    assert crop_is_whole(data[:20] + data[20 + 75 :]) is None


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            check_run(folder)
