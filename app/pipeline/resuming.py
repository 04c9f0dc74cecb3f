"""Going on with a run without its options again: what `run.json` keeps of them, and what must not contradict it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.config import Settings
from app.errors import InputError
from app.pipeline.job import Job
from app.runs.folder.header import read_header
from app.runs.folder.layout import CAMERAS_FOLDER, RUN_FILE


def recorded_job(
    folder: Path,
    given: Settings,
    places: Mapping[str, str],
    sources: Sequence[str] = (),
    names: Sequence[str] = (),
    engine: str | None = None,
) -> tuple[Job, str]:
    """Return the job that goes on with the run in `folder`, and its engine.

    given, places: settings that were given now as well, and where each of them is named (`app.config.given_settings`).
    sources, names, engine: the same; empty or None for those of the run. Sources may have moved.
    Raises InputError if there is no run, if what was given contradicts the run, or if an address that held a password
    is not given again.
    """
    header = _header(folder)
    recorded = header.get("provenance", {}).get("job", {})
    try:
        settings = Settings.model_validate(header["settings"])
    except (KeyError, ValidationError) as error:
        raise InputError(f"{folder}: its settings are not those of this version, so it cannot be resumed") from error
    conflicts = [
        f"{place}: the run was made with {name} = {_text(settings, name)}, not {_text(given, name)}"
        for name, place in places.items()
        if _value(settings, name) != _value(given, name)
    ]
    used = str(recorded.get("engine", "local"))
    if engine is not None and recorded and engine != used:
        conflicts.append(f"--engine {engine}: the run was made with --engine {used}")
    if conflicts:
        listed = "\n  ".join(conflicts)
        raise InputError(f"{folder}: leave these out to go on with the run, or start another one:\n  {listed}")
    if not sources and not recorded.get("sources"):
        raise InputError(f"{folder}: this run did not keep its sources; give --sources as when it was started")
    if not sources and recorded["has_secrets"]:
        raise InputError(f"{folder}: a run never keeps the password of a stream; give --sources as when it was started")
    chosen = tuple(names) or (() if sources and not recorded else tuple(recorded.get("names", ())))
    job = Job(tuple(sources or recorded["sources"]), chosen, settings, resume=True)
    return job, engine or used


def _header(folder: Path) -> dict[str, Any]:
    """Return the header of a run, or of one of its tasks where a cluster has not brought them together yet."""
    tasks = (file.parent for file in sorted((folder / CAMERAS_FOLDER).glob(f"*/{RUN_FILE}")))
    found = next((place for place in (folder, *tasks) if (place / RUN_FILE).is_file()), None)
    if found is None:
        raise InputError(f"{folder} holds no run to resume; leave out --resume to start one")
    return read_header(found / RUN_FILE)


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings.model_dump(mode="json")
    for key in name.split("."):
        value = value[key]
    return value


def _text(settings: Settings, name: str) -> str:
    return json.dumps(_value(settings, name))
