"""The contract of `app.reid.Embedder`, over everything that can run a network."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import app.reid.embedder as module
from app.config import ReidSettings
from app.errors import InputError
from app.reid.calibrate import Calibration
from app.reid.checkpoint import load_checkpoint, save_checkpoint
from app.reid.embedder import RUNNERS, NetworkEmbedder, batch_buckets, batches, build_embedder

RANDOM = np.random.default_rng(0)
IMAGES = [RANDOM.integers(0, 256, (120, 160, 3), dtype=np.uint8), RANDOM.integers(0, 256, (90, 70, 3), dtype=np.uint8)]
BOXES = [
    np.array([[10, 10, 40, 90], [-20, -10, 30, 60], [100, 50, 300, 500]], np.float32),
    np.array([[5, 5, 30, 80]], np.float32),
]


@pytest.fixture(scope="module", params=sorted(RUNNERS))
def embedder(request: pytest.FixtureRequest, small_weights: Path) -> NetworkEmbedder:
    built = build_embedder(ReidSettings(weights=str(small_weights), device="cpu", backend=request.param, max_batch=4))
    assert isinstance(built, NetworkEmbedder)
    return built


def test_it_says_what_it_is(embedder: NetworkEmbedder, small_weights: Path) -> None:
    assert "osnet_x0_25" in embedder.name
    assert "cpu" in embedder.name
    assert embedder.dimension == 512
    assert embedder.weights_sha256 == load_checkpoint(small_weights).sha256
    assert embedder.calibration.center[0] == pytest.approx(0.01)


def test_rows_are_centred_unit_vectors_in_order(embedder: NetworkEmbedder) -> None:
    together = embedder.embed(IMAGES, BOXES)
    assert [vectors.shape for vectors in together] == [(3, 512), (1, 512)]
    assert all(vectors.dtype == np.float32 for vectors in together)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(together), axis=1), 1, atol=1e-5)
    for image, boxes, vectors in zip(IMAGES, BOXES, together, strict=True):
        for box, vector in zip(boxes, vectors, strict=True):
            (alone,) = embedder.embed([image], [box[None]])
            np.testing.assert_allclose(alone[0], vector, atol=1e-4)


def test_centring_is_applied(embedder: NetworkEmbedder) -> None:
    raw = embedder.raw_vectors([IMAGES[1]])
    whole = np.array([[0, 0, 70, 90]], np.float32)
    expected = embedder.calibration.centered(raw / np.linalg.norm(raw))
    np.testing.assert_allclose(embedder.embed([IMAGES[1]], [whole])[0], expected, atol=1e-5)


@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (2, 0)])
def test_pictures_without_boxes_are_fine(embedder: NetworkEmbedder, counts: tuple[int, ...]) -> None:
    boxes = [BOXES[0][:count] for count in counts]
    answers = embedder.embed(IMAGES[: len(counts)], boxes)
    assert [answer.shape for answer in answers] == [(count, 512) for count in counts]


def test_more_boxes_than_a_batch(embedder: NetworkEmbedder) -> None:
    many = np.repeat(BOXES[1], 11, axis=0)
    (answers,) = embedder.embed([IMAGES[1]], [many])
    np.testing.assert_allclose(answers, np.repeat(answers[:1], 11, axis=0), atol=1e-4)


def test_a_box_outside_the_picture_gives_a_unit_vector(embedder: NetworkEmbedder) -> None:
    boxes = np.array([[-50, -50, -10, -10], [20, 20, 20, 20]], np.float32)
    (answers,) = embedder.embed([IMAGES[0]], [boxes])
    np.testing.assert_allclose(np.linalg.norm(answers, axis=1), 1, atol=1e-5)


def test_all_runners_answer_the_same(small_weights: Path) -> None:
    answers = []
    for backend in RUNNERS:
        built = build_embedder(ReidSettings(weights=str(small_weights), device="cpu", backend=backend))
        assert built is not None
        answers.append(np.concatenate(built.embed(IMAGES, BOXES)))
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-3)


@given(st.integers(0, 300), st.integers(1, 70))
def test_batches_cover_all_rows_with_few_sizes(count: int, largest: int) -> None:
    buckets = batch_buckets(largest)
    parts = batches(count, buckets)
    rows = [row for start, length, _ in parts for row in range(start, start + length)]
    assert rows == list(range(count))
    assert all(length <= bucket <= largest and bucket in buckets for _, length, bucket in parts)
    assert len(buckets) <= 8


def test_none_means_motion_only() -> None:
    assert build_embedder(ReidSettings(weights="none")) is None


def test_auto_without_bundled_weights_warns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    with caplog.at_level(logging.WARNING):
        assert build_embedder(ReidSettings(weights="auto")) is None
    assert "motion only" in caplog.text


def test_bundled_weights_are_found_by_name_and_by_auto(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_weights: Path
) -> None:
    for name in ("osnet_x0_25", "osnet_x1_0"):
        (tmp_path / f"{name}.safetensors").write_bytes(small_weights.read_bytes())
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    find = module.find_weights
    assert find("auto", torch.device("cpu")) == tmp_path / "osnet_x0_25.safetensors"
    assert find("auto", torch.device("cuda:0")) == tmp_path / "osnet_x1_0.safetensors"
    assert find("osnet_x1_0", torch.device("cpu")) == tmp_path / "osnet_x1_0.safetensors"


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"weights": "nowhere.pth"}, "nowhere.pth"),
        ({"device": "toaster"}, "toaster"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_bad_settings_are_named(small_weights: Path, given_settings: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_embedder(ReidSettings(**{"weights": str(small_weights), "device": "cpu"} | given_settings))


def test_openvino_on_a_gpu_is_refused(small_weights: Path) -> None:
    with pytest.raises(InputError, match="backend"):
        RUNNERS["openvino"](load_checkpoint(small_weights), torch.device("cuda:0"), ReidSettings())


def test_a_network_without_statistics_is_not_centred(tmp_path: Path, small_weights: Path) -> None:
    plain = replace(load_checkpoint(small_weights), calibration=Calibration.default(512))
    save_checkpoint(tmp_path / "plain.safetensors", plain)
    built = build_embedder(ReidSettings(weights=str(tmp_path / "plain.safetensors"), device="cpu", backend="torch"))
    assert isinstance(built, NetworkEmbedder)
    raw: NDArray[np.float32] = built.raw_vectors([IMAGES[1]])
    whole = np.array([[0, 0, 70, 90]], np.float32)
    np.testing.assert_allclose(built.embed([IMAGES[1]], [whole])[0], raw / np.linalg.norm(raw), atol=1e-5)
