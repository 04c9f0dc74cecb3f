"""Fine-tuning with judged pairs: who is kept apart, and when new weights are said to be better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from app.cli.parser import main
from app.config import TrainSettings
from app.errors import InputError
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing
from app.reid.train import finetune
from app.reid.train.data import Listing, Selection, list_training_data, load_training_data
from app.reid.train.finetune import compare, fine_tune, pair_scores
from app.reid.train.pairs import JudgedPairs, read_pairs

PEOPLE = 24


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 24 people, two cameras, and one person with a single picture; every third person was confirmed and
    every third pair of neighbours rejected."""
    folder = tmp_path_factory.mktemp("corrected")
    (folder / "bounding_box_train").mkdir()
    random = np.random.default_rng(0)
    names: dict[tuple[int, int], str] = {}
    for person in range(1, PEOPLE + 1):
        colours = random.integers(0, 256, (4, 2, 3)).astype(np.float32)
        for camera in (1, 2):
            for number in range(2):
                names[person, camera] = f"bounding_box_train/{person:04d}_c{camera}s1_{number:06d}_00.png"
                flat = cv2.resize(colours, (32, 64), interpolation=cv2.INTER_NEAREST)
                noisy = np.clip(flat + random.normal(0, 20, flat.shape), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / names[person, camera]), noisy)
    cv2.imwrite(str(folder / "bounding_box_train" / "0099_c1s1_000000_00.png"), np.zeros((64, 32, 3), np.uint8))
    confirmed = [f"{names[person, 1]},{names[person, 2]},1" for person in range(1, PEOPLE + 1, 3)]
    rejected = [f"{names[person, 1]},{names[person + 1, 2]},0" for person in range(1, PEOPLE, 3)]
    (folder / "pairs.csv").write_text("\n".join(["crop_a,crop_b,same", *confirmed, *rejected, ""]))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("start") / "start.safetensors"
    network = OSNETS["osnet_x0_25"](neck="bnneck")
    save_checkpoint(file, Checkpoint("osnet_x0_25", network.state_dict(), Preprocessing(64, 32), neck="bnneck"))
    return file


def settings(start: Path) -> TrainSettings:
    return TrainSettings(
        architecture="osnet_x0_25", start_from=str(start), height_px=64, width_px=32, epochs=1, people_per_batch=8,
        pictures_per_person=2, held_out_people=8, warmup_epochs=0.5, threads=1, device="cpu",
    )  # fmt: skip


