"""Commands that make a run: track, link."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from app.cli.options import Command, given_options, settings_of
from app.cli.output import progress_bar, say, show_summary
from app.errors import InputError, RunError


def add_track(command: Command) -> None:
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
    settings = settings_of(options, named)
    folder = options.output
    if options.resume:
        folder = _resumed_folder(options)
    elif not options.sources:
        raise InputError("give --sources, or --resume RUN to go on with a run")
    if options.resume:
        from app.config import given_settings
        from app.pipeline.resuming import recorded_job

        places = given_settings(options.config, options.assignments, given_options(named))
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


def add_link(command: Command) -> None:
    link = command("link", _link, "decide identities over a whole finished run", settings=True)
    link.add_argument("folder", type=Path, metavar="RUN", help="the run folder")


def _link(options: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(options)
    from app.runs.people.linking import link_run

    summary = link_run(options.folder, settings.link)
    if not options.json:
        say(f"{summary['tracklets']} tracklets are {summary['people']} people")
    return summary
