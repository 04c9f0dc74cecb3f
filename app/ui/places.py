"""The page Places: ways between the cameras, where people stand, and counting in zones and over lines drawn here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from app.errors import InputError
from app.runs.folder.audit_log import record
from app.runs.folder.layout import COUNTERS_FILE
from app.runs.folder.locks import lock_file
from app.runs.folder.topology_file import read_topology
from app.runs.places.counters import Counters, read_counters, with_line, with_zone, without, write_counters
from app.runs.places.counting import summarise
from app.runs.places.report import occupancy_of, ways_of
from app.ui import layout
from app.ui.diagrams import occupancy_chart, short, ways_graph
from app.ui.layout import button, duration
from app.ui.library import OpenRun, RunLibrary
from app.ui.media import PREFIX, why_no_frames

_STRETCHES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_STRETCHES_SHOWN = 120
_WAYS_LISTED = 30


def build(page: gr.Blocks, library: RunLibrary) -> None:
    """Put the page together."""
    layout.header("places")
    content = layout.html(actions=True, elem_id="places")

    def on_button(request: gr.Request, event: gr.EventData) -> str:
        values = event._data

        def act() -> int:
            found = layout.run_of(library, request)
            actor = layout.actor_of(request, "correct")
            number = change(found, values)
            record(found.folder, actor, "changed", "zones and lines")
            return number

        return view(library, request, layout.told(act))

    def on_load(request: gr.Request) -> str:
        return view(library, request)

    page.load(on_load, None, content, queue=False, show_progress="hidden")
    content.select(on_button, None, content, show_progress="hidden")


def view(library: RunLibrary, visitor: layout.Visitor, camera: int = 0) -> str:
    """Return the content of the page, with the picture of camera number `camera`."""

    def render() -> str:
        found = layout.run_of(library, visitor)
        found.views.things(layout.actor_of(visitor), "places: how many people")
        return _view(found, camera)

    return layout.shown(render)


def change(found: OpenRun, values: Mapping[str, str]) -> int:
    """Do what a button of the page says: draw a zone or line, or take one away. Return the camera's number."""
    with lock_file(found.folder / COUNTERS_FILE, "changing zones and lines"):
        return _change(found, values)


def _change(found: OpenRun, values: Mapping[str, str]) -> int:
    run = found.run
    counters = read_counters(run)
    number = int(values["camera"])
    if values["action"] == "remove":
        write_counters(run, without(counters, values["name"]))
    elif values["action"] in ("zone", "line"):
        try:
            points = json.loads(values["points"])
        except ValueError as error:
            raise InputError("These points cannot be read; draw them again.") from error
        draw = with_zone if values["action"] == "zone" else with_line
        write_counters(run, draw(run, counters, values["name"], found.camera_named(number), points))
    else:
        raise InputError("This page does not know that button; load it again.")
    return number


def _view(found: OpenRun, camera: int) -> str:
    title = layout.heading("Places", "How people move between the cameras, where they stand, and what they cross.")
    start, end = found.span()
    if end <= start:
        return title + layout.empty("This run has no frames yet", "Its first part is written after half a minute.")
    return f"{title}{_ways(found)}{_pictures(found, camera)}{_occupancy(found, end - start)}"


def _ways(found: OpenRun) -> str:
    head = '<h2 class="ot-section" style="margin-top:18px">Ways between the cameras <small>{}</small></h2>'
    people = found.people()
    ways = ways_of(found.run, people)
    if not ways:
        return head.format("") + layout.empty(
            "Nobody was seen twice",
            "Ways appear when the same person is seen by two cameras, or by one again. <code>main.py link RUN</code> "
            "looks for the same people over the whole recording.",
        )
    seen = {record.name: 0 for record in found.run.cameras}
    for person in people.values():
        for name in person.cameras:
            seen[name] += 1
    rows = "".join(
        f"<tr><td>{escape(way.start)} → {escape(way.end)}</td><td class='number'>{way.count}</td>"
        f"<td class='number'>{way.people}</td><td class='number'>{short(way.median_s)}</td>"
        f"<td class='number'>{short(way.p10_s)} – {short(way.p90_s)}</td></tr>"
        for way in ways[:_WAYS_LISTED]
    )
    return f"""{head.format("arrows say how often, and the median time out of sight")}
    <div class="ot-places"><div class="ot-panel ot-graph-panel">{ways_graph(list(seen), ways, seen)}</div>
    <div class="ot-frame ot-scroll"><table class="ot-table"><thead><tr><th>Way</th><th class="number">times</th>
    <th class="number">people</th><th class="number">median</th><th class="number">10–90 %</th></tr></thead>
    <tbody>{rows}</tbody></table></div></div>"""


