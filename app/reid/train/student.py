"""The network that learns, with what only training needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.config import TrainSettings
from app.errors import InputError
from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import require_weights
from app.reid.osnet import FEATURE_DIMENSION, OSNETS, OSNet
from app.reid.preprocess import Preprocessing
from app.reid.train.data import LabelledCrops
from app.reid.train.held_out import embed_batches
from app.reid.train.losses import CenterLoss, Classifier

MEAN_OUTPUT = 16.0
"""What a classifier made of means gives a picture that lies exactly in the direction of a person's mean: among some
hundred people that puts the most likely one at about the certainty that label smoothing asks for."""


class Student(nn.Module):
    """A network with what only training needs: a classifier over the people, and their centres."""

    def __init__(self, settings: TrainSettings, person_sets: NDArray[np.int64]) -> None:
        """person_sets: (C,) the data set of each person, see `Classifier`."""
        super().__init__()
        people = len(person_sets)
        self.network: OSNet = OSNETS[settings.architecture](pooling=settings.pooling, neck=settings.neck)
        self.classifier = Classifier(
            settings.classification,
            FEATURE_DIMENSION,
            torch.from_numpy(person_sets),
            settings.label_smoothing,
            settings.margin,
            settings.scale,
        )
        self.center_loss = CenterLoss(FEATURE_DIMENSION, people)

    def head(self) -> list[nn.Parameter]:
        """Return the parameters after the last convolution: all that is trained in frozen epochs."""
        return [*self.network.fc.parameters(), *self.classifier.parameters(), *self.center_loss.parameters()]

    def base(self) -> list[nn.Parameter]:
        head = {id(parameter) for parameter in self.head()}
        return [parameter for parameter in self.parameters() if id(parameter) not in head]

    def forward(self, pictures: Tensor, labelled: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the (L, 512) vectors for metric losses, the (N, 512) vectors for use, and (L, C) class outputs.

        labelled: L, how many of the (N, 3, H, W) pictures, the first ones, show people whose names are known; all by
            default.
        """
        maps = self.network.feature_maps(pictures)
        with torch.autocast(pictures.device.type, enabled=False):  # half a float is too coarse to compare vectors by
            before, after = self.network.before_and_after_neck(maps.float())
            return before[:labelled], after, self.classifier(after[:labelled])


def start_from_weights(network: OSNet, settings: TrainSettings) -> None:
    path = require_weights(settings.start_from, "train.start_from")
    checkpoint = load_checkpoint(path)
    if checkpoint.architecture != settings.architecture:
        raise InputError(
            f"train.start_from: {path} holds {checkpoint.architecture}, but train.architecture is "
            f"{settings.architecture}"
        )
    network.load_state_dict(dict(checkpoint.state), strict=False)  # GeM's exponent may be new


def classify_by_means(
    student: Student, shown: LabelledCrops, preprocessing: Preprocessing, device: torch.device
) -> None:
    """Let the classifier know each person by the mean direction of the pictures, as the network sees them already.

    A classifier of random weights would first pull apart what the network has learned (the "imprinting" of Qi, Brown &
    Lowe, "Low-Shot Learning with Imprinted Weights", CVPR 2018).
    """
    vectors = torch.from_numpy(embed_batches(student.network, shown.pictures, preprocessing, device))
    means = torch.zeros(student.classifier.weight.shape)
    means.index_add_(0, torch.from_numpy(shown.person_ids), nn.functional.normalize(vectors))
    weights = nn.functional.normalize(means) * (MEAN_OUTPUT / vectors.norm(dim=1).mean())
    with torch.no_grad():
        student.classifier.weight.copy_(weights)


def clone(network: OSNet) -> OSNet:
    return copy.deepcopy(network).eval().requires_grad_(False)


class MovingAverage:
    """Weights that follow those of a network; slowly once there is a past worth keeping."""

    def __init__(self, average: OSNet, network: OSNet) -> None:
        pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._average, self._network = ([pair[side] for pair in floats] for side in (0, 1))
        self._average_counts, self._network_counts = ([pair[side] for pair in counts] for side in (0, 1))

    @torch.no_grad()
    def move(self, decay: float, step: int) -> None:
        torch._foreach_lerp_(self._average, self._network, 1 - min(decay, (1 + step) / (10 + step)))
        torch._foreach_copy_(self._average_counts, self._network_counts)


def set_training(students: Sequence[Student], frozen: bool) -> None:
    """Put students into training mode; `frozen` keeps all but their heads as they are, statistics included."""
    for student in students:
        student.train()
        for parameter in student.base():
            parameter.requires_grad_(not frozen)
        if frozen:
            student.network.eval()
            student.network.fc.train()
