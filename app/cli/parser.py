"""The command line: what a user can ask, and how an answer or an error reaches them.

Only argparse is imported up here. A command imports what it needs when it runs, so that `--help` and a mistake in the
settings answer at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import __version__
from app.cli.check import add_check, add_settings
from app.cli.runs import add_commands, add_compare, add_erase, add_evaluate, add_export, add_search
from app.cli.start import add_simulate, add_ui
from app.cli.track import add_link, add_track
from app.cli.training import (
    add_calibrate_reid,
    add_evaluate_detector,
    add_evaluate_reid,
    add_export_reid,
    add_label,
    add_train,
    add_train_detector,
)
from app.errors import OmniTrackError

if TYPE_CHECKING:
    pass

DEFAULT_COMMAND = "track"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed while running, 2 wrong usage or bad input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = build_parser()
    if given and given[0] not in commands and given[0] not in ("-h", "--help", "--version"):
        given.insert(0, DEFAULT_COMMAND)
    if not given:
        parser.print_help(sys.stderr)
        return 2
    try:
        options = parser.parse_args(given)
    except SystemExit as stop:  # argparse has already said why
        return int(stop.code or 0)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("app").setLevel(logging.INFO if options.verbose else logging.WARNING)
    try:
        answer = options.run(options)
    except OmniTrackError as error:
        from app.footage.addresses import redact

        sys.stderr.write(f"error: {redact(str(error))}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 1
    except (OSError, MemoryError, sqlite3.Error) as error:
        from app.system.untrusted import storage_problem

        known = storage_problem(error)
        if known is None:
            raise
        sys.stderr.write(f"error: {known}\n")
        return known.exit_status
    if options.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    return int(answer.get("exit_status", 0))


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser and the parser of each command by name."""
    parser = argparse.ArgumentParser(
        prog="main.py",
        description="Follow people across many cameras: who was where, when, and is it the same person?",
        epilog="'main.py --sources A B' is short for 'main.py track --sources A B'. "
        "Ask 'main.py COMMAND --help' for the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"OmniTrack {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, run: Any, summary: str, settings: bool = False) -> argparse.ArgumentParser:
        child = subparsers.add_parser(name, help=summary, description=summary)
        child.set_defaults(run=run)
        child.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
        child.add_argument("--verbose", action="store_true", help="say more on stderr")
        if settings:
            child.add_argument("--config", type=Path, metavar="F.yaml", help="settings that differ from the defaults")
            child.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                               help="one setting, for example track.max_lost_s=3; see 'main.py settings'")  # fmt: skip
        commands[name] = child
        return child

    for add in (  # in the order of --help
        add_track,
        add_link,
        add_evaluate,
        add_export,
        add_search,
        add_compare,
        add_erase,
        add_ui,
        add_train,
        add_label,
        add_train_detector,
        add_evaluate_reid,
        add_evaluate_detector,
        add_calibrate_reid,
        add_export_reid,
        add_simulate,
        add_check,
        add_commands,
        add_settings,
    ):
        add(command)
    return parser, commands
