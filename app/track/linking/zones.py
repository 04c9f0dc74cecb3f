"""Where in a picture people come into view and leave it: doors, edges, the corner of a house.

Foot points at the ends of tracklets are grouped by average linkage, in units of people's height at that place, since a
step covers fewer pixels far away. A small group is no zone: a track that broke off in the open says nothing of the
place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from app.track.linking.topology import EntryExitZone

REACH_HEIGHTS = 1.0
"""Groups whose points lie further apart than this, on average, are two zones."""

LEAST_SIGHTINGS = 3
LEAST_SHARE = 0.05
"""A zone has at least so many of the camera's sightings."""

MOST_POINTS = 1500
"""Linkage takes the square of the number of points in memory; so many show where the zones are."""

NO_ZONE = -1


def find_zones(feet: NDArray[np.float64], heights: NDArray[np.float64]) -> tuple[EntryExitZone, ...]:
    """Return the zones of one camera, the most used first.

    feet: (N, 2) pixels. heights: (N,) pixels, of the boxes there.
    """
    step = max(1, len(feet) // MOST_POINTS)
    feet, heights = feet[::step], heights[::step]
    if len(feet) < LEAST_SIGHTINGS:
        return ()
    groups = fcluster(linkage(feet / np.median(heights), "average"), REACH_HEIGHTS, "distance")
    zones = []
    for group in np.unique(groups):
        own = feet[groups == group]
        if len(own) >= max(LEAST_SIGHTINGS, LEAST_SHARE * len(feet)):
            covariance = np.cov(own.T) + np.eye(2) * (0.1 * float(np.median(heights))) ** 2
            zones.append(EntryExitZone(own.mean(axis=0), covariance, len(own) * step))
    return tuple(sorted(zones, key=lambda zone: (-zone.sightings, tuple(zone.center))))


def nearest_zones(feet: NDArray[np.float64], zones: tuple[EntryExitZone, ...]) -> NDArray[np.int64]:
    """Return (N,) which zone each foot point belongs to, `NO_ZONE` beyond three standard deviations of all."""
    if not zones or not len(feet):
        return np.full(len(feet), NO_ZONE, np.int64)
    distances = []
    for zone in zones:
        apart = feet - zone.center
        distances.append(np.einsum("ni,ij,nj->n", apart, np.linalg.inv(zone.covariance), apart))
    squared = np.stack(distances, axis=1)
    return np.where(squared.min(axis=1) <= 9.0, np.argmin(squared, axis=1), NO_ZONE).astype(np.int64)
