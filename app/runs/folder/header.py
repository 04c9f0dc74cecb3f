"""`run.json`: what a run remembers of how it was made, and of its cameras."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.footage.camera import PLAIN, Reading, Size, file_scale
from app.footage.motchallenge import LARGEST_SIDE_PX
from app.runs.folder.layout import RUN_FILE
from app.system.files import write_atomically
from app.system.untrusted import CHECKSUM, checksum_fits, json_with_checksum, read_json, reading

LARGEST_FPS = 10_000
LARGEST_NUMBER = 2**40
"""No frame, and no track but the later parts of cut ones, has such a number."""

LAST_TIME_S = 1e12  # 30,000 years

RUN_ID = "id"
"""Key in `run.json`, and in the other files of a run: what is different for every run. Earlier versions had none."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A file that was read: where it lay, and what tells whether it is still the same."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CameraRecord:
    """What a run remembers of a camera: enough to read its recording again (`app.runs.render.again`).

    width, height: square pixels; 0 for a live camera that was not seen yet.
    start_time: seconds on the shared clock.  origin: for people to read, no path and without passwords.
    inputs: the files in order, with their whole paths.  live: pictures came as they were taken and are gone.
    kind: "video" for files one after the other, "images", "sequence" (of a benchmark: `seqinfo.ini`, then the images)
    or "live"; "" in runs of earlier versions.  offsets_s: for videos, when each begins, seconds after the first one.
    address: where a recording is that is no file of this machine, without passwords.
    reading: how its pictures are read, where it is not the plain way.
    """

    name: str
    width: int
    height: int
    fps: float
    start_time: float
    origin: str
    inputs: tuple[InputRecord, ...]
    has_pixels: bool
    live: bool = False
    kind: str = ""
    offsets_s: tuple[float, ...] = ()
    address: str = ""
    reading: Reading = PLAIN

    @property
    def file_scale(self) -> tuple[float, float]:
        """How many of its own pixels its files have for each square one, along x and along y."""
        return file_scale(self.width, self.height, self.reading)

    @property
    def file_size(self) -> Size:
        """(width, height) of its files in their own pixels."""
        return self.reading.file_size if all(self.reading.file_size) else (self.width, self.height)

    @property
    def has_frames(self) -> bool:
        """Whether there is a recording to read frames from again; those of a stream are gone."""
        return self.has_pixels and bool(self.inputs)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CameraRecord:
        inputs = tuple(InputRecord(**record) for record in values["inputs"])
        told = dict(values.get("reading", {}))
        reading = Reading(**{**told, "file_size": tuple(told.get("file_size", (0, 0)))})
        offsets_s = tuple(values.get("offsets_s", ()))
        return cls(**{**values, "inputs": inputs, "offsets_s": offsets_s, "reading": reading})


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """Replace `run.json` in one step, with a checksum of its content."""
    write_atomically(folder / RUN_FILE, json_with_checksum(header))


def read_header(path: Path) -> dict[str, Any]:
    """Return the content of `run.json`. What somebody changed by hand is read, with a warning."""
    header = read_json(path, "the description of a run")
    if checksum_fits(header) is False:
        _log.warning("%s: its checksum does not fit: damaged, or changed by hand; ask `main.py check RUN`", path)
    header.pop(CHECKSUM, None)
    return header


def run_id(folder: Path) -> str:
    """Return what is different for every run, "" in a folder whose run is of an earlier version, or that has none."""
    path = folder / RUN_FILE
    return str(read_json(path, "the description of a run").get(RUN_ID, "")) if path.is_file() else ""


def check_owner(path: Path, found: object) -> None:
    """Raise InputError if a file in a run folder names another run as its own: it took the place of this run's."""
    if found != run_id(path.parent):
        raise InputError(f"{path}: belongs to another run than {path.parent}; restore it from a copy")


def write_own_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a JSON file of the run in whose folder it lies, in one step, with that run and a checksum in it."""
    owner = run_id(path.parent)
    write_atomically(path, json_with_checksum({**values, **({RUN_ID: owner} if owner else {})}))


def read_own_json(path: Path, what: str) -> dict[str, Any]:
    """Return what `write_own_json` wrote. Raises InputError if it is of another run."""
    values = read_json(path, what)
    check_owner(path, values.get(RUN_ID, ""))
    return values


def check_header(header: Mapping[str, Any], path: Path) -> None:
    """Raise InputError for a description of a run that no version of this program wrote."""
    with reading(path, "the description of a run"):
        if not all(isinstance(header[key], dict) for key in ("settings", "summary", "times", "provenance")):
            raise ValueError("a section is not a mapping")
        for key in ("created", "finished"):
            if header["times"][key] is not None:
                datetime.fromisoformat(header["times"][key])
        for when in header.get("purged", {}).values():
            datetime.fromisoformat(when)
        if not isinstance(header.get(RUN_ID, ""), str):
            raise ValueError("id is no text")
        if type(header.get("next_part", 0)) is not int:
            raise ValueError("next_part is no whole number")
        if not isinstance(header["state"], str) or not isinstance(header["sessions"], list):
            raise ValueError("state or sessions")
        cameras = [CameraRecord.from_json(values) for values in header["cameras"]]
        if len({camera.name for camera in cameras}) != len(cameras):
            raise ValueError("two cameras have the same name")
        for camera in cameras:
            problem = _camera_problem(camera)
            if problem:
                raise ValueError(f"camera {camera.name!r}: {problem}")


def _camera_problem(camera: CameraRecord) -> str:
    """Return what is wrong with what is recorded of a camera, "" if nothing is."""
    if not isinstance(camera.name, str) or not isinstance(camera.origin, str) or not isinstance(camera.address, str):
        return "its name or origin is no text"
    sides = (camera.width, camera.height)
    not_seen_yet = camera.live and sides == (0, 0)
    if not not_seen_yet and not all(type(side) is int and 0 < side <= LARGEST_SIDE_PX for side in sides):
        return f"{camera.width} × {camera.height} is no size of a picture"
    if not 0 < camera.fps <= LARGEST_FPS:
        return f"{camera.fps} frames/s"
    reading = camera.reading
    if len(reading.file_size) != 2 or not all(type(n) is int and 0 <= n <= LARGEST_SIDE_PX for n in reading.file_size):
        return f"{reading.file_size} is no size of a file's pictures"
    if not 0 <= reading.fps <= LARGEST_FPS or not 0 <= reading.stream < 1000:
        return f"{reading.fps} frames/s of stream {reading.stream}"
    times = (camera.start_time, *camera.offsets_s)
    if not all(isinstance(time_s, int | float) and abs(time_s) < LAST_TIME_S for time_s in times):
        return "its start is no time"
    if not all(isinstance(record.path, str) and isinstance(record.sha256, str) for record in camera.inputs):
        return "its inputs are no files"
    return ""
