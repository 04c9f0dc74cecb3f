"""Tracklets of people who walk to and fro along a street, past cameras whose views do not overlap, or which do."""

from __future__ import annotations

import numpy as np

from app.frames import Tracklet

DIMENSION = 64
PIXELS_PER_M = 40.0


def street(
    seed: int,
    offsets_s: tuple[float, ...] = (0.0, 2.6, -2.2),
    people: int = 10,
    walks: int = 5,
    noise: float = 1.0,
    between_m: float = 16.0,
    view_m: float = 10.0,
) -> tuple[list[Tracklet], np.ndarray]:
    """Return the tracklets and (n,) who each is. Camera k sees `view_m` from k * `between_m` on; its clock is
    `offsets_s[k]` ahead. Looks are noisier than within a tracklet from one view to the next."""
    rng = np.random.default_rng(seed)
    appearance = rng.normal(size=(people, DIMENSION))
    light = 1.5 * rng.normal(size=(len(offsets_s), DIMENSION))
    length = between_m * (len(offsets_s) - 1) + view_m
    found = []
    for person in range(people):
        speed = rng.uniform(1.0, 1.6)
        start_s = rng.uniform(0, 25)
        for walk in range(walks):
            lane = rng.uniform(0, 4)
            times = np.arange(0, (length + 2) / speed, 0.2)
            x = -1 + speed * times
            if walk % 2:
                x = length - x
            for camera, offset_s in enumerate(offsets_s):
                inside = np.abs(x - camera * between_m - view_m / 2) < view_m / 2 + 0.2 * lane
                feet = np.column_stack([PIXELS_PER_M * (x - camera * between_m), np.full(len(x), 330 - 20 * lane)])
                shown = feet[inside] + rng.normal(0, 1, (int(inside.sum()), 2))
                own = appearance[person] + light[camera] + noise * rng.normal(size=DIMENSION)
                vectors = 2 + own + 0.7 * rng.normal(size=(4, DIMENSION))
                found.append((camera, start_s + times[inside] + offset_s, shown, vectors, person))
            start_s += length / speed + rng.uniform(4, 40)
    tracklets = [
        _tracklet(f"cam{camera}", number, times, feet, vectors)
        for number, (camera, times, feet, vectors, _) in enumerate(found)
    ]
    return tracklets, np.array([person for *_, person in found])


def _tracklet(camera: str, number: int, times: np.ndarray, feet: np.ndarray, vectors: np.ndarray) -> Tracklet:
    x, y = feet.T
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Tracklet(
        camera=camera,
        track_id=number,
        times=times,
        boxes=np.stack([x - 15, y - 68, x + 15, y], axis=1).astype(np.float32),
        scores=np.ones(len(times), np.float32),
        crops=("",) * len(unit),
        vectors=unit,
        qualities=np.full(len(unit), 0.5, np.float32),
    )
