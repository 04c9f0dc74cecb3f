"""OSNet against the figures of its paper, against a foreign export, and against Torchreid's file layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from app.reid.embedder import fuse_batch_norms
from app.reid.osnet import FEATURE_DIMENSION, OSNETS, architecture_of, torchreid_names

PAPER = {
    "osnet_x1_0": (2.2, 978.9),
    "osnet_x0_75": (1.3, 571.8),
    "osnet_x0_5": (0.6, 272.9),
    "osnet_x0_25": (0.2, 82.3),
    "osnet_ibn_x1_0": (2.2, 978.9),
    "osnet_ain_x1_0": (2.2, 978.9),
}


def multiply_adds(network: nn.Module) -> int:
    """Multiplications of convolutions and linear layers for one picture, as the paper counts them: no biases, no
    normalisation, no classifier."""
    counted = []

    def count(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        places = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
        counted.append(places * layer.weight.numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 256, 128))
    return sum(counted)


@pytest.mark.parametrize("name", PAPER)
def test_parameters_and_multiply_adds_are_those_of_the_paper(name: str) -> None:
    network = OSNETS[name]()
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert (round(millions, 1), round(multiply_adds(network) / 1e6, 1)) == PAPER[name]


@pytest.mark.parametrize("name", OSNETS)
def test_every_architecture_is_recognised_by_its_tensors(name: str) -> None:
    assert architecture_of(OSNETS[name]().state_dict()) == name


def test_other_networks_are_not_taken_for_an_osnet() -> None:
    assert architecture_of({}) is None
    assert architecture_of({"conv1.conv.weight": torch.zeros(7, 3, 7, 7), "fc.0.weight": torch.zeros(512, 9)}) is None


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x0_25"])
@pytest.mark.parametrize("neck", ["relu", "bnneck"])
@pytest.mark.parametrize("pooling", ["average", "gem"])
def test_a_picture_of_any_size_becomes_a_vector(name: str, neck: str, pooling: str) -> None:
    vectors = OSNETS[name](neck=neck, pooling=pooling).eval()(torch.randn(2, 3, 64, 40))
    assert vectors.shape == (2, FEATURE_DIMENSION)
    assert torch.isfinite(vectors).all()
    assert (vectors.min() < 0) == (neck == "bnneck")


def test_one_gate_weighs_all_four_streams() -> None:
    block = OSNETS["osnet_x0_25"]().conv3[0]
    calls = []
    block.gate.register_forward_hook(lambda *_: calls.append(1))
    block(torch.randn(2, 64, 8, 4))
    assert len(calls) == 4
    assert [len(list(block.conv2a.children())), len(block.conv2b), len(block.conv2c), len(block.conv2d)] == [4, 2, 3, 4]


def test_fusing_batch_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    network = OSNETS["osnet_ain_x0_25"]()
    network.train()(torch.randn(8, 3, 64, 32))  # running statistics that are not 0 and 1
    pictures = torch.randn(3, 3, 64, 32)
    with torch.inference_mode():
        expected = network.eval()(pictures)
        fuse_batch_norms(network)
        torch.testing.assert_close(network(pictures), expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_torchreids_names_of_the_ain_variant_are_mapped() -> None:
    network = OSNETS["osnet_ain_x0_25"]()
    theirs = {}
    for name, tensor in network.state_dict().items():
        stage, position, rest = (*name.split(".", 2), "", "")[:3]
        if stage in {"conv2", "conv3"} and position == "2":
            name = f"pool{stage[-1]}.{rest}"
        elif stage in {"conv2", "conv3", "conv4"} and rest.startswith("conv2"):
            stream = "abcd".index(rest[5])
            layer = rest[7:] if stream else f"0.{rest[7:]}"
            name = f"{stage}.{position}.conv2.{stream}.layers.{layer}"
        theirs[f"module.{name}"] = tensor
    theirs["module.classifier.weight"] = torch.zeros(10, 512)
    ours = torchreid_names(theirs)
    assert "conv2.0.conv2.1.layers.0.conv1.weight" not in ours
    assert "module.conv2.0.conv2.1.layers.0.conv1.weight" in theirs
    assert architecture_of(ours) == "osnet_ain_x0_25"
    network.load_state_dict(ours)


def test_agrees_with_a_foreign_export(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    weights = shared_data / "weights"
    network = OSNETS["osnet_x0_25"]()
    network.load_state_dict(torchreid_names(torch.load(weights / "osnet_x0_25_msmt17.pth", weights_only=True)))
    pictures = np.random.default_rng(0).normal(size=(4, 3, 256, 128)).astype(np.float32)
    session = onnxruntime.InferenceSession(weights / "osnet_x0_25_msmt17.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {session.get_inputs()[0].name: pictures})
    with torch.inference_mode():
        ours = network.eval()(torch.from_numpy(pictures)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4)  # entries reach 20
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (ours, theirs)]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-5)
