"""What is damaged, foreign or too large gets a sentence. Bounds are tried with harmless inputs above a small one."""

from __future__ import annotations

import errno
import json
import lzma
import os
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.cli.parser import main
from app.config import load_settings
from app.errors import InputError, RunError
from app.footage.camera_list import read_camera_list
from app.reid.calibrate import Calibration
from app.reid.datasets import CropFiles
from app.runs.folder.tables import read_table
from app.system.untrusted import (
    Limits,
    checksum_fits,
    compose_yaml,
    decode_image,
    json_with_checksum,
    read_json,
    read_member,
    read_text,
    reading,
    storage_problem,
    yaml_value,
)

SMALL = Limits(yaml_depth=3, yaml_nodes=12, json_bytes=100, image_pixels=100, member_bytes=50)


def test_yaml_is_bounded_in_depth_and_after_its_aliases_are_written_out() -> None:
    assert yaml_value("a: [[1]]", "x", SMALL) == {"a": [[1]]}
    with pytest.raises(InputError, match=r"x:2: nested more than 3 deep"):
        yaml_value("a:\n  [[[1]]]", "x", SMALL)
    shared = "a: &a [1, 2, 3]\nb: *a\n"
    assert yaml_value(shared, "x", SMALL)["b"] == [1, 2, 3]
    with pytest.raises(InputError, match="more than 12 values"):
        yaml_value(shared + "c: *a\n", "x", SMALL)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: !!python/name:os.system ''", "not valid YAML"),
        ("a: !special 1", "not valid YAML"),
        ("a: 2024-13-45", "not a value that YAML can hold"),
        ("a: 2024-02-30 10:00:00", "not a value that YAML can hold"),
        ("? [1, 2]\n: 3", ""),
        ("a: &b [*b]", "contains itself"),
        ("a: [1", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
    ],
)
def test_yaml_that_means_nothing_here_gets_a_sentence_with_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    if complaint:
        with pytest.raises(InputError, match=complaint):
            yaml_value(text, "x")
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"file\.yaml"):
        load_settings(path)
    path.write_text(f"cameras:\n- files: a.mp4\n  start: {text[3:] if text.startswith('a: ') else '[1]'}\n")
    with pytest.raises(InputError, match=r"file\.yaml"):
        read_camera_list(path, "")


def test_a_camera_list_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text("cameras:\n- files: a.mp4\n  name: a\n  name: b\n")
    with pytest.raises(InputError, match=r"cameras\.yaml:4: name is given twice"):
        read_camera_list(path, "")
    assert compose_yaml("", "x") is None


def test_an_assignment_that_is_no_yaml_value_is_a_text() -> None:
    with pytest.raises(InputError, match=r"track\.max_lost_s"):
        load_settings(None, ["track.max_lost_s=2024-13-45"])


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": NaN}', '{"a": Infinity}', '{"a": "' + 100 * "x" + '"}', "\ud800"])
def test_json_that_is_no_object_of_ours_gets_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"run\.json"):
        read_json(path, "a run", SMALL)
    with pytest.raises(InputError, match="cannot read a run"):
        read_json(tmp_path, "a run")


def test_json_carries_its_checksum(tmp_path: Path) -> None:
    values = json.loads(json_with_checksum({"b": 1, "a": [0.1, None, "é"]}))
    assert checksum_fits(values) is True
    assert checksum_fits({**values, "b": 2}) is False
    assert checksum_fits({"b": 1}) is None


def test_the_size_of_an_image_is_looked_at_before_it_is_decoded() -> None:
    data = cv2.imencode(".png", np.zeros((10, 10, 3), np.uint8))[1].tobytes()
    assert decode_image(data, "x.png", SMALL).shape == (10, 10, 3)
    larger = cv2.imencode(".png", np.zeros((11, 10, 3), np.uint8))[1].tobytes()
    with pytest.raises(InputError, match=r"x\.png: an image of 10 × 11 pixels; 100 are the most"):
        decode_image(larger, "x.png", SMALL)
    for broken in (b"", b"text", data[:20]):
        with pytest.raises(InputError, match=r"x\.png"):
            decode_image(broken, "x.png", SMALL)


