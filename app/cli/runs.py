"""The commands of the command line that look at a finished run, correct it and guard it: people, route, correct, …

Nothing heavy is imported up here: see `app.cli.parser`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.errors import InputError

ACTIONS = ("merge", "name", "split", "confirm", "reject", "undo")


def add_commands(command: Callable[..., argparse.ArgumentParser], load_settings: Callable[..., Any]) -> None:
    """Add the commands. command: makes the parser of one.  load_settings: reads `--config` and `--set`."""
    people = command("people", _people, "who was found in a run, when and on which cameras")
    people.add_argument("folder", type=Path, metavar="RUN")

    route = command("route", _route, "the way of one person through the cameras, and why each link was made")
    route.add_argument("folder", type=Path, metavar="RUN")
    route.add_argument("person", type=int, metavar="PERSON")

    correct = command("correct", _correct, "say who is who; every correction can be undone")
    correct.add_argument("folder", type=Path, metavar="RUN")
    correct.add_argument("action", choices=ACTIONS)
    correct.add_argument("words", nargs="*", metavar="…", help="what it is about, see below")
    correct.add_argument("--actor", default="command line", metavar="NAME", help="who says so (default: command line)")
    correct.add_argument("--anybody", action="store_true", help="undo what others decided, too")
    correct.add_argument("--anyway", action="store_true",
                         help="merge or confirm also who was seen in one frame: one person with two boxes")  # fmt: skip
    correct.formatter_class = argparse.RawDescriptionHelpFormatter
    correct.epilog = (
        "merge PERSON INTO               they are one person; INTO keeps its number and name\n"
        "name PERSON TEXT                call a person TEXT; '' takes the name away\n"
        "split CAMERA TRACK [SECONDS]    from then on (or as a whole) the track is a new person\n"
        "confirm CAMERA TRACK CAMERA TRACK   two tracks show the same person\n"
        "reject CAMERA TRACK CAMERA TRACK    they do not; the first becomes a new person\n"
        "undo [EVENT]                    take back an event, or your latest correction (your: by the same --actor)"
    )

    places = command("places", _places, "ways between cameras, counts in zones and over lines, people in sight")
    places.add_argument("folder", type=Path, metavar="RUN")
    places.add_argument("--zone", nargs="+", action="append", default=[], metavar=("NAME", "CAMERA X,Y X,Y X,Y"),
                        help="count people in this polygon from now on, pixels of the full frame")  # fmt: skip
    places.add_argument("--line", nargs="+", action="append", default=[], metavar=("NAME", "CAMERA X,Y X,Y"),
                        help="count people who cross this line; in is from the left to the right of it")  # fmt: skip
    places.add_argument("--remove", action="append", default=[], metavar="NAME", help="a zone or line to forget")
    places.add_argument("--stretch-s", type=float, default=60.0, metavar="S",
                        help="length of the stretches in the table of people in sight (default: 60)")  # fmt: skip
    places.add_argument("--heat", type=Path, metavar="DIR", help="also write a heat map of each camera as a picture")

    render = command("render", _render, "draw the recordings of a run again, also with people made unrecognisable",
                     settings=True)  # fmt: skip
    render.add_argument("folder", type=Path, metavar="RUN")
    who = render.add_mutually_exclusive_group()
    who.add_argument("--blur-everybody", action="store_true", help="into RUN/export/everybody_blurred/video")
    who.add_argument("--blur-others", type=int, metavar="PERSON",
                     help="leave this person as is, into RUN/export/person_PERSON/video")  # fmt: skip

    purge = command("purge", _purge, "delete what is older than the settings of the section retention allow",
                    settings=True)  # fmt: skip
    purge.add_argument("folder", type=Path, metavar="RUN")
    purge.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    audit = command("audit", _audit, "who looked at a run and at whom, searched, exported, corrected or purged it")
    audit.add_argument("folder", type=Path, metavar="RUN")
    audit.add_argument("--last", type=int, default=100, metavar="N", help="how many entries (default: 100)")
    for parser in (render, purge):
        parser.set_defaults(load_settings=load_settings)


def _people(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.people.report import people_report, people_table

    report = people_report(options.folder)
    record(options.folder, COMMAND_LINE, "viewed", "the list of people")
    return _answer(options, report, people_table)


def _route(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.people.report import route_report, route_table

    report = route_report(options.folder, options.person)
    record(options.folder, COMMAND_LINE, "viewed", f"person {report['person']}")
    return _answer(options, report, route_table)


def _correct(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.run import Run
    from app.runs.ledger.identities import MACHINE
    from app.runs.people.corrections import correct

    if not options.actor.strip() or options.actor.startswith(MACHINE):
        raise InputError(f"--actor {options.actor!r}: give the name of a human")
    run = Run.open(options.folder)
    with run.ledger() as ledger:
        before = max((event.id for event in ledger.corrections()), default=0)
        said = correct(run, ledger, options.action, options.words, options.actor, options.anyway, options.anybody)
        made = [event.id for event in ledger.corrections() if event.id > before]
    if not options.json:
        sys.stdout.write(said + "\n")
    return {"said": said, "events": made}


def _places(options: argparse.Namespace) -> dict[str, Any]:
    if not options.stretch_s > 0:
        raise InputError(f"--stretch-s {options.stretch_s}: must be more than 0")
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.places.report import change_counters, places_of, places_table

    change_counters(options.folder, options.zone, options.line, options.remove)
    if options.zone or options.line or options.remove:
        record(options.folder, COMMAND_LINE, "changed", "zones and lines")
    report = places_of(options.folder, options.stretch_s)
    if options.heat is not None:
        from app.runs.places.heat import write_heat

        report["heat_maps"] = [str(file) for file in write_heat(options.folder, options.heat)]
        record(options.folder, COMMAND_LINE, "exported", "heat maps over frames of the recordings")
    return _answer(options, report, places_table)


def _render(options: argparse.Namespace) -> dict[str, Any]:
    settings = options.load_settings(options)
    from dataclasses import asdict

    from app.cli.output import progress_bar
    from app.frames import NO_ID
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.folder.run import Run
    from app.runs.render.blurred import outside_text, render_blurred
    from app.runs.render.videos import render_run

    run = Run.open(options.folder)
    with progress_bar(options.json, "drawing") as report:
        if options.blur_everybody:
            drawn = render_blurred(run, settings, NO_ID, report)
        elif options.blur_others is not None:
            drawn = render_blurred(run, settings, options.blur_others, report)
        else:
            drawn = render_run(run, settings.render, settings.run.video_height_px, report)
    what = "everybody blurred" if options.blur_everybody else "the videos of the run"
    record(
        options.folder,
        COMMAND_LINE,
        "rendered",
        what if options.blur_others is None else f"person {options.blur_others}, everybody else blurred",
    )
    if not options.json:
        sys.stdout.write("".join(f"{file}\n" for file in drawn.files))
        if warning := outside_text(drawn.blurred):
            sys.stderr.write(f"{warning}\n")
    blurred = {camera: asdict(one) for camera, one in drawn.blurred.items()}
    return {"files": [str(file) for file in drawn.files], "blurred": blurred, "doubts_kept": run.keeps_doubts}


def _purge(options: argparse.Namespace) -> dict[str, Any]:
    settings = options.load_settings(options)
    from app.runs.privacy.purge import purge, purge_table

    keep_people_days = settings.gallery.keep_days
    report = purge(options.folder, settings.retention, options.dry_run, keep_people_days=keep_people_days)
    return _answer(options, report, purge_table)


def _audit(options: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from app.runs.folder.run import Run
    from app.runs.privacy.audit import audit_table, log_of

    if options.last < 1:
        raise InputError(f"--last {options.last}: must be at least 1")
    with Run.open(options.folder).ledger() as ledger:
        found = log_of(options.folder, ledger, options.last)
    return _answer(options, {"entries": [asdict(entry) for entry in found]}, lambda _: audit_table(found))


def _answer(
    options: argparse.Namespace, report: dict[str, Any], table: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Print a rich table, unless JSON was asked for, and return the values."""
    if not options.json:
        from rich.console import Console

        Console(markup=False, emoji=False).print(table(report))  # a name in it is text
    return report
