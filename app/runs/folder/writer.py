"""Writing a run folder, so that a kill at any instant leaves a run that can be read and resumed.

Rows are collected in memory and committed in parts. A commit writes the new Parquet files under temporary names, syncs
and renames them, and then adds a line to the manifest: before that step the files do not count, after it they all do,
for all cameras together. What the manifest does not list is deleted when the run is resumed.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from app.config import Settings
from app.errors import InputError
from app.runs.folder import audit_log as audit
from app.runs.folder.collected import Collected
from app.runs.folder.covered import COVERS
from app.runs.folder.crop_files import CropWriter, crop_place, moved_crop
from app.runs.folder.header import RUN_ID, read_header, write_header
from app.runs.folder.layout import FORMAT_VERSION, LEDGER_FILE, MANIFEST_FILE, PART_KINDS, RUN_FILE
from app.runs.folder.locks import lock_following, lock_run, refuse_foreign_folder
from app.runs.folder.manifest import Manifest, PartFile
from app.runs.folder.parts import write_parts
from app.runs.folder.provenance import (
    camera_differences,
    camera_records,
    found_again,
    json_differences,
    now_text,
    redacted,
    versions,
)
from app.runs.folder.run import Run, check_camera_name
from app.runs.folder.state import FOLLOWED, State
from app.runs.folder.written import delete_unlisted, note_written
from app.runs.ledger.ledger import Ledger
from app.system.files import sync

if TYPE_CHECKING:
    from app.footage.camera import SourceInfo
    from app.track.tracklets import TrackletDraft

TRACKS_PER_CHUNK = 1_000_000
PARTS_PER_CHUNK = 10_000
"""So many numbers are free for each chunk of a recording that is followed in several."""

_READERS_S = 60.0
"""A file that another one took the place of stays so long for whoever had begun to read the run."""


class RunWriter(Collected):
    """Writes one run; a sink of the pipeline. Use it as a context manager, so that its lock is released.

    Nobody else follows cameras into the run meanwhile. Others may change it between two commits: what they took away
    stays away.

    next_frame_index, next_track_id: for each camera the first numbers that are not in use yet.
    crops: writes the crops of people, or leaves them out.
    """

    def __init__(
        self, folder: Path, settings: Settings, header: dict[str, Any], manifest: Manifest, lock: IO[bytes]
    ) -> None:
        super().__init__(folder, manifest)
        self._settings = settings.run
        self._header = header
        self._owner = manifest.run
        self._next_part = manifest.next_part  # the files are not kept: they become many
        self._listed_part = manifest.next_part
        self._lock = lock
        self._changing: IO[bytes] | None = None
        self.crops = CropWriter(folder, self._settings.crop_jpeg_quality, manifest.run)
        self._left_out_before = int(header.get("left_out", {}).get("crops", 0))
        self._flushed_files: tuple[PartFile, ...] = ()
        self._flushed_rows = 0
        self._flushed_counts: dict[str, int] = {}
        self._stamp = _stamp(folder)
        self._flushed_at = time.monotonic()
        self._replaced: list[tuple[float, Path]] = []

    @classmethod
    def create(
        cls,
        folder: Path,
        settings: Settings,
        cameras: Sequence[SourceInfo],
        provenance: Mapping[str, Any],
        chunk_number: int = 0,
        first_frame_index: int = 0,
    ) -> RunWriter:
        """Begin a run in `folder`, which is made if it does not exist.

        provenance: JSON values. `weights`, compared when the run is resumed, names each weight file and its sha256
        (`file_sha256`); everything else is only kept for the reader.
        chunk_number, first_frame_index: for a run that will be brought together with runs of other chunks of the same
        recordings (`adopt`): its place among them, and where it begins. The numbers of its tracks and parts are none of
        theirs.
        Raises InputError if the folder already holds a run or a camera's name cannot be the name of a folder.
        """
        if (folder / RUN_FILE).exists():
            raise InputError(f"{folder} already holds a run; give another --output, or --resume to go on with it")
        names = [camera.camera for camera in cameras]
        for name in names:
            check_camera_name(name)
        refuse_foreign_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_following(folder, "following cameras into this run")
        now = now_text()
        owner = uuid4().hex
        header = {
            "format": FORMAT_VERSION,
            RUN_ID: owner,
            audit.AUDIT_KEY: True,
            "checksums": True,  # of this file, the manifest, crops and ledger too: what lacks one is damaged
            "untracked": True,  # boxes that belong to no track are kept from the beginning
            "state": "running",
            "times": {"created": now, "finished": None},
            "sessions": [{"started": now, "versions": versions()}],
            "settings": redacted(settings.model_dump(mode="json")),
            "provenance": redacted(dict(provenance)),
            "cameras": [asdict(record) for record in camera_records(cameras)],
            "summary": {},
        }
        first_track_id = 1 + chunk_number * TRACKS_PER_CHUNK
        manifest = Manifest(
            chunk_number * PARTS_PER_CHUNK,
            dict.fromkeys(names, first_frame_index),
            dict.fromkeys(names, first_track_id),
            (),
            run=owner,
        )
        with lock_run(folder, "beginning this run"):
            manifest.write(folder)
            with Ledger(folder / LEDGER_FILE) as ledger:  # from now on a missing one is damage
                ledger.give_to(owner)
            audit.begin(folder, owner)
            writer = cls(folder, settings, header, manifest, lock)
        writer._write_header()
        return writer

    @classmethod
    def resume(
        cls, folder: Path, settings: Settings, cameras: Sequence[SourceInfo], provenance: Mapping[str, Any]
    ) -> RunWriter:
        """Go on with an unfinished run from its last committed part.

        Raises InputError that names every setting, weight file and input that differs from the recorded ones, or if
        the run is finished; RunError if another process is writing to it.
        """
        Run.open(folder)
        lock = lock_following(folder, "following cameras into this run")
        try:
            with lock_run(folder, "resuming this run"):
                writer = cls._resume(folder, settings, cameras, provenance, lock)
            writer._write_header()
        except BaseException:
            lock.close()
            raise
        return writer

    @classmethod
    def _resume(
        cls,
        folder: Path,
        settings: Settings,
        cameras: Sequence[SourceInfo],
        provenance: Mapping[str, Any],
        lock: IO[bytes],
    ) -> RunWriter:
        run = Run.open(folder)
        if run.header["state"] in FOLLOWED:
            raise InputError(f"{folder}: every frame of this run is followed, so it is finished; give another --output")
        records = camera_records(cameras)
        differences = [
            *json_differences("setting ", run.header["settings"], redacted(settings.model_dump(mode="json"))),
            *json_differences("weights ", run.header["provenance"].get("weights"), redacted(provenance.get("weights"))),
            *camera_differences(run.cameras, records),
        ]
        if differences:
            listed = "\n  ".join(differences)
            raise InputError(f"{folder}: cannot resume, because these differ from the recorded ones:\n  {listed}")
        # Linking refined the rows that there were; what comes now would be missing there.
        recorded = tuple(file for file in run.manifest.files if file.kind != "refined")
        run = Run(folder, run.header, run.manifest.replace_files(folder, recorded))
        delete_unlisted(run)
        with run.ledger() as ledger:
            used = ledger.last_track_ids()
        free = {camera: max(first, used.get(camera, 0) + 1) for camera, first in run.manifest.next_track_id.items()}
        header = {**run.header, "state": "running", "cameras": found_again(run.cameras, records)}
        header["untracked"] = run.keeps_doubts
        header["sessions"] = [*header["sessions"], {"started": now_text(), "versions": versions()}]
        return cls(folder, settings, header, replace(run.manifest, next_track_id=free), lock)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def part_is_due(self) -> bool:
        """Whether the rows since the last commit span `run.part_s` seconds of footage: time to call `commit`."""
        return any(rows and rows[-1].time - rows[0].time >= self._settings.part_s for rows in self._results.values())

    @property
    def flush_is_due(self) -> bool:
        """Whether there are rows that are not on the disk, and the last were written `run.flush_s` ago."""
        rows = sum(len(rows) for rows in self._results.values())
        return rows > self._flushed_rows and time.monotonic() - self._flushed_at >= self._settings.flush_s

    def last_frame_s(self) -> dict[str, float]:
        """Return when the frames of each camera end that are in the run; cameras without any are left out."""
        ends: dict[str, float] = {}
        for file in Manifest.read(self.folder).files:
            if file.kind == "frames":
                ends[file.camera] = max(file.end_s, ends.get(file.camera, file.end_s))
        return ends

    def add_tracklets(self, drafts: Iterable[TrackletDraft]) -> None:
        """Take tracklets that ended, and write their crops."""
        with self.changing():
            self._add(drafts, is_open=False)

    def commit(self, open_drafts: Iterable[TrackletDraft] = ()) -> None:
        """Make everything taken so far durable, as one step for all cameras.

        open_drafts: tracklets that still go on, as they are now; a later row of the same track supersedes them.
        """
        with self.changing():
            self._write_part(open_drafts, for_now=False)
            self._drop_replaced_files(self._flushed_files)
            self._flushed_files, self._flushed_rows, self._flushed_counts = (), 0, {}
            self._flushed_drafts.clear()
            for rows in self._results.values():
                rows.clear()

    def flush(self, open_drafts: Iterable[TrackletDraft] = ()) -> None:
        """Do the same, and write it once more with what comes until the next commit: so a crash between two commits
        loses little, and a run of weeks consists of no more files than its parts."""
        with self.changing():
            replaced = self._flushed_files
            self._write_part(open_drafts, for_now=True)
            self._drop_replaced_files(set(replaced) - set(self._flushed_files))

    def _write_part(self, open_drafts: Iterable[TrackletDraft], for_now: bool) -> None:
        self._add(open_drafts, is_open=True)
        files = write_parts(self.folder, self._tables(f"{self._next_part:06d}"), self.crops.unsynced)
        self._flushed_at = time.monotonic()
        if not files:
            return
        self.crops.unsynced.clear()
        if for_now:
            added = self._manifest(files, self._next_part + 1)
            added.flush_to(self.folder, self._listed_part)
            self._next_part += 1
        else:
            self._list(files, self._next_part + 1)
        self.crops.drop_replaced(self._drafts)
        if for_now:
            self._flushed_files = tuple(files)
        self._flushed_counts = {camera: len(rows) for camera, rows in self._results.items()}
        self._flushed_rows = sum(self._flushed_counts.values())
        self._flushed_drafts = [(replace(draft, images=()), is_open) for draft, is_open in self._all_drafts()]
        self._drafts.clear()

    def _follow_changes(self) -> None:
        """Go on after somebody else replaced the manifest: what was listed for now is listed for good there."""
        self._next_part = self._listed_part = Manifest.read(self.folder).next_part
        for camera, count in self._flushed_counts.items():
            del self._results[camera][:count]
        self._flushed_files, self._flushed_rows, self._flushed_counts = (), 0, {}
        self._flushed_drafts.clear()
        self._stamp = _stamp(self.folder)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep everybody else from changing the run, however long that takes to get.

        May be entered again by whoever is inside.
        """
        if self._changing is not None:
            yield
            return
        with lock_run(self.folder, "writing a part of this run", math.inf) as self._changing:
            try:
                if _stamp(self.folder) != self._stamp:
                    self._follow_changes()
                yield
            finally:
                self._changing = None

    def adopt(self, run: Run) -> None:
        """Take over all parts and crops of another run on the same disk, whose cameras are among this run's.

        Runs of several chunks of a camera are taken in the order of time.
        Part files are linked, or copied where that cannot be, so the other run stays as it is. A run that is already
        part of this one is passed over. Its identities are not taken: they count people on their own.
        """
        with self.changing():
            if {file.path for file in run.manifest.files} <= {file.path for file in Manifest.read(self.folder).files}:
                return
            copied = sorted(path for kind in (*PART_KINDS, "crops") for path in (run.folder / kind).rglob("*"))
            note_written(self.folder, [p.relative_to(run.folder).as_posix() for p in copied if p.is_file()])
            for folder in (*PART_KINDS, "crops"):
                for source in sorted((run.folder / folder).glob("*")):
                    target = self.folder / folder / source.name
                    copy = _link_or_copy if folder != "crops" else partial(_take_crop, run, self.folder, self._owner)
                    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)
                    sync(target)
                    sync(target.parent)
            cameras = {camera.name for camera in run.cameras}
            self.next_frame_index.update({c: n for c, n in run.manifest.next_frame_index.items() if c in cameras})
            self.next_track_id.update({c: n for c, n in run.manifest.next_track_id.items() if c in cameras})
            self._list(run.manifest.files, max(self._next_part, run.manifest.next_part))

    def finish(self, state: State, summary: Mapping[str, Any]) -> None:
        """Commit what is left, record how the run ended and its JSON `summary`, and release the folder."""
        with self.changing():
            if self._drafts or self._flushed_drafts or any(self._results.values()):
                self.commit()
            self._drop_replaced_files((), 0.0)
            if self.left_out_count:
                self._header["left_out"] = {**self._header.get("left_out", {}), "crops": self.left_out_count}
            self._header["state"] = state
            self._header["next_part"] = self._listed_part  # no manifest has less from now on but one cut short
            self._header["times"]["finished"] = now_text()
            self._header["summary"] = redacted(dict(summary))
            if state in FOLLOWED:
                Run.open(self.folder).index_tracklets()
            self._write_header()
        self.close()

    @property
    def left_out_count(self) -> int:
        """How many crops the disk had no room for, also in earlier sessions of this run."""
        return self._left_out_before + len(self.crops.left_out)

    def show(self, values: Mapping[str, Any]) -> None:
        """Put JSON values into `run.json` while the run goes on, each under its name."""
        self._header |= redacted(dict(values))
        self._write_header()

    def know_camera(self, camera: SourceInfo) -> None:
        """Record the size and the rate of a camera that is seen for the first time."""
        for record in self._header["cameras"]:
            if record["name"] == camera.camera:
                size = {"width": camera.width, "height": camera.height, "reading": asdict(camera.reading)}
                record |= {"fps": camera.fps, **size}
        self._write_header()

    def close(self) -> None:
        """Release the folder. Rows that were not committed are lost, as in a crash."""
        self._lock.close()

    def _manifest(self, files: Iterable[PartFile], next_part: int) -> Manifest:
        """Return a manifest of these part files with the numbers that are free now."""
        free = dict(self.next_frame_index), dict(self.next_track_id)
        return Manifest(next_part, *free, tuple(files), run=self._owner)

    def _list(self, files: Iterable[PartFile], next_part: int) -> None:
        """Let these part files count from now on."""
        self._manifest(files, next_part).add_to(self.folder)
        self._next_part = self._listed_part = next_part
        self._stamp = _stamp(self.folder)

    def _write_header(self) -> None:
        """Write `run.json`; what others noted there meanwhile stays."""
        with self.changing():
            if (self.folder / RUN_FILE).exists():
                stored = read_header(self.folder / RUN_FILE)
                self._header |= {key: stored[key] for key in ("purged", "purged_before", COVERS) if key in stored}
            write_header(self.folder, self._header)

    def _add(self, drafts: Iterable[TrackletDraft], is_open: bool) -> None:
        drafts = list(drafts)
        self.crops.write(drafts)
        for draft in drafts:
            self._drafts.append((draft, is_open))
            camera, track_id = draft.tracklet.key
            self.next_track_id[camera] = max(self.next_track_id[camera], track_id + 1)

    def _drop_replaced_files(self, files: Iterable[PartFile], after_s: float = _READERS_S) -> None:
        """Delete files that others took the place of `after_s` ago or more; `files` are new among them."""
        now = time.monotonic()
        self._replaced += [(now, self.folder / file.path) for file in files]
        for since, path in self._replaced:
            if now - since >= after_s:
                path.unlink(missing_ok=True)
        self._replaced = [(since, path) for since, path in self._replaced if now - since < after_s]


def _stamp(folder: Path) -> tuple[int, int, int]:
    """Return what is different once somebody else has replaced the manifest."""
    status = (folder / MANIFEST_FILE).stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _take_crop(run: Run, folder: Path, owner: str, source: str, target: str) -> None:
    """Write a crop of another run as one of the run `folder`, whose id is `owner`."""
    here = crop_place(run.manifest.run, Path(source).relative_to(run.folder).as_posix())
    there = crop_place(owner, Path(target).relative_to(folder).as_posix())
    Path(target).write_bytes(moved_crop(Path(source).read_bytes(), here, there))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
