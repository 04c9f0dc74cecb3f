"""Feature distillation: learning from what a strong detector sees, not only from what it says.

Cao et al., "PKD: General distillation framework for object detectors via Pearson correlation coefficient", NeurIPS
2022: where in a picture each of the teacher's channels is strong is to be told from the student's channels by one
matrix per level; how strong it is doesn't matter. The teacher sees the picture before it was degraded, so that the
student learns to see through noise, night and blur. Nothing of the teacher is in the student: the matrices are thrown
away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.detect.yolo_weights import check_trust, load_pickle, load_weights
from app.errors import InputError
from app.system.checksum import file_sha256


class FeatureTeacher(nn.Module):
    """A strong detector whose features, in front of its head, are to be told from the student's.

    `adapters` are trained along with the student.
    """

    def __init__(self, weights: Path, channels: Sequence[int]) -> None:
        """channels: of the student's features, level by level. Raises InputError for weights of which the origin is
        unknown, and for such as can't teach it."""
        super().__init__()
        if weights.suffix == ".safetensors":
            network = load_weights(weights)
        else:
            check_trust(weights, file_sha256(weights), False)
            network = load_pickle(weights, False)
        network = network.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)
        head = network.model[-1]
        own = [branch[0].conv.in_channels for branch in getattr(head, "one2one_cv2", None) or head.cv2]
        if len(own) != len(channels):
            raise InputError(
                f"train_detector.teacher: {weights} has {len(own)} levels where the network to be trained has "
                f"{len(channels)}"
            )
        network.model[-1] = _Stop(head)
        self._network = [network]  # in a list: its weights are neither trained nor saved
        self.adapters = nn.ModuleList(nn.Conv2d(mine, his, 1) for mine, his in zip(channels, own, strict=True))

    def loss(self, pictures: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the mean over channels and levels of one minus their correlation with the teacher's.

        pictures: (B, 3, H, W) float32 RGB in [0, 1], as the teacher is to see them. features: the student's, level by
        level, each (B, C, h, w).
        """
        with torch.no_grad():
            taught = self._network[0](pictures)
        parts = [
            1 - (_standard(adapter(own)) * _standard(his)).mean()
            for adapter, own, his in zip(self.adapters, features, taught, strict=True)
        ]
        return torch.stack(parts).mean()


class _Stop(nn.Module):
    """Stands in for a head and returns what goes into it."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.f, self.i = head.f, head.i  # where Ultralytics looks up its inputs

    def forward(self, features: Any) -> Any:
        return features


def _standard(features: torch.Tensor) -> torch.Tensor:
    """Return each channel with mean 0 and deviation 1 over pictures and places."""
    mean = features.mean(dim=(0, 2, 3), keepdim=True)
    deviation = features.std(dim=(0, 2, 3), keepdim=True, correction=0)
    return (features - mean) / (deviation + 1e-6)
