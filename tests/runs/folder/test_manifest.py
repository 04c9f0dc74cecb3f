"""The manifest: a commit costs the same however long the run is, and damage is never taken for content."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from app.config import LinkSettings
from app.errors import InputError
from app.runs.folder.layout import EARLIER_MANIFEST_FILE, MANIFEST_FILE
from app.runs.folder.manifest import Manifest, PartFile
from app.runs.folder.run import Run
from app.runs.people.linking import link_run

EMPTY = Manifest(0, {"door": 0}, {"door": 1}, ())


def part(number: int, camera: str = "door") -> PartFile:
    path = f"observations/{camera}/{number:06d}.parquet"
    return PartFile("observations", camera, path, 10, number / 3, number / 3 + 0.1, f"{number:064x}")


def add(manifest: Manifest, folder: Path, number: int) -> Manifest:
    new = Manifest(number + 1, {"door": number}, {"door": number + 1}, (part(number),))
    new.add_to(folder)
    return replace(new, files=(*manifest.files, *new.files))


def filled(folder: Path, commits: int) -> Manifest:
    EMPTY.write(folder)
    manifest = EMPTY
    for number in range(commits):
        manifest = add(manifest, folder, number)
    return manifest


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 5)
    assert manifest.next_part == 5
    assert manifest.files == tuple(part(number) for number in range(5))
    assert Manifest.read(tmp_path) == manifest


def test_a_commit_only_adds_its_own_line(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 100)
    file = tmp_path / MANIFEST_FILE
    before, inode = file.read_bytes(), file.stat().st_ino
    add(manifest, tmp_path, 100)
    assert file.stat().st_ino == inode
    assert file.read_bytes().startswith(before)
    assert len(file.read_bytes()) - len(before) < 300


def test_a_line_that_was_cut_off_does_not_count_and_is_cut_off_by_the_next(tmp_path: Path) -> None:
    before = filled(tmp_path, 2)
    file = tmp_path / MANIFEST_FILE
    start = file.stat().st_size
    after = add(before, tmp_path, 2)
    whole = file.read_bytes()
    for end in range(start, len(whole)):
        file.write_bytes(whole[:end])
        assert Manifest.read(tmp_path) == before
    file.write_bytes(whole[: len(whole) - 20])
    assert add(before, tmp_path, 2) == Manifest.read(tmp_path) == after
    assert file.read_bytes() == whole


def test_no_flipped_bit_is_taken_for_content(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    file = tmp_path / MANIFEST_FILE
    whole = file.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"manifest\.jsonl.*damaged"):
            Manifest.read(tmp_path)


def test_files_that_are_replaced_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 3)
    (tmp_path / "observations/door").mkdir(parents=True)
    (tmp_path / "observations/door/of the user.parquet").write_text("mine")
    for number in range(4):
        (tmp_path / part(number).path).write_text("rows")
    new = manifest.replace_files(tmp_path, [part(0), part(3)], next_part=9)
    assert Manifest.read(tmp_path) == new
    assert (new.next_part, new.files) == (9, (part(0), part(3)))
    left = {path.name for path in (tmp_path / "observations/door").iterdir()}
    assert left == {"000000.parquet", "000003.parquet", "of the user.parquet"}


def test_a_deletion_that_was_cut_off_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = filled(tmp_path, 3)
    (tmp_path / "observations/door").mkdir(parents=True)
    for number in range(3):
        (tmp_path / part(number).path).write_text("rows")
    with monkeypatch.context() as killed:
        killed.setattr(Manifest, "delete_removed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            manifest.replace_files(tmp_path, [part(0)])
    again = Manifest.read(tmp_path)
    assert again.files == (part(0),)
    assert len(list((tmp_path / "observations/door").iterdir())) == 3
    add(again, tmp_path, 4)
    Manifest.read(tmp_path).replace_files(tmp_path, Manifest.read(tmp_path).files)
    assert [path.name for path in (tmp_path / "observations/door").iterdir()] == ["000000.parquet"]


def test_a_run_of_an_earlier_version_opens_and_gets_the_new_manifest_when_it_changes(
    make_run: Callable[..., Path], small_run: ModuleType
) -> None:
    folder = small_run.make_earlier(make_run())
    manifest = Run.open(folder).manifest
    files = [{k: v for k, v in asdict(file).items() if k != "sha256"} for file in manifest.files]
    values = {
        "next_part": manifest.next_part,
        "next_frame_index": manifest.next_frame_index,
        "next_track_id": manifest.next_track_id,
        "files": files,
    }
    (folder / MANIFEST_FILE).unlink()
    (folder / EARLIER_MANIFEST_FILE).write_text(json.dumps(values))
    earlier = Run.open(folder).manifest
    assert earlier == replace(manifest, files=tuple(replace(file, sha256="") for file in manifest.files))
    assert len(Run.open(folder).observations("left")) > 0
    earlier.write(folder)
    assert Run.open(folder).manifest == earlier
    assert not (folder / EARLIER_MANIFEST_FILE).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../other/observations.parquet"},
        {"path": "observations/door/../../x.parquet"},
        {"path": "frames/door/000000.parquet"},
        {"path": "observations/door/sub/000000.parquet"},
        {"kind": "crops", "path": "crops/door/1.jpg"},
        {"rows": -1},
        {"rows": 1.5},
        {"start_s": math.nan},
        {"end_s": -1.0},
    ],
)
def test_an_entry_that_no_writer_wrote_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    replace(EMPTY, files=(replace(part(1), **change),)).write(tmp_path)
    with pytest.raises(InputError, match=r"manifest\.jsonl, line 1: not written by this program"):
        Manifest.read(tmp_path)


def test_numbers_that_are_free_next_are_whole_numbers(tmp_path: Path) -> None:
    for wrong in (replace(EMPTY, next_part=-1), replace(EMPTY, next_track_id={"door": 2**63})):
        wrong.write(tmp_path)
        with pytest.raises(InputError, match="no whole number"):
            Manifest.read(tmp_path)


def test_a_file_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    file = tmp_path / MANIFEST_FILE
    file.write_bytes(2 * file.read_bytes())
    with pytest.raises(InputError, match=r"line 5: not written by this program .*is listed twice"):
        Manifest.read(tmp_path)


def test_a_finished_run_notices_that_its_manifest_has_lost_lines(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    file = folder / MANIFEST_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    for left in (b"".join(lines[:-1]), b"".join(lines)[:-30]):
        file.write_bytes(left)
        with pytest.raises(InputError, match=r"manifest\.jsonl: has lost its last lines"):
            Run.open(folder)
    file.write_bytes(b"".join(lines))
    link_run(folder, LinkSettings())  # which writes the manifest anew
    assert len(file.read_bytes().splitlines()) == 1
    Run.open(folder)
