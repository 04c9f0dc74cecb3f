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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import __version__
from app.cli.output import progress_bar, say, show, show_summary
from app.cli.runs import add_commands
from app.errors import InputError, OmniTrackError, RunError
from app.runs.export.formats import FORMATS, IDS
from app.runs.people.bands import MEANING

if TYPE_CHECKING:
    from app.config import Settings

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

    track = command("track", _track, "find, follow and recognise people in recordings or streams", settings=True)
    track.add_argument("--sources", nargs="+", default=[], metavar="SOURCE",
                       help="video file, folder of images or of recording segments, MOTChallenge folder, "
                            "camera number, stream URL, or a YAML list of cameras")  # fmt: skip
    track.add_argument("--names", nargs="+", default=[], metavar="NAME", help="camera names, one for each source")
    track.add_argument("--output", type=Path, metavar="RUN", help="run folder (default: runs/ and the time)")
    track.add_argument("--detector", metavar="auto|WEIGHTS|file:PATH", help="what finds people (default: auto)")
    track.add_argument("--reid", metavar="auto|NAME|WEIGHTS|none", help="what tells people apart (default: auto)")
    track.add_argument("--device", metavar="auto|cpu|cuda:0", help="where networks run (default: auto)")
    track.add_argument("--save-video", action="store_true",
                       help="write annotated video of each camera and of all, and a sheet of people")  # fmt: skip
    track.add_argument("--blur", action="store_true", help="make everybody in the saved video unrecognisable")
    track.add_argument(
        "--preview",
        action="store_true",
        help="while it runs, keep RUN/video/live.jpg and progress.json up to date (not with ray)",
    )
    track.add_argument("--no-link", action="store_true", help="keep the identities that were decided online")
    track.add_argument("--gallery", type=Path, metavar="DIR",
                       help="folder that keeps people and their ids from run to run")  # fmt: skip
    track.add_argument("--resume", nargs="?", const=True, type=Path, metavar="RUN",
                       help="go on with an unfinished run, or with --output; it knows its options")  # fmt: skip
    track.add_argument("--engine", choices=["local", "ray"],
                       help="this process, or Ray tasks for cameras and run.chunk_s of each")  # fmt: skip
    track.add_argument("--trust-weights", action="store_true",
                       help="load a .pt or TorchScript file of unknown origin; "
                            "it can run any program on this machine")  # fmt: skip

    link = command("link", _link, "decide identities over a whole finished run", settings=True)
    link.add_argument("folder", type=Path, metavar="RUN")

    evaluate = command("evaluate", _evaluate, "score a run against truth, beside the same boxes without linking")
    evaluate.add_argument("folder", type=Path, metavar="RUN")
    evaluate.add_argument("--truth", type=Path, required=True, metavar="DIR",
                          help="holds CAMERA/gt/gt.txt or CAMERA.txt, ids shared across cameras; "
                               "for one camera also the file itself")  # fmt: skip
    evaluate.add_argument("--mistakes", type=Path, metavar="F.html",
                          help="also write a page that shows the costliest mistakes with pictures")  # fmt: skip

    export = command("export", _export, "write a run in the format of another tool")
    export.add_argument("folder", type=Path, metavar="RUN")
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.epilog = "\n".join(f"{name}: {meaning}" for name, meaning in FORMATS.items())
    export.add_argument("--format", required=True, choices=list(FORMATS))
    meanings = " ".join(f"{name}: {meaning}" for name, meaning in IDS.items())
    export.add_argument("--ids", choices=list(IDS), default="person", help=meanings)
    export.add_argument("--output", type=Path, required=True, metavar="DIR")

    search = command("search", _search, "which people of a run look like the one in a picture", settings=True)
    search.add_argument("folder", type=Path, metavar="RUN")
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

    erase = command("erase", _erase, "remove a person from a run: rows, vectors, crops, videos, known people")
    erase.add_argument("folder", type=Path, metavar="RUN")
    erase.add_argument("person", type=int, metavar="PERSON")
    erase.add_argument("--gallery", type=Path, metavar="DIR",
                       help="where the folder of known people lies now, if not where the run used it")  # fmt: skip

    ui = command("ui", _ui, "look at runs, search and correct them in the browser", settings=True)
    ui.add_argument("folders", type=Path, nargs="*", metavar="RUN", help="runs to show (default: all under runs/)")
    ui.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1, this machine only)")
    ui.add_argument("--port", type=int, metavar="N", help="port to listen on (default: 7860)")
    ui.add_argument("--users", type=Path, metavar="FILE", help="ask for name and password of one of the users in FILE")
    ui.add_argument("--auth", default="", metavar="USER:FILE", help="or of one user, with the password in FILE")
    ui.add_argument("--add-user", metavar="NAME", help="write a user into the --users file and end; the password is "
                    "asked for, or comes from OMNITRACK_PASSWORD")  # fmt: skip
    ui.add_argument("--role", choices=["look", "correct", "erase"], help="what --add-user may do: look and search; "
                    "correct, start runs, make videos as well; erase and purge as well")  # fmt: skip
    ui.add_argument("--remove-user", metavar="NAME", help="take a user out of the --users file and end")
    ui.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve https with this certificate (PEM)")
    ui.add_argument("--tls-key", type=Path, metavar="FILE", help="the key of the certificate (PEM, without a password)")

    train = command("train", _train, "train ReID weights on pictures of people", settings=True)
    train.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR",
                       help="Market-1501, CUHK03-NP, MSMT17, DukeMTMC-reID, or a folder for each person; "
                            "folders or zip files, several are trained on together")  # fmt: skip
    train.add_argument("--output", type=Path, required=True, metavar="DIR", help="weights, model card, log and state")
    train.add_argument("--resume", action="store_true", help="go on from the state in --output")

    label = command("label", _label, "mark the people in pictures with what several detectors agree on, for training")
    label.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="PATH",
                       help="folders or zip files of pictures; boxes that come with them, as in YOLO's layout, "
                            "stay")  # fmt: skip
    label.add_argument("--teachers", type=Path, nargs="+", required=True, metavar="FILE",
                       help="weights of detectors, at least two of different kinds")  # fmt: skip
    label.add_argument("--sizes", type=int, nargs="+", default=[640, 640, 960, 1280], metavar="PX",
                       help="longer sides at which each looks, every second time at the mirrored picture "
                            "(default: 640 640 960 1280)")  # fmt: skip
    label.add_argument("--hold-out", nargs="+", default=[], metavar="PATTERN",
                       help="file names of pictures that are kept out of training: whole cameras, cam7-*")  # fmt: skip
    label.add_argument("--leave-out", nargs="+", default=[], metavar="PATTERN",
                       help="file names of pictures that are not used at all")  # fmt: skip
    label.add_argument("--output", type=Path, required=True, metavar="DIR", help="two data sets, train and held_out")

    detector = command("train-detector", _train_detector, "train detector weights on pictures of people", settings=True)
    detector.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                          help="data sets in YOLO's layout, images/ and labels/ and perhaps masks/, "
                               "anywhere within folders or zip files")  # fmt: skip
    detector.add_argument("--output", type=Path, required=True, metavar="DIR", help="pictures, state, finished weights")
    detector.add_argument("--resume", action="store_true", help="go on from the state in --output")

    reid = command(
        "evaluate-reid", _evaluate_reid, "score ReID weights on data sets such as Market-1501 or VIPeR", settings=True
    )
    reid.add_argument("--weights", required=True, metavar="FILE")
    reid.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                      help="data sets, folders or zip files; of several, a table with the mean")  # fmt: skip
    reid.add_argument("--everybody", action="store_true",
                      help="of sets without queries look for all people, not for random halves of them")  # fmt: skip
    reid.add_argument("--rerank", action="store_true", help="k-reciprocal re-ranking")
    reid.add_argument("--single-shot", action="store_true",
                      help="CUHK03's protocol: random galleries that show everyone once, averaged")  # fmt: skip
    reid.add_argument("--pictures", type=Path, metavar="DIR",
                      help="also draw ranked lists, activation maps and a reliability diagram")  # fmt: skip
    reid.add_argument("--seed", type=int, default=0, metavar="N", help="of those draws (default: 0)")
    reid.add_argument("--device", metavar="auto|cpu|cuda:0", help="where the network runs (default: auto)")

    found = command("evaluate-detector", _evaluate_detector, "average precision of a detector, over all and by height",
                    settings=True)  # fmt: skip
    found.add_argument("--weights", default="auto", metavar="auto|FILE", help="the detector (default: auto)")
    found.add_argument("--data", type=Path, nargs="+", required=True, metavar="PATH",
                       help="data sets in YOLO's layout in folders or zip files, or videos with gt/gt.txt "
                            "beside them or in the folder of their name")  # fmt: skip
    found.add_argument("--every", type=int, default=1, metavar="N", help="of videos, every n-th picture (default: 1)")

    calibrated = command("calibrate-reid", _calibrate_reid,
                         "fit what a network's distances mean in places that it was not trained in")  # fmt: skip
    calibrated.add_argument("--weights", "--reid", required=True, metavar="NAME|FILE")
    shown = calibrated.add_mutually_exclusive_group(required=True)
    shown.add_argument("--data", type=Path, nargs="+", metavar="DIR",
                       help="pictures of people with names, of three places or more that the weights were not trained "
                            "on; one folder or zip file each")  # fmt: skip
    shown.add_argument("--run", dest="runs", type=Path, nargs="+", metavar="RUN",
                       help="runs over your own footage, in which nobody has a name: people in view together are "
                            "strangers, early and late pictures of one tracklet show one person")  # fmt: skip
    calibrated.add_argument("--trust-weights", action="store_true", help="load a TorchScript file")

    converted = command("export-reid", _export_reid, "write ReID weights for other programs, checked")
    converted.add_argument("--weights", required=True, metavar="NAME|FILE")
    converted.add_argument("--format", required=True, choices=["onnx", "openvino", "torchscript", "tensorrt"])
    converted.add_argument("--output", type=Path, required=True, metavar="FILE",
                           help="ends in .onnx, .xml, .pt or .engine; --reid takes all but the last back")  # fmt: skip

    simulate = command("simulate", _simulate, "make a multi-camera scene with exact truth", settings=True)
    simulate.add_argument("--output", type=Path, required=True, metavar="DIR")
    simulate.add_argument("--cameras", type=int, metavar="N")
    simulate.add_argument("--people", type=int, metavar="N")
    simulate.add_argument("--seconds", type=float, metavar="S")
    simulate.add_argument("--seed", type=int, metavar="N")

    check = command("check", _check, "say what this machine has: device, weights, versions, sources that open; or "
                    "whether everything of a run is there and undamaged", settings=True)  # fmt: skip
    check.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="verify this run instead: checksums, ledger, crops; exit status 1 if it is damaged",
    )
    check.add_argument("--sources", nargs="+", default=[], metavar="SOURCE")

    add_commands(command, _load_settings)
    command("settings", _settings, "list every setting with its default and meaning")
    return parser, commands