def test_files_of_a_zip_are_bounded_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small.jpg", bytes(50))
        archive.writestr("large.jpg", bytes(51))
    with zipfile.ZipFile(path) as archive:
        assert len(read_member(archive, "small.jpg", SMALL)) == 50
        with pytest.raises(InputError, match=r"large\.jpg unpacks to 51 bytes; 50 are the most"):
            read_member(archive, "large.jpg", SMALL)
        archive.getinfo("small.jpg").flag_bits |= 1
        with pytest.raises(InputError, match=r"small\.jpg is encrypted"):
            read_member(archive, "small.jpg")
    data = bytearray(path.read_bytes())
    data[40] ^= 255
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"data\.zip.*small\.jpg.*"):
        CropFiles(path).decode("small.jpg")
    path.write_bytes(data[:-40])
    with pytest.raises(InputError, match=r"data\.zip: cannot read this zip file"):
        CropFiles(path)


def test_a_calibration_that_is_none_is_refused() -> None:
    rise, fall = np.array([0, 1], np.float32), np.array([0.9, 0.1], np.float32)
    Calibration(np.zeros(2, np.float32), rise, fall)
    for wrong in (np.array([np.nan, 0.1], np.float32), np.array([1.5, 0.1], np.float32)):
        with pytest.raises(ValueError, match="Calibration"):
            Calibration(np.zeros(2, np.float32), rise, wrong)
    with pytest.raises(ValueError, match="Calibration"):
        Calibration(np.array([np.inf], np.float32), rise, fall)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), RunError, "disk is full"),
        (OSError(errno.EFBIG, "File too large"), RunError, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), RunError, "/x: may not be written"),
        (OSError(errno.EROFS, "Read-only file system"), RunError, "may not be written"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), InputError, "is the path right"),
        (sqlite3.OperationalError("database or disk is full"), RunError, "disk is full"),
        (MemoryError(), RunError, "not enough memory"),
    ],
)
def test_what_the_disk_refuses_is_said_in_a_sentence(error: OSError, kind: type[Exception], says: str) -> None:
    known = storage_problem(error)
    assert type(known) is kind
    assert says in str(known)


def test_whatever_a_library_raises_over_a_file_names_the_file(tmp_path: Path) -> None:
    zipped = (zipfile.BadZipFile("no"), zlib.error("bad"), lzma.LZMAError("bad"), struct.error("bad"))
    for error in (KeyError("x"), ValueError("bad"), RecursionError(), OSError("odd"), *zipped):
        with pytest.raises(InputError, match=r"a\.b: cannot read this"), reading("a.b", "this"):
            raise error
    (tmp_path / "x").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not a text file"):
        read_text(tmp_path / "x", "text", 10)


def test_an_output_folder_below_a_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", "--output", str(tmp_path / "file" / "scene"), "--seconds", "1"]) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("values", [[1, None], [[1.0], None], [[1.0, None], [2.0]]])
def test_a_column_without_a_value_somewhere_is_refused(tmp_path: Path, values: list[object]) -> None:
    path = tmp_path / "part.parquet"
    table = pa.table({"whole": [1, 2], "odd": values})
    pq.write_table(table, path)
    assert read_table(path, table.schema, ["whole"]).num_rows == 2
    with pytest.raises(InputError, match=r"part\.parquet: column odd has rows without a value"):
        read_table(path, table.schema)


def test_one_bad_input_of_each_class_gets_a_sentence() -> None:
    """The first cases of the bench `fuzz.py`, in a process that forks for each, with another seed than its table's."""
    bench = Path(__file__).parents[1] / "bench" / "fuzz.py"
    command = [sys.executable, str(bench), "--cases", "17", "--seed", "1"]
    found = {**os.environ, "PYTHONPATH": str(bench.parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=found)
    assert done.returncode == 0, done.stdout + done.stderr
    name, said, harmless, *amiss = done.stdout.splitlines()[-1].split()
    assert (name, int(said) + int(harmless), amiss) == ("all", 17, ["0", "0", "0"])
