"""Diagrams as SVG: the ways between cameras, and how many people were in sight over the time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from app.runs.places.movement import Occupancy, Transition
from app.ui.layout import clock

_WIDTH, _HEIGHT = 640, 400
_NODE_PX = 34
_WAYS_SHOWN = 40
_LABELS_SHOWN = 6
"""With more ways than these, what an arrow means is said when the pointer is on it."""


def ways_graph(cameras: Sequence[str], ways: Sequence[Transition], people: Mapping[str, int]) -> str:
    """Return cameras as circles and the ways between them as arrows; the thicker, the more often they were taken.

    people: how many different ones each camera saw.  At most the 40 most frequent ways are drawn.
    """
    places = {name: _place(row, len(cameras)) for row, name in enumerate(cameras)}
    most = max((way.count for way in ways), default=1)
    height = _HEIGHT if len(cameras) > 2 else _HEIGHT / 2
    arrows = "".join(_arrow(way, places, most, len(ways) <= _LABELS_SHOWN) for way in ways[:_WAYS_SHOWN])
    nodes = "".join(
        f'<g class="ot-node"><circle cx="{x:.0f}" cy="{y:.0f}" r="{_NODE_PX}"/>'
        f'<text x="{x:.0f}" y="{y - 1:.0f}" class="name">{escape(_short(name))}</text>'
        f'<text x="{x:.0f}" y="{y + 14:.0f}" class="many">{people.get(name, 0)}</text>'
        f"<title>{escape(name)}: {people.get(name, 0)} people</title></g>"
        for name, (x, y) in places.items()
    )
    marker = (
        '<defs><marker id="ot-tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 10 5 0 10z"/></marker></defs>'
    )
    return (
        f'<svg class="ot-graph" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="Ways between the cameras">'
        f"{marker}{arrows}{nodes}</svg>"
    )


def _place(row: int, count: int) -> tuple[float, float]:
    if count <= 2:
        return _WIDTH / 2 + (row - (count - 1) / 2) * 400, _HEIGHT / 4 + 16
    angle = math.pi + 2 * math.pi * row / count  # the first on the left
    return _WIDTH / 2 + 230 * math.cos(angle), _HEIGHT / 2 + 108 * math.sin(angle)


def _arrow(way: Transition, places: Mapping[str, tuple[float, float]], most: int, labelled: bool) -> str:
    width = 1.2 + 5 * math.sqrt(way.count / most)
    times = f"median {short(way.median_s)}, 80 % within {short(way.p10_s)} to {short(way.p90_s)}"
    title = f"<title>{escape(way.start)} to {escape(way.end)}: {way.count} times, {times}</title>"
    x1, y1 = places[way.start]
    if way.start == way.end:
        out = 1 if y1 > _HEIGHT / 2 + 1 else -1  # away from the middle
        top = y1 + out * _NODE_PX
        curve = (
            (x1 - 13, top - 4 * out),
            (x1 - 34, top + 40 * out),
            (x1 + 34, top + 40 * out),
            (x1 + 13, top - 2 * out),
        )
        path = "M{} C{} {} {}".format(*(f"{x:.0f} {y:.0f}" for x, y in curve))
        label_x, label_y = x1, top + 40 * out + (6 if out > 0 else 2)
    else:
        x2, y2 = places[way.end]
        length = math.hypot(x2 - x1, y2 - y1)
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        bend = min(46.0, 0.16 * length)
        # To the left of its own direction: the way back bends to the other side.
        mx, my = (x1 + x2) / 2 + uy * bend, (y1 + y2) / 2 - ux * bend
        sx, sy = _towards(x1, y1, mx, my)
        ex, ey = _towards(x2, y2, mx, my)
        path = f"M{sx:.1f} {sy:.1f}Q{mx:.1f} {my:.1f} {ex:.1f} {ey:.1f}"
        label_x, label_y = (sx + 2 * mx + ex) / 4 + uy * 9, (sy + 2 * my + ey) / 4 - ux * 12 + 4
    label = f"{way.count} · {short(way.median_s)}" if labelled else ""
    return (
        f'<g class="ot-way"><path d="{path}" style="stroke-width:{width:.1f}" marker-end="url(#ot-tip)"/>'
        f'<text x="{label_x:.0f}" y="{label_y:.0f}">{label}</text>{title}</g>'
    )


def _towards(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Return the edge of a node in a direction."""
    length = max(math.hypot(to_x - x, to_y - y), 1e-6)
    return x + (to_x - x) / length * (_NODE_PX + 5), y + (to_y - y) / length * (_NODE_PX + 5)


def short(seconds: float) -> str:
    """Return a duration in few signs; a negative one is an overlap of the views."""
    size = abs(seconds)
    text = f"{size:.1f} s" if size < 60 else f"{size / 60:.1f} min" if size < 3600 else f"{size / 3600:.1f} h"
    return f"−{text}" if seconds < -0.05 else text


def _short(name: str) -> str:
    return name if len(name) <= 9 else f"{name[:8]}…"


def occupancy_chart(seen: Mapping[str, Occupancy]) -> str:
    """Return for each camera an area with the mean number of people in sight; the tip of each step says the most."""
    most = max(1.0, *(float(one.mean.max(initial=0.0)) for one in seen.values()))
    return "".join(
        f'<div class="ot-series"><div class="ot-series-head"><b>{escape(name)}</b>'
        f"<span>most at once {int(one.peak.max(initial=0))}</span></div>{_area(one, most)}</div>"
        for name, one in seen.items()
    )


def _area(one: Occupancy, most: float) -> str:
    width, height = 1000.0, 64.0
    start, end = float(one.edges[0]), float(one.edges[-1])
    x = (one.edges - start) / (end - start) * width
    y = height - one.mean / most * (height - 6)
    steps = "".join(f"L{x[row]:.1f} {y[row]:.1f}L{x[row + 1]:.1f} {y[row]:.1f}" for row in range(len(y)))
    titles = "".join(
        f'<rect x="{x[row]:.1f}" y="0" width="{x[row + 1] - x[row]:.1f}" height="{height:.0f}"><title>'
        f"{clock(one.edges[row])}: {one.mean[row]:.1f} on average, at most {one.peak[row]} at once</title></rect>"
        for row in range(len(y))
    )
    marks = "".join(
        f'<span style="left:{100 * share:.0f}%">{_moment(start + share * (end - start))}</span>'
        for share in np.linspace(0, 0.8, 5).tolist()
    )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="People in sight over the time"><path d="M0 {height:.0f}{steps}L{width:.0f} {height:.0f}Z"/>'
        f'{titles}</svg><div class="ot-axis">{marks}</div>'
    )


def _moment(time_s: float) -> str:
    """Return the time of the day, or since the start, in whole seconds."""
    return clock(round(time_s)).rpartition(" ")[2].partition(".")[0]
