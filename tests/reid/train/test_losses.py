"""Losses against their formulas, written plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from app.reid.train.losses import CenterLoss, Classifier, batch_hard_triplet, likenesses_apart, mutual_learning

RANDOM = torch.Generator().manual_seed(0)
VECTORS = torch.randn(12, 6, generator=RANDOM)
LABELS = torch.arange(4).repeat_interleave(3)


@pytest.mark.parametrize("margin", [0.0, 0.3, 5.0])
def test_batch_hard_triplet(margin: float) -> None:
    expected = []
    for anchor in range(12):
        distances = [float((VECTORS[anchor] - other).norm()) for other in VECTORS]
        match = max(d for d, label in zip(distances, LABELS, strict=True) if label == LABELS[anchor])
        stranger = min(d for d, label in zip(distances, LABELS, strict=True) if label != LABELS[anchor])
        gap = match - stranger
        expected.append(np.log1p(np.exp(gap)) if margin == 0 else max(0.0, gap + margin))
    assert batch_hard_triplet(VECTORS, LABELS, margin).item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_triplet_gradient_is_finite_for_equal_vectors() -> None:
    vectors = torch.ones(6, 4, requires_grad=True)
    batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1, 2, 2]), 0.3).backward()
    assert torch.isfinite(vectors.grad).all()


def classifier(kind: str) -> Classifier:
    torch.manual_seed(1)
    made = Classifier(kind, 6, torch.zeros(4, dtype=torch.int64), smoothing=0.1, margin=0.25, scale=16.0)
    torch.nn.init.normal_(made.weight)
    return made


def cosines(made: Classifier) -> torch.Tensor:
    return functional.normalize(VECTORS) @ functional.normalize(made.weight).T


def test_cross_entropy_with_label_smoothing() -> None:
    made = classifier("cross_entropy")
    log_shares = (VECTORS @ made.weight.T).log_softmax(1)
    wanted = torch.full((12, 4), 0.1 / 4)
    wanted[torch.arange(12), LABELS] += 0.9
    expected = -(wanted * log_shares).sum(1).mean()
    torch.testing.assert_close(made.loss(made(VECTORS), LABELS), expected)


def test_am_softmax_lowers_the_right_cosine() -> None:
    made = classifier("am_softmax")
    logits = cosines(made)
    logits[torch.arange(12), LABELS] -= 0.25
    expected = functional.cross_entropy(16 * logits, LABELS)
    torch.testing.assert_close(made.loss(made(VECTORS), LABELS), expected)


def test_circle_loss_weighs_by_distance_from_the_goal() -> None:
    made = classifier("circle")
    logits = torch.zeros(12, 4)
    for row, values in enumerate(cosines(made)):
        for column, cosine in enumerate(values.tolist()):
            right = column == LABELS[row]
            pull, push = max(0, 1.25 - cosine) * (cosine - 0.75), max(0, cosine + 0.25) * (cosine - 0.25)
            logits[row, column] = pull if right else push
    expected = functional.cross_entropy(16 * logits, LABELS)
    torch.testing.assert_close(made.loss(made(VECTORS), LABELS), expected, rtol=1e-4, atol=1e-4)


def test_center_loss_pulls_to_the_own_centre() -> None:
    loss = CenterLoss(6, 4)
    with torch.no_grad():
        loss.centers.copy_(torch.arange(4.0).view(4, 1).expand(4, 6))
    assert loss(loss.centers[LABELS], LABELS).item() == 0
    assert loss(loss.centers[LABELS] + 2, LABELS).item() == pytest.approx(0.5 * 6 * 4)


def test_students_that_agree_have_nothing_to_learn_from_each_other() -> None:
    a, b = torch.randn(5, 7, generator=RANDOM), torch.randn(5, 7, generator=RANDOM)
    assert mutual_learning(a, a + 3).item() == pytest.approx(0, abs=1e-6)
    expected = (b.softmax(1) * (b.log_softmax(1) - a.log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(mutual_learning(a, b), expected)


@pytest.mark.parametrize("kind", ["cross_entropy", "am_softmax", "circle"])
def test_people_of_other_data_sets_play_no_part(kind: str) -> None:
    torch.manual_seed(1)
    both = Classifier(kind, 6, torch.tensor([0, 0, 0, 0, 1, 1]), smoothing=0.1, margin=0.25, scale=16.0)
    torch.nn.init.normal_(both.weight)
    alone = classifier(kind)
    with torch.no_grad():
        alone.weight.copy_(both.weight[:4])
    torch.testing.assert_close(both.loss(both(VECTORS), LABELS), alone.loss(alone(VECTORS), LABELS))
    both.loss(both(VECTORS), LABELS).backward()
    assert both.weight.grad is not None
    assert not both.weight.grad[4:].any()


def test_likenesses_are_compared_pair_by_pair() -> None:
    taught = functional.normalize(torch.randn(12, 3, generator=RANDOM))
    unit = functional.normalize(VECTORS)
    differences = [
        float((unit[a] @ unit[b] - taught[a] @ taught[b]) ** 2) for a in range(12) for b in range(12) if a != b
    ]
    assert likenesses_apart(VECTORS, taught).item() == pytest.approx(np.mean(differences), rel=1e-4)
    assert likenesses_apart(taught, taught).item() == pytest.approx(0, abs=1e-10)
