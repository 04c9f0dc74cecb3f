"""The list of the files that this program wrote into a run folder. Only what stands there is ever deleted.

    RUN/written.jsonl    ["<checksum>", "video/door.mp4"]: a line for each path within the run folder, noted before the
                         file is made; the checksum is of the path and of the run, earlier versions wrote paths alone

A line that is not as it was written does not count: nothing is deleted by it. `damaged_lines` names it.
Parts and pictures that the manifest names are the run's as well. Whatever else lies in a run folder is the user's:
nothing deletes it, and an erasure names it if it lies where videos and exports do. Paths in the list are checked, since
a run folder may come from elsewhere: what lies outside the folder, also through a link, is not the run's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath

from app.errors import InputError, RunError
from app.runs.folder.header import run_id
from app.runs.folder.layout import PART_KINDS, PUT_AWAY, RENDERED, RUN_FILE, WRITTEN_FILE
from app.runs.folder.locks import lock_copying, lock_list, open_own
from app.runs.folder.run import Run
from app.system.files import append_to
from app.system.untrusted import line_content, line_with_checksum

_KEPT = (*PART_KINDS, "crops")
"""Folders of what the manifest names."""


def note_written(folder: Path, paths: Iterable[Path | str]) -> None:
    """Note files that are about to be made in the run `folder`, durably.

    paths: within the run folder; those of the file system must begin with `folder`.
    """
    names = [path if isinstance(path, str) else path.relative_to(folder).as_posix() for path in paths]
    if not names:
        return
    with lock_list(folder), open_own(folder / WRITTEN_FILE) as file:
        append_to(file, _as_lines(names, run_id(folder)))


def note_copies(paths: Iterable[Path]) -> None:
    """Note files that show people, as far as they are about to be made inside of run folders.

    Raises InputError for one that is there already and was not written by this program: it would be replaced now, and
    deleted with the run's own.
    """
    by_run: dict[Path, list[str]] = {}
    for path in paths:
        run = _run_around(path)
        if run is not None:
            by_run.setdefault(run, []).append(path.absolute().relative_to(run).as_posix())
    for run, names in by_run.items():
        if (run / WRITTEN_FILE).is_file():
            known = set(_names(run))
            others = [name for name in names if name not in known and (run / name).exists()]
            if others:
                raise InputError(f"{run / others[0]} is there already, and not of this program; move it away")
        note_written(run, names)


@contextmanager
def copying_into(target: Path, doing: str) -> Iterator[None]:
    """Keep erasures and purges from the run in whose folder `target` lies, if it lies in one.

    What is written there must be read inside of this. Raises RunError while somebody takes data away.
    """
    run = _run_around(target / "any")
    with nullcontext() if run is None else lock_copying(run, doing):
        yield


def written_files(folder: Path) -> list[Path]:
    """Return the files of the list that are there, finished or not, sorted."""
    found: set[Path] = set()
    for name in _names(folder):
        found.update(path for path in _with_unfinished(folder / name) if path.is_file())
    return sorted(found)


def rendered_files(run: Run) -> list[Path]:
    """Return the files that were made from the rows of a run, and may show anybody: videos, exports, heat maps, sheets.

    For a run from before there was a list these are the videos under their usual names.
    """
    if not (run.folder / WRITTEN_FILE).is_file():
        cameras = [camera.name for camera in run.cameras]
        names = [*(f"{camera}.mp4" for camera in cameras), "wall.mp4", "people.jpg", "live.jpg", "progress.json"]
        usual = [path for name in names for path in _with_unfinished(run.folder / "video" / name)]
        return sorted(path for path in usual if path.is_file())
    return [path for path in written_files(run.folder) if path.relative_to(run.folder).parts[0] not in _KEPT]


def files_of_others(run: Run) -> list[Path]:
    """Return the files among the videos and exports of a run that this program did not write."""
    ours = {*rendered_files(run)}
    there = (path for name in RENDERED for path in sorted((run.folder / name).rglob("*")) if path.is_file())
    return [path for path in there if path not in ours]


def named_files(run: Run) -> set[Path]:
    """Return the part files that the manifest of a run names, and the pictures of people that their rows name."""
    crops = {
        run.crop_path(reference) for summary in run.tracklet_summaries(vectors=False) for reference in summary.crops
    }
    return crops | {run.folder / file.path for file in run.manifest.files}


def delete_unlisted(run: Run, before: Iterable[Path] = ()) -> None:
    """Delete the part files and pictures that a run no longer names.

    before: what it named, besides what is on the list.  Raises RunError if something cannot be deleted.
    """
    ours = {path for path in written_files(run.folder) if path.relative_to(run.folder).parts[0] in _KEPT}
    delete_files(run.folder, (ours | set(before)) - named_files(run))


def delete_files(folder: Path, files: Iterable[Path]) -> None:
    """Delete files of the run `folder`, and the folders that are empty then, and shorten the list of written files.

    What a link leads to elsewhere stays. Raises RunError that names what cannot be deleted, after all else is gone.
    """
    problems = []
    inside: dict[Path, bool] = {}
    for path in sorted(files):
        if path.parent not in inside:
            inside[path.parent] = is_inside(folder, path)
        if not inside[path.parent]:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"{path}: cannot be deleted ({error.strerror})")
    _drop_empty(folder, [parent for parent, own in inside.items() if own])
    _shorten(folder)
    if problems:
        raise RunError("\n  ".join(problems))


def put_away(folder: Path, kind: str, files: Iterable[Path]) -> None:
    """Move files of the run `folder` to where `sweep` deletes them. Raises RunError if one cannot be moved."""
    waiting = folder / PUT_AWAY / kind
    number = sum(1 for _ in waiting.glob("*"))
    moved = [path for path in files if is_inside(folder, path)]
    for path in moved:
        waiting.mkdir(parents=True, exist_ok=True)
        number += 1
        while (waiting / f"{number}_{path.name}").exists():
            number += 1
        try:
            path.replace(waiting / f"{number}_{path.name}")
        except OSError as error:
            raise RunError(f"{path}: cannot be deleted ({error.strerror})") from error
    _drop_empty(folder, {path.parent for path in moved})


def put_away_files(folder: Path, kind: str) -> list[Path]:
    """Return what was put away and is not deleted yet."""
    return sorted(path for path in (folder / PUT_AWAY / kind).glob("*") if path.is_file())


def sweep(folder: Path) -> None:
    """Delete what was put away. Raises RunError that names what cannot be deleted."""
    kinds = sorted(path.name for path in (folder / PUT_AWAY).glob("*"))
    delete_files(folder, [path for kind in kinds for path in put_away_files(folder, kind)])


def is_inside(folder: Path, path: Path) -> bool:
    """Return whether a path lies in a folder, also after all links on the way to it are followed."""
    return path.parent.resolve().is_relative_to(folder.resolve())


def _drop_empty(folder: Path, places: Iterable[Path]) -> None:
    """Remove folders within the run `folder` that are empty now, and those around them."""
    around = {place for inner in places for place in (inner, *inner.parents) if folder in place.parents}
    for place in sorted(around, reverse=True):
        with suppress(OSError):  # not empty
            place.rmdir()


def _run_around(path: Path) -> Path | None:
    """Return the run folder in which a path lies, None if it lies in none."""
    return next((parent for parent in path.absolute().parents if (parent / RUN_FILE).is_file()), None)


def damaged_lines(folder: Path) -> list[str]:
    """Return a sentence for each line of the list that is not as it was written for this run."""
    return [
        f"{folder / WRITTEN_FILE}, line {number}: damaged, or of another run (its checksum does not fit); the file "
        "that it named is no longer known as this program's"
        for number, name in enumerate(_lines(folder), 1)
        if name is None
    ]


def _as_lines(names: Iterable[str], run: str) -> bytes:
    return b"\n".join(line_with_checksum(json.dumps(name).encode(), run) for name in names)


def _names(folder: Path) -> Iterator[str]:
    return (name for name in _lines(folder) if name)


def _lines(folder: Path) -> Iterator[str | None]:
    """Yield what each line of the list names: "" for nothing that could be the run's, None for a damaged line."""
    try:
        *lines, rest = (folder / WRITTEN_FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    run = run_id(folder)
    if line_content(rest[:-1], run) is not None:  # no kill leaves a whole line with something else for its end
        lines.append(rest)
    for line in lines:
        text = line_content(line, run)
        if text is None and (run or line.startswith(b"[")):
            yield None
            continue
        try:
            name = json.loads(line if text is None else text)
        except ValueError:  # of an earlier version, and cut off by a kill: its file was never made
            name = ""
        path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
        yield name if path.parts and not path.is_absolute() and not {"..", "\0"} & {*path.parts, *name} else ""


def _with_unfinished(path: Path) -> tuple[Path, ...]:
    """Return a file and the names that it has while it is being written."""
    if path.suffix == ".parquet":
        return path, path.with_suffix(".tmp")
    return path, *(path.with_name(name) for name in (f"{path.name}.tmp", f".{path.name}.partial", f".{path.name}.part"))


def _shorten(folder: Path) -> None:
    """Write the list anew without parts and pictures of people that are gone; those are many, and have unique names."""
    path = folder / WRITTEN_FILE
    if not path.is_file():
        return
    with lock_list(folder):
        if damaged_lines(folder):  # they stay as they are, for whoever looks what they may have said
            return
        names = dict.fromkeys(_names(folder))
        left = [
            name
            for name in names
            if PurePosixPath(name).parts[0] not in _KEPT
            or any(file.exists() for file in _with_unfinished(folder / name))
        ]
        if len(left) < len(names):
            unfinished = path.with_name(f"{WRITTEN_FILE}.tmp")
            with unfinished.open("wb") as file:
                file.write(_as_lines(left, run_id(folder)) + b"\n" * bool(left))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
