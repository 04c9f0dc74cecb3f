"""A wider network that begins where a narrower one ended.

Chen, Goodfellow and Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016: the wider network has
some channels of the narrower one twice, and whoever reads them takes a half of each, so that it answers the same. A
little noise then lets the copies learn different things.

Which channel is whose copy behind splits, joins and sums is not read off the architecture: both networks are run with
a number of its own on every channel of the narrow one, and equal numbers are copies.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.detect.yolo_weights import load_ultralytics

_SIDE = 64
"""Pixels of the picture that is run: any that all levels divide."""


def widened_description(description: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return a network's description in Ultralytics' notation with `factor` times the channels, in steps of eight."""
    wide = copy.deepcopy(description)
    for row in wide["backbone"] + wide["head"]:
        arguments = row[3]
        if row[2] in ("Conv", "C3k2", "SPPF"):
            arguments[0] = max(arguments[0], int(np.ceil(arguments[0] * factor / 8)) * 8)
    return wide


def widen(model: Any, factor: float, noise: float, seed: int) -> Any:
    """Return an `ultralytics` DetectionModel with `factor` times the channels that answers as `model` does.

    model: made of convolutions whose channels are all joined or each for itself (depthwise), as our own are.
    noise: added to the weights, in standard deviations of each tensor; 0 gives the same answers but for rounding.
    """
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    wide = DetectionModel(widened_description(model.yaml, factor), ch=3, verbose=False)
    wide.names = dict(model.names)
    rng = np.random.default_rng([seed, 11])
    inputs, numbers = _inputs(model, rng)
    maps = _channel_maps(wide, inputs, numbers)
    _copy(model, wide, maps)
    generator = torch.Generator().manual_seed(seed)
    if noise:
        with torch.no_grad():
            for module in wide.modules():
                if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
                    weight = module.weight
                    weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
    return wide


def _convolutions(model: Any) -> dict[str, nn.Conv2d]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


def _inputs(model: Any, rng: np.random.Generator) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return, for each convolution, the numbers on its input channels and those that it gives its outputs."""
    numbers = {name: rng.random(conv.out_channels) for name, conv in _convolutions(model).items()}
    seen: dict[str, NDArray[Any]] = {}

    def number(name: str, given: NDArray[Any]) -> NDArray[Any]:
        seen[name] = given
        return numbers[name]

    _run(model, number)
    return seen, numbers


def _channel_maps(
    wide: Any, inputs: dict[str, NDArray[Any]], numbers: dict[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return, for each convolution of the wide network, of which input and output channels its own are copies."""
    maps: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    convolutions = _convolutions(wide)

    def number(name: str, given: NDArray[Any]) -> NDArray[Any]:
        narrow = inputs[name]
        if len(np.unique(narrow)) < len(narrow):
            raise ValueError(f"{name}: reads one channel twice")
        order = np.argsort(narrow)
        found = order[np.searchsorted(narrow, given, sorter=order).clip(max=len(narrow) - 1)]
        if not np.array_equal(narrow[found], given):
            raise ValueError(f"{name}: reads channels that the narrow network does not have")
        conv = convolutions[name]
        count = len(numbers[name])
        outputs = found if conv.groups > 1 else np.arange(conv.out_channels) * count // conv.out_channels
        maps[name] = found, outputs
        return numbers[name][outputs]

    _run(wide, number)
    return maps


def _run(model: Any, number: Any) -> None:
    """Run a copy of `model` in which convolutions give each channel what `number(name, numbers of the input)` says,
    and nothing else changes a value."""
    model = copy.deepcopy(model).double().train()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):

            def numbered(module: Any, given: Any, output: torch.Tensor, name: str = name) -> torch.Tensor:
                own = torch.from_numpy(number(name, given[0][0, :, 0, 0].numpy()))
                return own[None, :, None, None].expand(output.shape)

            module.register_forward_hook(numbered)
        elif isinstance(module, nn.BatchNorm2d | nn.SiLU):
            module.register_forward_hook(lambda module, given, output: given[0])
            if isinstance(module, nn.SiLU):
                module.inplace = False
        elif isinstance(module, nn.MaxPool2d):
            # What went through the pool is joined with what did not, and must not be taken for it.
            module.register_forward_hook(lambda module, given, output: output + 1)
    with torch.no_grad():
        model(-torch.arange(1, 4, dtype=torch.float64)[None, :, None, None].expand(1, 3, _SIDE, _SIDE))


@torch.no_grad()
def _copy(model: Any, wide: Any, maps: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> None:
    narrow = model.state_dict()
    result = wide.state_dict()
    done = set()
    for name, (inputs, outputs) in maps.items():
        weight = narrow[f"{name}.weight"].float()
        rows = torch.from_numpy(outputs)
        if _convolutions(wide)[name].groups > 1:
            result[f"{name}.weight"].copy_(weight[rows])
        else:
            shares = 1 / np.bincount(inputs)[inputs]
            columns = torch.from_numpy(inputs)
            result[f"{name}.weight"].copy_(weight[rows][:, columns] * torch.from_numpy(shares).float()[:, None, None])
        done.add(f"{name}.weight")
        # A bias of its own, or the normalisation behind it, goes with the outputs.
        for part in [f"{name}.bias"] + [
            f"{name.removesuffix('.conv')}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")
        ]:
            if part in result:
                result[part].copy_(narrow[part].float()[rows])
                done.add(part)
    left = {part for part in result if part not in done and not part.endswith("num_batches_tracked")}
    if left:
        raise ValueError(f"not copied: {', '.join(sorted(left))}")
