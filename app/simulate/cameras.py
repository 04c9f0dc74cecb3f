"""Pinhole cameras over a floor: projection, colour and noise.

World axes are X and Y on the floor and Z up, in metres. Camera axes are x right, y down, z forward, as in OpenCV:
`x_image = K (R X + t)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    K (3, 3), R (3, 3), t (3,): float64 calibration, no lens distortion.
    start_s: scene time of the first picture.  clock_offset_s: how far the camera's clock is ahead of the scene's.
    gains: factors of blue, green and red.  gamma: exponent on the 0 to 1 picture.  noise_level: grey levels.
    """

    name: str
    width: int
    height: int
    fps: float
    K: Points
    R: Points
    t: Points
    start_s: float
    clock_offset_s: float
    gains: tuple[float, float, float]
    gamma: float
    noise_level: float
    seed: int

    @property
    def position(self) -> Points:
        """Where the camera is, (3,) metres."""
        return -self.R.T @ self.t

    @property
    def floor_to_image(self) -> Points:
        """(3, 3) homography from floor X, Y, 1 in metres to picture x, y, w in pixels."""
        return self.K @ np.column_stack([self.R[:, 0], self.R[:, 1], self.t])

    def frame_time(self, index: int) -> float:
        """Scene time of picture `index`, seconds."""
        return self.start_s + index / self.fps

    def project(self, points: NDArray[np.floating[Any]]) -> tuple[Points, Points]:
        """Return (N, 2) pixels and (N,) depths in metres of (N, 3) world points; depth > 0 is before the camera."""
        seen = np.asarray(points, np.float64) @ self.R.T + self.t
        pixels = seen @ self.K.T
        return pixels[:, :2] / np.where(np.abs(pixels[:, 2:]) < 1e-9, 1e-9, pixels[:, 2:]), seen[:, 2]

    def colour_table(self) -> NDArray[np.uint8]:
        """Return the (256, 1, 3) table from the scene's colours to this camera's, for `cv2.LUT`."""
        levels = np.linspace(0, 1, 256)[:, None] * np.asarray(self.gains)
        table = np.clip(levels, 0, 1.0) ** self.gamma * 255
        return np.round(table).astype(np.uint8)[:, None, :]


def aimed(position: Points, target: Points, focal_px: float, width: int, height: int) -> tuple[Points, Points, Points]:
    """Return K, R and t of a level camera at `position` (3,) that looks at `target` (3,)."""
    forward = np.asarray(target, np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    R = np.stack([right, down, forward])
    K = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]], np.float64)
    return K, R, -R @ position
