"""Settings: every default, unit, range and help text of the program.

Precedence: the defaults below < a YAML file (`--config`) < the command line (`--set section.key=value`). All problems
are collected and reported together, each with its file and line and the nearest valid name. Importing this module
loads nothing heavier than pydantic, so that a bad setting is answered before torch is imported.

A part of the program receives only its own section, for example `TrackSettings`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from app.config.section import Section
from app.config.settings import Settings
from app.config.tracking import (
    CameraPlace,
)
from app.errors import InputError
from app.system.untrusted import LIMITS, compose_yaml, construct_yaml, read_text, yaml_value

_log = logging.getLogger(__name__)


Path_ = tuple[str, ...]


@dataclass
class _Collected:
    """Values on their way to validation, each with the place it came from, and the problems found so far."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path_, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: Path_, value: Any, place: str) -> None:
        """Store a leaf value; a later call for the same path wins."""
        branch = self.values
        for depth, key in enumerate(path[:-1]):
            child = branch.setdefault(key, {})
            if not isinstance(child, dict):
                self.problems.append(f"{place}: {'.'.join(path[: depth + 1])} is a value, not a section")
                return
            branch = child
        branch[path[-1]] = value
        self.places[path] = place

    def place_of(self, path: Path_) -> str:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "settings")


def load_settings(
    config: Path | None = None, assignments: Sequence[str] = (), options: Mapping[str, tuple[str, Any]] | None = None
) -> Settings:
    """Return the settings from the defaults and, in rising precedence, three places.

    config: a YAML file.
    assignments: texts `section.key=value`.
    options: dotted setting name -> (the command-line option it came from, value).

    Raises InputError that lists every problem at once.

    >>> load_settings(assignments=["detect.min_score=0.3"]).detect.min_score
    0.3
    """
    collected = _collect(config, assignments, options)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(collected.values)
    except ValidationError as error:
        collected.problems.extend(_explain(problem, collected) for problem in error.errors())
    if collected.problems or settings is None:
        count = len(collected.problems)
        heading = "1 problem in the settings:" if count == 1 else f"{count} problems in the settings:"
        raise InputError("\n  ".join([heading, *collected.problems]))
    return settings


def given_settings(
    config: Path | None = None, assignments: Sequence[str] = (), options: Mapping[str, tuple[str, Any]] | None = None
) -> dict[str, str]:
    """Return where each setting is named that one of the three places names. They are as for `load_settings`."""
    collected = _collect(config, assignments, options)
    paths = {name: tuple(name.split(".")) for name, _ in setting_names()}
    return {
        name: collected.place_of(path)
        for name, path in paths.items()
        if any(path == given[: len(path)] for given in collected.places)
    }


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, pydantic FieldInfo) of every leaf setting."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from setting_names(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def describe_settings() -> str:
    """Return one line for each setting: name, default and meaning. The text of `main.py settings`."""
    lines = []
    for name, info in setting_names():
        default = info.get_default(call_default_factory=True)
        lines.append(f"{name} = {yaml.safe_dump(default).splitlines()[0]}\n    {info.description}")
    return "\n".join(lines)


def _collect(
    config: Path | None, assignments: Sequence[str], options: Mapping[str, tuple[str, Any]] | None
) -> _Collected:
    collected = _Collected()
    if config is not None:
        _read_yaml(config, collected)
    for assignment in assignments:
        _read_assignment(assignment, collected)
    for name, (option, value) in (options or {}).items():
        collected.put(tuple(name.split(".")), value, option)
    return collected


def _read_yaml(path: Path, collected: _Collected) -> None:
    root = compose_yaml(read_text(path, "the configuration file", LIMITS.yaml_bytes), path)
    if root is None:
        _log.warning("%s: says nothing, so every setting has its default", path)
        return
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}:1: a configuration file is a mapping such as 'track: {{…}}'")
    _read_mapping(root, (), path, collected)


def _read_mapping(node: yaml.MappingNode, prefix: Path_, file: Path, collected: _Collected) -> None:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        place = f"{file}:{key_node.start_mark.line + 1}"
        key = str(key_node.value)
        path = (*prefix, key)
        if key in seen:
            collected.problems.append(f"{place}: {'.'.join(path)} is given twice")
            continue
        seen.add(key)
        if isinstance(value_node, yaml.MappingNode) and _is_section(path):
            collected.put(path, {}, place)
            _read_mapping(value_node, path, file, collected)
        else:
            try:
                value = construct_yaml(value_node, file)
            except InputError as error:
                collected.problems.append(str(error))
                continue
            collected.put(path, value, place)
            _note_places(value_node, path, file, collected)


def _note_places(node: yaml.Node, path: Path_, file: Path, collected: _Collected) -> None:
    """Remember the lines of what lies inside a setting that is a mapping or a list, for messages about it."""
    if isinstance(node, yaml.MappingNode):
        inner = [(str(key.value), value, key.start_mark.line) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [(str(number), value, value.start_mark.line) for number, value in enumerate(node.value)]
    else:
        return
    for step, value, line in inner:
        collected.places[*path, step] = f"{file}:{line + 1}"
        _note_places(value, (*path, step), file, collected)


def _is_section(path: Path_) -> bool:
    """Return whether `path` names a section (or nothing that we know), not a setting whose value is a mapping."""
    return ".".join(path) not in dict(setting_names())


def _read_assignment(text: str, collected: _Collected) -> None:
    name, equals, raw = text.partition("=")
    place = f"--set {text}"
    if not equals or not name:
        collected.problems.append(f"{place}: write it as section.key=value")
        return
    try:
        value = yaml_value(raw, place)
    except InputError:
        value = raw
    collected.put(tuple(name.strip().split(".")), value, place)


def _explain(problem: Mapping[str, Any], collected: _Collected) -> str:
    """Turn one pydantic error into a sentence with its place and, for an unknown name, the nearest known one."""
    path: Path_ = tuple(str(step) for step in problem["loc"])
    name = ".".join(path)
    place = collected.place_of(path)
    if problem["type"] == "extra_forbidden":
        known = [known_name for known_name, _ in setting_names()] + list(Settings.model_fields)
        known += [f"link.cameras.{camera}.{key}" for camera in path[2:3] for key in CameraPlace.model_fields]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if not close:
            same_key = [known_name for known_name in known if known_name.split(".")[-1] == path[-1]]
            close = same_key[:1] or difflib.get_close_matches(path[-1], known, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{place}: there is no setting {name}{hint}"
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    given = problem.get("input")
    return f"{place}: {name}: {message} (given: {repr(given)[:200]})"
