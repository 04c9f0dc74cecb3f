"""What is known of the cameras' places: where people come and go, how long they take, whose clock is wrong, who sees
the same floor.

All of it is learned from tracklets that are surely one person (`app.track.linking.topology_learning` learns,
`app.track.linking.place_evidence` uses it) or given by the user. `app.runs.folder.topology_file` writes it into the run
folder.

Clocks. `Clock.offset_s` is how far a camera's clock is ahead of the reference camera's: true time = recorded time -
offset. All transit times here are free of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ClockState = Literal["reference", "estimated", "locked", "unknown"]


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a camera's clock is ahead of the reference camera's, seconds.

    uncertainty_s: one standard deviation; infinite where the state is "unknown" and the offset is 0 for want of
    evidence. state: "reference" is the camera that the others are compared with, "locked" was given by the user.
    """

    offset_s: float = 0.0
    uncertainty_s: float = float("inf")
    state: ClockState = "unknown"


@dataclass(frozen=True, slots=True)
class EntryExitZone:
    """A place in a picture where people come into view or leave it.

    center: (2,) float64 pixels, of the middle of the lower edge of the box. covariance: (2, 2) float64 pixels².
    sightings: how many tracklets began (or ended) here.
    """

    center: NDArray[np.float64]
    covariance: NDArray[np.float64]
    sightings: int


@dataclass(frozen=True, slots=True)
class Transit:
    """How long people take from leaving one camera's view to entering another's, free of the clocks' errors.

    links: confident links that show it. median_s, p10_s, p90_s: seconds, negative where the views overlap; None without
    links. shortest_s, longest_s: what the user said of the way, None where nothing.
    """

    links: int = 0
    median_s: float | None = None
    p10_s: float | None = None
    p90_s: float | None = None
    shortest_s: float | None = None
    longest_s: float | None = None

    @classmethod
    def of(cls, times: NDArray[np.float64], shortest_s: float | None = None, longest_s: float | None = None) -> Transit:
        """Return the summary of (L,) observed times in seconds."""
        if not len(times):
            return cls(shortest_s=shortest_s, longest_s=longest_s)
        median_s, p10_s, p90_s = np.quantile(times, [0.5, 0.1, 0.9]).tolist()
        return cls(len(times), median_s, p10_s, p90_s, shortest_s, longest_s)

    @property
    def locked(self) -> bool:
        return self.shortest_s is not None


@dataclass(frozen=True, slots=True)
class SharedFloor:
    """Two cameras that see the same piece of floor.

    a_to_b: (3, 3) float64 homography from foot points in pixels of camera a to pixels of camera b.
    error_heights: median distance, in heights of the person's box, between where a person of camera a should stand in
    camera b and where it does; None where a given calibration could not be checked. links: confident links on which it
    rests, or which checked it. given: the user calibrated both cameras.
    """

    a_to_b: NDArray[np.float64]
    error_heights: float | None
    links: int
    given: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """clocks, entries, exits: by camera. transits: by (from, to). floors: by (a, b) with a < b.

    calibrations: (3, 3) homographies from pixels to metres of the floor, of the cameras of which the user gave one.

    links: confident links between cameras that all of this was learned from. rounds: how often linking was repeated
    with it.
    """

    clocks: Mapping[str, Clock] = field(default_factory=dict)
    entries: Mapping[str, tuple[EntryExitZone, ...]] = field(default_factory=dict)
    exits: Mapping[str, tuple[EntryExitZone, ...]] = field(default_factory=dict)
    transits: Mapping[tuple[str, str], Transit] = field(default_factory=dict)
    floors: Mapping[tuple[str, str], SharedFloor] = field(default_factory=dict)
    calibrations: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    links: int = 0
    rounds: int = 0