def test_nobody_of_the_test_is_trained_on(corrected: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def remember(*arguments: Any) -> dict[str, Any]:
        asked.extend(arguments)
        return {"finished": False}

    monkeypatch.setattr(finetune, "train", remember)
    fine_tune(settings(start), [corrected], corrected / "nowhere")
    adapted, *_, selection = asked
    listing = list_training_data([corrected])
    pairs = read_pairs(listing)
    used = set(listing.person_ids[~selection.left_out].tolist())
    test = ~np.isin(pairs.people, list(used)).any(axis=1)
    assert 3 <= test[pairs.same].sum() <= 4
    assert test[~pairs.same].sum() >= 3
    assert not used & set(pairs.people[test].ravel().tolist())
    assert set(listing.person_ids[selection.pairs].ravel().tolist()) <= used
    assert PEOPLE not in used  # the person with a single picture, who is the last
    assert (adapted.held_out_people, adapted.people_per_batch) == (len(used) // 4, 8)
    data = load_training_data(listing, 64, 32, adapted.held_out_people, 0, None, selection)
    together = data.train.person_ids[data.pairs]
    assert len(together)
    assert {bool(a == b) for a, b in together.tolist()} == {True, False}


def test_rows_of_pairs_are_the_pictures_that_were_judged(corrected: Path) -> None:
    listing = list_training_data([corrected])
    rows = np.array([[5, 40], [60, 61]])
    left_out = np.zeros(len(listing.person_ids), bool)
    left_out[[0, 1, 2, 3, 96]] = True
    data = load_training_data(listing, 64, 32, 0, 0, None, Selection(left_out, rows))
    for pair, shown in zip(rows, data.pairs, strict=True):
        for row, position in zip(pair, shown, strict=True):
            np.testing.assert_array_equal(data.train.pictures[position], listing.decode(row))


def test_the_command_says_adopted_or_kept(
    corrected: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.yaml"
    changed = settings(start).model_dump(exclude_unset=True)
    config.write_text(json.dumps({"train": changed}))
    arguments = ["train", "--config", str(config), "--data", str(corrected), "--output", str(tmp_path / "new")]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    verdict = summary["verdict"]
    assert verdict["reason"].startswith("adopted" if verdict["adopted"] else "kept the old one")
    assert verdict["confirmed"] >= 3
    assert 0 <= verdict["old"]["error"] <= 1
    assert 0 <= verdict["new"]["ranking"] <= 1
    new = load_checkpoint(Path(summary["weights"]))
    assert new.facts["verdict"] == verdict
    card = Path(summary["weights"]).with_suffix(".md").read_text()
    assert verdict["reason"] in card
    assert "judged pairs" in new.facts["training_data"]


def listing_of(people: list[tuple[int, int]]) -> tuple[Listing, JudgedPairs]:
    array = np.array(people, np.int64)
    pairs = JudgedPairs(np.arange(2 * len(people)).reshape(-1, 2), array, array[:, 0] == array[:, 1])
    return Listing("none", (), np.zeros(0, np.int64), np.zeros(0, np.int64)), pairs


def verdict_of(
    people: list[tuple[int, int]], old: list[float], new: list[float], monkeypatch: pytest.MonkeyPatch
) -> finetune.Verdict:
    listing, test = listing_of(people)
    first, second = Checkpoint("old", {}), Checkpoint("new", {})
    answers = {"old": np.array(old), "new": np.array(new)}
    monkeypatch.setattr(finetune, "_probabilities", lambda checkpoint, *_: answers[checkpoint.architecture])
    return compare(first, second, listing, test, seed=0)


SIX = [(1, 1), (2, 2), (3, 3), (4, 5), (6, 7), (8, 9)]


def test_better_weights_are_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdict_of(SIX, [0.6, 0.5, 0.7, 0.4, 0.5, 0.3], [0.9, 0.9, 0.8, 0.1, 0.2, 0.1], monkeypatch)
    assert verdict.adopted
    assert verdict.reason.startswith("adopted")
    assert (verdict.confirmed, verdict.rejected) == (3, 3)
    assert verdict.new is not None
    assert verdict.new.error == pytest.approx((0.01 + 0.01 + 0.04) / 6 + (0.01 + 0.04 + 0.01) / 6)


def test_equal_weights_and_lucky_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    even = [0.6, 0.5, 0.7, 0.4, 0.5, 0.3]
    assert not verdict_of(SIX, even, even, monkeypatch).adopted
    lucky = [1.0, 0.49, 0.69, 0.41, 0.51, 0.31]  # lower error on average, but by one pair alone
    verdict = verdict_of(SIX, even, lucky, monkeypatch)
    assert verdict.old is not None
    assert verdict.new is not None
    assert verdict.new.error < verdict.old.error
    assert verdict.reason.startswith("kept the old one")


def test_many_pairs_of_one_person_are_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [(1, 1)] * 20 + [(4, 5), (6, 7), (8, 9)]
    verdict = verdict_of(people, [0.0] * 23, [1.0] * 23, monkeypatch)
    assert not verdict.adopted
    assert verdict.old is None
    assert "1 confirmed people" in verdict.reason


def test_scores_of_pairs() -> None:
    scores = pair_scores(np.array([0.9, 0.4, 0.4, 0.2]), np.array([True, True, False, False]))
    assert scores.error == pytest.approx(((0.01 + 0.36) / 2 + (0.16 + 0.04) / 2) / 2)
    assert scores.right == 75
    assert scores.ranking == pytest.approx(3.5 / 4)


def test_what_cannot_be_fine_tuned_is_said(corrected: Path, start: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="start_from"):
        fine_tune(settings(start).model_copy(update={"start_from": ""}), [corrected], tmp_path)
    with pytest.raises(InputError, match="pairs_per_batch"):
        fine_tune(settings(start).model_copy(update={"pictures_per_person": 3}), [corrected], tmp_path)
