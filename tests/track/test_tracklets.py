"""Collecting tracklets: rows, gaps, and which crops are kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.frames import NO_ID, Detections, Embeddings, Frame, FrameResult, blank_image
from app.track.tracklets import TrackletBuilder, crop_qualities, inliers, least_useful, sharpness

DIMENSION = 8


def unit(*values: float) -> np.ndarray:
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def add(
    builder: TrackletBuilder,
    index: int,
    rows: list[tuple[int, float]],
    image: np.ndarray | None = None,
    vectors: list[np.ndarray] | None = None,
    time: float | None = None,
) -> None:
    """Add frame `index`, 0.1 s apart, with rows of (track id, left edge); every row is embedded."""
    boxes = np.array([[x, 20, x + 40, 120] for _, x in rows], np.float32).reshape(-1, 4)
    ids = np.array([track for track, _ in rows], np.int64)
    picture = blank_image(240, 320) if image is None else image
    frame = Frame("cam", index, index / 10 if time is None else time, picture, image is not None)
    appearance = np.array(vectors if vectors is not None else [unit(1)] * len(rows), np.float32).reshape(-1, DIMENSION)
    result = FrameResult(
        frame, Detections(boxes, np.full(len(rows), 0.9, np.float32)), ids, np.full(len(rows), NO_ID, np.int64)
    )
    builder.add(result, Embeddings(appearance, np.ones(len(rows), np.bool_)))


def test_rows_of_every_track_are_collected_whole() -> None:
    builder = TrackletBuilder("cam")
    for index in range(100):
        add(builder, index, [(7, float(index)), (NO_ID, 200.0)] + ([(8, 150.0)] if index % 2 else []))
    seven, eight = (draft.tracklet for draft in builder.close())
    assert (seven.key, eight.key) == (("cam", 7), ("cam", 8))
    np.testing.assert_array_equal(seven.boxes[:, 0], np.arange(100))
    np.testing.assert_allclose(eight.times, np.arange(1, 100, 2) / 10)
    assert builder.close() == []


def test_tracklet_closes_after_the_gap_and_only_then() -> None:
    builder = TrackletBuilder("cam", max_gap_s=1.0)
    add(builder, 0, [(1, 0.0)])
    add(builder, 10, [])
    assert builder.finished() == []
    add(builder, 11, [(2, 0.0)])
    assert [draft.tracklet.track_id for draft in builder.finished()] == [1]
    assert builder.finished() == []
    assert [draft.tracklet.track_id for draft in builder.close()] == [2]


def test_snapshot_leaves_open_tracklets_open() -> None:
    builder = TrackletBuilder("cam")
    add(builder, 0, [(1, 0.0)])
    (before,) = builder.snapshot()
    add(builder, 1, [(1, 0.0)])
    (after,) = builder.close()
    assert len(before.tracklet.times) == 1
    assert len(after.tracklet.times) == 2


def test_crops_are_copies_named_after_track_and_frame() -> None:
    builder = TrackletBuilder("cam", max_crops=2)
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    add(builder, 5, [(3, 10.0)], image)
    (draft,) = builder.close()
    assert draft.tracklet.crops == ("crops/cam/3_5.jpg",)
    np.testing.assert_array_equal(draft.images[0], image[20:120, 10:50])
    assert not np.shares_memory(draft.images[0], image)


def test_without_pixels_vectors_are_kept_and_pictures_are_not() -> None:
    builder = TrackletBuilder("cam")
    add(builder, 0, [(1, 0.0)])
    (draft,) = builder.close()
    assert draft.images == ()
    assert draft.tracklet.vectors.shape == (1, DIMENSION)


def test_rows_without_an_embedding_make_a_tracklet_without_crops() -> None:
    builder = TrackletBuilder("cam")
    frame = Frame("cam", 0, 0.0, blank_image(240, 320), False)
    boxes = np.array([[0, 0, 10, 30]], np.float32)
    ids = np.array([1])
    builder.add(FrameResult(frame, Detections(boxes, np.ones(1, np.float32)), ids, ids), Embeddings.none(1))
    (draft,) = builder.close()
    assert draft.tracklet.crops == ()
    assert draft.tracklet.vectors.shape == (0, 0)


@given(st.integers(1, 6), st.integers(1, 60))
def test_kept_crops_are_bounded_and_spread_over_time(max_crops: int, frames: int) -> None:
    builder = TrackletBuilder("cam", max_crops=max_crops)
    for index in range(frames):
        add(builder, index, [(1, 100.0)])
    (draft,) = builder.close()
    kept = sorted(int(name.split("_")[-1].removesuffix(".jpg")) for name in draft.tracklet.crops)
    assert len(kept) == len(set(kept)) == min(max_crops, frames)
    if len(kept) >= 2:
        assert kept[-1] - kept[0] >= (frames - 1) / 2


def test_somebody_walking_in_front_is_thrown_out() -> None:
    builder = TrackletBuilder("cam", max_crops=8)
    for index in range(8):
        appearance = unit(0, 1, 0.1 * index) if index == 4 else unit(1, 0, 0.05 * index)
        add(builder, index, [(1, 100.0)], vectors=[appearance])
    (draft,) = builder.close()
    assert len(draft.tracklet.crops) == 7
    assert "crops/cam/1_4.jpg" not in draft.tracklet.crops


def test_similar_crops_are_no_outliers() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(1) + 0.1 * rng.normal(size=(8, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert inliers(vectors, np.ones(8, np.float32)).all()


def quality(box: list[float], others: list[list[float]] | None = None, image: np.ndarray | None = None) -> float:
    boxes = np.array([box, *(others or [])], np.float32)
    return float(crop_qualities(boxes, np.ones(len(boxes), np.float32), np.array([0]), 320, 240, image)[0])


def test_what_makes_a_crop_poor() -> None:
    whole = quality([100, 50, 160, 200])
    assert whole == 1.0
    assert quality([100, 50, 110, 80]) < 0.6 * whole  # small
    assert quality([-30, 50, 30, 200]) < 0.6 * whole  # cut by the edge
    assert quality([100, 50, 160, 200], [[110, 60, 170, 210]]) < 0.3  # somebody nearer in front
    assert quality([100, 50, 160, 200], [[110, 40, 170, 190]]) == whole  # somebody behind
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (240, 320, 3), np.uint8)
    blurred = np.repeat(np.repeat(sharp[::20, ::20], 20, axis=0), 20, axis=1)
    assert quality([100, 50, 160, 200], image=blurred) < quality([100, 50, 160, 200], image=sharp)


def test_sharpness_ignores_contrast() -> None:
    rng = np.random.default_rng(0)
    bright = rng.integers(0, 200, (60, 30, 3), np.uint8)
    dull = (bright // 4).astype(np.uint8)
    assert abs(sharpness(bright) - sharpness(dull)) < 0.05
    assert sharpness(np.zeros((2, 2, 3), np.uint8)) == 0.0


def test_a_poor_crop_or_a_repeated_one_goes_first() -> None:
    assert least_useful(np.array([0.0, 1.0, 2.0]), np.array([0.9, 0.2, 0.9]), 1.0) == 1
    assert least_useful(np.array([0.0, 1.99, 2.0]), np.array([0.9, 0.9, 0.9]), 1.0) == 2
