"""Retention: how long which kind of data of a run is kept, what is due, and deleting what is.

The age of a run counts from its end. What is deleted when (settings `retention`):

    video          annotated videos and exports, which can be made again while the recordings are there
    crops          the pictures of people
    vectors        the vectors of their looks: afterwards nobody can be searched for or linked by looks
    observations   all rows, with everything that is made from them: tracklets, crops, vectors, videos, identities

The header of the run remembers what was purged when; the audit log, the settings of the run and the places that hide
erased people (`app.covered`) stay. The folder of known people (`--gallery`) has a term of its own, `gallery.keep_days`
after a run last saw somebody: every purge of a run that used it, and every new run, forgets whose time is over.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from app.audit import COMMAND_LINE, record
from app.config import RetentionSettings
from app.erase import RENDERED
from app.errors import InputError
from app.header import write_header
from app.known_people import PEOPLE_FILE, gallery_of_run, purge_people
from app.run_parts import Part, lock_run, write_parts
from app.run_writer import delete_unlisted
from app.runs import LEDGER_FILE, TRACKLET_SCHEMA, Run
from app.tracklet_parts import INDEX_FILE

Kind = Literal["video", "crops", "vectors", "observations"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Term:
    """How long a kind of data of a run is kept. days: 0 for ever.  due_s, purged_s: seconds since 1970, if ever."""

    kind: Kind
    days: float
    due_s: float | None
    purged_s: float | None


def terms(run: Run, settings: RetentionSettings) -> list[Term]:
    """Return the term of each kind. What was purged is not due again."""
    ended = run.header["times"]["finished"] or run.header["times"]["created"]
    ended_s = datetime.fromisoformat(ended).timestamp()
    found = []
    for kind in KINDS:
        days = float(getattr(settings, f"{kind}_days"))
        purged = run.purged.get(kind)
        due_s = ended_s + days * _DAY_S if days > 0 and purged is None else None
        found.append(Term(kind, days, due_s, None if purged is None else datetime.fromisoformat(purged).timestamp()))
    return found


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

    Raises InputError for a run that is still being written, RunError if another process writes to it.
    """
    now_s = time.time() if now_s is None else now_s
    run = Run.open(folder)
    if run.state == "running":
        raise InputError(f"{folder}: this run is still being written; purge it when it is finished")
    due = [term.kind for term in terms(run, settings) if term.due_s is not None and term.due_s <= now_s]
    if "observations" in due:
        due = [kind for kind in KINDS if kind not in run.purged]
    report: list[dict[str, Any]] = []
    with lock_run(folder):
        for kind in due:
            files = list(_files(Run.open(folder), kind))
            size = sum(file.stat().st_size for file in files)
            report.append({"kind": kind, "files": len(files), "bytes": size})
            if not dry_run:
                _purge(folder, kind, now_s)
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
    for kind in KINDS:
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


def _files(run: Run, kind: Kind) -> Iterator[Path]:
    """Yield the files that hold a kind of data; those with vectors lose them and stay."""
    if kind == "vectors":
        yield from (run.folder / file.path for file in run.manifest.files if file.kind == "tracklets")
        return
    rows = ("observations", "untracked", "refined", "tracklets", "index")
    names = {"video": RENDERED, "crops": ("crops",), "observations": rows}[kind]
    yield from (path for name in names for path in sorted((run.folder / name).rglob("*")) if path.is_file())
    if kind == "observations":
        yield from sorted(run.folder.glob(f"{LEDGER_FILE}*"))


def _purge(folder: Path, kind: Kind, now_s: float) -> None:
    """Delete one kind. The run can be read after every step; a purge that was interrupted is completed by the next."""
    run = Run.open(folder)
    if kind == "video":
        for name in RENDERED:
            shutil.rmtree(folder / name, ignore_errors=True)
    elif kind == "crops":
        _remember(folder, kind, now_s)  # before, so that no page asks for what is going
        shutil.rmtree(folder / "crops", ignore_errors=True)
    elif kind == "vectors":
        new = dict(zip(*_without_vectors(run), strict=True))
        run.manifest.replace_files(folder, (new.get(file, file) for file in run.manifest.files))
        delete_unlisted(Run.open(folder))
        Run.open(folder).index_tracklets()
    else:
        run.manifest.replace_files(folder, (file for file in run.manifest.files if file.kind == "frames"))
        (folder / INDEX_FILE).unlink(missing_ok=True)
        for path in folder.glob(f"{LEDGER_FILE}*"):
            path.unlink()
        delete_unlisted(Run.open(folder))
    _remember(folder, kind, now_s)


def _without_vectors(run: Run) -> tuple[list[Any], list[Any]]:
    """Write the tracklet parts again without their vectors; return the old files and the new ones."""
    old = [file for file in run.manifest.files if file.kind == "tracklets"]
    parts = []
    for file in old:
        table = run.read_part(file)
        nothing = pa.array([[] for _ in range(table.num_rows)], TRACKLET_SCHEMA.field("vectors").type)
        zeros = pa.array([0] * table.num_rows, pa.int64())
        for name, column in (("vectors", nothing), ("dimension", zeros)):
            table = table.set_column(table.column_names.index(name), TRACKLET_SCHEMA.field(name), column)
        parts.append(Part("tracklets", file.camera, f"{Path(file.path).stem}v", table))
    return old, write_parts(run.folder, parts)


def _remember(folder: Path, kind: Kind, now_s: float) -> None:
    header = dict(Run.open(folder).header)
    header["purged"] = {**header.get("purged", {}), kind: _iso(now_s)}
    write_header(folder, header)


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
