"""Retention: how long which kind of data of a run is kept, what is due, and deleting what is.

The age of a run counts from its end; while live cameras are followed into it, data is purged as it gets older than its
term, in whole parts (videos and exports, crops, vectors, rows). What is deleted when (settings `retention`):

    video          annotated videos and exports, which can be made again while the recordings are there
    crops          the pictures of people
    vectors        the vectors of their appearance: afterwards nobody can be searched for or linked by appearance
    observations   all rows, with everything that is made from them: tracklets, crops, vectors, videos, identities

The header of the run remembers what was purged when; the audit log, the settings of the run and the places that hide
erased people (`app.runs.folder.covered`) stay. The folder of known people (`--gallery`) has a term of its own,
`gallery.keep_days`
after a run last saw somebody: every purge of a run that used it, and every new run, forgets whose time is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from app.config import RetentionSettings
from app.errors import InputError
from app.runs.folder.audit_log import COMMAND_LINE, record
from app.runs.folder.header import write_header
from app.runs.folder.layout import INDEX_FILE, LEDGER_FILE, DataKind
from app.runs.folder.locks import lock_deletion
from app.runs.folder.manifest import PartFile
from app.runs.folder.parts import Part, write_parts
from app.runs.folder.run import Run
from app.runs.folder.tables import TRACKLET_SCHEMA
from app.runs.folder.written import (
    delete_unlisted,
    named_files,
    put_away,
    put_away_files,
    rendered_files,
    sweep,
    written_files,
)
from app.runs.people.known import PEOPLE_FILE, gallery_of_run, purge_people

DATA_KINDS: tuple[DataKind, ...] = get_args(DataKind)
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Term:
    """How long a kind of data of a run is kept. days: 0 for ever.  due_s, purged_s: seconds since 1970, if ever."""

    kind: DataKind
    days: float
    due_s: float | None
    purged_s: float | None


def terms(run: Run, settings: RetentionSettings) -> list[Term]:
    """Return the term of each kind. What was purged is not due again, unless some of it could not be deleted."""
    found = []
    for kind in DATA_KINDS:
        days = float(getattr(settings, f"{kind}_days"))
        purged = run.purged.get(kind)
        purged_s = None if purged is None else datetime.fromisoformat(purged).timestamp()
        if purged_s is not None and put_away_files(run.folder, kind):
            found.append(Term(kind, days, purged_s, None))
        else:
            due_s = _since_s(run, kind) + days * _DAY_S if days > 0 and purged_s is None else None
            found.append(Term(kind, days, due_s, purged_s))
    return found


def _since_s(run: Run, kind: DataKind) -> float:
    """Return from when on the age of a kind of data counts: the end of the run, or while live cameras are followed into
    it the age of the oldest that is left."""
    if not is_purged_by_age(run):
        ended = run.header["times"]["finished"] or run.header["times"]["created"]
        return datetime.fromisoformat(ended).timestamp()
    created = datetime.fromisoformat(run.header["times"]["created"]).timestamp()
    before = run.header.get("purged_before", {}).get(kind)
    return created if before is None else datetime.fromisoformat(before).timestamp()


def is_purged_by_age(run: Run) -> bool:
    """Return whether live cameras are followed into the run now: then each kind of data is purged as it gets old."""
    return run.state == "running" and run.was_live


def purge(
    folder: Path,
    settings: RetentionSettings,
    dry_run: bool = False,
    actor: str = COMMAND_LINE,
    now_s: float | None = None,
    keep_people_days: float | None = None,
) -> dict[str, Any]:
    """Delete what is due and return JSON values: `purged`, for each kind files and bytes, `next`, what comes when, and
    `gallery`, what became of the folder of known people that the run used (None without one).

    keep_people_days: `gallery.keep_days`; None leaves that folder alone.

    Raises InputError while recordings are followed into the run, RunError while another process changes it, and if
    something cannot be deleted: it stays due.
    """
    now_s = time.time() if now_s is None else now_s
    Run.open(folder)
    with nullcontext() if dry_run else lock_deletion(folder, "purging this run"):
        run = Run.open(folder)
        if run.state == "running" and not run.was_live:
            raise InputError(f"{folder}: this run is still being written; purge it when it is finished")
        if not dry_run:
            sweep(folder)
        due = [term.kind for term in terms(run, settings) if term.due_s is not None and term.due_s <= now_s]
        by_age = is_purged_by_age(run)
        if "observations" in due and not by_age:
            due = [kind for kind in DATA_KINDS if kind not in run.purged]
        report: list[dict[str, Any]] = []
        for kind in due:
            before_s = now_s - getattr(settings, f"{kind}_days") * _DAY_S if by_age else math.inf
            files, size = _size(Run.open(folder), kind, before_s)
            report.append({"kind": kind, "files": files, "bytes": size})
            if not dry_run:
                _purge(folder, kind, now_s, before_s)
    gallery = None if keep_people_days is None else _purge_gallery(run, keep_people_days, dry_run, now_s)
    done = [*due, *([f"{gallery['people']} known people"] if gallery is not None and gallery["people"] else [])]
    if done and not dry_run:
        record(folder, actor, "purged", ", ".join(done))
    after = terms(run if dry_run else Run.open(folder), settings)
    later = [term for term in after if term.due_s is not None and not (dry_run and term.kind in due)]
    return {
        "dry_run": dry_run,
        "purged": report,
        "next": [{"kind": term.kind, "due": _iso(term.due_s or 0.0)} for term in later],
        "gallery": gallery,
    }


def _purge_gallery(run: Run, keep_days: float, dry_run: bool, now_s: float) -> dict[str, Any] | None:
    """Forget known people whose time is over; `people` is null if their folder is not where the run used it."""
    folder = gallery_of_run(run)
    if folder is None:
        return None
    there = (folder / PEOPLE_FILE).is_file()
    people = purge_people(folder, keep_days, dry_run, now_s) if there else None
    return {"folder": str(folder), "keep_days": keep_days, "people": people}


def purge_table(report: dict[str, Any]) -> Any:
    """Return a rich table of what `purge` did, or would do."""
    from rich.console import Group
    from rich.table import Table

    table = Table("data", "would be deleted" if report["dry_run"] else "deleted", "next purge")
    for kind in DATA_KINDS:
        gone = [f"{one['files']} files, {one['bytes'] / 1e6:.1f} MB" for one in report["purged"] if one["kind"] == kind]
        due = [one["due"] for one in report["next"] if one["kind"] == kind]
        table.add_row(kind, *(gone or ["–"]), *(due or ["–"]))
    return Group(table, *([gallery_text(report)] if report["gallery"] else []))


def gallery_text(report: dict[str, Any]) -> str:
    """Return in words what `purge` did about the folder of known people."""
    gallery = report["gallery"]
    if gallery["people"] is None:
        return f"The folder of known people that this run used is not at {gallery['folder']}: nobody is purged there."
    done = "would be forgotten" if report["dry_run"] else "are forgotten"
    return (
        f"{gallery['folder']}: {gallery['people']} known people {done}, whom no run saw for {gallery['keep_days']:g} "
        "days (gallery.keep_days); the others stay until then, whatever is purged of a run."
    )


def _purge(folder: Path, kind: DataKind, now_s: float, before_s: float) -> None:
    """Delete one kind, as far as it is older than `before_s`: move it away, remember that, delete it.

    Killed in between, the next purge completes it. Raises RunError if something cannot be deleted.
    """
    run = Run.open(folder)
    put_away(folder, kind, _files(run, kind, before_s))
    parts = _parts(run, kind, before_s)
    if kind == "vectors":
        new = dict(zip(parts, _without_vectors(run, parts), strict=True))
        _replace_parts(run, (new.get(file, file) for file in run.manifest.files))
    elif kind == "observations":
        (folder / INDEX_FILE).unlink(missing_ok=True)
        if before_s == math.inf:
            with run.ledger() as ledger:
                ledger.purge()
        gone = set(parts)
        _replace_parts(run, (file for file in run.manifest.files if file not in gone))
    if before_s == math.inf:
        _remember(folder, "purged", kind, now_s)
        if kind == "vectors":
            Run.open(folder).index_tracklets()
    else:
        _remember(folder, "purged_before", kind, before_s)
    sweep(folder)


def _files(run: Run, kind: DataKind, before_s: float) -> list[Path]:
    """Return the files, other than parts, that hold a kind of data and nothing else that stays."""
    if kind == "video":
        return [path for path in rendered_files(run) if path.stat().st_mtime < before_s]
    if kind == "crops" and before_s == math.inf:
        ours = named_files(run) | set(written_files(run.folder))
        return sorted(path for path in ours if path.is_relative_to(run.folder / "crops") and path.is_file())
    if kind == "crops":
        old = [tracklet for tracklet in run.tracklet_summaries(vectors=False) if tracklet.end_time < before_s]
        paths = {run.crop_path(reference) for tracklet in old for reference in tracklet.crops}
        return sorted(path for path in paths if path.is_file())
    return []


def _parts(run: Run, kind: DataKind, before_s: float) -> list[PartFile]:
    """Return the parts that hold a kind of data: vectors are taken out of theirs, with observations all rows go."""
    old = [file for file in run.manifest.files if file.kind != "frames" and file.end_s < before_s]
    if kind == "vectors":
        return [file for file in old if file.kind == "tracklets" and not Path(file.path).stem.endswith("v")]
    return old if kind == "observations" else []


def _size(run: Run, kind: DataKind, before_s: float) -> tuple[int, int]:
    """Return how many files a purge of a kind concerns, and their bytes."""
    files = [*_files(run, kind, before_s), *put_away_files(run.folder, kind)]
    files += [run.folder / file.path for file in _parts(run, kind, before_s)]
    if kind == "observations" and before_s == math.inf:
        files += [path for path in (run.folder / INDEX_FILE, run.folder / LEDGER_FILE) if path.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


def _replace_parts(run: Run, files: Iterable[PartFile]) -> None:
    """Let the manifest name these part files, and delete what it no longer names, with the pictures that they name."""
    before = named_files(run)
    run.manifest.replace_files(run.folder, files)
    delete_unlisted(Run.open(run.folder), before)


def _without_vectors(run: Run, old: Sequence[PartFile]) -> list[PartFile]:
    """Write tracklet parts again without their vectors; return the new files."""
    parts = []
    for file in old:
        table = run.read_part(file)
        nothing = pa.array([[] for _ in range(table.num_rows)], TRACKLET_SCHEMA.field("vectors").type)
        zeros = pa.array([0] * table.num_rows, pa.int64())
        for name, column in (("vectors", nothing), ("dimension", zeros)):
            table = table.set_column(table.column_names.index(name), TRACKLET_SCHEMA.field(name), column)
        parts.append(Part("tracklets", file.camera, f"{Path(file.path).stem}v", table))
    return write_parts(run.folder, parts)


def _remember(folder: Path, what: Literal["purged", "purged_before"], kind: DataKind, time_s: float) -> None:
    header = dict(Run.open(folder).header)
    header[what] = {**header.get(what, {}), kind: _iso(time_s)}
    write_header(folder, header)


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