def _pictures(found: OpenRun, camera: int) -> str:
    run = found.run
    counters = read_counters(run)
    topology = read_topology(run.folder)
    values = {
        "base": f"{PREFIX}/{found.id}",
        "camera": camera if camera < len(run.cameras) else 0,
        "learned": topology is not None,
        "cameras": [
            {
                "name": record.name,
                "absent": why_no_frames(record),
                "width": record.width,
                "height": record.height,
                "zones": [{"name": zone.name, "points": zone.points} for zone in counters.of(record.name).zones],
                "lines": [
                    {"name": line.name, "points": [line.start, line.end]} for line in counters.of(record.name).lines
                ],
                "entries": [] if topology is None else _ellipses(topology.entries.get(record.name, ())),
                "exits": [] if topology is None else _ellipses(topology.exits.get(record.name, ())),
            }
            for record in run.cameras
        ],
    }
    data = escape(json.dumps(values))
    return f"""<h2 class="ot-section" style="margin-top:26px">On the picture
    <small>where people stand, come and go; draw zones and lines to count</small></h2>
    <div class="ot-places wide"><ot-places data-values="{data}"></ot-places>
    <div>{_counts(found, counters)}</div></div>"""


def _ellipses(zones: Any) -> list[dict[str, Any]]:
    """Return zones as ellipses that hold most of their sightings: centre, half axes in pixels, angle in degrees."""
    found = []
    for zone in zones:
        lengths, axes = np.linalg.eigh(zone.covariance)
        radii = 2 * np.sqrt(np.maximum(lengths, 1.0))
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
        found.append(
            {
                "x": float(zone.center[0]),
                "y": float(zone.center[1]),
                "rx": float(radii[1]),
                "ry": float(radii[0]),
                "angle": angle,
                "sightings": zone.sightings,
            }
        )
    return found


def _counts(found: OpenRun, counters: Counters) -> str:
    if not counters.names:
        return layout.empty(
            "Nothing is counted yet",
            "Choose <b>Zone</b> and click the corners of a piece of floor: a double click or Enter closes it. Choose "
            "<b>Line</b> and click its two ends. People count where they stand.",
        )
    values = summarise(counters, *found.counts(counters))
    numbers = {record.name: number for number, record in enumerate(found.run.cameras)}

    def remove(counter: Mapping[str, Any]) -> str:
        name, camera = counter["name"], numbers[counter["camera"]]
        return button("Remove", "remove", "plain", name=name, camera=camera, ask=f"Remove {name}?")

    zones = "".join(
        f"""<article class="ot-counter" data-counter="{escape(zone["name"])}"><div class="ot-card-head">
        <i class="ot-mark zone"></i>{escape(zone["name"])}<span class="ot-more">{escape(zone["camera"])}</span></div>
        <div class="ot-numbers">{_number(zone["people"], "people")}{_number(zone["stays"], "stays")}
        {_number(_dwell(zone["median_dwell_s"]), "median dwell")}{_number(_dwell(zone["longest_dwell_s"]), "longest")}
        </div>{remove(zone)}</article>"""
        for zone in values["zones"]
    )
    lines = "".join(
        f"""<article class="ot-counter" data-counter="{escape(line["name"])}"><div class="ot-card-head">
        <i class="ot-mark line"></i>{escape(line["name"])}<span class="ot-more">{escape(line["camera"])}</span></div>
        <div class="ot-numbers">{_number(line["in"], "in")}{_number(line["out"], "out")}
        {_number(line["people"], "people")}</div>{remove(line)}</article>"""
        for line in values["lines"]
    )
    return f'<div class="ot-jobs">{zones}{lines}</div>'


def _occupancy(found: OpenRun, length_s: float) -> str:
    stretch_s = next((s for s in _STRETCHES if length_s / s <= _STRETCHES_SHOWN), length_s / _STRETCHES_SHOWN)
    chart = occupancy_chart(occupancy_of(found.run, found.people(), stretch_s))
    return f"""<h2 class="ot-section" style="margin-top:26px">In sight over the time
    <small>people on average, in steps of {duration(stretch_s)}</small></h2>
    <div class="ot-panel ot-occupancy">{chart}</div>"""


def _number(value: object, what: str) -> str:
    return f"<div><b>{value}</b><span>{what}</span></div>"


def _dwell(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)
