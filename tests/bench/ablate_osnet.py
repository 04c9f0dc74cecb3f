"""What carries OSNet: four streams under one gate, beside one stream, plain addition and concatenation (table 6 of
Zhou et al., ICCV 2019), on a budget of two hours.

    python tests/bench/ablate_osnet.py --data market1501.zip [--people 500] [--height 192] [--epochs 20] [--seeds 1]

Every variant is trained from nothing by `main.py train`'s own loop on the same people, batches and pictures, which grow
from half their size over the first 60 % of the epochs, and is scored on other people of Market-1501. --write puts the
table into ablate_osnet.md. One CPU thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import TrainSettings
from app.reid.osnet import OSNETS, LinearConv1x1, OmniScaleBlock, OSNet
from app.reid.train.loop import train

ARCHITECTURE = "osnet_x0_25"
UNIFIED_GATE = OSNETS[ARCHITECTURE]
TABLE = Path(__file__).with_suffix(".md")


class OneStream(OmniScaleBlock):
    """One Lite 3×3 with its gate: T = 1 of the paper. Everything in a block is seen at one scale."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        del self.conv2b, self.conv2c, self.conv2d

    def mixed(self, reduced: Tensor) -> Tensor:
        return self.gate(self.conv2a(reduced))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv3(self.mixed(self.conv1(x))) + self.downsample(x))


class Addition(OneStream):
    """Four streams, added as they are."""

    def __init__(self, inputs: int, outputs: int) -> None:
        OmniScaleBlock.__init__(self, inputs, outputs)
        del self.gate

    def streams(self, reduced: Tensor) -> list[Tensor]:
        return [stream(reduced) for stream in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)]

    def mixed(self, reduced: Tensor) -> Tensor:
        return torch.stack(self.streams(reduced)).sum(0)


class Concatenation(Addition):
    """Four streams side by side; the 1×1 convolution after them learns how to mix them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.conv3 = LinearConv1x1(outputs, outputs)

    def mixed(self, reduced: Tensor) -> Tensor:
        return torch.cat(self.streams(reduced), 1)


def variant(block: type[OmniScaleBlock], **head: str) -> OSNet:
    """Build the network with other blocks in the places of its own, freshly initialised."""
    network = UNIFIED_GATE(**head)
    for stage in (network.conv2, network.conv3, network.conv4):
        for place in (0, 1):
            own = stage[place]
            stage[place] = block(own.conv1.conv.in_channels, own.conv3.conv.out_channels)
    network._initialise()
    return network


VARIANTS: dict[str, Callable[..., OSNet]] = {
    "four streams, unified gate": UNIFIED_GATE,
    "one stream": partial(variant, OneStream),
    "four streams, addition": partial(variant, Addition),
    "four streams, concatenation": partial(variant, Concatenation),
}


def subset(market: Path, folder: Path, people: int) -> Path:
    """Write a zip file of the first people of each part of Market-1501, without junk and distractors."""
    chosen = folder / "subset.zip"
    with zipfile.ZipFile(market) as source, zipfile.ZipFile(chosen, "w") as target:
        names = [name for name in source.namelist() if name.endswith(".jpg")]
        for part, count in (("bounding_box_train", people), ("query", people // 2), ("bounding_box_test", people // 2)):
            own = [name for name in names if Path(name).parent.name == part and Path(name).name[:4] not in ("0000",)]
            own = [name for name in own if not Path(name).name.startswith("-")]
            numbers = sorted({Path(name).name[:4] for name in own})[:count]
            for name in own:
                if Path(name).name[:4] in numbers:
                    target.writestr(f"{part}/{Path(name).name}", source.read(name))
    return chosen


def score(
    builder: Callable[..., OSNet], data: Path, folder: Path, height: int, epochs: int, seed: int
) -> tuple[float, float, float]:
    """Train one variant; return rank-1 and mAP in percent and its CPU minutes."""
    settings = TrainSettings(
        architecture=ARCHITECTURE, height_px=height, width_px=height // 2, epochs=epochs, people_per_batch=16,
        pictures_per_person=4, held_out_people=20, start_size_share=0.5, grow_until_share=0.6,
        learning_rate=0.003, weight_decay=0.02, warmup_epochs=1,
        erase_probability=0.0, evaluate_every_epochs=epochs, threads=1, device="cpu", seed=seed,
    )  # fmt: skip
    OSNETS[ARCHITECTURE] = builder
    started = time.process_time()
    summary = train(settings, [data], folder, resume=False)
    (test,) = summary["test"].values()
    return test["rank1"], test["mAP"], (time.process_time() - started) / 60


def table(found: dict[str, list[tuple[float, float, float]]], options: argparse.Namespace) -> str:
    lines = [
        "# What carries OSNet, on a small budget",
        "",
        f"`python tests/bench/ablate_osnet.py --data market1501.zip --people {options.people} "
        f"--height {options.height} --epochs {options.epochs} --seeds {options.seeds} --write`: x0.25 from nothing on "
        f"{options.people} people of Market-1501 at {options.height} × {options.height // 2}, {options.epochs} epochs, "
        f"tested on {options.people // 2} other people. Mean over seeds; each seed in brackets.",
        "",
        "| block | parameters | mAP | rank-1 | CPU minutes a run |",
        "|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        if not runs:
            continue
        rank1, precision, minutes = np.array(runs).T
        parameters = sum(parameter.numel() for parameter in VARIANTS[name]().parameters())
        each = [" / ".join(f"{value:.1f}" for value in values) for values in (precision, rank1)]
        lines.append(
            f"| {name} | {parameters:,} | {precision.mean():.1f} ({each[0]}) | {rank1.mean():.1f} ({each[1]}) | "
            f"{minutes.mean():.1f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = subset(options.data, folder, options.people)
        for seed in range(options.seeds):
            for number, (block, builder) in enumerate(VARIANTS.items()):
                found[block].append(
                    score(builder, data, folder / f"{number}_{seed}", options.height, options.epochs, seed)
                )
                print(block, seed, found[block][-1], file=sys.stderr, flush=True)
                if options.write:
                    TABLE.write_text(table(found, options), encoding="utf-8")
    print(table(found, options))


if __name__ == "__main__":
    main()
