"""When each live camera saw, when it was blind, and why: where a camera was blind, nobody is known to be absent.

    camera_states.jsonl    ["<checksum>", {"camera", "state", "since_s", "why"}]: a line for each change; only ever
                           appended to. The checksum is of the change and of the run; earlier versions wrote none

`since_s` is seconds on the clock that all cameras share. A camera sees while it is `live`, and is blind in every other
state until its next line. Recordings have no such file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from app.errors import InputError
from app.footage.camera import CameraState, StateChange
from app.runs.folder.header import run_id
from app.runs.folder.layout import STATES_FILE
from app.system.files import append_line
from app.system.untrusted import line_content, line_with_checksum

SHORTEST_S = 1.0
"""A camera that was away for less has missed nothing that counts: that happens between any two pictures."""


@dataclass(frozen=True, slots=True)
class BlindTime:
    """A camera saw nothing from `start_s` to `end_s`, seconds on the shared clock; None: it has not ended yet."""

    camera: str
    start_s: float
    end_s: float | None
    state: CameraState
    why: str

    def seconds_in(self, start_s: float, end_s: float) -> float:
        """Return how much of the time from `start_s` to `end_s` it fills."""
        own_end_s = math.inf if self.end_s is None else self.end_s
        return max(0.0, min(own_end_s, end_s) - max(self.start_s, start_s))


class StateLog:
    """Writes the changes of a run that goes on. They are durable when a method returns."""

    def __init__(self, folder: Path, cameras: Iterable[str], now_s: float, last_frame_s: Mapping[str, float]) -> None:
        """Begin, or go on after a stop or a kill: every camera is `connecting` from `now_s` on.

        last_frame_s: when the rows of a camera end that are in the run already. Nobody looked from there on.
        """
        self._path = folder / STATES_FILE
        self._run = run_id(folder)
        self.latest: dict[str, StateChange] = {}
        """The last change of each camera."""
        self._path.touch()
        for change in read_states(folder):
            self.latest[change.camera] = change
        seen = [
            StateChange(camera, "stopped", max(since_s, before.since_s), "the program did not run")
            for camera, since_s in last_frame_s.items()
            if (before := self.latest.get(camera)) is not None and before.state == "live"
        ]
        self.note([*seen, *(StateChange(camera, "connecting", now_s) for camera in cameras)])

    def note(self, changes: Sequence[StateChange]) -> None:
        """Append changes, in order. One that would begin before the last of its camera begins with that."""
        lines = []
        for change in changes:
            before = self.latest.get(change.camera)
            if before is not None and change.since_s < before.since_s:
                change = StateChange(change.camera, change.state, before.since_s, change.why)
            self.latest[change.camera] = change
            lines.append(line_with_checksum(json.dumps(asdict(change), ensure_ascii=False).encode(), self._run))
        if not lines:
            return
        append_line(self._path, b"\n".join(lines))

    def stop(self, now_s: float) -> None:
        """Note that nobody looks at any camera any more."""
        self.note([StateChange(camera, "stopped", now_s) for camera in self.latest])


def read_states(folder: Path) -> list[StateChange]:
    """Return the changes in a run folder, in order; none for recordings.

    A last line that a crash cut off does not count. Raises InputError for a file that this program did not write, or
    not for this run.
    """
    path = folder / STATES_FILE
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    run = run_id(folder)
    if line_content(rest[:-1], run) is not None:  # no kill leaves a whole line with something else for its end
        lines.append(rest)
    return [_change(line, run, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def blind_times(folder: Path) -> list[BlindTime]:
    """Return when the live cameras of a run saw nothing for `SHORTEST_S` or more, by camera and then in order of time.

    The time after the run has ended is not among them.
    """
    of_camera: dict[str, list[StateChange]] = {}
    for change in read_states(folder):
        of_camera.setdefault(change.camera, []).append(change)
    return [blind for own in of_camera.values() for blind in _blind_times(own)]


def blind_seconds(times: Iterable[BlindTime], camera: str, start_s: float, end_s: float) -> float:
    """Return for how many seconds between two moments a camera saw nothing."""
    return sum(one.seconds_in(start_s, end_s) for one in times if one.camera == camera)


def blind_to_json(times: Iterable[BlindTime]) -> list[dict[str, Any]]:
    return [asdict(one) for one in times]


def _blind_times(changes: Sequence[StateChange]) -> list[BlindTime]:
    """Return the blind times of one camera, from its changes."""
    ends = [change.since_s for change in changes[1:]]
    found = []
    for change, end_s in zip(changes, [*ends, None], strict=True):
        is_over = change.state == "stopped" and end_s is None
        if change.state == "live" or is_over or (end_s is not None and end_s - change.since_s < SHORTEST_S):
            continue
        found.append(BlindTime(change.camera, change.since_s, end_s, change.state, change.why))
    return found


def _change(line: bytes, run: str, place: str) -> StateChange:
    text = line_content(line, run)
    if text is None and (run or line.startswith(b"[")):
        raise InputError(f"{place}: damaged, or of another run (its checksum does not fit); restore it from a copy")
    try:
        values = json.loads(line if text is None else text)
        change = StateChange(str(values["camera"]), values["state"], float(values["since_s"]), str(values["why"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place}: not a line that this program wrote ({error})") from error
    if change.state not in get_args(CameraState) or not math.isfinite(change.since_s):
        raise InputError(f"{place}: no state of a camera, or no time")
    return change
