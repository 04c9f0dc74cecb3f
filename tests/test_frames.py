"""The records that travel between the parts refuse what would confuse the next part."""

from __future__ import annotations

import numpy as np
import pytest

from app.frames import Detections, Embeddings, Frame, FrameResult, Tracklet, blank_image

BOXES = np.array([[0, 0, 10, 20], [5, 5, 15, 25], [1, 2, 3, 4]], np.float32)
SCORES = np.array([0.9, 0.5, 0.1], np.float32)


def test_detections_slice_like_arrays() -> None:
    detections = Detections(BOXES, SCORES)
    confident = detections[SCORES > 0.3]
    assert len(confident) == 2
    assert np.array_equal(confident.boxes, BOXES[:2])
    assert np.array_equal(detections[[2, 0]].scores, SCORES[[2, 0]])
    assert len(Detections.empty()) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "complaint"),
    [
        (BOXES.astype(np.float64), SCORES, "Detections.boxes must be float32, not float64"),
        (BOXES[:, :3], SCORES, r"must have shape \(any, 4\)"),
        (BOXES, SCORES[:2], r"Detections.scores must have shape \(3\)"),
        (BOXES.tolist(), SCORES, "must be a NumPy array"),
    ],
)
def test_wrong_shape_or_dtype_is_named(boxes: np.ndarray, scores: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Detections(boxes, scores)


def test_records_cannot_be_changed() -> None:
    detections = Detections(BOXES, SCORES)
    with pytest.raises(AttributeError):
        detections.scores = SCORES  # type: ignore[misc]


def test_results_align_with_detections() -> None:
    frame = Frame("door", 0, 0.0, blank_image(40, 30), has_pixels=False)
    assert (frame.height, frame.width) == (40, 30)
    ids = np.array([1, 2, -1], np.int64)
    FrameResult(frame, Detections(BOXES, SCORES), ids, ids)
    with pytest.raises(ValueError, match=r"FrameResult\.track_ids"):
        FrameResult(frame, Detections(BOXES, SCORES), ids[:2], ids)


def test_a_frame_without_pixels_takes_no_memory() -> None:
    image = blank_image(4000, 6000)
    assert image.shape == (4000, 6000, 3)
    assert image.strides[:2] == (0, 0)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_no_embeddings_are_zero_and_invalid() -> None:
    none = Embeddings.none(3, 8)
    assert none.vectors.shape == (3, 8)
    assert not none.valid.any()
    assert len(none[np.array([True, False, True])]) == 2


def test_a_tracklet_is_never_empty_and_keeps_a_vector_for_each_crop() -> None:
    times = np.array([1.0, 1.5, 3.0])
    vectors = np.eye(2, 4, dtype=np.float32)
    tracklet = Tracklet("door", 7, times, BOXES, SCORES, ("a.jpg", "b.jpg"), vectors, np.ones(2, np.float32))
    assert tracklet.key == ("door", 7)
    assert (tracklet.start_time, tracklet.end_time) == (1.0, 3.0)
    with pytest.raises(ValueError, match=r"Tracklet\.vectors"):
        Tracklet("door", 7, times, BOXES, SCORES, ("a.jpg",), vectors, np.ones(1, np.float32))
    with pytest.raises(ValueError, match="must not be empty"):
        Tracklet("door", 7, times[:0], BOXES[:0], SCORES[:0], (), vectors[:0], np.ones(0, np.float32))
