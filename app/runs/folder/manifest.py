"""The manifest of a run: which part files count. A file that is not listed here is none of the run's.

    manifest.jsonl    ["<checksum>", {"id": "…", "next_part": 2, "next_frame_index": {…}, "next_track_id": {…},
                                      "files": […]}]

`id` is that of the run, `files` are the values of a `PartFile` each, `removed` (if any) paths whose deletion may have
been cut off.

One line for each commit, with the files that it adds and the numbers that are free after it; so a commit costs the same
after a week as in the first minute. Each line begins with its own checksum. A line that lacks its end is one that a
kill or a loss of power cut off: it doesn't count. Any other line whose checksum doesn't fit is damage and an error.
Whoever takes files away (erase, purge, a new linking) writes the whole manifest anew, in one step and as one line.

    flushed.json      ["<checksum>", {"after": 2, "next_part": 5, …, "files": […]}]

While live cameras run, this second file lists what has come since the last line, in files that the next commit brings
together into a part; so little is lost if the program is killed, and a run of weeks has no more files than its parts.
It is replaced every few seconds, and counts only while `after` is the `next_part` of the last line.

Runs of earlier versions have a `manifest.json` instead, which lists everything in one JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.runs.folder.layout import EARLIER_MANIFEST_FILE, FLUSHED_FILE, MANIFEST_FILE, PART_KINDS, PartKind
from app.system.files import append_line, write_atomically
from app.system.untrusted import LINE_HEAD_BYTES, line_content, line_with_checksum


@dataclass(frozen=True, slots=True)
class PartFile:
    """One finished Parquet file; its rows lie between `start_s` and `end_s`, both included.

    path: within the run, `<kind>/<camera>/<name>.parquet`.  sha256: of its bytes; empty in runs of earlier versions.
    """

    kind: PartKind
    camera: str
    path: str
    rows: int
    start_s: float
    end_s: float
    sha256: str = ""


_VALUES = attrgetter(*PartFile.__slots__)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The finished part files in the order of their making, and the first numbers that are still free.

    removed: files of the run that were listed once and whose deletion may have been cut off.
    run: the id of the run that they belong to, "" in those of earlier versions.
    """

    next_part: int
    next_frame_index: dict[str, int]
    next_track_id: dict[str, int]
    files: tuple[PartFile, ...]
    removed: tuple[str, ...] = ()
    run: str = ""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a run folder. Raises InputError, with the line, if there is none or it is damaged."""
        if not (folder / MANIFEST_FILE).exists() and (folder / EARLIER_MANIFEST_FILE).exists():
            return _read_earlier(folder / EARLIER_MANIFEST_FILE)
        while True:
            manifest = _read_lines(folder / MANIFEST_FILE)
            after, flushed = _read_flushed(folder / FLUSHED_FILE)
            if flushed is not None and flushed.run != manifest.run:
                raise InputError(f"{folder / FLUSHED_FILE}: belongs to another run; delete it")
            if after == manifest.next_part and flushed is not None:
                return replace(flushed, files=(*manifest.files, *flushed.files), removed=manifest.removed)
            if after <= manifest.next_part:
                return manifest
            # A commit came between the two; the line that it added is there by now.
            if _read_lines(folder / MANIFEST_FILE).next_part == manifest.next_part:
                return manifest

    @staticmethod
    def stamp(folder: Path) -> bytes:
        """Return what stays the same as long as lines are only added: the checksum of the first one."""
        try:
            with (folder / MANIFEST_FILE).open("rb") as file:
                return file.read(LINE_HEAD_BYTES)
        except OSError:  # a run of an earlier version
            return b""

    def write(self, folder: Path) -> None:
        """Make this the manifest of the run, in one step."""
        write_atomically(folder / MANIFEST_FILE, _line(self) + b"\n")
        (folder / EARLIER_MANIFEST_FILE).unlink(missing_ok=True)

    def add_to(self, folder: Path) -> None:
        """List these files after those that are listed, in one step whose cost doesn't grow with the run.

        The numbers that are free next are from now on those of this manifest.
        """
        append_line(folder / MANIFEST_FILE, _line(self))

    def flush_to(self, folder: Path, after: int) -> None:
        """List these files for now, until the next line of the manifest or the next call; in one step.

        after: the `next_part` of the last line.
        """
        write_atomically(folder / FLUSHED_FILE, _line(self, {"after": after}) + b"\n")

    def replace_files(self, folder: Path, files: Iterable[PartFile], next_part: int | None = None) -> Manifest:
        """List these files instead, in one step, then delete those that are listed no more; return the new manifest.

        A kill in between leaves files that don't count; the next call, or `delete_removed`, deletes them.
        """
        files = tuple(files)
        stays = {file.path for file in files}
        gone = (*self.removed, *(file.path for file in self.files))
        manifest = replace(
            self,
            next_part=self.next_part if next_part is None else next_part,
            files=files,
            removed=tuple(path for path in dict.fromkeys(gone) if path not in stays and (folder / path).exists()),
        )
        manifest.write(folder)
        manifest.delete_removed(folder)
        return manifest

    def delete_removed(self, folder: Path) -> None:
        """Delete what was listed once and is no more, as far as a kill has left it."""
        for path in self.removed:
            (folder / path).unlink(missing_ok=True)

    def checksum(self) -> str:
        """Return what is different for every content of the finished part files that stage 1 wrote."""
        named = (_VALUES(file) for file in self.files if file.kind != "refined")
        return sha256(repr(sorted(named)).encode()).hexdigest()


def _line(manifest: Manifest, more: Mapping[str, int] | None = None) -> bytes:
    files = [_VALUES(file) for file in manifest.files]
    values = {
        **(more or {}),
        **({"id": manifest.run} if manifest.run else {}),
        "next_part": manifest.next_part,
        "next_frame_index": manifest.next_frame_index,
        "next_track_id": manifest.next_track_id,
        "files": files,
        **({"removed": manifest.removed} if manifest.removed else {}),
    }
    return line_with_checksum(json.dumps(values, separators=(",", ":")).encode())


def _read_lines(path: Path) -> Manifest:
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot read this file of a run folder ({error})") from error
    if line_content(rest[:-1]) is not None:  # no kill leaves a whole line with something else for its end
        lines.append(rest)
    if not lines:
        raise InputError(f"{path}: damaged: not one whole line; restore the run folder from a copy")
    files: list[PartFile] = []
    removed: list[str] = []
    values: dict[str, Any] = {}
    known: set[str] = set()
    runs: set[str] = set()
    for number, line in enumerate(lines, 1):
        text = line_content(line)
        if text is None:
            raise InputError(
                f"{path}, line {number}: damaged (its checksum does not fit); restore the run folder from a copy"
            )
        values = json.loads(text)
        try:
            files += [_checked(PartFile(*file), known) for file in values["files"]]
            removed += ["/".join(_names(path)) for path in values.get("removed", ())]
            last = _free_numbers(values)
            runs.add(str(values.get("id", "")))
            if len(runs) > 1:
                raise ValueError("it is of another run than the lines before it")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}, line {number}: not written by this program ({error})") from error
    return Manifest(*last, tuple(files), tuple(removed), runs.pop())


def _read_flushed(path: Path) -> tuple[int, Manifest | None]:
    """Return the `after` and the content of the second file; -1 and None if there is none."""
    try:
        text = line_content(path.read_bytes().removesuffix(b"\n"))
    except FileNotFoundError:
        return -1, None
    except OSError as error:
        raise InputError(f"{path}: cannot read this file of a run folder ({error})") from error
    if text is None:
        raise InputError(f"{path}: damaged (its checksum does not fit); delete it: some seconds before a stop are lost")
    try:
        values = json.loads(text)
        known: set[str] = set()
        files = tuple(_checked(PartFile(*file), known) for file in values["files"])
        return int(values["after"]), Manifest(*_free_numbers(values), files, run=str(values.get("id", "")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not written by this program ({error})") from error


def _read_earlier(path: Path) -> Manifest:
    try:
        values = json.loads(path.read_bytes())
        known: set[str] = set()
        return Manifest(*_free_numbers(values), tuple(_checked(PartFile(**file), known) for file in values["files"]))
    except (OSError, RecursionError) as error:
        raise InputError(f"{path}: cannot read this file of a run folder ({error})") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged, or not written by this program ({error})") from error


def _free_numbers(values: Mapping[str, Any]) -> tuple[int, dict[str, int], dict[str, int]]:
    """Return the three entries that say what is free. Raises KeyError, TypeError or ValueError."""
    numbers = (values["next_part"], *values["next_frame_index"].values(), *values["next_track_id"].values())
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise ValueError("a number that is free next is no whole number from 0")
    return values["next_part"], dict(values["next_frame_index"]), dict(values["next_track_id"])


def _checked(file: PartFile, known: set[str]) -> PartFile:
    """Return a part file that may be one of this program's, and note its path. Raises AttributeError, TypeError or
    ValueError.

    known: paths of files that are listed before it.
    """
    if _names(file.path)[:2] != [file.kind, file.camera]:
        raise ValueError(f"{file.path!r} is no file of camera {file.camera!r}")
    if type(file.rows) is not int or not 0 <= file.rows < 2**63:
        raise ValueError(f"{file.path}: {file.rows!r} rows")
    if not -math.inf < file.start_s <= file.end_s < math.inf:
        raise ValueError(f"{file.path}: rows from {file.start_s} to {file.end_s} s")
    if file.path in known:
        raise ValueError(f"{file.path} is listed twice")
    known.add(file.path)
    return file


def _names(path: str) -> list[str]:
    """Return the names in the path of a part file. Raises ValueError if it leads elsewhere than into the run."""
    names = path.split("/")
    if len(names) != 3 or names[0] not in PART_KINDS or "\\" in path or not {"", ".", ".."}.isdisjoint(names):
        raise ValueError(f"{path!r} is no part file of a run")
    return names
