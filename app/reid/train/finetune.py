"""Training on a user's corrected people, and whether what came out is better than what was there before.

`fine_tune` is what `main.py train` runs when `train.start_from` is set and a data set has judged pairs
(`pairs.csv`, see `app.reid.train.pairs`). A share of the pairs is a test: nobody who is on one of them is trained on,
used to choose among weights or to fit the calibration. The other pairs are put into batches side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.config import TrainSettings
from app.errors import InputError
from app.reid.calibrate import unit_rows
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.embedder import require_weights
from app.reid.preprocess import scale
from app.reid.train.data import Listing, Selection, list_training_data, single_crops
from app.reid.train.finish import LEAST_PEOPLE_TO_CALIBRATE, model_card
from app.reid.train.held_out import embed_batches
from app.reid.train.loop import train
from app.reid.train.pairs import JudgedPairs, people_of_test, read_pairs

log = logging.getLogger(__name__)

LEAST_GROUPS = 3
"""Confirmed people, and rejected pairs of people, that a test needs to say anything."""

SURE_SHARE = 0.9
"""Share of resampled tests in which new weights must be better to be adopted."""

RESAMPLED = 2000


@dataclass(frozen=True, slots=True)
class PairScores:
    """How well weights tell judged pairs apart, by their calibrated P(same person).

    error: mean squared error of P(same), confirmed and rejected pairs counting half each: 0 is perfect, 0.25 is what
    a constant 0.5 gets (Brier, 1950). right: percent of the pairs on the right side of 0.5, again half each.
    ranking: probability that a confirmed pair gets a higher P(same) than a rejected one (area under the ROC curve).
    """

    error: float
    right: float
    ranking: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison on held-out judged pairs says.

    adopted: the new weights are better. reason: why, or why not, as a sentence.
    confirmed, rejected: pairs in the test. old, new: their scores; None if there were too few pairs to compare.
    """

    adopted: bool
    reason: str
    confirmed: int
    rejected: int
    old: PairScores | None
    new: PairScores | None


def fine_tune(
    settings: TrainSettings,
    data: Sequence[Path],
    output: Path,
    resume: bool = False,
    stop_after_steps: int | None = None,
) -> dict[str, Any]:
    """Train on corrected pictures of people, and compare the result with the weights that it started from.

    settings: `train` of `configs/finetune.yaml`; `start_from` names the old weights, `judged_share` the share of the
        pairs that is kept apart. Where people are few, fewer are held out and fewer come into a batch than it says.
    data: folders or zip files; at least one with `pairs.csv`, as `main.py export --format market1501` writes it.
        People with a single picture are left out.
    output, resume, stop_after_steps: as in `app.reid.train.loop.train`.

    Returns what `train` returns and, if training ended, `verdict`: `adopted` (bool), `reason` (a sentence),
    `confirmed` and `rejected` (numbers of pairs in the test), `old` and `new` (each `error`, `right`, `ranking`, see
    `PairScores`, or None). The same is in the model card and in the weight file, `output`/NAME.safetensors, which is
    written whatever the verdict; nothing outside `output` is changed, so adopting means to name that file as
    `reid.weights`.
    Raises InputError for unusable data or settings.
    """
    if not settings.start_from:
        raise InputError("train.start_from: fine-tuning needs weights to start from; name a file or bundled weights")
    if 2 * settings.pairs_per_batch % settings.pictures_per_person:
        raise InputError(
            f"train.pairs_per_batch: {settings.pairs_per_batch} pairs don't make whole groups of "
            f"{settings.pictures_per_person} pictures (train.pictures_per_person)"
        )
    old_file = require_weights(settings.start_from, "train.start_from")
    listing = list_training_data(data)
    pairs = read_pairs(listing)
    people = len(np.unique(listing.person_ids))
    kept_apart = people_of_test(pairs, people, settings.judged_share, settings.seed)
    in_test = np.isin(pairs.people, kept_apart)
    test = pairs[np.all(in_test, axis=1)]

    left_out = single_crops(listing.person_ids) | np.isin(listing.person_ids, kept_apart)
    selection = Selection(left_out, pairs.rows[~np.any(in_test, axis=1)])
    settings = _for_few_people(settings, len(np.unique(listing.person_ids[~left_out])))
    summary = train(settings, data, output, resume, stop_after_steps, selection)
    if not summary["finished"] or "recipe" not in summary:  # the latter: not the first of several processes
        return summary

    new_file = output / f"{settings.architecture}.safetensors"
    new = load_checkpoint(new_file)
    verdict = compare(load_checkpoint(old_file), new, listing, test, settings.seed)
    facts = {**new.facts, "verdict": asdict(verdict)}
    save_checkpoint(new_file, replace(new, facts=facts), half=True)
    card = model_card(new_file.name, new, facts) + "\n" + _verdict_text(verdict, settings.start_from)
    new_file.with_suffix(".md").write_text(card, encoding="utf-8")
    log.info("%s", verdict.reason)
    return {**summary, "verdict": facts["verdict"], "weights": str(new_file)}


