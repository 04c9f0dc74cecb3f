"""Constant-velocity Kalman filter for many boxes at once.

The state of a box is its centre x, centre y, width and height in pixels, and the velocity of each in pixels per second
(the choice of BoT-SORT, Aharon et al. 2022). All noise is proportional to the height of the box, because the height of
a standing person says how far away he is and so how many pixels a step or a jitter of the detector makes.

The four coordinates have independent noise, so the 8 × 8 covariance of a box falls into four blocks of 2 × 2, one for
each coordinate and its velocity. They are kept as three numbers each and everything below is arithmetic on whole
arrays, with no matrix to invert. The noise of x equals the noise of y, hence their joint covariance is a circle, and
turning a circle with the camera leaves it as it is: camera motion only scales it. That is exact for shifts, turns and
zooms; for a sheared affine the scale is the geometric mean.

Time is in seconds: the same person filmed at 10 or at 30 pictures a second gives the same filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import to_center_size

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MotionNoise:
    """How uncertain things are, as shares of the height of the box. The first of a pair is for the centre, the second
    for width and height.

    measurement: standard deviation of a detected coordinate.
    jitter: growth of a coordinate's uncertainty, as standard deviation after one second.
    acceleration: growth of a velocity's uncertainty, heights per second, as standard deviation after one second.
    initial_velocity: standard deviation of the unknown velocity of a new box, heights per second.
    """

    measurement: tuple[float, float]
    jitter: tuple[float, float]
    acceleration: tuple[float, float]
    initial_velocity: tuple[float, float]


def _four(pair: tuple[float, float]) -> Array:
    """Return (4,) values for centre x, centre y, width, height from a (centre, size) pair."""
    return np.array([pair[0], pair[0], pair[1], pair[1]])


@dataclass(frozen=True, slots=True)
class BoxMotion:
    """The state of T boxes, row i always the same one.

    values: (T, 5, 4) float64: five numbers for each of centre x, centre y, width and height, in this order; the
    properties are (T, 4) views of them. One array, because selecting rows is what a tracker does most.
    """

    values: Array

    @classmethod
    def of(
        cls, position: Array, velocity: Array, position_variance: Array, covariance: Array, velocity_variance: Array
    ) -> BoxMotion:
        """Return the state made of five (T, 4) arrays."""
        values = np.empty((len(position), 5, 4))
        parts = (position, velocity, position_variance, covariance, velocity_variance)
        for index, part in enumerate(parts):
            values[:, index] = part
        return cls(values)

    @property
    def position(self) -> Array:
        """(T, 4) pixels."""
        return self.values[:, 0]

    @property
    def velocity(self) -> Array:
        """(T, 4) pixels per second."""
        return self.values[:, 1]

    @property
    def position_variance(self) -> Array:
        return self.values[:, 2]

    @property
    def covariance(self) -> Array:
        """(T, 4) of each coordinate with its velocity."""
        return self.values[:, 3]

    @property
    def velocity_variance(self) -> Array:
        return self.values[:, 4]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> BoxMotion:
        """Select rows by slice, index array or boolean mask."""
        return BoxMotion(self.values[rows])

    def put(self, rows: Any, states: BoxMotion) -> None:
        """Overwrite `rows` with `states`."""
        self.values[rows] = states.values

    def boxes(self) -> Array:
        """Return (T, 4) x1 y1 x2 y2; a predicted side below one pixel counts as one pixel."""
        half = np.maximum(self.values[:, 0, 2:], 1.0) / 2
        return np.concatenate([self.values[:, 0, :2] - half, self.values[:, 0, :2] + half], axis=1)


def concatenate(parts: Sequence[BoxMotion]) -> BoxMotion:
    """Return the rows of all `parts` as one."""
    return BoxMotion(np.concatenate([part.values for part in parts]))


class BoxKalman:
    """The filter: start, predict, correct and move with the camera. Holds only the noise; states are passed in."""

    def __init__(self, noise: MotionNoise) -> None:
        self._measurement = _four(noise.measurement) ** 2
        self._jitter = _four(noise.jitter) ** 2
        self._acceleration = _four(noise.acceleration) ** 2
        self._initial_velocity = _four(noise.initial_velocity) ** 2

    def start(self, boxes: NDArray[np.floating[Any]]) -> BoxMotion:
        """Return the state of new boxes (N, 4) x1 y1 x2 y2, standing still as far as one knows."""
        position = _centers_and_sizes(boxes)
        squared_height = _squared_height(position)
        zeros = np.zeros_like(position)
        return BoxMotion.of(
            position, zeros, self._measurement * squared_height, zeros, self._initial_velocity * squared_height
        )

    def predict(self, motion: BoxMotion, seconds: float) -> BoxMotion:
        """Return the state `seconds` later: white noise on position and on velocity, integrated over that time."""
        squared_height = _squared_height(motion.position)
        jitter = self._jitter * squared_height
        acceleration = self._acceleration * squared_height
        return BoxMotion.of(
            motion.position + seconds * motion.velocity,
            motion.velocity,
            motion.position_variance
            + seconds * (2 * motion.covariance + seconds * motion.velocity_variance)
            + jitter * seconds
            + acceleration * (seconds**3 / 3),
            motion.covariance + seconds * motion.velocity_variance + acceleration * (seconds**2 / 2),
            motion.velocity_variance + acceleration * seconds,
        )

    def correct(self, motion: BoxMotion, boxes: NDArray[np.floating[Any]]) -> BoxMotion:
        """Return the state after each of its T boxes was measured as `boxes` (T, 4) x1 y1 x2 y2."""
        measured = _centers_and_sizes(boxes)
        innovation = measured - motion.position
        variance = motion.position_variance + self._measurement * _squared_height(measured)
        gain = motion.position_variance / variance
        velocity_gain = motion.covariance / variance
        return BoxMotion.of(
            motion.position + gain * innovation,
            motion.velocity + velocity_gain * innovation,
            (1 - gain) * motion.position_variance,
            (1 - gain) * motion.covariance,
            motion.velocity_variance - velocity_gain * motion.covariance,
        )


def move_with_camera(motion: BoxMotion, affine: Array) -> BoxMotion:
    """Return the state in the pixels of the present picture, given the (2, 3) `affine` from the previous to this one.

    Centres follow the affine, velocities its linear part; sizes and all deviations its scale.
    """
    linear = affine[:, :2]
    scale = math.sqrt(abs(float(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0])))
    position = motion.position * scale
    velocity = motion.velocity * scale
    position[:, :2] = motion.position[:, :2] @ linear.T + affine[:, 2]
    velocity[:, :2] = motion.velocity[:, :2] @ linear.T
    squared = scale**2
    return BoxMotion.of(
        position,
        velocity,
        motion.position_variance * squared,
        motion.covariance * squared,
        motion.velocity_variance * squared,
    )


def _centers_and_sizes(boxes: NDArray[np.floating[Any]]) -> Array:
    """Return (N, 4) float64 centre x, centre y, width, height."""
    return np.asarray(to_center_size(np.asarray(boxes, np.float64)), np.float64)


def _squared_height(position: Array) -> Array:
    """Return (T, 1) squared heights, of boxes that are at least one pixel high."""
    return np.maximum(position[:, 3:4], 1.0) ** 2
