"""`main.py places RUN`: ways between cameras, zones and lines with their counts, and how many people were in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.footage.clock import format_time
from app.runs.folder.camera_states import BlindTime, blind_seconds, blind_times, blind_to_json
from app.runs.folder.layout import COUNTERS_FILE
from app.runs.folder.locks import lock_file
from app.runs.folder.run import Run
from app.runs.folder.topology_file import read_topology
from app.runs.people.report import blind_tables
from app.runs.people.visits import Person, people_of
from app.runs.places.counters import (
    Counters,
    counters_to_json,
    points_from_text,
    read_counters,
    with_line,
    with_zone,
    without,
    write_counters,
)
from app.runs.places.counting import count, summarise
from app.runs.places.movement import Occupancy, Transition, even_edges, occupancy, transitions


def change_counters(
    folder: Path, zones: Sequence[Sequence[str]], lines: Sequence[Sequence[str]], removed: Sequence[str]
) -> Counters:
    """Take zones and lines away from a run, then add some: each is NAME, CAMERA and its points as `X,Y`.

    Returns what there is then. Raises InputError, and changes nothing, for a name or points that make no sense.
    """
    run = Run.open(folder)
    with lock_file(folder / COUNTERS_FILE, "changing zones and lines"):
        return _change(run, zones, lines, removed)


def _change(
    run: Run, zones: Sequence[Sequence[str]], lines: Sequence[Sequence[str]], removed: Sequence[str]
) -> Counters:
    counters = read_counters(run)
    for name in removed:
        counters = without(counters, name)
    for words in (*zones, *lines):
        if len(words) < 3:
            raise InputError(f"{' '.join(words)!r}: write NAME CAMERA X,Y X,Y …")
    for name, camera, *points in zones:
        counters = with_zone(run, counters, name, camera, points_from_text(points))
    for name, camera, *points in lines:
        counters = with_line(run, counters, name, camera, points_from_text(points))
    if zones or lines or removed:
        write_counters(run, counters)
    return counters


def places_of(folder: Path, stretch_s: float) -> dict[str, Any]:
    """Return JSON values: `ways`, `zones`, `lines`, `occupancy` in stretches of `stretch_s` seconds, `counters`, and
    `blind`, when live cameras saw nothing.

    Of a camera that was blind for a whole stretch `mean` and `peak` are null there; `blind_s` says for how long it was.
    """
    run = Run.open(folder)
    identities = run.identities()
    people = people_of(run, identities)
    counters = read_counters(run)
    stays, crossings = count(run, identities, counters)
    seen = occupancy_of(run, people, stretch_s)
    blind = blind_times(folder)
    return {
        "ways": [asdict(way) for way in ways_of(run, people)],
        **summarise(counters, stays, crossings),
        "occupancy": {
            "edges_s": next(iter(seen.values())).edges.tolist() if seen else [],
            "cameras": {name: _occupancy_to_json(one, name, blind) for name, one in seen.items()},
        },
        "blind": blind_to_json(blind),
        "counters": counters_to_json(counters),
    }


def _occupancy_to_json(seen: Occupancy, camera: str, blind: Sequence[BlindTime]) -> dict[str, list[Any]]:
    edges = seen.edges.tolist()
    blind_s = [blind_seconds(blind, camera, start_s, end_s) for start_s, end_s in pairwise(edges)]
    whole = [one >= end_s - start_s - 1e-6 for one, (start_s, end_s) in zip(blind_s, pairwise(edges), strict=True)]

    def known(values: list[Any]) -> list[Any]:
        return [None if nothing else value for value, nothing in zip(values, whole, strict=True)]

    return {
        "mean": known(seen.mean.round(3).tolist()),
        "peak": known(seen.peak.tolist()),
        "blind_s": [round(one, 3) for one in blind_s],
    }


def ways_of(run: Run, people: dict[int, Person]) -> list[Transition]:
    """Return the ways between cameras, with the clocks set right as far as linking learned how wrong they are."""
    topology = read_topology(run.folder)
    offsets = {} if topology is None else {name: clock.offset_s for name, clock in topology.clocks.items()}
    return transitions(people.values(), offsets)


def occupancy_of(run: Run, people: dict[int, Person], stretch_s: float) -> dict[str, Occupancy]:
    """Return for each camera how many people were in its sight, in stretches of `stretch_s` seconds."""
    frames = [file for file in run.manifest.files if file.kind == "frames"]
    if not frames:
        return {}
    edges = even_edges(min(file.start_s for file in frames), max(file.end_s for file in frames), stretch_s)
    visits = [visit for person in people.values() for visit in person.visits]
    return {
        record.name: occupancy([(v.start_s, v.end_s) for v in visits if v.camera == record.name], edges)
        for record in run.cameras
    }


def places_table(values: dict[str, Any]) -> Any:
    """Return rich tables of what `places_of` says."""
    from rich.console import Group
    from rich.table import Table

    ways = Table("from", "to", "times", "people", "median", "10 to 90 %", title="Ways between cameras")
    if any(way["p10_s"] < 0 for way in values["ways"]):
        ways.caption = "negative: seen by both at once for so long"
    for way in values["ways"]:
        spread = f"{way['p10_s']:.1f} to {way['p90_s']:.1f} s"
        ways.add_row(
            way["start"], way["end"], str(way["count"]), str(way["people"]), f"{way['median_s']:.1f} s", spread
        )
    zones = Table("zone", "camera", "people", "stays", "median dwell", "longest", title="Zones")
    for zone in values["zones"]:
        dwell = ["–" if zone[key] is None else f"{zone[key]:.1f} s" for key in ("median_dwell_s", "longest_dwell_s")]
        zones.add_row(zone["name"], zone["camera"], str(zone["people"]), str(zone["stays"]), *dwell)
    lines = Table("line", "camera", "in", "out", "people", title="Lines")
    for line in values["lines"]:
        lines.add_row(line["name"], line["camera"], str(line["in"]), str(line["out"]), str(line["people"]))
    cameras = values["occupancy"]["cameras"]
    seen = Table("from", *cameras, title="People in sight, on average (most at once)")
    for row, start in enumerate(values["occupancy"]["edges_s"][:-1]):
        seen.add_row(format_time(start), *(_occupancy_cell(one, row) for one in cameras.values()))
    tables = [ways, zones, lines, seen, *blind_tables(values["blind"])]
    return Group(*(table for table in tables if table.row_count))


def _occupancy_cell(camera: dict[str, list[Any]], row: int) -> str:
    blind_s = camera["blind_s"][row]
    if camera["mean"][row] is None:
        return "blind"
    blind = f", blind {blind_s:.0f} s" if blind_s else ""
    return f"{camera['mean'][row]:.1f} ({camera['peak'][row]}{blind})"
