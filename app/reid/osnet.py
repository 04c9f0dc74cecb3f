"""OSNet: omni-scale feature learning for recognising people again.

Zhou, Yang, Cavallaro, Xiang: "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019, and
"Learning Generalisable Omni-Scale Representations for Person Re-Identification", TPAMI 2021 (the AIN variant).

The building block looks at a picture at four scales at once: four streams of one to four *Lite 3×3* convolutions see
3, 5, 7 and 9 pixels wide, and one small gate, shared by the four streams, decides for each picture and channel how
much of each scale to take. The whole network is a stem, three pairs of such blocks and a 512-vector head.

Parameter names follow Torchreid's state dicts (`conv2.0.conv2b.1.bn.weight`, …), so that published weights load as
they are. Torchreid names the AIN variant's streams and transitions in another way; `torchreid_names` maps those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

FEATURE_DIMENSION = 512
"""Length of the vector that every OSNet produces."""


InstanceNormPlace = Literal["none", "inside", "after"]
"""Where an omni-scale block normalises each picture by its own statistics: nowhere; on the residual before it is
added (AIN); on the sum (IBN)."""

Pooling = Literal["average", "gem"]
"""How a channel's map becomes a number: its mean as in the paper, or a generalised mean with a learned exponent."""

Neck = Literal["relu", "bnneck"]
"""What follows the last linear layer: BatchNorm and ReLU as in the paper, or the BatchNorm alone, with distances
learned before it and classes after it (BNNeck: Luo et al., "Bag of Tricks", CVPR workshops 2019)."""


class ConvNormRelu(nn.Module):
    """Convolution, normalisation over the batch (or over each picture with `instance_norm`), ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, instance_norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn: nn.Module = nn.InstanceNorm2d(outputs, affine=True) if instance_norm else nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class LinearConv1x1(nn.Module):
    """1×1 convolution without a non-linearity; `norm` False leaves the normalisation to the caller."""

    def __init__(self, inputs: int, outputs: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Lite3x3(nn.Module):
    """The paper's Lite 3×3: a 1×1 convolution across channels, then a 3×3 convolution within each channel.

    It does the work of a full 3×3 convolution with about a ninth of its parameters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv2(self.conv1(x))))


class AggregationGate(nn.Module):
    """The unified aggregation gate G: a weight in (0, 1) for each channel of each picture, from the picture itself.

    One gate serves all four streams of a block, so it learns what makes a scale worth having, not a fixed preference.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(pooled))))


class GeneralisedMean(nn.Module):
    """GeM pooling (Radenović et al., TPAMI 2019): the p-norm mean of each channel's map, with p learned."""

    def __init__(self, exponent: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(exponent))
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=self.floor).pow(self.p).mean((2, 3)).pow(1 / self.p)


