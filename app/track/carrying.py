"""Where somebody probably is a little before the first and after the last box of a track.

A detector finds people late: half in the picture, far away, behind something. Whoever wants to hide everybody must not
wait for it, and one who walks is where the way seen so far, continued, leads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOPE_S = 0.6
"""Stretch of the first and the last boxes from which the velocity there is measured."""

DRIFT_HEIGHTS_PER_S = 0.25
"""A carried box grows by this share of its height per second on every side: people turn and change pace."""

_FASTEST_HEIGHTS_PER_S = 2.0


def carried_boxes(
    times: NDArray[np.float64], boxes: NDArray[np.floating[Any]], moments: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return (M, 4) float32 boxes of one track at any moments: between its boxes on the line from one to the next,
    before and after them at the velocity seen there, larger the farther away in time.

    times: (T,) seconds, in order, T > 0.  boxes: (T, 4) x1 y1 x2 y2, pixels.  moments: (M,) seconds.
    """
    known = np.asarray(boxes, np.float64)
    found = np.stack([np.interp(moments, times, side) for side in known.T], axis=1)
    for end, rows in ((0, times <= times[0] + SLOPE_S), (-1, times >= times[-1] - SLOPE_S)):
        away_s = moments - times[end]
        beyond = away_s < 0 if end == 0 else away_s > 0
        height = max(float(known[end, 3] - known[end, 1]), 1.0)
        shift = np.tile(_velocity(times[rows], known[rows], height), 2) * away_s[beyond, None]
        growth = DRIFT_HEIGHTS_PER_S * height * np.abs(away_s[beyond, None])
        found[beyond] += shift + np.concatenate([-growth, -growth, growth, growth], axis=1)
    return found.astype(np.float32)


def _velocity(times: NDArray[np.float64], boxes: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Return the (2,) velocity of the boxes' centre, pixels per second: the slope of the line through them."""
    if times[0] == times[-1]:
        return np.zeros(2)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    since = times - times.mean()
    slope = since @ (centres - centres.mean(axis=0)) / (since @ since)
    fastest = _FASTEST_HEIGHTS_PER_S * height
    return np.asarray(np.clip(slope, -fastest, fastest))
