"""Ways between cameras and how many people are in sight."""

from __future__ import annotations

import numpy as np
import pytest

from app.runs.people.visits import Person, Visit
from app.runs.places.movement import MOST_STRETCHES, even_edges, occupancy, transitions


def person(number: int, *visits: tuple[str, float, float]) -> Person:
    return Person(
        number, "", tuple(Visit(camera, row, start, end, ()) for row, (camera, start, end) in enumerate(visits))
    )


def test_ways_are_from_one_sight_to_the_next() -> None:
    people = [
        person(1, ("a", 0, 10), ("b", 14, 20), ("a", 30, 40), ("b", 50, 51)),
        person(2, ("a", 5, 9), ("b", 7.5, 12)),
    ]
    first, back = transitions(people)
    assert (first.start, first.end, first.count, first.people, first.median_s) == ("a", "b", 3, 2, 4.0)
    assert (back.start, back.end, back.median_s) == ("b", "a", 10.0)
    assert first.p10_s < 0 < first.p90_s  # seen by both at once
    right = transitions(people, {"b": 2.0})[0]  # b's clock is two seconds ahead
    assert right.median_s == 2.0


def test_occupancy_is_the_mean_and_the_most_at_once() -> None:
    spans = [(0.0, 10.0), (5.0, 15.0), (6.0, 7.0), (30.0, 40.0)]
    for offset in (0.0, 1.7e9):
        found = occupancy(
            [(start + offset, end + offset) for start, end in spans], np.array([0.0, 10, 20, 30]) + offset
        )
        assert found.mean == pytest.approx([1.6, 0.5, 0.0], abs=1e-6)
        assert found.peak.tolist() == [3, 2, 0]


def test_occupancy_agrees_with_looking_at_every_moment() -> None:
    random = np.random.default_rng(0)
    starts = random.uniform(0, 90, 60)
    spans = [(start, start + length) for start, length in zip(starts, random.uniform(0, 20, 60), strict=True)]
    edges = even_edges(0, 95, 10)
    assert edges.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]
    found = occupancy(spans, edges)
    moments = np.linspace(0, 95, 190_001)
    there = sum(((moments >= start) & (moments <= end)).astype(int) for start, end in spans)
    for row in range(10):
        own = there[(moments >= edges[row]) & (moments < edges[row + 1])]
        assert found.mean[row] == pytest.approx(own.mean(), abs=0.01)
        assert found.peak[row] == own.max()


def test_without_anybody_there_is_nobody() -> None:
    found = occupancy([], even_edges(0, 0, 60))
    assert found.mean.tolist() == [0.0]
    assert transitions([]) == []


def test_a_year_has_no_million_stretches() -> None:
    edges = even_edges(0.0, 365 * 86_400.0, 10.0)
    assert len(edges) <= MOST_STRETCHES + 2
    assert (edges[0], edges[-1]) == (0.0, 365 * 86_400.0)
    assert len(even_edges(0.0, 86_400.0, 60.0)) == 1441
