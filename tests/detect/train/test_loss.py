"""The loss: Ultralytics' own where labels are sure, silent where nobody knows, lower targets where labels are weak."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from app.detect.train.frames import Sample
from app.detect.train.loss import FrameLoss, inside
from app.detect.yolo_weights import load_ultralytics

SIDE = 64
BOXES = np.array([[8, 8, 24, 56], [40, 10, 60, 60]], np.float32)


@pytest.fixture
def model(small_networks: ModuleType) -> Any:
    load_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel({**small_networks.DESCRIPTION, "nc": 1, "end2end": False, "reg_max": 1}, verbose=False)
    model.args = get_cfg()
    return model.train()


def sample(boxes: Any = BOXES, score: float = 1.0, ignored: Any = BOXES[:0]) -> Sample:
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(image, boxes, np.full(len(boxes), score, np.float32), np.array(ignored, np.float32).reshape(-1, 4))


def predict(model: Any, count: int) -> Any:
    return model(torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)))


def test_sure_labels_give_the_loss_of_ultralytics(model: Any) -> None:
    samples = [sample(), sample(BOXES[:1]), sample(BOXES[:0])]
    predicted = predict(model, 3)
    ours, _ = FrameLoss(model).of(predicted, samples)
    boxes = np.concatenate([s.boxes for s in samples])
    batch = {
        "batch_idx": torch.tensor([0.0, 0, 1]),
        "cls": torch.zeros(3),
        "bboxes": torch.from_numpy(
            np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]]) / SIDE
        ).float(),
    }
    theirs, _ = model.init_criterion()(predicted, batch)
    assert float(ours.detach()) == pytest.approx(float(theirs.sum().detach()) / 3, rel=1e-4)


def test_ignored_places_have_no_say_in_the_confidence(model: Any) -> None:
    everywhere = [[0, 0, SIDE, SIDE]]
    predicted = predict(model, 1)
    scores = predicted["scores"]
    (gradient,) = torch.autograd.grad(
        FrameLoss(model).of(predicted, [sample(BOXES[:0], ignored=everywhere)])[0], scores, retain_graph=True
    )
    assert (gradient == 0).all()
    (gradient,) = torch.autograd.grad(
        FrameLoss(model).of(predicted, [sample(BOXES[:0], ignored=[[0, 0, 32, SIDE]])])[0], scores, retain_graph=True
    )
    assert 0.3 < float((gradient == 0).float().mean()) < 0.7
    # Somebody who is there is learned all the same.
    (gradient,) = torch.autograd.grad(FrameLoss(model).of(predicted, [sample(ignored=everywhere)])[0], scores)
    assert (gradient != 0).any()
    assert (gradient <= 0).float().mean() > 0.9


def test_weak_labels_ask_for_less_confidence(model: Any) -> None:
    predicted = predict(model, 1)
    gradients = []
    for score in (1.0, 0.4):
        loss, parts = FrameLoss(model).of(predicted, [sample(score=score)])
        (gradient,) = torch.autograd.grad(loss, predicted["scores"], retain_graph=True)
        gradients.append(gradient.clamp(max=0).sum())
        assert set(parts) == {"box", "confidence", "distance"}
    assert gradients[0] < gradients[1] * 0.9


def test_points_in_boxes() -> None:
    points = torch.tensor([[5.0, 5], [15, 15], [25, 25]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 30]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    assert inside(points, boxes).tolist() == [[True, False, True], [False, False, False]]
    assert inside(points, boxes[:, :0]).tolist() == [[False] * 3] * 2
