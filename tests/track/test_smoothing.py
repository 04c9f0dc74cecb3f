from __future__ import annotations

import numpy as np
import pytest

from app.track.smoothing import fill_and_smooth

FPS = 10


def walk(frames: np.ndarray) -> np.ndarray:
    """Boxes (T, 4) of somebody who walks to the right at 30 pixels a second."""
    left = 100 + 3.0 * frames
    return np.stack([left, np.full(len(frames), 50.0), left + 40, np.full(len(frames), 150.0)], axis=1)


def test_short_gaps_are_filled_and_long_ones_stay_open() -> None:
    frame_times = np.arange(60) / FPS
    seen = np.r_[5:10, 15:20, 40:45]
    rows, boxes, observed = fill_and_smooth(frame_times[seen], walk(seen), frame_times, max_gap_s=1.0)
    assert rows.tolist() == [*range(5, 20), *range(40, 45)]
    assert rows[observed].tolist() == seen.tolist()
    np.testing.assert_allclose(boxes, walk(rows), atol=1e-3)
    assert boxes.dtype == np.float32


def test_a_gap_of_exactly_the_limit_is_filled() -> None:
    frame_times = 1e5 + np.arange(20) / FPS
    rows, _, _ = fill_and_smooth(frame_times[[0, 10]], walk(np.array([0, 10])), frame_times, max_gap_s=1.0)
    assert len(rows) == 11


def test_without_smoothing_observed_boxes_stay_as_they_are() -> None:
    frame_times = np.arange(9) / FPS
    seen = np.array([0, 1, 5, 8])
    noisy = walk(seen) + np.random.default_rng(0).normal(0, 3, (4, 4))
    rows, boxes, observed = fill_and_smooth(frame_times[seen], noisy, frame_times, max_gap_s=1.0, smooth=False)
    np.testing.assert_array_equal(boxes[observed], noisy.astype(np.float32))
    np.testing.assert_allclose(boxes[rows == 3], [(noisy[1] + noisy[2]) / 2], rtol=1e-6)


def test_smoothing_brings_noisy_boxes_nearer_to_the_truth() -> None:
    frame_times = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.06, 200))  # variable frame rate
    truth = walk(frame_times * FPS)
    noisy = truth + np.random.default_rng(2).normal(0, 4, truth.shape)
    _, boxes, _ = fill_and_smooth(frame_times, noisy, frame_times, max_gap_s=1.0)
    assert np.abs(boxes - truth).mean() < 0.5 * np.abs(noisy - truth).mean()


def test_a_turn_is_followed_not_cut() -> None:
    frame_times = np.arange(60) / FPS
    path = walk(np.r_[0:30, 30:0:-1].astype(float))  # turns round on the spot
    _, boxes, _ = fill_and_smooth(frame_times, path, frame_times, max_gap_s=1.0)
    assert np.abs(boxes - path).max() < 5  # pixels, of a person 100 pixels high


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_tracks_pass_through(count: int) -> None:
    frame_times = np.arange(5) / FPS
    seen = np.arange(count)
    rows, boxes, observed = fill_and_smooth(frame_times[seen], walk(seen), frame_times, max_gap_s=1.0)
    assert rows.tolist() == seen.tolist()
    assert observed.all()
    np.testing.assert_allclose(boxes, walk(seen))


def test_a_time_that_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="time of a frame"):
        fill_and_smooth(np.array([0.05]), walk(np.array([0])), np.arange(5) / FPS, max_gap_s=1.0)


def test_a_gap_that_nobody_can_have_crossed_stays_open() -> None:
    frame_times = np.arange(20) / FPS
    seen = np.r_[0:5, 10:15]
    boxes = walk(seen)
    for jump, filled in (([10, 0], True), ([100, 0], False), ([300, 0], False), ([0, 300], False)):
        moved = boxes.copy()
        moved[5:] += np.tile(jump, 2)
        rows, _, _ = fill_and_smooth(frame_times[seen], moved, frame_times, max_gap_s=1.5)
        assert (7 in rows) == filled, jump
    grown = boxes.copy()
    grown[5:, 3] += 80  # 1.8 times as tall
    assert 7 not in fill_and_smooth(frame_times[seen], grown, frame_times, max_gap_s=1.5)[0]


@pytest.mark.parametrize(
    ("before", "after", "across", "filled"),
    [
        (0.0, 0.0, 2.0, False),  # heights per second: whoever stands here and there did not run in between
        (0.0, 0.0, 0.3, True),
        (0.8, 0.8, 0.9, True),
        (0.8, 0.8, 2.0, False),  # the id of a walker, taken over by somebody two heights further on
        (2.0, 2.0, 2.0, True),  # a runner
        (0.0, 0.8, 0.7, True),  # who stood, and walks off unseen
    ],
)
def test_a_filled_gap_does_not_outrun_the_person(before: float, after: float, across: float, filled: bool) -> None:
    fps = 25
    frame_times = np.arange(75) / fps
    speeds = np.concatenate([np.full(25, before), np.full(25, across), np.full(25, after)])
    x = 100 * np.cumsum(speeds) / fps
    boxes = np.column_stack([x, np.zeros(75), x + 40, np.full(75, 100.0)])
    seen = np.r_[0:25, 49:75]
    rows, filled_boxes, _ = fill_and_smooth(frame_times[seen], boxes[seen], frame_times, max_gap_s=1.5)
    assert (len(rows) == 75) == filled
    if filled:
        fastest = np.abs(np.diff(filled_boxes[:, 0])).max() * fps / 100
        assert fastest <= 1.5 * max(before, after, 0.3)
