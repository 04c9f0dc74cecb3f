"""What a run records of its cameras, settings and versions, and whether they are the same when it is resumed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.footage.addresses import redact
from app.runs.folder.header import CameraRecord, InputRecord
from app.system.checksum import file_sha256

if TYPE_CHECKING:
    from app.footage.camera import SourceInfo


def camera_records(cameras: Sequence[SourceInfo]) -> tuple[CameraRecord, ...]:
    """Return what a run records of its sources; the input files are read once for their sha256."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return tuple(
            CameraRecord(
                camera.camera,
                camera.width,
                camera.height,
                camera.fps,
                camera.start_time,
                redact(camera.origin),
                tuple(pool.map(_input_record, camera.inputs)),
                camera.has_pixels,
                camera.live,
                camera.kind,
                camera.offsets_s,
                camera.address,
                camera.reading,
            )
            for camera in cameras
        )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": sys.version.split()[0]}
    for package in ("omnitrack", "torch", "ultralytics", "openvino", "numpy", "av"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _input_record(path: Path) -> InputRecord:
    size = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    # The whole path, whatever it looks like: the file is to be found again, from wherever the run is opened.
    return InputRecord(str(path.absolute()), size, file_sha256(path))


def json_differences(what: str, recorded: Any, given: Any) -> list[str]:
    """Name each leaf in which two JSON values differ."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        return [
            line
            for key in sorted(recorded.keys() | given.keys())
            for line in json_differences(f"{what}{key}.", recorded.get(key), given.get(key))
        ]
    if recorded == given:
        return []
    return [f"{what.rstrip('. ')}: recorded {json.dumps(recorded)}, now {json.dumps(given)}"]


def camera_differences(recorded: Sequence[CameraRecord], given: Sequence[CameraRecord]) -> list[str]:
    """Compare cameras by name; files may have moved, but their content must be the same. Of live cameras only the name
    counts: they go on now, and their pictures are scaled to the recorded size."""
    old, new = {camera.name: camera for camera in recorded}, {camera.name: camera for camera in given}
    lines = [f"cameras: recorded {', '.join(old)}, now {', '.join(new)}"] if old.keys() != new.keys() else []
    for name in old.keys() & new.keys():
        if new[name].live:
            continue
        if [record.sha256 for record in old[name].inputs] != [record.sha256 for record in new[name].inputs]:
            files = ", ".join(record.path for record in new[name].inputs) or "none"
            lines.append(f"input of camera {name}: the content of its files is not the recorded one ({files})")
        elif _place(old[name]) != _place(new[name]) or (old[name].kind and old[name].offsets_s != new[name].offsets_s):
            lines.append(f"camera {name}: picture size or start time is not the recorded one")
    return sorted(lines)


def _place(camera: CameraRecord) -> tuple[Any, ...]:
    return camera.width, camera.height, camera.start_time, camera.reading


def found_again(recorded: Sequence[CameraRecord], given: Sequence[CameraRecord]) -> list[dict[str, Any]]:
    """Return the records of cameras as JSON values, with the places where the same files lie now."""
    now = {camera.name: camera for camera in given}
    return [
        asdict(old if old.live else replace(now[old.name], origin=old.origin, start_time=old.start_time))
        for old in recorded
    ]


def redacted(value: Any) -> Any:
    """Return a JSON value whose strings carry no passwords; paths become strings and tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    if isinstance(value, str | Path):
        return redact(str(value))
    return value


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
