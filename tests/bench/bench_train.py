"""Pictures trained on per second: our loop's step beside a re-creation of Torchreid's loop, on one machine and batch.

    python tests/bench/bench_train.py --data market1501.zip [--architecture osnet_x0_25] [--height 128] [--steps 20]

Torchreid itself is not run. What is timed for it is our own re-creation of what its documentation and code describe for
OSNet: every picture is decoded by PIL, resized, flipped, cropped and normalised one by one in DataLoader workers; the
network is plain (its ReLU head, no channels-last, no fused optimiser), trained with AMSGrad and label smoothing over a
linear classifier. Ours is what `app.reid.train.loop` does in a step with the same network, size, batch and classes:
pictures decoded once, augmentation on the batch on the device, channels-last, fused AdamW; on a GPU also mixed
precision, pictures that stay there and steps recorded as a CUDA graph, and with --compile compiled. Both losses are
cross-entropy. Rounds alternate; the median counts, decoding for ours is not in it (it is paid once, and printed).
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import TrainSettings
from app.reid.osnet import FEATURE_DIMENSION, OSNETS
from app.reid.preprocess import Preprocessing
from app.reid.train.compiling import compiled
from app.reid.train.data import Listing, list_training_data, load_training_data
from app.reid.train.graph import RecordedStep
from app.reid.train.loop import READ_LOSSES, near_the_network
from app.reid.train.schedule import build_optimiser
from app.reid.train.student import Student
from app.reid.train.transforms import augment, erase
from app.system.device import choose_device
from app.system.memory import keep_freed_memory

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROUNDS = 5


class OnePictureAtATime(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Pictures as files, decoded and transformed when they are asked for."""

    def __init__(self, listing: Listing, height: int, width: int) -> None:
        (part,) = listing.parts
        self.files = [part.files.read(name) for name in part.names]
        self.labels = listing.person_ids.tolist()
        self.transform = v2.Compose(
            [
                v2.Resize((round(height * 1.125), round(width * 1.125))),
                v2.RandomCrop((height, width)),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(Image.open(io.BytesIO(self.files[row])).convert("RGB")), self.labels[row]


def recreated_step(
    options: argparse.Namespace, listing: Listing, classes: int, device: torch.device
) -> Callable[[], None]:
    network = OSNETS[options.architecture]().to(device).train()
    classifier = nn.Linear(FEATURE_DIMENSION, classes).to(device)
    optimiser = torch.optim.Adam([*network.parameters(), *classifier.parameters()], 0.0015, amsgrad=True, fused=False)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    loader: Any = torch.utils.data.DataLoader(
        OnePictureAtATime(listing, options.height, options.height // 2), options.batch, shuffle=True, drop_last=True,
        num_workers=options.workers, pin_memory=device.type == "cuda", persistent_workers=options.workers > 0,
    )  # fmt: skip

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        pictures, labels = next(batches)
        loss = loss_of(classifier(network(pictures.to(device))), labels.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def our_step(
    options: argparse.Namespace, listing: Listing, classes: int, device: torch.device
) -> tuple[Callable[[], None], float]:
    """Return a step of our loop, and the seconds that decoding everything took once."""
    settings = TrainSettings(
        architecture=options.architecture, height_px=options.height, width_px=options.height // 2, neck="relu",
        erase_probability=0.0, triplet_weight=0.0,
    )  # fmt: skip
    started = time.perf_counter()
    people = load_training_data(listing, settings.height_px, settings.width_px, 0, 0)
    decoded = time.perf_counter() - started
    student = Student(settings, np.zeros(classes, np.int64)).to(device).to(memory_format=torch.channels_last).train()
    run = compiled(student, device) if options.compile else student
    bank = near_the_network(torch.from_numpy(people.train.pictures), device)
    optimiser = build_optimiser(student.base(), student.head(), settings)
    preprocessing = Preprocessing(settings.height_px, settings.width_px)
    labels = torch.from_numpy(people.train.person_ids).to(device)
    rows = np.random.default_rng(0)
    random = torch.Generator(device).manual_seed(0)

    def forward_and_backward(pictures: Tensor, people_shown: Tensor) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            *_, outputs = run(pictures)
        loss = student.classifier.loss(outputs, people_shown)
        loss.backward()
        return loss.detach()

    recorded = RecordedStep(forward_and_backward) if device.type == "cuda" else None
    losses: list[Tensor] = []

    def step() -> None:
        chosen = torch.from_numpy(rows.integers(len(people.train), size=options.batch))
        pictures = bank[chosen.to(bank.device)].to(device, non_blocking=True)
        normalised = erase(preprocessing.normalise(augment(pictures, settings, random)), 0.0, random)
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        people_shown = labels[chosen.to(device)]
        if recorded is not None:
            losses.append(recorded((normalised, people_shown), False))
        else:
            losses.append(forward_and_backward(normalised, people_shown))
        optimiser.step()
        if len(losses) == READ_LOSSES:
            torch.stack(losses).tolist()
            losses.clear()

    return step, decoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--architecture", default="osnet_x0_25", choices=list(OSNETS))
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="of each loop in a round")
    parser.add_argument("--workers", type=int, default=4, help="of the re-created loop; 4 is Torchreid's default")
    parser.add_argument("--compile", action="store_true", help="ours as with train.compile")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device("auto", "train.device")
    torch.backends.cudnn.benchmark = True  # both loops set it
    listing = list_training_data([options.data])
    classes = int(listing.person_ids.max()) + 1
    ours, decoded = our_step(options, listing, classes, device)
    steps = {"ours": ours, "re-creation of Torchreid's": recreated_step(options, listing, classes, device)}
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    flushed = {"ours": True, "re-creation of Torchreid's": False}
    for number in range(ROUNDS + 1):
        for name, step in steps.items():
            torch.set_flush_denormal(flushed[name])  # as our loop sets it
            started = time.perf_counter()
            if name == "ours":
                with keep_freed_memory():
                    for _ in range(options.steps):
                        step()
            else:
                for _ in range(options.steps):
                    step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first round warms up
                speeds[name].append(options.batch * options.steps / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    first, second = medians.values()
    print(
        json.dumps(
            {"device": str(device), "pictures_per_s": medians, "ratio": first / second, "decoding_once_s": decoded},
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
