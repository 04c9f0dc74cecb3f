"""Counting people in zones and over lines (`app.runs.places.counters`).

Rows are those after linking, with short gaps filled and boxes smoothed (`app.runs.folder.refined`), as everywhere else.
They are read part by part, so that a day needs no more memory than a minute; what is carried from part to part is the
last known place of each track. People stand at the lower middle of their boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import feet_of
from app.frames import NO_ID
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations
from app.runs.ledger.identities import Identities
from app.runs.places.counters import Counters, Line, Zone

MIN_STAY_S = 0.5
"""Shorter stays in a zone are not counted: a box trembles."""

REJOIN_S = 2.0
"""Who is back in a zone so soon never left it."""

_MARGIN_HEIGHTS = 0.05
"""Only so far from a line, in heights of the box, a side is taken: who stands on it does not cross it all the time."""
_FORGET_S = 60.0
"""A track that was not seen for so long does not come back."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Somebody in a zone. person: `NO_ID` where it is not decided.  start_s, end_s: seconds on the shared clock."""

    zone: str
    person: int
    track_id: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody who went over a line, at `time_s` on the shared clock.  inwards: from its left to its right."""

    line: str
    person: int
    track_id: int
    time_s: float
    inwards: bool


def count(run: Run, identities: Identities, counters: Counters) -> tuple[list[Stay], list[Crossing]]:
    """Return all stays in zones and all crossings of lines of a run, in the order of time."""
    stays: list[Stay] = []
    crossings: list[Crossing] = []
    for record in run.cameras:
        own = counters.of(record.name)
        zones = [_ZoneCounter(zone) for zone in own.zones]
        lines = [_LineCounter(line) for line in own.lines]
        for rows in run.refined_parts(record.name) if zones or lines else ():
            feet = feet_of(rows.boxes)
            heights = (rows.boxes[:, 3] - rows.boxes[:, 1]).astype(np.float64)
            for zone_counter in zones:
                zone_counter.update(rows, feet)
            for line_counter in lines:
                line_counter.update(rows, feet, heights)
        for zone_counter in zones:
            stays += zone_counter.stays(identities)
        for line_counter in lines:
            crossings += line_counter.crossings(identities)
    return sorted(stays, key=lambda stay: (stay.start_s, stay.track_id)), sorted(
        crossings, key=lambda crossing: (crossing.time_s, crossing.track_id)
    )


def summarise(counters: Counters, stays: list[Stay], crossings: list[Crossing]) -> dict[str, Any]:
    """Return JSON values: for each zone people, stays and seconds of dwell, for each line how many went in and out.

    Dwell is that of a stay. Somebody whose person is not decided counts as a person of their own.
    """
    zones = []
    for zone in counters.zones:
        own = [stay for stay in stays if stay.zone == zone.name]
        dwell = np.array([stay.end_s - stay.start_s for stay in own])
        zones.append(
            {
                "name": zone.name,
                "camera": zone.camera,
                "people": _people(own),
                "stays": len(own),
                "median_dwell_s": round(float(np.median(dwell)), 3) if len(own) else None,
                "longest_dwell_s": round(float(dwell.max()), 3) if len(own) else None,
                "total_dwell_s": round(float(dwell.sum()), 3),
            }
        )
    lines = []
    for line in counters.lines:
        over = [crossing for crossing in crossings if crossing.line == line.name]
        inwards = sum(crossing.inwards for crossing in over)
        lines.append(
            {
                "name": line.name,
                "camera": line.camera,
                "in": inwards,
                "out": len(over) - inwards,
                "people": _people(over),
            }
        )
    return {"zones": zones, "lines": lines}


def _people(found: list[Stay] | list[Crossing]) -> int:
    return len({(one.person, NO_ID if one.person != NO_ID else one.track_id) for one in found})


class _ZoneCounter:
    """Joins the rows inside a zone to stays, part after part."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._spans: dict[int, list[tuple[float, float]]] = {}

    def update(self, rows: Observations, feet: NDArray[np.float64]) -> None:
        inside = np.flatnonzero(self._zone.holds(feet))
        tracks, times = rows.track_ids[inside], rows.times[inside]
        order = np.lexsort((times, tracks))
        tracks, times = tracks[order], times[order]
        new = np.flatnonzero((np.diff(tracks, prepend=-1) != 0) | (np.diff(times, prepend=-math.inf) > REJOIN_S))
        ends = np.append(new[1:], len(times)) - 1
        for track_id, start, end in zip(
            tracks[new].tolist(), times[new].tolist(), times[ends[: len(new)]].tolist(), strict=True
        ):
            spans = self._spans.setdefault(track_id, [])
            if spans and start - spans[-1][1] <= REJOIN_S:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((start, end))

    def stays(self, identities: Identities) -> Iterator[Stay]:
        for track_id, spans in self._spans.items():
            for start, end in spans:
                if end - start >= MIN_STAY_S:
                    person = identities.person_at(self._zone.camera, track_id, (start + end) / 2)
                    yield Stay(self._zone.name, person, track_id, start, end)


class _LineCounter:
    """Notes changes of side, part after part. Carried on: of each track the last row that was clearly on a side."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._found: list[tuple[int, float, bool]] = []
        self._carried = np.zeros((0, 4))  # track, time, x, y

    def update(self, rows: Observations, feet: NDArray[np.float64], heights: NDArray[np.float64]) -> None:
        clear = np.abs(self._line.distance(feet)) > _MARGIN_HEIGHTS * heights
        new = np.column_stack([rows.track_ids[clear], rows.times[clear], feet[clear]])
        known = np.concatenate([self._carried, new])
        known = known[np.lexsort((known[:, 1], known[:, 0]))]
        distance = self._line.distance(known[:, 2:])
        before, after = known[:-1], known[1:]
        changed = np.flatnonzero((before[:, 0] == after[:, 0]) & ((distance[:-1] > 0) != (distance[1:] > 0)))
        share = distance[changed] / (distance[changed] - distance[changed + 1])
        places = before[changed, 1:] + share[:, None] * (after[changed, 1:] - before[changed, 1:])
        along = self._line.share(places[:, 1:])
        for row, time_s, position in zip(changed.tolist(), places[:, 0].tolist(), along.tolist(), strict=True):
            if 0 <= position <= 1:
                self._found.append((int(known[row, 0]), time_s, bool(distance[row + 1] > 0)))
        last = np.append(known[1:, 0] != known[:-1, 0], True)[: len(known)]
        newest = known[:, 1].max(initial=-math.inf)
        self._carried = known[last & (known[:, 1] > newest - _FORGET_S)]

    def crossings(self, identities: Identities) -> Iterator[Crossing]:
        for track_id, time_s, inwards in self._found:
            person = identities.person_at(self._line.camera, track_id, time_s)
            yield Crossing(self._line.name, person, track_id, time_s, inwards)
