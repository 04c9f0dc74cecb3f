"""Scores against a plain implementation of their definition, and on real pictures against a foreign network."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.config import ReidSettings
from app.errors import InputError
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.evaluate import evaluate_reid, ranks_of_matches, score_vectors, summarise
from app.reid.osnet import OSNETS
from app.reid.preprocess import Preprocessing


def plain_scores(
    distances: NDArray[np.floating],
    query: tuple[NDArray[np.int64], NDArray[np.int64]],
    gallery: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> dict[str, float]:
    """The definition, one query and one gallery picture at a time."""
    first, precision, inverse = [], [], []
    for row, person, camera in zip(distances, *query, strict=True):
        hits = []
        for column in np.argsort(row, kind="stable"):
            if gallery[0][column] == person and gallery[1][column] == camera:
                continue
            hits.append(gallery[0][column] == person)
        places = [place for place, hit in enumerate(hits, 1) if hit]
        if places:
            first.append(places[0])
            precision.append(np.mean([(found + 1) / place for found, place in enumerate(places)]))
            inverse.append(len(places) / places[-1])
    cmc = {f"rank{k}": 100 * float(np.mean([place <= k for place in first])) for k in (1, 5, 10)}
    return {**cmc, "mAP": 100 * float(np.mean(precision)), "mINP": 100 * float(np.mean(inverse))}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.sampled_from(["euclidean", "cosine"]))
def test_scores_follow_their_definition(seed: int, gallery_size: int, metric: str) -> None:
    random = np.random.default_rng(seed)
    query = random.normal(size=(7, 5)).astype(np.float32)
    gallery = random.normal(size=(gallery_size, 5)).astype(np.float32)
    query_labels = (random.integers(1, 4, 7), random.integers(1, 3, 7))
    gallery_labels = (random.integers(0, 4, gallery_size), random.integers(1, 3, gallery_size))
    gallery_labels[0][0], gallery_labels[1][0] = query_labels[0][0], 3 - query_labels[1][0]
    a, b = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "cosine":
        a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    expected = plain_scores(((a[:, None] - b[None]) ** 2).sum(2), query_labels, gallery_labels)
    scores = score_vectors(query, gallery, query_labels, gallery_labels, metric)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (scores["queries"], scores["gallery"]) == (7, gallery_size)


def test_ties_count_against_the_network() -> None:
    same_person = np.array([True, False, False, True])
    nowhere = np.zeros(4, bool)
    assert ranks_of_matches(np.ones(4, np.float32), same_person, nowhere).tolist() == [3, 4]


def test_the_same_camera_does_not_count() -> None:
    distances = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    same_person = np.array([True, False, True, False])
    same_camera = np.array([True, True, False, False])
    assert ranks_of_matches(distances, same_person, same_camera).tolist() == [2]


def test_no_match_anywhere_is_said() -> None:
    with pytest.raises(InputError, match="another camera"):
        summarise([np.zeros(0, np.int64)])


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    state = OSNETS["osnet_x0_25"]().state_dict()
    save_checkpoint(file, Checkpoint("osnet_x0_25", state, Preprocessing(64, 32)))
    return file


@pytest.mark.parametrize("rerank", [False, True])
def test_folder_and_zip_score_the_same(small_market: Path, small_weights: Path, tmp_path: Path, rerank: bool) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "small"), "zip", small_market))
    chosen = ReidSettings(weights=str(small_weights), device="cpu", backend="torch")
    scores = [evaluate_reid(chosen, data, rerank=rerank) for data in (small_market, archive)]
    ranked = ["rank1", "rank5", "rank10", "mAP", "mINP"]
    accepted = ["TAR_at_FAR_1e-2", "TAR_at_FAR_1e-3", "TAR_at_FAR_1e-4"]
    assert list(scores[0]) == [*ranked, *accepted, "queries", "gallery", "seconds"]
    assert (scores[0]["queries"], scores[0]["gallery"]) == (8, 30)  # the distractor is in, junk is not
    for name in ranked + accepted:
        assert scores[0][name] == scores[1][name]
        assert 0 <= scores[0][name] <= 100


def test_single_shot_says_so_and_refuses_reranking(small_market: Path, small_weights: Path) -> None:
    chosen = ReidSettings(weights=str(small_weights), device="cpu", backend="torch")
    scores = evaluate_reid(chosen, small_market, single_shot=True)
    assert scores["draws"] == 100
    assert scores["rank1"] <= scores["mAP"] == scores["mINP"]  # with one match these two are the same
    with pytest.raises(InputError, match="single-shot"):
        evaluate_reid(chosen, small_market, single_shot=True, rerank=True)


def test_queries_without_a_gallery_are_refused(small_market: Path, small_weights: Path, tmp_path: Path) -> None:
    shutil.copytree(small_market / "query", tmp_path / "query")
    with pytest.raises(InputError, match="no bounding_box_test"):
        evaluate_reid(ReidSettings(weights=str(small_weights)), tmp_path)


def test_real_pictures_score_as_with_a_foreign_network(shared_data: Path, tmp_path: Path) -> None:
    """Some people of Market-1501: our reader, preprocessing, network and scores against ONNX Runtime, OpenCV and the
    plain definition."""
    onnxruntime = pytest.importorskip("onnxruntime")
    subset = tmp_path / "subset.zip"
    with zipfile.ZipFile(shared_data / "reid" / "market1501.zip") as market, zipfile.ZipFile(subset, "w") as archive:
        names = [name for name in market.namelist() if name.endswith(".jpg") and "train" not in name]
        chosen = [name for name in names if 0 <= int(Path(name).name.split("_")[0]) <= 40][::6]
        for name in chosen:
            archive.writestr(name, market.read(name))
        session = onnxruntime.InferenceSession(
            shared_data / "weights" / "osnet_x0_25_msmt17.onnx", providers=["CPUExecutionProvider"]
        )
        vectors, people, cameras = [], [], []
        for name in chosen:
            picture = cv2.imdecode(np.frombuffer(market.read(name), np.uint8), cv2.IMREAD_COLOR)
            rgb = cv2.cvtColor(cv2.resize(picture, (128, 256)), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
            normalised = ((rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None]
            vectors.append(session.run(None, {"images": normalised.astype(np.float32)})[0][0])
            people.append(int(Path(name).name[:4]))
            cameras.append(int(Path(name).name[6]))
    asks = np.array([name.startswith("query") for name in chosen])
    stacked, person_ids, camera_ids = np.stack(vectors).astype(np.float64), np.array(people), np.array(cameras)
    distances = ((stacked[asks][:, None] - stacked[~asks][None]) ** 2).sum(2)
    expected = plain_scores(distances, (person_ids[asks], camera_ids[asks]), (person_ids[~asks], camera_ids[~asks]))

    weights = str(shared_data / "weights" / "osnet_x0_25_msmt17.pth")
    scores = evaluate_reid(ReidSettings(weights=weights, device="cpu", max_batch=16), subset)
    assert scores["queries"] == asks.sum() > 10
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=0.5)
