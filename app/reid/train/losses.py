"""What the trainer makes small. Vectors are (N, D) float, labels (N,) int64 in 0..C-1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Classification = Literal["cross_entropy", "am_softmax", "circle"]


class Classifier(nn.Module):
    """One weight vector for each person in training; its loss says how badly they tell the people apart.

    Of several data sets, a picture is compared with the people of its own only: nobody has to learn by which light or
    camera two places differ.

    cross_entropy: plain logits with label smoothing. am_softmax: cosines, the right one lowered by a margin (Wang et
    al., "Additive Margin Softmax", 2018). circle: cosines, each weighted by how far it is from where it should be (Sun
    et al., "Circle Loss", CVPR 2020).
    """

    def __init__(
        self, kind: Classification, dimension: int, sets: Tensor, smoothing: float, margin: float, scale: float
    ) -> None:
        """sets: (C,) int64, the data set of each person."""
        super().__init__()
        self.kind = kind
        self.smoothing = smoothing
        self.margin = margin
        self.scale = scale
        self.sets: Tensor
        self.register_buffer("sets", sets, persistent=False)
        self.weight = nn.Parameter(torch.empty(len(sets), dimension))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (N, C): plain logits, or cosines for the kinds with a margin."""
        if self.kind == "cross_entropy":
            return functional.linear(vectors, self.weight)
        return functional.linear(functional.normalize(vectors), functional.normalize(self.weight))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of `forward`'s outputs."""
        logits = outputs
        if self.kind == "am_softmax":
            right = functional.one_hot(labels, outputs.shape[1]).bool()
            logits = self.scale * torch.where(right, outputs - self.margin, outputs)
        elif self.kind == "circle":
            right = functional.one_hot(labels, outputs.shape[1]).bool()
            pull = (1 + self.margin - outputs.detach()).clamp(min=0) * (outputs - 1 + self.margin)
            push = (outputs.detach() + self.margin).clamp(min=0) * (outputs - self.margin)
            logits = self.scale * torch.where(right, pull, push)
        foreign = self.sets[labels][:, None] != self.sets[None, :]
        certainty = logits.masked_fill(foreign, -torch.inf).log_softmax(1)
        loss = -certainty.gather(1, labels[:, None]).mean()
        if self.kind == "cross_entropy" and self.smoothing:
            everybody = -certainty.masked_fill(foreign, 0).sum(1) / (~foreign).sum(1)
            loss = (1 - self.smoothing) * loss + self.smoothing * everybody.mean()
        return loss


class CenterLoss(nn.Module):
    """Half the squared distance of each vector from its person's centre, which is learned (Wen et al., ECCV 2016)."""

    def __init__(self, dimension: int, people: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(people, dimension))

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return 0.5 * (vectors - self.centers[labels]).pow(2).sum(1).mean()


def batch_hard_triplet(vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Compare, for each picture, its farthest match with its nearest stranger (Hermans et al., 2017).

    margin: how much nearer the match must be; 0 for the soft margin log(1 + exp(·)), which never stops pulling.
    """
    lengths = vectors.pow(2).sum(1)
    squared = (lengths[:, None] + lengths[None, :] - 2 * vectors @ vectors.T).clamp(min=1e-12)
    distances = squared.sqrt()
    same = labels[:, None] == labels[None, :]
    farthest_match = distances.masked_fill(~same, 0).amax(1)
    nearest_stranger = distances.masked_fill(same, torch.inf).amin(1)
    difference = farthest_match - nearest_stranger
    return functional.softplus(difference).mean() if margin == 0 else (difference + margin).clamp(min=0).mean()


def mutual_learning(own: Tensor, other: Tensor) -> Tensor:
    """Return how far one student's (N, C) outputs are from another's, which is given (Zhang et al., CVPR 2018)."""
    return functional.kl_div(own.log_softmax(1), other.detach().log_softmax(1), reduction="batchmean", log_target=True)


def directions_apart(own: Tensor, taught: Tensor) -> Tensor:
    """Return the mean of 1 - cosine between a student's (N, D) vectors and a teacher's, which are taken as given.

    Vectors are compared by direction, so it is directions that a student has to learn (after Hinton, Vinyals & Dean,
    "Distilling the Knowledge in a Neural Network", 2015).
    """
    return (1 - functional.cosine_similarity(own, taught.detach(), dim=1)).mean()


def likenesses_apart(own: Tensor, taught: Tensor) -> Tensor:
    """Return how far a student's cosines between all pairs of a batch are from a teacher's, as a mean square.

    own: (N, D). taught: (N, E), rows whose products are the likenesses of teachers. Where people stand to each other is
    learned without a say in where they lie (Park et al., "Relational Knowledge Distillation", CVPR 2019; Tung & Mori,
    "Similarity-Preserving Knowledge Distillation", ICCV 2019).
    """
    unit = functional.normalize(own)
    difference = unit @ unit.T - taught.detach() @ taught.detach().T
    pairs = len(own) * (len(own) - 1)
    return difference.square().fill_diagonal_(0).sum() / pairs
