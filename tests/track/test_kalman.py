"""The batched filter against a plain one with 8 × 8 matrices, written as the textbook has it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.boxes import from_center_size, to_center_size
from app.track.kalman import BoxKalman, BoxMotion, MotionNoise, concatenate, move_with_camera

NOISE = MotionNoise(measurement=(0.08, 0.06), jitter=(0.3, 0.2), acceleration=(1.0, 0.3), initial_velocity=(2.0, 1.5))
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


class PlainKalman:
    """One box, state (cx, cy, w, h, and their velocities), full matrices."""

    def __init__(self, box: np.ndarray) -> None:
        self.x = np.concatenate([to_center_size(box[None])[0], np.zeros(4)])
        h = self.x[3]
        self.P = np.diag(np.concatenate([self._four(NOISE.measurement), self._four(NOISE.initial_velocity)]) * h) ** 2

    @staticmethod
    def _four(pair: tuple[float, float]) -> np.ndarray:
        return np.repeat(pair, 2)

    def predict(self, dt: float) -> None:
        h = self.x[3]
        F = np.eye(8)
        F[:4, 4:] = dt * np.eye(4)
        jitter, acceleration = (self._four(NOISE.jitter) * h) ** 2, (self._four(NOISE.acceleration) * h) ** 2
        Q = np.zeros((8, 8))
        Q[:4, :4] = np.diag(jitter * dt + acceleration * dt**3 / 3)
        Q[:4, 4:] = Q[4:, :4] = np.diag(acceleration * dt**2 / 2)
        Q[4:, 4:] = np.diag(acceleration * dt)
        self.x = F @ self.x
        self.P = F @ self.P @ F.T + Q

    def correct(self, box: np.ndarray) -> None:
        z = to_center_size(box[None])[0]
        H = np.eye(4, 8)
        R = np.diag((self._four(NOISE.measurement) * z[3]) ** 2)
        K = self.P @ H.T @ np.linalg.inv(H @ self.P @ H.T + R)
        self.x = self.x + K @ (z - H @ self.x)
        self.P = (np.eye(8) - K @ H) @ self.P

    def move(self, affine: np.ndarray) -> None:
        scale = math.sqrt(abs(np.linalg.det(affine[:, :2])))
        A = np.zeros((8, 8))
        A[:2, :2] = A[4:6, 4:6] = affine[:, :2]
        A[2:4, 2:4] = A[6:, 6:] = scale * np.eye(2)
        self.x = A @ self.x
        self.x[:2] += affine[:, 2]
        self.P = A @ self.P @ A.T


def assert_same(motion: BoxMotion, row: int, plain: PlainKalman) -> None:
    np.testing.assert_allclose(motion.position[row], plain.x[:4], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(motion.velocity[row], plain.x[4:], rtol=1e-9, atol=1e-6)
    blocks = np.zeros((8, 8))
    blocks[:4, :4] = np.diag(motion.position_variance[row])
    blocks[:4, 4:] = blocks[4:, :4] = np.diag(motion.covariance[row])
    blocks[4:, 4:] = np.diag(motion.velocity_variance[row])
    np.testing.assert_allclose(blocks, plain.P, rtol=1e-8, atol=1e-6)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    sizes = np.stack([rng.uniform(10, 80, count), rng.uniform(30, 200, count)], axis=1)
    return from_center_size(np.concatenate([rng.uniform(0, 1000, (count, 2)), sizes], axis=1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5), steps=st.integers(1, 6))
def test_agrees_with_plain_matrices(seed: int, count: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    kalman = BoxKalman(NOISE)
    boxes = random_boxes(rng, count)
    motion = kalman.start(boxes.astype(np.float32))
    plain = [PlainKalman(box) for box in boxes.astype(np.float32).astype(np.float64)]
    for _ in range(steps):
        dt = rng.uniform(0.01, 0.3)
        angle, zoom = rng.uniform(-0.2, 0.2), rng.uniform(0.9, 1.1)
        turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        affine = np.concatenate([turn, rng.uniform(-30, 30, (2, 1))], axis=1)
        seen = from_center_size(to_center_size(motion.boxes()) + rng.normal(0, 3, (count, 4)))
        motion = move_with_camera(kalman.predict(motion, dt), affine)
        motion = kalman.correct(motion, seen)
        for row, one in enumerate(plain):
            one.predict(dt)
            one.move(affine)
            one.correct(seen[row])
            assert_same(motion, row, one)


def test_velocity_is_in_pixels_per_second_at_any_frame_rate() -> None:
    for fps in (7, 10, 25, 30):
        kalman = BoxKalman(NOISE)
        box = np.array([[100.0, 100, 140, 200]])
        motion = kalman.start(box)
        for frame in range(1, 3 * fps):
            motion = kalman.predict(motion, 1 / fps)
            motion = kalman.correct(motion, box + np.array([60, 0, 60, 0]) * frame / fps)
        assert motion.velocity[0] == pytest.approx([60, 0, 0, 0], abs=1.5), fps


def test_two_half_steps_are_one_whole_step() -> None:
    kalman = BoxKalman(NOISE)
    start = kalman.start(np.array([[0.0, 0, 40, 100], [50, 50, 90, 170]]))
    start.velocity[:] = [[30, 10, 0, 0], [-20, 5, 0, 0]]
    once = kalman.predict(start, 0.2)
    twice = kalman.predict(kalman.predict(start, 0.1), 0.1)
    np.testing.assert_allclose(once.values, twice.values, rtol=1e-9)


def test_functions_leave_their_input_alone() -> None:
    kalman = BoxKalman(NOISE)
    motion = kalman.start(np.array([[0.0, 0, 40, 100]]))
    before = motion.values.copy()
    kalman.predict(motion, 0.5)
    kalman.correct(motion, np.array([[5.0, 5, 45, 105]]))
    move_with_camera(motion, np.array([[1.1, 0, 5], [0, 1.1, -3]]))
    np.testing.assert_array_equal(motion.values, before)


def test_rows_are_selected_joined_and_overwritten() -> None:
    kalman = BoxKalman(NOISE)
    motion = kalman.start(random_boxes(np.random.default_rng(0), 4))
    joined = concatenate([motion[2:], motion[:2]])
    np.testing.assert_array_equal(joined.position, motion.position[[2, 3, 0, 1]])
    joined.put(np.array([0]), motion[[1]])
    np.testing.assert_array_equal(joined.velocity_variance[0], motion.velocity_variance[1])


def test_empty_states_pass_through() -> None:
    kalman = BoxKalman(NOISE)
    empty = kalman.start(np.zeros((0, 4)))
    moved = move_with_camera(kalman.predict(empty, 0.1), STILL)
    assert len(kalman.correct(moved, np.zeros((0, 4)))) == 0
    assert moved.boxes().shape == (0, 4)


def test_a_shrunken_box_keeps_a_pixel() -> None:
    kalman = BoxKalman(NOISE)
    motion = kalman.start(np.array([[0.0, 0, 4, 10]]))
    motion.velocity[0] = [0, 0, -100, -100]
    width, height = (kalman.predict(motion, 1.0).boxes()[0, 2:] - kalman.predict(motion, 1.0).boxes()[0, :2]).tolist()
    assert (width, height) == (1.0, 1.0)