class OmniScaleBlock(nn.Module):
    """Residual bottleneck whose 3×3 convolution is replaced by four gated streams of growing receptive field."""

    def __init__(self, inputs: int, outputs: int, instance_norm: InstanceNormPlace = "none") -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = ConvNormRelu(inputs, middle, 1)
        self.conv2a = Lite3x3(middle)
        self.conv2b = nn.Sequential(*(Lite3x3(middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(Lite3x3(middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(Lite3x3(middle) for _ in range(4)))
        self.gate = AggregationGate(middle)
        self.conv3 = LinearConv1x1(middle, outputs, norm=instance_norm != "inside")
        self.downsample: nn.Module = LinearConv1x1(inputs, outputs) if inputs != outputs else nn.Identity()
        self.instance_norm = instance_norm
        self.IN: nn.Module = nn.Identity() if instance_norm == "none" else nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        small, medium = self.gate(self.conv2a(reduced)), self.gate(self.conv2b(reduced))
        large, largest = self.gate(self.conv2c(reduced)), self.gate(self.conv2d(reduced))
        residual = self.conv3(small + medium + large + largest)
        if self.instance_norm == "inside":
            residual = self.IN(residual)
        total = residual + self.downsample(x)
        if self.instance_norm == "after":
            total = self.IN(total)
        return torch.relu(total)


class OSNet(nn.Module):
    """The network of the paper's table 1.

    channels: of the stem and of the three stages: (64, 256, 384, 512) at width 1.
    places: for the three stages, where each of its two blocks applies instance normalisation.
    stem_instance_norm: normalise the stem's output picture by picture.
    pooling, neck: the head; the defaults are the paper's.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        places: tuple[tuple[InstanceNormPlace, InstanceNormPlace], ...] = (("none", "none"),) * 3,
        stem_instance_norm: bool = False,
        pooling: Pooling = "average",
        neck: Neck = "relu",
    ) -> None:
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = ConvNormRelu(3, stem, 7, stride=2, instance_norm=stem_instance_norm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(
            OmniScaleBlock(stem, first, places[0][0]),
            OmniScaleBlock(first, first, places[0][1]),
            nn.Sequential(ConvNormRelu(first, first, 1), nn.AvgPool2d(2)),
        )
        self.conv3 = nn.Sequential(
            OmniScaleBlock(first, second, places[1][0]),
            OmniScaleBlock(second, second, places[1][1]),
            nn.Sequential(ConvNormRelu(second, second, 1), nn.AvgPool2d(2)),
        )
        self.conv4 = nn.Sequential(
            OmniScaleBlock(second, third, places[2][0]),
            OmniScaleBlock(third, third, places[2][1]),
        )
        self.conv5 = ConvNormRelu(third, third, 1)
        self.gem = GeneralisedMean() if pooling == "gem" else None
        self.neck = neck
        self.fc = nn.Sequential(nn.Linear(third, FEATURE_DIMENSION), nn.BatchNorm1d(FEATURE_DIMENSION))
        self._initialise()

    def feature_maps(self, pictures: Tensor) -> Tensor:
        """Return (N, C, H/16, W/16) activations of normalised (N, 3, H, W) pictures."""
        x = self.maxpool(self.conv1(pictures))
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))

    def before_and_after_neck(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return, from (N, C, H, W) `feature_maps`, the (N, 512) vectors that a metric loss shapes and the (N, 512)
        vectors that a classifier reads.

        With the paper's head both are the same.
        """
        linear, norm = self.fc
        before = linear(maps.mean((2, 3)) if self.gem is None else self.gem(maps))
        after = norm(before)
        if self.neck == "bnneck":
            return before, after
        activated = torch.relu(after)
        return activated, activated

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (N, 512) vectors of normalised (N, 3, H, W) pictures: not of unit length yet."""
        return self.before_and_after_neck(self.feature_maps(pictures))[1]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
"""Channels of stem and stages, by width."""

IBN_PLACES: tuple[tuple[InstanceNormPlace, InstanceNormPlace], ...] = (
    ("after", "after"),
    ("none", "none"),
    ("none", "none"),
)
AIN_PLACES: tuple[tuple[InstanceNormPlace, InstanceNormPlace], ...] = (
    ("inside", "inside"),
    ("none", "inside"),
    ("inside", "none"),
)
"""Where the search of the TPAMI paper put instance normalisation."""

OSNETS: dict[str, Callable[..., OSNet]] = {
    "osnet_x1_0": partial(OSNet, WIDTHS["x1_0"]),
    "osnet_x0_75": partial(OSNet, WIDTHS["x0_75"]),
    "osnet_x0_5": partial(OSNet, WIDTHS["x0_5"]),
    "osnet_x0_25": partial(OSNet, WIDTHS["x0_25"]),
    "osnet_ibn_x1_0": partial(OSNet, WIDTHS["x1_0"], IBN_PLACES, True),
    "osnet_ain_x1_0": partial(OSNet, WIDTHS["x1_0"], AIN_PLACES, True),
    "osnet_ain_x0_75": partial(OSNet, WIDTHS["x0_75"], AIN_PLACES, True),
    "osnet_ain_x0_5": partial(OSNet, WIDTHS["x0_5"], AIN_PLACES, True),
    "osnet_ain_x0_25": partial(OSNet, WIDTHS["x0_25"], AIN_PLACES, True),
}
"""Every architecture, by name. A builder takes OSNet's `pooling` and `neck`."""


def torchreid_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with the names used here, from Torchreid's; entries of the training classifier are left out.

    Handles `module.` prefixes of data-parallel training and the AIN variant's own names.
    """
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("module.")
        if name.startswith("classifier."):
            continue
        name = re.sub(r"^pool([23])\.0\.", r"conv\1.2.0.", name)
        name = re.sub(r"\.conv2\.0\.layers\.0\.", ".conv2a.", name)
        name = re.sub(r"\.conv2\.([123])\.layers\.", lambda match: f".conv2{'abcd'[int(match[1])]}.", name)
        renamed[name] = value
    return renamed


def architecture_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the name in `OSNETS` of the network that a state dict (names as used here) belongs to; None if unknown."""
    stem = state.get("conv1.conv.weight")
    head = state.get("fc.0.weight")
    if stem is None or head is None or stem.ndim != 4 or head.ndim != 2:
        return None
    shape = (stem.shape[0], head.shape[1])
    width = next((width for width, channels in WIDTHS.items() if (channels[0], channels[3]) == shape), "")
    if "conv3.1.IN.weight" in state:
        name = f"osnet_ain_{width}"
    elif "conv2.0.IN.weight" in state:
        name = f"osnet_ibn_{width}"
    else:
        name = f"osnet_{width}"
    return name if name in OSNETS else None
