"""Networks of other makers: recognised, described, run as their makers run them, and refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.cli.parser import main
from app.config import ReidSettings
from app.errors import InputError
from app.reid.calibrate import Calibration
from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import NetworkEmbedder, build_embedder
from app.reid.families import FAMILIES, Seen, recognise
from app.reid.preprocess import scale
from app.system.openvino_cache import load_openvino

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
PICTURES = [np.random.default_rng(number).integers(0, 256, (90, 40, 3), dtype=np.uint8) for number in range(5)]


class Small(nn.Module):
    """A network of the shape of another one; with `mean` it prepares pictures itself, as FastReID's do."""

    def __init__(self, dimension: int, mean: Tensor | None = None, cells: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mean = mean
        self.convolution = nn.Conv2d(3, 8, 7, stride=8)
        self.pool = nn.AdaptiveAvgPool2d((4, 2))
        self.head = nn.Linear(64, dimension)
        self.cells = cells

    def forward(self, pictures: Tensor) -> Tensor:
        if self.mean is not None:
            pictures = (pictures - self.mean.view(1, 3, 1, 1)) / 57.0
        vectors = self.head(self.pool(self.convolution(pictures).tanh()).flatten(1))
        return vectors[:, :, None, None] if self.cells > 1 else vectors


def to_onnx(
    folder: Path, network: nn.Module, height: int, width: int, batch: int | None = None, output: str = "vectors"
) -> Path:
    pytest.importorskip("onnx")
    file = folder / "theirs.onnx"
    torch.onnx.export(
        network.eval(), (torch.zeros(batch or 2, 3, height, width),), str(file), input_names=["input"],
        output_names=[output], dynamo=False,
        dynamic_axes=None if batch else {"input": {0: "batch"}, output: {0: "batch"}},
    )  # fmt: skip
    return file


def embedder_for(file: Path, **settings: object) -> NetworkEmbedder:
    built = build_embedder(ReidSettings(weights=str(file), device="cpu", **settings))  # type: ignore[arg-type]  # of any field
    assert isinstance(built, NetworkEmbedder)
    return built


def as_their_maker(
    network: nn.Module, height: int, width: int, prepare: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Run a network on (H, W, 3) float RGB in 0..255 prepared by hand."""
    pictures = np.stack([scale(picture, height, width)[:, :, ::-1].astype(np.float32) for picture in PICTURES])
    prepared = np.ascontiguousarray(prepare(pictures), np.float32).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(np.ascontiguousarray(prepared))).flatten(1).numpy()


CASES = {
    "torchreid": (256, 128, 512, lambda rgb: (rgb / 255 - MEAN) / STD),
    "ultralytics": (448, 448, 256, lambda rgb: rgb / 255),
    "intel": (256, 128, 256, lambda rgb: rgb[..., ::-1]),
    "solider": (384, 128, 1024, lambda rgb: (rgb / 255 - 0.5) / 0.5),
    "transreid": (256, 128, 768, lambda rgb: (rgb / 255 - 0.5) / 0.5),
}


@pytest.mark.parametrize(
    ("family", "batch"), [*((family, None) for family in sorted(CASES)), ("intel", 1), ("transreid", 3)]
)
def test_a_known_family_is_run_as_its_maker_does(family: str, batch: int | None, tmp_path: Path) -> None:
    height, width, dimension, prepare = CASES[family]
    network = Small(dimension)
    embedder = embedder_for(to_onnx(tmp_path, network, height, width, batch))
    assert embedder.dimension == dimension
    expected = as_their_maker(network, height, width, prepare)
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, atol=2e-4)
    boxes = np.array([[0, 0, 40, 90]], np.float32)
    (found,) = embedder.embed([PICTURES[0]], [boxes])
    np.testing.assert_allclose(found[0], expected[0] / np.linalg.norm(expected[0]), atol=1e-4)


def test_fastreid_is_known_by_what_it_subtracts(tmp_path: Path) -> None:
    network = Small(2048, torch.tensor([123.675, 116.28, 103.53]))
    embedder = embedder_for(to_onnx(tmp_path, network, 384, 128))
    expected = as_their_maker(network, 384, 128, lambda rgb: rgb)
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, rtol=1e-3, atol=1e-4)
    # Torchreid's ResNet-50 has the same sides and does not subtract.
    plain = Small(2048)
    embedder = embedder_for(to_onnx(tmp_path, plain, 256, 128))
    expected = as_their_maker(plain, 256, 128, CASES["torchreid"][3])
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, rtol=1e-3, atol=1e-4)


def test_openvino_files_and_outputs_of_intel_are_known(tmp_path: Path) -> None:
    openvino = load_openvino()
    network = Small(512, cells=2)  # 0300 gave 512, its older ones (1, D, 1, 1)
    model = openvino.convert_model(network.eval(), example_input=torch.zeros(1, 3, 256, 128), input=[[1, 3, 256, 128]])
    model.output(0).set_names({"reid_embedding"})
    openvino.save_model(model, tmp_path / "intel.xml", compress_to_fp16=False)
    embedder = embedder_for(tmp_path / "intel.xml")
    expected = as_their_maker(network, 256, 128, CASES["intel"][3])
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("seen", "families"),
    [
        (Seen(256, 128, 512), ["torchreid"]),
        (Seen(256, 128, 1280), ["torchreid", "clipreid"]),
        (Seen(256, 128, 1024), ["torchreid", "transreid"]),
        (Seen(384, 128, 768), ["solider"]),
        (Seen(256, 128, 512, own_mean=(123.675, 116.28, 103.53)), ["fastreid"]),
        (Seen(256, 128, 512, frozenset({"descriptor"})), ["intel"]),
        (Seen(256, 128, 512, own_mean=(1.0, 2.0, 3.0)), []),
        (Seen(256, 128, 2048, is_hidden=True), ["torchreid", "fastreid"]),
        (Seen(100, 50, 77), []),
    ],
)
def test_families_by_what_can_be_seen(seen: Seen, families: list[str]) -> None:
    assert recognise(seen) == families


def test_what_fits_two_families_asks_for_one(tmp_path: Path) -> None:
    network = Small(1280)
    file = to_onnx(tmp_path, network, 256, 128)
    with pytest.raises(InputError, match=r"theirs\.yaml: `family: torchreid`.*or `family: clipreid`"):
        load_checkpoint(file)
    (tmp_path / "theirs.yaml").write_text("family: clipreid\n")
    clip = embedder_for(file)
    expected = as_their_maker(network, 256, 128, CASES["transreid"][3])
    np.testing.assert_allclose(clip.raw_vectors(PICTURES), expected, atol=2e-4)
    (tmp_path / "theirs.yaml").write_text("family: torchreid\n")
    assert embedder_for(file).weights_sha256 != clip.weights_sha256  # other vectors, never mixed with those


@pytest.mark.parametrize("side", ["onnx", "torchscript"])
def test_the_description_says_all(side: str, tmp_path: Path) -> None:
    network = Small(77)
    (tmp_path / "theirs.yaml").write_text(
        "height: 96\nwidth: 64\ncolours: BGR\nscale: 127.5\nmean: [1, 0.5, 0.25]\nstd: [1, 2, 4]\nmetric: euclidean\n"
    )
    if side == "onnx":
        file = to_onnx(tmp_path, network, 96, 64)
    else:
        file = tmp_path / "theirs.pt"
        torch.jit.trace(network.eval(), torch.zeros(2, 3, 96, 64)).save(file)
    embedder = embedder_for(file, trust_weights=True)
    expected = as_their_maker(
        network, 96, 64, lambda rgb: (rgb[..., ::-1] / 127.5 - np.array([1, 0.5, 0.25])) / np.array([1, 2, 4])
    )
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, atol=2e-4)
    assert load_checkpoint(file, trust=True).metric == "euclidean"


def test_channels_last_and_a_named_output(tmp_path: Path) -> None:
    class TwoOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Small(48)

        def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
            vectors = self.inner(pictures.permute(0, 3, 1, 2))
            return vectors[:, :16] * 0, vectors

    network = TwoOutputs().eval()
    file = tmp_path / "theirs.onnx"
    torch.onnx.export(
        network, (torch.zeros(1, 64, 32, 3),), str(file), output_names=["parts", "whole"], dynamo=False
    )  # fmt: skip
    described = tmp_path / "theirs.yaml"
    described.write_text("family: ultralytics\n")
    with pytest.raises(InputError, match=r"which of its outputs.*parts.*whole.*output: NAME"):
        load_checkpoint(file)
    described.write_text("family: ultralytics\noutput: whole\n")
    embedder = embedder_for(file)
    expected = as_their_maker(network.inner, 64, 32, lambda rgb: rgb / 255)
    np.testing.assert_allclose(embedder.raw_vectors(PICTURES), expected, atol=2e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour: RGB", r"theirs\.yaml: colour: Extra"),
        ("mean: [1, 2]", r"theirs\.yaml: mean:"),
        ("std: [1, 0, 1]", r"theirs\.yaml: std: .*above 0"),
        ("mean: [1, .nan, 1]", r"theirs\.yaml: mean: .*finite"),
        ("family: resnet", r"theirs\.yaml: family: resnet is not known; known are torchreid"),
        ("height: 128", r"theirs\.yaml: height: 128 is said, but the network takes 96"),
        ("layout: NHWC", r"theirs\.yaml: layout: NHWC does not fit"),
        ("output: 3", r"theirs\.yaml: output: 3 is none of vectors"),
        ("- a", r"theirs\.yaml: expected"),
        ("scale: [", r"theirs\.yaml:\d"),
        ("colours: RGB", r"no family known.*scale:, mean:, std:"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = to_onnx(tmp_path, Small(77), 96, 64)
    (tmp_path / "theirs.yaml").write_text(text + "\n")
    with pytest.raises(InputError, match=said):
        load_checkpoint(file)


def test_a_program_needs_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "program.pt"
    torch.jit.trace(Small(512).eval(), torch.zeros(1, 3, 256, 128)).save(file)
    (tmp_path / "program.yaml").write_text("family: torchreid\n")
    with pytest.raises(InputError, match="--trust-weights"):
        build_embedder(ReidSettings(weights=str(file), device="cpu"))
    assert main(["evaluate-reid", "--weights", str(file), "--data", str(tmp_path)]) == 2
    capsys.readouterr()
    assert embedder_for(file, trust_weights=True).dimension == 512
    with pytest.raises(InputError, match="backend"):
        embedder_for(file, trust_weights=True, backend="openvino")


def test_a_program_without_a_size_asks_for_it(tmp_path: Path) -> None:
    file = tmp_path / "program.pt"
    torch.jit.trace(Small(512).eval(), torch.zeros(1, 3, 256, 128)).save(file)
    with pytest.raises(InputError, match=r"program\.yaml: height: and width:"):
        load_checkpoint(file, trust=True)
    (tmp_path / "program.yaml").write_text("height: 256\nwidth: 128\n")
    with pytest.raises(InputError, match=r"program\.yaml: `family: torchreid`"):  # nothing in a program shows it
        load_checkpoint(file, trust=True)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    class WithCamera(nn.Module):
        def forward(self, pictures: Tensor, camera: Tensor) -> Tensor:
            return pictures.mean((2, 3)) + camera

    file = tmp_path / "theirs.onnx"
    torch.onnx.export(
        WithCamera(), (torch.zeros(1, 3, 64, 32), torch.zeros(1, 3)), str(file), input_names=["pictures", "camera"],
        dynamo=False,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"2 inputs \(camera, pictures\)"):
        load_checkpoint(file)


def test_it_says_that_it_is_not_calibrated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = to_onnx(tmp_path, Small(512), 256, 128)
    calibration = embedder_for(file).calibration
    assert "calibrate-reid" in caplog.text
    assert "Torchreid's" in caplog.text
    assert calibration.center.shape == (512,)
    said = calibration.probability(np.array([0.0, 0.1, 1.0], np.float32))
    assert 0.9 > said[0] > said[1] > 0.5 > said[2] > 0.05  # nothing is known, so nothing is claimed
    assert calibration.probabilities.max() < Calibration.default(512).probabilities.max()


def test_the_public_export_has_the_vectors_of_the_public_weights(shared_data: Path) -> None:
    """Torchreid's own ONNX file beside its own state dict."""
    theirs = embedder_for(shared_data / "weights" / "osnet_x0_25_msmt17.onnx")
    ours = embedder_for(shared_data / "weights" / "osnet_x0_25_msmt17.pth")
    np.testing.assert_allclose(theirs.raw_vectors(PICTURES), ours.raw_vectors(PICTURES), atol=1e-3)


def test_every_family_has_one_name_and_a_size() -> None:
    assert all(family.sizes and family.dimensions for family in FAMILIES.values())
