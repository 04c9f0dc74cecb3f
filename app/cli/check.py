"""`main.py check`: what this machine has, before a long job is started on it."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import __version__
from app.cli.options import Command, settings_of
from app.cli.output import say, show
from app.errors import InputError

if TYPE_CHECKING:
    from app.config import Settings

PACKAGES = ("torch", "ultralytics", "openvino", "opencv-python", "numpy", "scipy", "lap", "av", "pyarrow", "gradio")


def check_machine(settings: Settings, sources: Sequence[str]) -> dict[str, Any]:
    """Return a JSON-able report: versions, device, weights, and what each source is or why it does not open."""
    from app.system.openvino_cache import cache_folder

    return {
        "omnitrack": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": _device(),
        "detector": _answer(lambda: _detector_name(settings)),
        "reid": _answer(lambda: _embedder_name(settings)),
        "cache": str(cache_folder()),
        "sources": {source: _answer(lambda source=source: _source(settings, source)) for source in sources},
    }


def check_table(report: dict[str, Any]) -> Any:
    """Return a rich table of the report."""
    from rich.table import Table

    table = Table("what", "this machine", title="OmniTrack check")
    for key, value in report.items():
        if isinstance(value, dict):
            for name, entry in value.items():
                table.add_row(f"{key}: {name}", str(entry))
        else:
            table.add_row(key, str(value))
    return table


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device() -> str:
    from app.system.device import choose_device

    return str(choose_device("auto", "device"))


def _detector_name(settings: Settings) -> str:
    from app.detect import build_detector

    if settings.detect.weights.startswith("file:"):
        return settings.detect.weights
    return build_detector(settings.detect, []).name


def _embedder_name(settings: Settings) -> str:
    from app.reid.embedder import build_embedder

    embedder = build_embedder(settings.reid)
    return embedder.name if embedder else "none: people are followed by motion only"


def _source(settings: Settings, source: str) -> str:
    from app.footage.sources import open_sources

    found = [opened.info for opened in open_sources([source], [], settings.sources)]
    return "; ".join(
        f"{info.camera}: {info.width}×{info.height}, {info.fps:g} frames/s, "
        f"{'live' if info.frame_count is None else f'{info.frame_count} frames'}"
        for info in found
    )


def _answer(ask: Any) -> str:
    """The text that `ask` returns, or why there is none."""
    try:
        return str(ask())
    except InputError as error:
        return f"no: {error}"


def add_check(command: Command) -> None:
    check = command("check", _check, "say what this machine has: device, weights, versions, sources that open; or "
                    "whether everything of a run is there and undamaged", settings=True)  # fmt: skip
    check.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="verify this run instead: checksums, ledger, crops; exit status 1 if it is damaged",
    )
    check.add_argument("--sources", nargs="+", default=[], metavar="SOURCE", help="sources to open, as for track")


def _check(options: argparse.Namespace) -> dict[str, Any]:
    if options.folder is not None:
        return _check_run(options)
    settings = settings_of(options)

    report = check_machine(settings, options.sources)
    if not options.json:
        show(check_table(report))
    return report


def _check_run(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.check import check_run, check_run_text

    report = check_run(options.folder)
    if not options.json:
        say(check_run_text(report))
    return report | {"exit_status": 1 if report["damage"] else 0}


def add_settings(command: Command) -> None:
    command("settings", _settings, "list every setting with its default and meaning")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    from app.config import describe_settings, setting_names

    if not options.json:
        say(describe_settings())
    return {name: info.get_default(call_default_factory=True) for name, info in setting_names()}