def _load_settings(options: argparse.Namespace, named: dict[str, tuple[str, Any]] | None = None) -> Settings:
    """Settings from `--config`, `--set` and the options in `named` that were given (value not None)."""
    from app.config import load_settings

    return load_settings(options.config, options.assignments, _given(named or {}))


def _given(named: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Return the options that were given."""
    return {name: (option, value) for name, (option, value) in named.items() if value is not None}


def _track(options: argparse.Namespace) -> dict[str, Any]:
    named = {
        "detect.weights": ("--detector", _whole(options.detector)),
        "detect.device": ("--device", options.device),
        "detect.trust_weights": ("--trust-weights", options.trust_weights or None),
        "reid.weights": ("--reid", _whole(options.reid)),
        "reid.trust_weights": ("--trust-weights", options.trust_weights or None),
        "reid.device": ("--device", options.device),
        "run.save_video": ("--save-video", options.save_video or None),
        "render.blur": ("--blur", options.blur or None),
        "link.enabled": ("--no-link", False if options.no_link else None),
        "gallery.folder": ("--gallery", str(options.gallery.resolve()) if options.gallery else None),
    }
    settings = _load_settings(options, named)
    folder = options.output
    if options.resume:
        folder = _resumed_folder(options)
    elif not options.sources:
        raise InputError("give --sources, or --resume RUN to go on with a run")
    if options.resume:
        from app.config import given_settings
        from app.pipeline.resuming import recorded_job

        places = given_settings(options.config, options.assignments, _given(named))
        job, engine = recorded_job(folder, settings, places, options.sources, options.names, options.engine)
    else:
        from app.pipeline.job import Job

        job, engine = Job(tuple(options.sources), tuple(options.names), settings), options.engine or "local"
    from app.pipeline.stages import how_to_go_on, new_folder, track
    from app.system.interrupts import ends_in_time

    folder = folder or new_folder()
    with ends_in_time(lambda: how_to_go_on(folder)):
        try:
            return track(
                replace(job, preview=options.preview),
                folder,
                engine,
                partial(progress_bar, options.json),
                None if options.json else partial(show_summary, job.settings.detect.weights),
            )
        except KeyboardInterrupt:
            raise RunError(how_to_go_on(folder)) from None


def _whole(weights: str | None) -> str | None:
    """Return the whole path of a file of weights, so that a run finds it again from wherever it is resumed."""
    return str(Path(weights).resolve()) if weights and Path(weights).is_file() else weights


def _resumed_folder(options: argparse.Namespace) -> Path:
    """Return which run to go on with. Raises InputError if none is named, or two are."""
    named = {Path(folder) for folder in (options.resume, options.output) if isinstance(folder, Path)}
    if len(named) != 1:
        problem = "name two runs" if named else "needs --output RUN, or the run itself: --resume RUN"
        raise InputError(f"--resume and --output {problem}" if named else f"--resume {problem}")
    return named.pop()


def _link(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options)
    from app.runs.people.linking import link_run

    summary = link_run(options.folder, settings.link)
    if not options.json:
        say(f"{summary['tracklets']} tracklets are {summary['people']} people")
    return summary


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


def _export(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.export.write import export_run
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.folder.run import Run

    made = export_run(Run.open(options.folder), options.format, options.ids, options.output)
    record(options.folder, COMMAND_LINE, "exported", options.format)
    if not options.json:
        say(f"wrote {len(made.files)} files to {options.output}")
    return {"files": [str(file) for file in made.files], "left_out_boxes": made.left_out}


def _search(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options)
    if options.top < 1:
        raise InputError(f"--top {options.top}: must be at least 1")
    from dataclasses import asdict

    from app.runs.folder.audit_log import COMMAND_LINE, numbers_text, record
    from app.runs.people.search import search_in_frame, search_run, search_table

    in_run = (options.camera, options.at)
    if (options.image is None) is (None in (*in_run, options.box)) or (
        options.image is not None and in_run != (None, None)
    ):
        raise InputError("give IMAGE, or all of --camera, --at and --box")
    if options.image is not None:
        found = search_run(options.folder, options.image, settings, options.top, options.person, options.box)
    else:
        found = search_in_frame(options.folder, *in_run, options.box, settings, options.top)
    source = "a picture from outside" if options.image is not None else f"a box on {options.camera}"
    listed = numbers_text(entry["person"] for entry in found.people)
    record(options.folder, COMMAND_LINE, "searched", f"with {source}; listed: {listed}")
    if not options.json:
        show(search_table(found))
    return asdict(found)


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options, {"reid.weights": ("--reid", options.reid)})
    from dataclasses import asdict

    from app.runs.people.compare import compare_pictures, comparison_table

    found = compare_pictures(options.images, settings, options.picture)
    if not options.json:
        show(comparison_table(found))
    return asdict(found)


def _erase(options: argparse.Namespace) -> dict[str, Any]:
    from app.runs.folder.audit_log import COMMAND_LINE, record
    from app.runs.privacy.erase import erase_person, erased_text

    summary = erase_person(options.folder, options.person, gallery=options.gallery)
    record(options.folder, COMMAND_LINE, "erased", f"person {summary['person']}")
    if not options.json:
        say(erased_text(summary))
    return summary


def _ui(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options, {"ui.host": ("--host", options.host), "ui.port": ("--port", options.port)})
    if options.add_user or options.remove_user or options.role:
        from app.cli.users import change_users

        listed = change_users(options.users, options.add_user, options.role, options.remove_user)
        if not options.json:
            say("\n".join(f"{user['name']}: {user['role']}" for user in listed) or "nobody")
        return {"users": listed}
    if options.users and options.auth:
        raise InputError("give --users or --auth, not both")
    if (options.tls_certificate is None) is not (options.tls_key is None):
        raise InputError("--tls-certificate and --tls-key belong together")
    from app.ui.server import read_login, run_ui
    from app.ui.users import Users

    users = Users.read(options.users) if options.users else read_login(options.auth) if options.auth else None
    certificate = (options.tls_certificate, options.tls_key) if options.tls_key else None
    run_ui(options.folders, settings, users, certificate, (lambda text: None) if options.json else say)
    return {}


def _train(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options)
    from app.reid.train.finetune import fine_tune
    from app.reid.train.loop import train
    from app.reid.train.pairs import has_pairs

    run = fine_tune if settings.train.start_from and has_pairs(options.data) else train
    card = run(settings.train, options.data, options.output, options.resume)
    if not options.json:
        say(f"wrote {options.output}")
        if "verdict" in card:
            say(card["verdict"]["reason"])
    return card


def _label(options: argparse.Namespace) -> dict[str, Any]:
    if any(size < 64 or size > 4096 or size % 32 for size in options.sizes):
        raise InputError(f"--sizes {' '.join(map(str, options.sizes))}: multiples of 32 from 64 to 4096")
    from app.detect.train.label import label_pictures

    summary = label_pictures(
        options.pictures, options.teachers, options.sizes, options.output, options.hold_out, options.leave_out
    )
    if not options.json:
        for part, counts in summary["counts"].items():
            say(f"{part}: {counts['pictures']} pictures, {counts['people']} people, {counts['disputed']} disputed")
    return summary


def _train_detector(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options)
    from app.detect.train.adapt import adapt_detector
    from app.detect.train.loop import train_detector

    run = adapt_detector if settings.train_detector.start_from else train_detector
    scores = run(settings.train_detector, options.data, options.output, options.resume)
    if not options.json:
        say(f"wrote {scores['weights']}")
    return scores


def _evaluate_reid(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(
        options,
        {"reid.weights": ("--weights", options.weights), "reid.device": ("--device", options.device)},
    )
    from app.reid.evaluate import evaluate_reid, evaluate_sets, sets_table

    share = 1.0 if options.everybody else 0.5
    if len(options.data) > 1:
        if options.rerank or options.single_shot or options.pictures:
            raise InputError("--rerank, --single-shot and --pictures go with one data set at a time")
        sets = evaluate_sets(settings.reid, options.data, share, options.seed)
        if not options.json:
            show(sets_table(sets))
        return dict(sets)
    scores = evaluate_reid(
        settings.reid,
        options.data[0],
        split_share=share,
        rerank=options.rerank,
        single_shot=options.single_shot,
        seed=options.seed,
        pictures=options.pictures,
    )
    if not options.json:
        say("  ".join(f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
                       for name, value in scores.items()))  # fmt: skip
    return scores


def _evaluate_detector(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(options, {"detect.weights": ("--weights", options.weights)})
    if options.every < 1:
        raise InputError(f"--every {options.every}: must be at least 1")
    from app.detect.evaluate import detector_table, evaluate_detector, heights_table

    scores = evaluate_detector(settings.detect, options.data, options.every)
    if not options.json:
        show(detector_table(scores))
        show(heights_table(scores))
    return scores


def _calibrate_reid(options: argparse.Namespace) -> dict[str, Any]:
    if options.runs:
        from app.runs.people.footage_calibration import calibrate_on_runs

        made = calibrate_on_runs(options.weights, options.runs, options.trust_weights)
        if not options.json:
            say(f"{made['pairs_of_strangers']} pairs of strangers at a distance of "
                 f"{made['mean_distance_of_strangers']:.3f}, {made['pairs_of_one_person']} of early and late pictures "
                 f"of {made['tracklets']} tracklets at {made['mean_distance_within_tracklets']:.3f}")  # fmt: skip
            say(f"wrote {made['file']}, which the next run uses")
        return made
    from app.reid.calibrating import calibrate_reid

    made = calibrate_reid(options.weights, options.data, options.trust_weights)
    if not options.json:
        for name, place in made["left_out"].items():
            shares = f"{100 * place['strangers']:.2f} % of strangers, {100 * place['same']:.1f} % of one person"
            say(f"{name}, left out: pairs taken for one person: {shares}")
        say(f"wrote {made['file']}")
    return made


def _export_reid(options: argparse.Namespace) -> dict[str, Any]:
    from app.reid.export import export_reid

    made = export_reid(options.weights, options.format, options.output)
    if not options.json:
        say(f"wrote {made['file']}; largest cosine error {made['max_cosine_error']:.2g}")
    return made


def _simulate(options: argparse.Namespace) -> dict[str, Any]:
    settings = _load_settings(
        options,
        {
            "simulate.cameras": ("--cameras", options.cameras),
            "simulate.people": ("--people", options.people),
            "simulate.seconds": ("--seconds", options.seconds),
            "simulate.seed": ("--seed", options.seed),
        },
    )
    from app.simulate import simulate

    summary = simulate(options.output, settings.simulate)
    if not options.json:
        say(f"wrote a scene of {settings.simulate.cameras} cameras to {options.output}")
    return summary


def _check(options: argparse.Namespace) -> dict[str, Any]:
    if options.folder is not None:
        return _check_run(options)
    settings = _load_settings(options)
    from app.cli.check import check_machine, check_table

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


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    from app.config import describe_settings, setting_names

    if not options.json:
        say(describe_settings())
    return {name: info.get_default(call_default_factory=True) for name, info in setting_names()}
