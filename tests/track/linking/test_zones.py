"""Entry and exit zones of a camera."""

from __future__ import annotations

import numpy as np

from app.track.linking.zones import NO_ZONE, find_zones, nearest_zones


def test_two_doors_are_two_zones_and_strays_are_none() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal((20, 200), 8, (30, 2)), rng.normal((600, 220), 8, (20, 2))
    strays = np.array([[300.0, 100.0], [320.0, 300.0]])
    zones = find_zones(np.concatenate([left, right, strays]), np.full(52, 80.0))
    assert [zone.sightings for zone in zones] == [30, 20]
    np.testing.assert_allclose(zones[0].center, [20, 200], atol=5)
    assert zones[0].covariance.shape == (2, 2)
    numbers = nearest_zones(np.array([[22.0, 205.0], [605.0, 215.0], [300.0, 100.0]]), zones)
    assert numbers.tolist() == [0, 1, NO_ZONE]


def test_too_few_sightings_make_no_zone() -> None:
    assert find_zones(np.zeros((2, 2)), np.full(2, 80.0)) == ()
    assert nearest_zones(np.zeros((2, 2)), ()).tolist() == [NO_ZONE, NO_ZONE]


def test_very_many_sightings_are_sampled() -> None:
    feet = np.random.default_rng(0).normal((20, 200), 8, (9000, 2))
    (zone,) = find_zones(feet, np.full(9000, 80.0))
    assert zone.sightings == 9000
