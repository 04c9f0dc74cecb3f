"""Surfaces of points: every part of a person is turned on a lathe and covered with cloth, skin or hair.

A part is a profile of half-widths along an axis, elliptical in cross-section, sampled with even spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.simulate.figure import BONES, MODEL_HEIGHT_M, Float, rotation
from app.simulate.looks import Colour, Look


@dataclass(frozen=True, slots=True)
class Body:
    """Points of one person at one density, sorted by bone.

    points, normals: (3, N) float32 in the frame of their bone, metres.  colours: (N, 3) float32 BGR 0 to 255.
    starts: (BONES + 1,) int64, points of bone b are starts[b] to starts[b + 1].
    scale: factor from the model's height to the person's.
    """

    points: Float
    normals: Float
    colours: Float
    starts: NDArray[np.int64]
    scale: float


@dataclass(slots=True)
class Part:
    points: Float
    normals: Float
    along: Float
    angle: Float
    colours: Float


class Tailor:
    """Collects the parts of one person; all cloth is textured from one table of smooth noise."""

    def __init__(self, look: Look, spacing_m: float) -> None:
        self.look = look
        self.spacing_m = spacing_m
        rng = np.random.default_rng(look.texture_seed)
        coarse = cv2.resize(rng.normal(0, 1, (12, 12)), (96, 96), interpolation=cv2.INTER_CUBIC)
        fine = cv2.resize(rng.normal(0, 1, (40, 28)), (96, 96), interpolation=cv2.INTER_CUBIC)
        self.noise: Float = (0.65 * coarse + 0.45 * fine).astype(np.float32)
        self.print_mask: NDArray[np.bool_] = cv2.resize(rng.normal(0, 1, (5, 5)), (32, 32)) > 0.1
        self.shift = 0.0
        self.parts: list[tuple[int, Part]] = []

    def lathe(
        self,
        bone: int,
        profile: Sequence[tuple[float, float, float]],
        colour: Colour,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        folds: float = 0.0,
        tilt: float = 0.0,
    ) -> Part:
        """Add a surface of revolution to `bone` and return it, so that its colours can be worked on.

        profile: rows of z (not falling), half-width in x, half-depth in y, metres, closed by zero radii where wanted.
        offset: moves the part in the bone's frame.  folds: strength of creases and of uneven colour.
        tilt: rotation about x in radians, applied before the offset.
        """
        z, rx, ry = (np.asarray(column, np.float64) for column in zip(*profile, strict=True))
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(z), np.diff((rx + ry) / 2)))])
        rings = max(2, int(np.ceil(length[-1] / self.spacing_m)) + 1)
        at = np.linspace(0, length[-1], rings)
        ring_z, ring_x, ring_y = np.interp(at, length, z), np.interp(at, length, rx), np.interp(at, length, ry)
        ring_x, ring_y = _smooth(ring_x, self.spacing_m), _smooth(ring_y, self.spacing_m)
        slope_z, slope_r = np.gradient(ring_z), _smooth(np.gradient((ring_x + ring_y) / 2), self.spacing_m)
        counts = np.maximum(3, np.ceil(2 * np.pi * np.hypot(ring_x, ring_y) / np.sqrt(2) / self.spacing_m)).astype(int)
        ring = np.repeat(np.arange(rings), counts)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        angle = 2 * np.pi * (np.arange(len(ring)) - first[ring] + 0.5 * (ring % 2)) / counts[ring]
        cos, sin = np.cos(angle), np.sin(angle)
        points = np.stack([ring_x[ring] * cos, ring_y[ring] * sin, ring_z[ring]], axis=1)
        outward = np.stack([cos * (ring_y[ring] + 1e-4), sin * (ring_x[ring] + 1e-4)], axis=1)
        outward *= (slope_z[ring] / np.maximum(np.linalg.norm(outward, axis=1), 1e-9))[:, None]
        normals = np.concatenate([outward, -slope_r[ring][:, None]], axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        self.shift += 17.3
        along = points[:, 2]
        u = (angle / (2 * np.pi) * 48 + self.shift).astype(np.float32)
        v = (along * 60 + 2.1 * self.shift).astype(np.float32)
        texture = self.noise[v.astype(int) % 96, u.astype(int) % 96]
        if tilt:
            points, normals = points @ rotation(tilt).T, normals @ rotation(tilt).T
        colours = np.tile(np.asarray(colour, np.float32), (len(points), 1))
        colours *= (1 + folds * texture)[:, None]
        if folds:
            normals = normals + folds * 1.6 * texture[:, None] * np.array([0.25, 0.25, 1.0])
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        part = Part(
            (points + np.asarray(offset)).astype(np.float32),
            normals.astype(np.float32),
            along.astype(np.float32),
            angle.astype(np.float32),
            colours,
        )
        self.parts.append((bone, part))
        return part

    def body(self) -> Body:
        self.parts.sort(key=lambda entry: entry[0])
        counts = np.zeros(BONES, np.int64)
        for bone, part in self.parts:
            counts[bone] += len(part.points)
        parts = [part for _, part in self.parts]
        return Body(
            points=np.ascontiguousarray(np.concatenate([part.points for part in parts]).T),
            normals=np.ascontiguousarray(np.concatenate([part.normals for part in parts]).T),
            colours=np.concatenate([part.colours for part in parts]),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            scale=self.look.height_m / MODEL_HEIGHT_M,
        )


def _smooth(values: NDArray[np.float64], spacing_m: float) -> NDArray[np.float64]:
    """Round off the corners of a profile over about 4 cm; the two ends stay."""
    reach = min(round(0.02 / spacing_m), (len(values) - 1) // 2)
    if reach < 1:
        return values
    padded = np.pad(values, reach, mode="edge")
    rounded = np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    rounded[0], rounded[-1] = values[0], values[-1]
    return rounded
