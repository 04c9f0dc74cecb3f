"""Exported networks answer as the original, are refused if they don't, and come back as weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.parser import main
from app.config import ReidSettings
from app.errors import InputError, RunError
from app.reid import export
from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import build_embedder
from app.reid.export import FORMATS, export_reid, max_cosine_error
from app.reid.network_files import EXPORT_KEY


@pytest.fixture(scope="module", params=["onnx", "openvino", "torchscript"])
def exported(request: pytest.FixtureRequest, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    made = export_reid(str(small_weights), request.param, folder / f"network{FORMATS[request.param].suffix}")
    assert made["max_cosine_error"] < 1e-5
    assert made["bytes"] > 100_000
    assert not list(folder.glob(".*"))
    return Path(made["file"])


def test_it_carries_what_a_reader_needs(exported: Path, small_weights: Path) -> None:
    if exported.suffix == ".pt":
        extra = {EXPORT_KEY: ""}
        torch.jit.load(exported, _extra_files=extra)
        given = json.loads(extra[EXPORT_KEY])
        assert given["preprocessing"]["height"] == 64
        assert len(given["calibration"]["center"]) == 512
    back, original = load_checkpoint(exported, trust=True), load_checkpoint(small_weights)
    assert back.preprocessing == original.preprocessing
    assert (back.neck, back.metric, back.facts) == ("bnneck", "cosine", {"training_data": "nobody"})
    np.testing.assert_array_equal(back.calibration.center, original.calibration.center)
    np.testing.assert_array_equal(back.calibration.probabilities, original.calibration.probabilities)
    assert back.sha256 != original.sha256
    with pytest.raises(InputError, match="only be run"):
        back.network()


def test_it_embeds_as_the_weights_do(exported: Path, small_weights: Path) -> None:
    is_script = exported.suffix == ".pt"
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    boxes = np.array([[10, 10, 40, 90], [-20, -10, 30, 60], [100, 50, 150, 110]], np.float32)
    answers = []
    for file in (small_weights, exported):
        embedder = build_embedder(ReidSettings(weights=str(file), device="cpu", trust_weights=is_script))
        assert embedder is not None
        answers.append(embedder.embed([image], [boxes])[0])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    other = "openvino" if is_script else "torch"
    with pytest.raises(InputError, match="backend"):
        build_embedder(ReidSettings(weights=str(exported), device="cpu", backend=other, trust_weights=is_script))


def test_an_export_that_answers_differently_is_refused(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_other(network: export.CropsToVectors, facts: str, file: Path) -> None:
        file.write_bytes(b"other")

    other = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
    wrong = export.ExportFormat(".onnx", write_other, lambda file: lambda crops: other[: len(crops)])
    monkeypatch.setitem(FORMATS, "onnx", wrong)
    with pytest.raises(RunError, match="nothing was written"):
        export_reid(str(small_weights), "onnx", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_no_number_is_no_parity(small_weights: Path) -> None:
    checkpoint = load_checkpoint(small_weights)
    error = max_cosine_error(checkpoint, lambda crops: np.full((len(crops), 512), np.nan, np.float32))
    assert not error <= export.MAX_COSINE_ERROR


def test_what_cannot_be_exported_is_said(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(form: str, name: str) -> str:
        given = ["export-reid", "--weights", str(small_weights), "--format", form, "--output", str(tmp_path / name)]
        assert main(given) == 2
        return capsys.readouterr().err

    assert ".onnx" in asked("onnx", "a.pt")
    assert "no folder" in asked("onnx", "nowhere/a.onnx")
    if not torch.cuda.is_available():
        assert "GPU" in asked("tensorrt", "a.engine")


def test_a_damaged_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"bad\.onnx"):
        load_checkpoint(tmp_path / "bad.onnx")
