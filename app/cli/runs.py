"""The commands of the command line that look at a finished run, correct it and guard it: people, route, correct, …

Nothing heavy is imported up here: see `app.cli.parser`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from app.cli.options import Command, settings_of
from app.cli.output import print_table, say, show
from app.errors import InputError
from app.runs.export.formats import FORMATS, IDS
from app.runs.people.bands import MEANING

ACTIONS = ("merge", "name", "split", "confirm", "reject", "undo")


def add_commands(command: Command) -> None:
    """Add the commands that look at a run, correct and guard it."""
    people = command("people", _people, "who was found in a run, when and on which cameras")
    people.add_argument("folder", type=Path, metavar="RUN", help="the run folder")

    route = command("route", _route, "the way of one person through the cameras, and why each link was made")
    route.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    route.add_argument("person", type=int, metavar="PERSON", help="number of the person")

    correct = command("correct", _correct, "say who is who; every correction can be undone")
    correct.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    correct.add_argument("action", choices=ACTIONS, help="what to do, see below")
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
    places.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
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
    render.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    who = render.add_mutually_exclusive_group()
    who.add_argument("--blur-everybody", action="store_true", help="into RUN/export/everybody_blurred/video")
    who.add_argument("--blur-others", type=int, metavar="PERSON",
                     help="leave this person as is, into RUN/export/person_PERSON/video")  # fmt: skip

    purge = command("purge", _purge, "delete what is older than the settings of the section retention allow",
                    settings=True)  # fmt: skip
    purge.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    purge.add_argument("--dry-run", action="store_true", help="only say what would be deleted")

    audit = command("audit", _audit, "who looked at a run and at whom, searched, exported, corrected or purged it")
    audit.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    audit.add_argument("--last", type=int, default=100, metavar="N", help="how many entries (default: 100)")


def _people(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.people.report import people_report, people_table

    report = people_report(options.folder)
    record(options.folder, COMMAND_LINE, "viewed", "the list of people")
    return print_table(options, report, people_table)


def _route(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.people.report import route_report, route_table

    report = route_report(options.folder, options.person)
    record(options.folder, COMMAND_LINE, "viewed", f"person {report['person']}")
    return print_table(options, report, route_table)


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
    return print_table(options, report, places_table)


def _render(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options)
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
    settings = settings_of(options)
    from app.runs.privacy.purge import purge, purge_table

    keep_people_days = settings.gallery.keep_days
    report = purge(options.folder, settings.retention, options.dry_run, keep_people_days=keep_people_days)
    return print_table(options, report, purge_table)


def _audit(options: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from app.runs.folder.run import Run
    from app.runs.privacy.audit import audit_table, log_of

    if options.last < 1:
        raise InputError(f"--last {options.last}: must be at least 1")
    with Run.open(options.folder).ledger() as ledger:
        found = log_of(options.folder, ledger, options.last)
    return print_table(options, {"entries": [asdict(entry) for entry in found]}, lambda _: audit_table(found))


def add_evaluate(command: Command) -> None:
    evaluate = command("evaluate", _evaluate, "score a run against truth, beside the same boxes without linking")
    evaluate.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    evaluate.add_argument("--truth", type=Path, required=True, metavar="DIR",
                          help="holds CAMERA/gt/gt.txt or CAMERA.txt, ids shared across cameras; "
                               "for one camera also the file itself")  # fmt: skip
    evaluate.add_argument("--mistakes", type=Path, metavar="F.html",
                          help="also write a page that shows the costliest mistakes with pictures")  # fmt: skip


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.evaluate.scores import evaluate_run, scores_table
    from app.runs.folder.audit_log import COMMAND_LINE, record

    scores = evaluate_run(options.folder, options.truth)
    if options.mistakes is not None:
        from app.runs.evaluate.mistakes import report_run

        report_run(options.folder, options.truth, options.mistakes)
        record(options.folder, COMMAND_LINE, "exported", "a report of mistakes with pictures")
    if not options.json:
        show(scores_table(scores))
    return scores


def add_export(command: Command) -> None:
    export = command("export", _export, "write a run in the format of another tool")
    export.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = "\n".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    export.add_argument("--format", required=True, choices=list(FORMATS), help="what to write, see below")
    meanings = " ".join(f"{name}: {meaning}" for name, meaning in IDS.items())
    export.add_argument("--ids", choices=list(IDS), default="person", help=meanings)
    export.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")


def _export(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.export.write import export_run
    from app.runs.folder.audit_log import COMMAND_LINE
    from app.runs.folder.run import Run

    made = export_run(Run.open(options.folder), options.format, options.ids, options.output, COMMAND_LINE)
    if not options.json:
        say(f"wrote {len(made.files)} files to {options.output}")
    return {"files": [str(file) for file in made.files], "left_out_boxes": made.left_out}


def add_search(command: Command) -> None:
    search = command("search", _search, "which people of a run look like the one in a picture", settings=True)
    search.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    search.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="a picture that shows the person")
    search.add_argument("--camera", metavar="NAME", help="instead of IMAGE: the camera whose frame shows the person")
    search.add_argument("--at", type=float, metavar="S", help="when, seconds on the shared clock of the run")
    search.add_argument("--box", type=float, nargs=4, metavar=("X1", "Y1", "X2", "Y2"),
                        help="where on that frame, or on IMAGE, in pixels")  # fmt: skip
    search.add_argument("--person", type=int, metavar="N", help="which of several people in IMAGE, from 1 at the left")
    search.add_argument("--top", type=int, default=10, metavar="N", help="how many people to list (default: 10)")
    search.epilog = (
        f"How sure: {MEANING}. Somebody is shown as found only if that would happen to at most one in a hundred people "
        "who are not in the run; else the answer is that nobody here looks like that."
    )


def _search(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options)
    if options.top < 1:
        raise InputError(f"--top {options.top}: must be at least 1")
    from dataclasses import asdict

    from app.runs.folder.audit_log import COMMAND_LINE
    from app.runs.people.search import search_in_frame, search_run, search_table

    in_run = (options.camera, options.at)
    if (options.image is None) is (None in (*in_run, options.box)) or (
        options.image is not None and in_run != (None, None)
    ):
        raise InputError("give IMAGE, or all of --camera, --at and --box")
    if options.image is not None:
        found = search_run(
            options.folder, options.image, settings, options.top, options.person, options.box, COMMAND_LINE
        )
    else:
        found = search_in_frame(options.folder, *in_run, options.box, settings, options.top, COMMAND_LINE)
    if not options.json:
        show(search_table(found))
    return asdict(found)


def add_erase(command: Command) -> None:
    erase = command("erase", _erase, "remove a person from a run: rows, vectors, crops, videos, known people")
    erase.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    erase.add_argument("person", type=int, metavar="PERSON", help="number of the person")
    erase.add_argument("--gallery", type=Path, metavar="DIR",
                       help="where the folder of known people lies now, if not where the run used it")  # fmt: skip


def _erase(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.privacy.erase import erase_person, erased_text

    summary = erase_person(options.folder, options.person, gallery=options.gallery)
    record(options.folder, COMMAND_LINE, "erased", f"person {summary['person']}")
    if not options.json:
        say(erased_text(summary))
    return summary


def add_compare(command: Command) -> None:
    compare = command("compare", _compare, "whether pictures show the same person: yes, no, or can't say",
                      settings=True)  # fmt: skip
    compare.add_argument("images", nargs="+", metavar="IMAGE",
                         help="pictures of people; IMAGE#2 means the second person from the left in IMAGE")  # fmt: skip
    compare.add_argument("--reid", metavar="NAME|FILE", help="the network that compares (default: auto)")
    compare.add_argument("--picture", type=Path, metavar="FILE.png",
                         help="also draw what of each two speaks for one person (green) and what against "
                              "(red)")  # fmt: skip
    compare.epilog = (
        "The answer is yes or no where the odds are nine to one or better, else that one can't say, as for most "
        f"pictures that are small, dark or taken from different sides. How sure: {MEANING}."
    )


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options, {"reid.weights": ("--reid", options.reid)})
    from dataclasses import asdict

    from app.runs.people.compare import compare_images, comparison_table

    found = compare_images(options.images, settings, options.picture)
    if not options.json:
        show(comparison_table(found))
    return asdict(found)