def compare(old: Checkpoint, new: Checkpoint, listing: Listing, test: JudgedPairs, seed: int) -> Verdict:
    """Return which of two checkpoints tells the pairs of a test apart better, and how sure that is.

    New weights are adopted if the error of their P(same) (see `PairScores`) is lower than that of the old ones in
    `SURE_SHARE` of `RESAMPLED` tests. Those are drawn with replacement from the groups of pairs, as several pairs of
    the same two people are hardly more evidence than one.
    """
    confirmed, rejected = int(test.same.sum()), int((~test.same).sum())
    groups = [len(np.unique(test.groups[test.same == kind])) for kind in (True, False)]
    if min(groups) < LEAST_GROUPS:
        reason = (
            f"kept the old one: {groups[0]} confirmed people and {groups[1]} rejected pairs of people could be kept "
            f"apart for a test, which needs {LEAST_GROUPS} of each; confirm and reject more links, then train again"
        )
        return Verdict(False, reason, confirmed, rejected, None, None)
    before, after = (_probabilities(checkpoint, listing, test) for checkpoint in (old, new))
    share = _share_of_tests_won(test, (before - test.same) ** 2, (after - test.same) ** 2, seed)
    scores = [pair_scores(probability, test.same) for probability in (before, after)]
    adopted = share >= SURE_SHARE
    reason = (
        f"{'adopted' if adopted else 'kept the old one'}: on {confirmed} confirmed and {rejected} rejected pairs of "
        f"people who were kept apart, the error of P(same person) is {scores[1].error:.4f} with the new weights and "
        f"{scores[0].error:.4f} with the old ones; the new ones win {100 * share:.0f} % of resampled tests, and "
        f"{100 * SURE_SHARE:.0f} % are needed"
    )
    return Verdict(adopted, reason, confirmed, rejected, scores[0], scores[1])


def pair_scores(probability: NDArray[np.floating[Any]], same: NDArray[np.bool_]) -> PairScores:
    """Score (M,) P(same) against (M,) judgements, of which both kinds must occur."""
    yes, no = probability[same], probability[~same]
    higher = (yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean()
    return PairScores(
        error=float(((1 - yes) ** 2).mean() + (no**2).mean()) / 2,
        right=50 * float((yes >= 0.5).mean() + (no < 0.5).mean()),
        ranking=float(higher),
    )


def _probabilities(checkpoint: Checkpoint, listing: Listing, test: JudgedPairs) -> NDArray[np.float64]:
    """Return (M,) P(same person) of the pairs, as the application would state it with these weights."""
    rows, position = np.unique(test.rows, return_inverse=True)
    size = checkpoint.preprocessing
    pictures = np.stack([scale(listing.decode(int(row)), size.height, size.width) for row in rows])
    vectors = unit_rows(embed_batches(checkpoint.network(), pictures, size, torch.device("cpu")))
    centered = checkpoint.calibration.centered(vectors)[position.reshape(-1, 2)]  # (M, 2, D)
    distances = 1 - np.einsum("md,md->m", centered[:, 0], centered[:, 1])
    return checkpoint.calibration.probability(distances).astype(np.float64)


def _share_of_tests_won(
    test: JudgedPairs, old: NDArray[np.floating[Any]], new: NDArray[np.floating[Any]], seed: int
) -> float:
    """Return in which share of resampled tests the mean of the (M,) `new` losses is below that of the `old` ones."""
    random = np.random.default_rng(seed)
    difference = np.zeros(RESAMPLED)
    for kind in (True, False):
        chosen = test.same == kind
        _, group = np.unique(test.groups[chosen], return_inverse=True)
        gains = np.bincount(group, (new - old)[chosen])
        counts = np.bincount(group)
        drawn = random.integers(len(counts), size=(RESAMPLED, len(counts)))
        difference += gains[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return float((difference < 0).mean())


def _for_few_people(settings: TrainSettings, people: int) -> TrainSettings:
    """Hold out a quarter of the people at most, or nobody if that is too few; put no more in a batch than are left."""
    held_out = min(settings.held_out_people, people // 4)
    held_out = held_out if held_out >= LEAST_PEOPLE_TO_CALIBRATE else 0
    per_batch = max(2, min(settings.people_per_batch, people - held_out))
    if (held_out, per_batch) != (settings.held_out_people, settings.people_per_batch):
        log.warning("only %d people to train on: %d of them held out, %d in a batch", people, held_out, per_batch)
    return settings.model_copy(update={"held_out_people": held_out, "people_per_batch": per_batch})


def _verdict_text(verdict: Verdict, old_name: str) -> str:
    lines = [f"Compared with {old_name}: {verdict.reason}."]
    if verdict.old and verdict.new:
        lines += [
            "",
            "| on held-out judged pairs | error of P(same) | right | ranking |",
            "|---|---|---|---|",
            *(
                f"| {name} | {scores.error:.4f} | {scores.right:.1f} % | {scores.ranking:.4f} |"
                for name, scores in ((old_name, verdict.old), ("these weights", verdict.new))
            ),
        ]
    return "\n".join([*lines, ""])
