"""`main.py check RUN` finds whatever was changed, cut short or taken away."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from app.cli.parser import main
from app.errors import InputError
from app.runs.check import check_run
from app.runs.folder.covered import read_covered
from app.runs.folder.crop_files import crop_is_whole, crop_place
from app.runs.folder.header import RUN_ID, write_header
from app.runs.folder.layout import LEDGER_FILE, PART_KINDS, WRITTEN_FILE
from app.runs.folder.run import Run
from app.runs.folder.tracklet_index import write_index
from app.runs.folder.written import note_written, rendered_files, written_files
from app.runs.privacy.erase import erase_person
from app.system.checksum import file_sha256
from app.system.untrusted import json_with_checksum


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
    erase_person(folder, 1)
    assert check_run(folder)["damage"] == []


def test_a_crop_carries_its_own_checksum(folder: Path) -> None:
    path = sorted((folder / "crops").rglob("*.jpg"))[0]
    data, reference = path.read_bytes(), path.relative_to(folder).as_posix()
    place = crop_place(Run.open(folder).manifest.run, reference)
    assert crop_is_whole(data, place)
    assert crop_is_whole(data[:-1], place) is False
    assert crop_is_whole(data[:20] + data[20 + 75 :], place) is None
    assert crop_is_whole(data, crop_place("other", reference)) is False


@pytest.fixture(scope="module")
def other(flip_bits: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another run with the same cameras, tracks and people."""
    return flip_bits.full_run(tmp_path_factory.mktemp("other") / "run")


def test_files_of_another_run_are_named(folder: Path, other: Path) -> None:
    """Each file alone, with the same schema and the same names in it: a copy that went to the wrong folder."""
    names = [path.relative_to(other) for path in sorted(other.rglob("*")) if path.is_file()]
    for name in names:
        if name.name.startswith(".") or name.name.endswith(("-wal", "-shm")) or name.parts[0] in (*PART_KINDS, "index"):
            continue  # locks say nothing, the bytes of part files are in the manifest, the index is made from them
        if name.parts[0] == "crops" and name.name != "1_0.jpg":
            continue
        own = (folder / name).read_bytes()
        (folder / name).write_bytes((other / name).read_bytes())
        damage = check_run(folder)["damage"]
        (folder / name).write_bytes(own)
        assert damage, name
        assert re.search("other run|different runs", damage[0]), damage
    assert check_run(folder)["damage"] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("identities.sqlite", ["people"]),
        ("audit.sqlite", ["audit"]),
        ("topology.json", ["places"]),
        ("counters.json", ["places"]),
        ("camera_states.jsonl", ["people"]),
        ("manifest.jsonl", ["people"]),
    ],
)
def test_a_command_that_needs_it_refuses_a_file_of_another_run(
    name: str, words: list[str], folder: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes((other / name).read_bytes())
    assert main([words[0], str(folder), *words[1:]]) != 0
    assert re.search("other run|different runs", capsys.readouterr().err)


def test_a_list_of_who_is_covered_that_is_missing_or_of_another_run_shows_no_recording(
    folder: Path, other: Path
) -> None:
    (folder / "covered.parquet").write_bytes((other / "covered.parquet").read_bytes())
    with pytest.raises(InputError, match="who must not be shown"):
        read_covered(folder, "left")
    (folder / "covered.parquet").unlink()
    with pytest.raises(InputError, match="who must not be shown"):
        read_covered(folder, "left")
    assert any("who must not be shown" in sentence for sentence in check_run(folder)["damage"])


def test_tracklets_and_rows_of_different_runs_are_found(folder: Path) -> None:
    """Both as whole as their checksums say: somebody put a run together from two."""
    run = Run.open(folder)
    file = next(one for one in run.manifest.files if one.kind == "observations" and one.camera == "left")
    table = pq.read_table(folder / file.path).slice(1)
    pq.write_table(table, folder / file.path)
    own = replace(file, rows=file.rows - 1, sha256=file_sha256(folder / file.path))
    replace(run.manifest, files=tuple(own if one == file else one for one in run.manifest.files)).write(folder)
    assert any("tracklet 1 of camera left is not that of its" in text for text in check_run(folder)["damage"])


def test_an_index_that_does_not_say_what_the_parts_say_is_found(folder: Path) -> None:
    run = Run.open(folder)
    one, *others = run.tracklet_summaries(vectors=False)
    write_index(folder, run.manifest.checksum(), [replace(one, rows=one.rows + 1), *others])
    assert any("does not say what the parts say" in text for text in check_run(folder)["damage"])


def test_a_run_of_an_earlier_version_is_whole_without_an_id(folder: Path, small_run: ModuleType) -> None:
    before = Run.open(folder)
    for name in ("topology.json", "counters.json"):
        path = folder / name
        values = {key: value for key, value in json.loads(path.read_text()).items() if key != RUN_ID}
        path.write_bytes(json_with_checksum(values))
    (folder / "covered.parquet").unlink()
    (folder / "camera_states.jsonl").write_text(
        json.dumps({"camera": "left", "state": "live", "since_s": 1.0, "why": ""}) + "\n"
    )
    small_run.make_earlier(folder)
    run = Run.open(folder)
    write_header(folder, {key: value for key, value in run.header.items() if key not in (RUN_ID, "covers")})
    assert check_run(folder)["damage"] == []
    assert written_files(folder)
    assert [one.key for one in run.tracklet_summaries()] == [one.key for one in before.tracklet_summaries()]
    erase_person(folder, 1)
    assert check_run(folder)["damage"] == []


def test_a_damaged_line_of_the_list_of_written_files_is_named_and_deletes_nothing(folder: Path) -> None:
    path = folder / WRITTEN_FILE
    (folder / "video").mkdir()
    note_written(folder, ["video/left.mp4", "video/right.mp4"])
    (folder / "video" / "left.mp4").write_bytes(b"a video")
    assert [file.name for file in rendered_files(Run.open(folder))] == ["left.mp4"]
    path.write_bytes(path.read_bytes().replace(b"video/left.mp4", b"video/leFt.mp4"))
    count = len(path.read_bytes().splitlines())
    assert any(f"{WRITTEN_FILE}, line {count - 1}: damaged" in text for text in check_run(folder)["damage"])
    assert rendered_files(Run.open(folder)) == []
    left = erase_person(folder, 1)["left"]
    assert (folder / "video" / "left.mp4").exists()
    assert any("is no longer known" in sentence for sentence in left)
    assert any("video/left.mp4" in sentence for sentence in left)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            check_run(folder)
