"""A network of another maker from end to end: run, calibration from that run, links, search, erasing, known people."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.cli.parser import main
from app.runs.folder.run import Run

FRAMES, PEOPLE, DIMENSION = 60, 6, 77


class ColoursOfParts(nn.Module):
    """Vectors of 77 numbers: a random view of the mean colours of 4 × 2 parts of a picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(24, DIMENSION)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(nn.functional.adaptive_avg_pool2d(pictures, (4, 2)).flatten(1)).relu()


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence of pictures of six people in clothes of their own who stroll side by side, with their boxes."""
    folder = tmp_path_factory.mktemp("byo") / "yard"
    (folder / "img1").mkdir(parents=True)
    (folder / "det").mkdir()
    random = np.random.default_rng(0)
    clothes = [cv2.resize(random.integers(0, 256, (4, 2, 3), dtype=np.uint8), (24, 60)) for _ in range(PEOPLE)]
    rows = []
    for index in range(FRAMES):
        image = random.integers(90, 110, (160, 420, 3)).astype(np.uint8)
        for person, look in enumerate(clothes):
            x, y = 12 + 66 * person + index // 3, 60 + person
            image[y : y + 60, x : x + 24] = np.clip(look + random.normal(0, 12, look.shape), 0, 255)
            rows.append(f"{index + 1},-1,{x},{y},24,60,0.9,-1,-1,-1")
        cv2.imwrite(str(folder / "img1" / f"{index + 1:06d}.jpg"), image)
    (folder / "det" / "det.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=yard\nimDir=img1\nframeRate=10\nseqLength={FRAMES}\nimWidth=420\nimHeight=160\nimExt=.jpg\n"
    )
    return folder


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_from_a_foreign_file_to_known_people(
    form: str,
    camera: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / ("theirs.onnx" if form == "onnx" else "theirs.pt")
    network, example = ColoursOfParts().eval(), torch.zeros(2, 3, 64, 32)
    trust = [] if form == "onnx" else ["--trust-weights"]
    if form == "onnx":
        pytest.importorskip("onnx")
        torch.onnx.export(
            network, (example,), str(weights), input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False
        )
    else:
        torch.jit.trace(network, example).save(weights)
    (tmp_path / "theirs.yaml").write_text("family: ultralytics\nheight: 64\nwidth: 32\n")

    def track(output: str) -> str:
        given = ["track", "--sources", str(camera), "--detector", "file:det/det.txt", "--reid", str(weights), *trust]
        caplog.clear()
        assert main([*given, "--output", output, "--gallery", "people", "--device", "cpu"]) == 0
        return caplog.text

    assert "calibrate-reid" in track("first")
    run = Run.open(tmp_path / "first")
    assert {tracklet.vectors.shape[1] for tracklet in run.tracklets()} == {DIMENSION}
    capsys.readouterr()
    assert main(["calibrate-reid", "--reid", str(weights), "--run", "first", *trust, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    said = json.loads((tmp_path / f"{weights.name}.calibration.json").read_text())
    assert said["fitted_on"] == "footage without names"
    assert said["runs"] == [str(tmp_path / "first")]
    assert made["mean_distance_within_tracklets"] < made["mean_distance_of_strangers"]

    # The same people again, read by their own calibration now; the gallery still knows them.
    assert "not calibrated" not in track("second")
    second = Run.open(tmp_path / "second")
    curve = np.array(second.header["provenance"]["calibration"]["probabilities"])
    np.testing.assert_allclose(curve, said["probabilities"], atol=1e-4)
    assert sorted(second.identities().people()) == sorted(run.identities().people())
    assert len(second.identities().people()) == PEOPLE

    assert main(["link", "second"]) == 0
    asked = next(tracklet for tracklet in second.tracklets() if abs(tracklet.boxes[10, 0] - (12 + 66 + 3)) < 5)
    capsys.readouterr()
    given = ["search", "second", "--camera", "yard", "--at", str(asked.times[10]), "--box", "81", "61", "105", "121"]
    trusted = ["--set", f"reid.trust_weights={str(bool(trust)).lower()}"]
    assert main([*given, "--set", f"reid.weights={weights}", *trusted, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["people"][0]
    assert found["crop"].removeprefix("second/") in asked.crops
    assert main(["erase", "second", str(found["person"]), "--gallery", "people"]) == 0
    left = Run.open(tmp_path / "second").identities().people()
    assert len(left) == PEOPLE - 1
