"""The file `topology.json` of a run: what linking learned of the cameras' places. `read_topology` is for the interface.

    {"format": 1,
     "links": 57,                          confident links that it was learned from
     "rounds": 2,                          how often linking was repeated with it
     "cameras": {NAME: {
       "clock": {"offset_s": 1.84,         ahead of the reference camera's clock; true time = recorded time - offset_s
                 "uncertainty_s": 0.12,    one standard deviation; null where nothing is known
                 "state": "estimated"},    or "reference", "locked" (given by the user), "unknown"
       "entries": [{"center_px": [12.0, 190.5], "covariance_px2": [[90.0, 3.0], [3.0, 40.0]], "sightings": 9}],
       "exits": [...],                     where people come into view and leave it: lower middle of their boxes
       "image_to_floor": null}},           or the homography from pixels to metres that the user gave
     "pairs": [{"from": NAME, "to": NAME,  from leaving one view to entering the other, free of the clocks' errors
       "links": 12, "median_s": 4.2, "p10_s": 3.1, "p90_s": 6.0,      null without links; negative: views overlap
       "locked": false, "shortest_s": null, "longest_s": null}],      what the user said of this way, if anything
     "floors": [{"a": NAME, "b": NAME,     cameras that see the same floor
       "a_to_b": [[…], […], […]],          homography from pixels where a stands to pixels where b stands
       "error_heights": 0.08, "links": 31,                            its median error, in heights of a person, or null
       "given": false}]}                                              whether the user calibrated both

Names are in rising order, pairs by (from, to). The sizes of the pictures are in `run.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InputError
from app.runs.folder.header import read_own_json, write_own_json
from app.runs.folder.layout import TOPOLOGY_FILE
from app.track.linking.topology import Clock, EntryExitZone, SharedFloor, Topology, Transit

FORMAT = 1
TIMES = ("median_s", "p10_s", "p90_s", "shortest_s", "longest_s")


def write_topology(folder: Path, topology: Topology) -> None:
    """Replace `topology.json` in a run folder, in one step."""
    write_own_json(folder / TOPOLOGY_FILE, topology_to_json(topology))


def read_topology(folder: Path) -> Topology | None:
    """Return what the last linking of a run learned, None if it was linked without. Raises InputError if unreadable."""
    path = folder / TOPOLOGY_FILE
    if not path.exists():
        return None
    try:
        values = _values(path)
        if values["format"] != FORMAT:
            raise InputError(f"{path}: format {values['format']}, this version reads {FORMAT}; link the run again")
        return topology_from_json(values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot read what was learned of the cameras ({error}); link the run again"
        ) from error


def _values(path: Path) -> dict[str, Any]:
    try:
        return read_own_json(path, "what was learned of the cameras")
    except InputError as error:
        raise InputError(f"{error}; link the run again") from error


def topology_to_json(topology: Topology) -> dict[str, Any]:
    """Return the JSON values described above."""
    names = sorted({*topology.clocks, *topology.entries, *topology.exits, *topology.calibrations})
    return {
        "format": FORMAT,
        "links": topology.links,
        "rounds": topology.rounds,
        "cameras": {
            name: {
                "clock": _clock_to_json(topology.clocks.get(name, Clock())),
                "entries": [_zone_to_json(zone) for zone in topology.entries.get(name, ())],
                "exits": [_zone_to_json(zone) for zone in topology.exits.get(name, ())],
                "image_to_floor": topology.calibrations[name].tolist() if name in topology.calibrations else None,
            }
            for name in names
        },
        "pairs": [
            {"from": a, "to": b, **_transit_to_json(transit)} for (a, b), transit in sorted(topology.transits.items())
        ],
        "floors": [
            {
                "a": a,
                "b": b,
                "a_to_b": floor.a_to_b.tolist(),
                "error_heights": floor.error_heights,
                "links": floor.links,
                "given": floor.given,
            }
            for (a, b), floor in sorted(topology.floors.items())
        ],
    }


def clocks_to_json(topology: Topology) -> dict[str, Any]:
    """Return the clock of each camera as JSON values, as above."""
    return {name: _clock_to_json(clock) for name, clock in sorted(topology.clocks.items())}


def topology_from_json(values: Mapping[str, Any]) -> Topology:
    """Return the topology that these JSON values describe.

    Raises KeyError, TypeError or ValueError on values that do not describe one.
    """
    cameras = values["cameras"]
    return Topology(
        clocks={name: _clock_from_json(camera["clock"]) for name, camera in cameras.items()},
        entries={name: _zones_from_json(camera["entries"]) for name, camera in cameras.items()},
        exits={name: _zones_from_json(camera["exits"]) for name, camera in cameras.items()},
        transits={(pair["from"], pair["to"]): _transit_from_json(pair) for pair in values["pairs"]},
        floors={(floor["a"], floor["b"]): _floor_from_json(floor) for floor in values["floors"]},
        calibrations={
            name: np.array(camera["image_to_floor"], np.float64).reshape(3, 3)
            for name, camera in cameras.items()
            if camera["image_to_floor"] is not None
        },
        links=int(values["links"]),
        rounds=int(values["rounds"]),
    )


def _clock_to_json(clock: Clock) -> dict[str, Any]:
    uncertainty_s = None if math.isinf(clock.uncertainty_s) else round(clock.uncertainty_s, 4)
    return {"offset_s": round(clock.offset_s, 4), "uncertainty_s": uncertainty_s, "state": clock.state}


def _clock_from_json(values: Mapping[str, Any]) -> Clock:
    uncertainty_s = math.inf if values["uncertainty_s"] is None else float(values["uncertainty_s"])
    return Clock(float(values["offset_s"]), uncertainty_s, values["state"])


def _zone_to_json(zone: EntryExitZone) -> dict[str, Any]:
    return {
        "center_px": np.round(zone.center, 2).tolist(),
        "covariance_px2": np.round(zone.covariance, 3).tolist(),
        "sightings": zone.sightings,
    }


def _zones_from_json(values: Iterable[Mapping[str, Any]]) -> tuple[EntryExitZone, ...]:
    return tuple(
        EntryExitZone(
            np.array(zone["center_px"], np.float64).reshape(2),
            np.array(zone["covariance_px2"], np.float64).reshape(2, 2),
            int(zone["sightings"]),
        )
        for zone in values
    )


def _transit_to_json(transit: Transit) -> dict[str, Any]:
    times = {name: getattr(transit, name) for name in TIMES}
    rounded = {name: None if value is None else round(value, 3) for name, value in times.items()}
    return {"links": transit.links, **rounded, "locked": transit.locked}


def _transit_from_json(values: Mapping[str, Any]) -> Transit:
    return Transit(int(values["links"]), **{name: values[name] for name in TIMES})


def _floor_from_json(values: Mapping[str, Any]) -> SharedFloor:
    error = None if values["error_heights"] is None else float(values["error_heights"])
    return SharedFloor(
        np.array(values["a_to_b"], np.float64).reshape(3, 3), error, int(values["links"]), values["given"]
    )
