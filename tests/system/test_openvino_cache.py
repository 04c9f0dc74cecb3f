"""Conversion to OpenVINO: same results, made once, whole or not at all, and silent."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from app.errors import InputError
from app.system.checksum import file_sha256
from app.system.openvino_cache import cache_folder, compile_on_cpu, convert_once, load_openvino


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path))
    return tmp_path


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()


def test_cache_folder_follows_the_variable(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == own_cache
    monkeypatch.delenv("OMNITRACK_CACHE")
    assert cache_folder().name == "omnitrack"
    assert cache_folder() != own_cache


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_result_equals_torch_for_an_open_batch(own_cache: Path) -> None:
    compiled = compile_on_cpu(convert_once(small_network, "0" * 64, (-1, 3, 8, 6)))
    for batch in (1, 3):
        images = np.random.default_rng(batch).random((batch, 3, 8, 6), np.float32)
        expected = small_network()(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(compiled(images)[0], expected, atol=1e-5)


def test_converted_once_for_each_identity(own_cache: Path) -> None:
    built = 0

    def build() -> torch.nn.Module:
        nonlocal built
        built += 1
        return small_network()

    first = convert_once(build, "a", (1, 3, 8, 8))
    assert convert_once(build, "a", (1, 3, 8, 8)) == first
    assert built == 1
    others = [
        convert_once(build, "b", (1, 3, 8, 8)),
        convert_once(build, "a", (1, 3, 8, 16)),
        convert_once(build, "a", (1, 3, 8, 8), "half the channels"),
    ]
    assert built == 4
    assert len({first, *others}) == 4


def test_two_threads_leave_one_whole_entry(own_cache: Path) -> None:
    load_openvino()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: convert_once(small_network, "c", (1, 3, 8, 8)), range(2)))
    assert results[0] == results[1]
    assert [entry.name for entry in (own_cache / "openvino").iterdir()] == [results[0].parent.name]


def test_another_process_was_faster(own_cache: Path) -> None:
    made_elsewhere: list[Path] = []

    def build() -> torch.nn.Module:
        made_elsewhere.append(convert_once(small_network, "c", (1, 3, 8, 8)))
        return small_network()

    assert convert_once(build, "c", (1, 3, 8, 8)) == made_elsewhere[0]
    assert [entry.name for entry in (own_cache / "openvino").iterdir()] == [made_elsewhere[0].parent.name]


def test_a_failure_leaves_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(load_openvino(), "save_model", full_disk)
    with pytest.raises(InputError, match="No space left"):
        convert_once(small_network, "d", (1, 3, 8, 8))
    assert list((own_cache / "openvino").iterdir()) == []


def test_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="OMNITRACK_CACHE"):
        convert_once(small_network, "e", (1, 3, 8, 8))


def test_import_is_light_and_openvino_reports_nothing() -> None:
    program = """
import sys
import app.system.openvino_cache
assert not {"torch", "openvino"} & set(sys.modules)
app.system.openvino_cache.load_openvino()
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
