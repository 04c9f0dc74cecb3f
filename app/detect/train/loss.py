"""What a detector learns from boxes of which some are doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from app.detect.train.frames import Sample
from app.detect.yolo_weights import load_ultralytics

load_ultralytics()
from ultralytics.utils.loss import v8DetectionLoss  # noqa: E402
from ultralytics.utils.tal import make_anchors  # noqa: E402

SURE_SCORE = 0.8
"""Labels of this score and above count in full."""
LEAST_WEIGHT = 0.5
"""What a label of score 0 counts."""


class FrameLoss(v8DetectionLoss):  # type: ignore[misc]  # a class without types
    """Ultralytics' detection loss (task-aligned assignment, cross-entropy, IoU and distance), with two changes.

    A label counts as much as it is sure: the confidence that the network should give, and the weight of the box's
    place. Anchors within an ignored box that no person was assigned to cost nothing, whatever their confidence.
    """

    def of(self, predicted: Any, samples: Sequence[Sample]) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of a batch, to be minimised, and its parts by name.

        predicted: what the network in training mode gives for the (B, 3, H, W) pictures of `samples`.
        """
        predicted = self.parse_output(predicted)
        places = predicted["boxes"].permute(0, 2, 1).contiguous()
        confidences = predicted["scores"].permute(0, 2, 1).contiguous()
        anchors, strides = make_anchors(predicted["feats"], self.stride, 0.5)
        boxes, scores = self._padded([s.boxes for s in samples]), self._padded([s.scores[:, None] for s in samples])
        real = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1, keepdim=True)
        decoded = self.bbox_decode(anchors, places)
        _, target_boxes, target_scores, chosen, target_index = self.assigner(
            confidences.detach().sigmoid(),
            decoded.detach() * strides,
            anchors * strides,
            torch.zeros_like(scores),
            boxes,
            real.to(boxes.dtype),
        )
        if boxes.shape[1]:
            sure = LEAST_WEIGHT + (1 - LEAST_WEIGHT) * (scores / SURE_SCORE).clamp(max=1)
            target_scores = target_scores * sure.squeeze(-1).gather(1, target_index)[..., None]
        counted = chosen | ~inside(anchors * strides, self._padded([s.ignored for s in samples]))
        total = target_scores.sum().clamp(min=1)
        confidence = (self.bce(confidences, target_scores) * counted[..., None]).sum() / total
        height, width = (side * self.stride[0] for side in predicted["feats"][0].shape[2:])
        box, distance = self.bbox_loss(
            places,
            decoded,
            anchors,
            target_boxes / strides,
            target_scores,
            total,
            chosen,
            torch.stack([height, width]),
            strides,
        )
        loss = self.hyp.box * box + self.hyp.cls * confidence + self.hyp.dfl * distance
        parts = {"box": box, "confidence": confidence, "distance": distance}
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def _padded(self, rows: Sequence[np.ndarray]) -> torch.Tensor:
        """Return (B, N, C) of B arrays (n, C), filled up with 0."""
        padded = np.zeros((len(rows), max(len(own) for own in rows), rows[0].shape[1]), np.float32)
        for target, own in zip(padded, rows, strict=True):
            target[: len(own)] = own
        return torch.from_numpy(padded).to(self.device)


def inside(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return (B, A) whether each of (A, 2) points lies in any of the (B, M, 4) boxes of each picture."""
    points = points[None, :, None]
    boxes = boxes[:, None]
    return ((points >= boxes[..., :2]) & (points <= boxes[..., 2:])).all(dim=-1).any(dim=-1)
