"""What the commands print: texts, tables, progress bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.runs.folder.progress import Progress, Report


def summary_table(summary: dict[str, Any]) -> Any:
    """Return the closing table (a rich renderable)."""
    from rich.console import Group
    from rich.table import Table

    live = ("at the end", "blind") if summary["live"] else ()
    cameras = Table("camera", "frames", "tracks", "people", *live, "problem", title=f"Run {summary['run']}")
    for name, camera in summary["cameras"].items():
        counts = [str(camera[key]) for key in ("frames", "tracks", "people")]
        state = [camera["state"], f"{camera['blind_s']:.0f} s"] if live else []
        cameras.add_row(name, *counts, *state, camera["problem"])
    figures = Table.grid(padding=(0, 2))
    figures.add_row("people", str(summary["people"]))
    figures.add_row("people on more than one camera", str(summary["people_on_several_cameras"]))
    figures.add_row("detector", summary["detector"])
    figures.add_row("ReID", summary["reid"])
    figures.add_row("speed", f"{summary['frames_per_s']:.1f} frames/s over all cameras")
    closed = sum(one["frames"] - one["looked_at"] for one in summary["looked"].values())
    if closed:
        share = f"{closed} of {sum(one['frames'] for one in summary['looked'].values())}"
        figures.add_row("frames without a look, since nothing moved", share)
    spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary["seconds"].items())
    figures.add_row("seconds by stage (they overlap)", spent)
    for video in summary["videos"]:
        figures.add_row("video", video)
    for camera, one in summary["blurred"].items():
        outside = f"{one['moving_outside']} of {one['frames']} frames of {camera}"
        figures.add_row("movement outside every blurred place", outside)
    if summary["contact_sheet"]:
        figures.add_row("people", summary["contact_sheet"])
    return Group(cameras, figures, *(f"{camera}: {text}" for camera, text in summary["blind_spots"].items()))


def show_summary(detector: str, summary: dict[str, Any]) -> None:
    """Print the closing table, on stderr. detector: what was asked for."""
    from rich.console import Console

    from app.detect.bundled import DEFAULT_WEIGHTS, bundled_weights

    Console(stderr=True, markup=False, emoji=False).print(summary_table(summary))
    if bundled_weights(detector) and not summary["blind_spots"]:
        sys.stderr.write(f"--detector {DEFAULT_WEIGHTS} (a download) finds more people than the bundled one\n")


@contextmanager
def progress_bar(quiet: bool, label: str = "following") -> Iterator[Report]:
    """Yield a function that shows how far the frames are, on stderr."""
    if quiet:
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} frames/s, {task.fields[cameras]} cameras, {task.fields[people]} people"),
        TimeRemainingColumn(),
    )
    bar = Bar(*columns, console=Console(stderr=True))
    began_with: list[int] = []

    def report(progress: Progress) -> None:
        if not began_with:  # not before: an error at the start should not stand below an empty bar
            began_with.append(progress.frames)
            bar.start()
            bar.add_task(label, total=None, speed=0.0, people=0, cameras=0)
        speed = (progress.frames - began_with[0]) / max(progress.seconds, 1e-9)
        bar.update(
            bar.task_ids[0],
            completed=progress.frames,
            total=progress.frames_total,
            speed=speed,
            people=progress.people,
            cameras=progress.cameras,
        )

    try:
        yield report
    finally:
        if began_with:
            bar.stop()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # what is said of a server is wanted while it runs


def show(table: Any) -> None:
    """Print a rich table on stdout."""
    from rich.console import Console

    Console(markup=False, emoji=False).print(table)  # a name in it is text, whatever it looks like


def print_table(
    options: argparse.Namespace, report: dict[str, Any], table: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Print a rich table, unless JSON was asked for, and return the values."""
    if not options.json:
        from rich.console import Console

        Console(markup=False, emoji=False).print(table(report))  # a name in it is text
    return report
