"""The zones and lines that somebody drew on the pictures of a run, to have people counted: the file `counters.json`.

    {"format": 1,
     "zones": [{"name": "till", "camera": NAME, "points_px": [[410, 300], [620, 300], [600, 470]]}],
     "lines": [{"name": "door", "camera": NAME, "start_px": [80, 200], "end_px": [80, 400]}]}

Pixels are those of the full frame. People are where they stand: at the lower middle of their boxes. A line counts those
who go `in`, from its left to its right for somebody who looks from its start to its end, and those who go `out`, the
other way. Names are different from each other. `app.runs.places.counting` does the counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from app.runs.folder.header import read_own_json, write_own_json
from app.runs.folder.layout import COUNTERS_FILE
from app.runs.folder.run import Run

FORMAT = 1

_LONGEST_NAME = 60
_MOST_POINTS = 100
_SMALLEST_PX = 4.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Zone:
    """A piece of floor in a camera's picture: a polygon, its corners in order, in pixels of the full frame."""

    name: str
    camera: str
    points: tuple[Point, ...]

    def holds(self, feet: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for (R, 2) points whether each lies inside (even-odd rule): (R,) bool."""
        x, y = feet[:, 0], feet[:, 1]
        inside = np.zeros(len(feet), np.bool_)
        for (x1, y1), (x2, y2) in zip(self.points, (*self.points[1:], self.points[0]), strict=True):
            if y1 != y2:
                inside ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
        return inside


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the floor in a camera's picture, in pixels of the full frame."""

    name: str
    camera: str
    start: Point
    end: Point

    def distance(self, feet: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far (R, 2) points are from the line, endlessly prolonged: (R,) pixels, positive on its right."""
        along = np.subtract(self.end, self.start)
        to = feet - self.start
        return np.asarray((along[0] * to[:, 1] - along[1] * to[:, 0]) / np.hypot(*along))

    def share(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far along the line (R, 2) points are: 0 at its start, 1 at its end."""
        along = np.subtract(self.end, self.start)
        return np.asarray((points - self.start) @ along / (along @ along))


@dataclass(frozen=True, slots=True)
class Counters:
    """All zones and lines of a run, in the order in which they were drawn."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def names(self) -> list[str]:
        return [*(zone.name for zone in self.zones), *(line.name for line in self.lines)]

    def of(self, camera: str) -> Counters:
        """Return those on the picture of one camera."""
        return Counters(
            tuple(zone for zone in self.zones if zone.camera == camera),
            tuple(line for line in self.lines if line.camera == camera),
        )


def read_counters(run: Run) -> Counters:
    """Return what was drawn; nothing without the file. Raises InputError for a file that says something else."""
    path = run.folder / COUNTERS_FILE
    if not path.exists():
        return Counters()
    values = read_own_json(path, "zones and lines")
    try:
        if values["format"] != FORMAT:
            raise InputError(f"{path}: format {values['format']}, this version reads {FORMAT}")
        counters = Counters()
        for zone in values["zones"]:
            counters = with_zone(run, counters, zone["name"], zone["camera"], zone["points_px"])
        for line in values["lines"]:
            counters = with_line(run, counters, line["name"], line["camera"], [line["start_px"], line["end_px"]])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: these are not zones and lines as this program writes them ({error!r})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return counters


def write_counters(run: Run, counters: Counters) -> None:
    """Replace the file in one step."""
    write_own_json(run.folder / COUNTERS_FILE, counters_to_json(counters))


def counters_to_json(counters: Counters) -> dict[str, Any]:
    """Return the JSON values described above."""
    return {
        "format": FORMAT,
        "zones": [
            {"name": zone.name, "camera": zone.camera, "points_px": [list(point) for point in zone.points]}
            for zone in counters.zones
        ],
        "lines": [
            {"name": line.name, "camera": line.camera, "start_px": list(line.start), "end_px": list(line.end)}
            for line in counters.lines
        ],
    }


def with_zone(run: Run, counters: Counters, name: str, camera: str, points: Sequence[Sequence[float]]) -> Counters:
    """Return the counters and one more zone. Raises InputError for a name that is taken, or no piece of floor."""
    name, corners = _check(run, counters, name, camera, points)
    if not 3 <= len(corners) <= _MOST_POINTS:
        raise InputError(f"zone {name}: a zone has from 3 to {_MOST_POINTS} corners, not {len(corners)}")
    x, y = np.array(corners).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    if area < _SMALLEST_PX**2:
        raise InputError(f"zone {name}: it has no area to stand on; draw it larger")
    return replace(counters, zones=(*counters.zones, Zone(name, camera, corners)))


def with_line(run: Run, counters: Counters, name: str, camera: str, points: Sequence[Sequence[float]]) -> Counters:
    """Return the counters and one more line. Raises InputError for a name that is taken, or no line."""
    name, ends = _check(run, counters, name, camera, points)
    if len(ends) != 2 or np.hypot(*np.subtract(*ends)) < _SMALLEST_PX:
        raise InputError(f"line {name}: a line has two ends, at least {_SMALLEST_PX:.0f} pixels apart")
    return replace(counters, lines=(*counters.lines, Line(name, camera, ends[0], ends[1])))


def without(counters: Counters, name: str) -> Counters:
    """Return the counters but one. Raises InputError if there is none of that name."""
    if name not in counters.names:
        raise InputError(f"there is no zone or line {name!r}; there are: {', '.join(counters.names) or 'none'}")
    return Counters(
        tuple(zone for zone in counters.zones if zone.name != name),
        tuple(line for line in counters.lines if line.name != name),
    )


def _check(
    run: Run, counters: Counters, name: str, camera: str, points: Sequence[Sequence[float]]
) -> tuple[str, tuple[Point, ...]]:
    """Return the name as it is kept, and the points, at most at the edge of the picture."""
    name = str(name).strip()
    if not name or len(name) > _LONGEST_NAME or any(ord(sign) < 32 for sign in name):
        raise InputError(f"a zone or line has a name of 1 to {_LONGEST_NAME} characters in one line")
    if name in counters.names:
        raise InputError(f"there is a zone or line {name!r} already; give another name")
    record = run.camera(camera)
    values = np.array(points, np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise InputError(f"{name}: its points are not pairs of numbers")
    clipped = np.round(np.clip(values, 0, [record.width, record.height]), 1)
    return name, tuple((float(x), float(y)) for x, y in clipped)


def points_from_text(words: Sequence[str]) -> list[list[float]]:
    """Return points written as `X,Y`. Raises InputError for anything else."""
    try:
        return [[float(x), float(y)] for x, y in (word.split(",") for word in words)]
    except ValueError as error:
        raise InputError(f"points are written X,Y in pixels, for example 410,300; not {' '.join(words)!r}") from error
