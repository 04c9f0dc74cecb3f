"""`main.py check RUN`: is everything of a run there, and as it was written?

Looked at are `run.json`, the manifest and every part file in it, whether tracklets fit the rows, every crop that a
tracklet names, the ledger, the audit log, what is covered, when cameras were blind, what was learned of the cameras,
zones and lines, the index and the list of written files. Videos and exports are not: they can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InputError
from app.runs.folder.audit_log import AUDIT_COLUMNS, entries
from app.runs.folder.camera_states import read_states
from app.runs.folder.covered import read_covered
from app.runs.folder.crop_files import crop_is_whole, crop_place
from app.runs.folder.layout import (
    AUDIT_FILE,
    COUNTERS_FILE,
    INDEX_FILE,
    LEDGER_FILE,
    MANIFEST_FILE,
    PART_KINDS,
    RUN_FILE,
    TOPOLOGY_FILE,
)
from app.runs.folder.manifest import PartFile
from app.runs.folder.run import Run
from app.runs.folder.tables import check_content, read_table
from app.runs.folder.topology_file import read_topology
from app.runs.folder.tracklet_index import INDEX_SCHEMA, TrackletSummary, read_index
from app.runs.folder.written import damaged_lines
from app.runs.ledger.database import CHECKPOINT_COLUMNS, EVENT_COLUMNS
from app.runs.places.counters import read_counters
from app.system.sqlite_checksums import damage
from app.system.untrusted import checksum_fits, read_json

_NO_ROWS = np.zeros(0)


def check_run(folder: Path) -> dict[str, Any]:
    """Return JSON values: what was looked at, `damage`, a sentence for each thing that is wrong, and `notes`.

    Raises InputError only if `folder` is no run folder at all.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    report: dict[str, Any] = {"run": str(folder), "state": None, "parts": 0, "rows": 0, "crops": 0}
    report |= {"notes": [], "damage": []}
    try:
        run = Run.open(folder)
    except InputError as error:
        if not (folder / RUN_FILE).exists():
            raise
        report["damage"].append(str(error))
        return report
    report["state"] = run.state
    _Check(run, report).everything()
    return report


class _Check:
    """Goes through a run and notes what it finds in `report`."""

    def __init__(self, run: Run, report: dict[str, Any]) -> None:
        self.run = run
        self.report = report
        self.has_checksums = bool(run.header.get("checksums"))

    def everything(self) -> None:
        self._json(RUN_FILE)
        for file in self.run.manifest.files:
            self._try(self._part, file)
        self._unlisted()
        self._try(self._crops)
        self._try(lambda: self._index([one for c in self.run.cameras for one in self._tracklets(c.name)]))
        self._databases()
        for name, read in ((TOPOLOGY_FILE, read_topology), (COUNTERS_FILE, lambda _: read_counters(self.run))):
            if (self.run.folder / name).exists():
                self._try(read, self.run.folder)
                self._json(name)
        self._try(read_covered, self.run.folder, "")
        self._try(read_states, self.run.folder)
        for sentence in damaged_lines(self.run.folder):
            self._damaged(sentence)

    def _try(self, step: Callable[..., object], *arguments: object) -> None:
        try:
            step(*arguments)
        except InputError as error:
            self._damaged(str(error))

    def _damaged(self, sentence: str) -> None:
        if sentence not in self.report["damage"]:
            self.report["damage"].append(sentence)

    def _json(self, name: str) -> None:
        path = self.run.folder / name
        try:
            fits = checksum_fits(read_json(path, "a file of a run"))
        except InputError as error:
            return self._damaged(str(error))
        if fits is False:
            self._damaged(f"{path}: damaged, or changed by hand (its checksum does not fit)")
        if fits is None:
            self._without_checksum(str(path))
        return None

    def _without_checksum(self, what: str) -> None:
        if self.has_checksums:
            self._damaged(f"{what}: has lost its checksum")
        else:
            self.report["notes"].append(f"{what}: of an earlier version, without a checksum")

    def _part(self, file: PartFile) -> None:
        self.run.read_part(file)
        self.report["parts"] += 1
        self.report["rows"] += file.rows if file.kind == "observations" else 0
        if not file.sha256:
            self._without_checksum(str(self.run.folder / file.path))

    def _unlisted(self) -> None:
        listed = {self.run.folder / file.path for file in self.run.manifest.files}
        listed |= {self.run.folder / path for path in self.run.manifest.removed}
        found = {path for kind in PART_KINDS for path in (self.run.folder / kind).rglob("*.parquet")}
        for path in sorted(found - listed):
            sentence = f"{path}: is not in {MANIFEST_FILE}"
            if self.run.state in ("running", "interrupted"):
                self.report["notes"].append(f"{sentence}; --resume deletes it and makes it again")
            else:
                self._damaged(f"{sentence}: that has lost lines, or the file is not of this run")

    def _crops(self) -> None:
        for camera in self.run.cameras:
            self._try(self.run.frames, camera.name)
            self._try(lambda name=camera.name: [None for _ in self.run.observation_parts(name)])
            self._try(lambda name=camera.name: [None for _ in self.run.refined_parts(name)])
            self._try(self.run.untracked, camera.name)
            for stretch in self.run.tracklet_stretches(camera.name):
                if len(stretch.vectors) and (np.abs(np.linalg.norm(stretch.vectors, axis=1) - 1) > 0.01).any():
                    self.report["notes"].append(f"camera {camera.name}: vectors of {stretch.key} are not of length 1")
                for crop in stretch.crops if "crops" not in self.run.purged else ():
                    self._try(self._crop, crop)

    def _crop(self, reference: str) -> None:
        path = self.run.crop_path(reference)
        self.report["crops"] += 1
        try:
            whole = crop_is_whole(path.read_bytes(), crop_place(self.run.manifest.run, reference))
        except OSError as error:
            if self.run.header.get("left_out", {}).get("crops") and not path.exists():
                self.report["notes"].append(f"{path}: this crop is missing; the disk was too full for some of them")
                return
            raise InputError(f"{path}: this crop is missing or cannot be read ({error.strerror})") from error
        if whole is False:
            self._damaged(f"{path}: damaged, or of another run or person (its checksum does not fit)")
        if whole is None:
            self._without_checksum(str(path))

    def _tracklets(self, camera: str) -> list[TrackletSummary]:
        """Look whether the tracklets of a camera are those of its rows, as many and from and to the same time."""
        summaries = self.run.read_tracklets(camera, vectors=False)
        if "observations" in {*self.run.purged, *self.run.header.get("purged_before", {})}:
            return summaries  # the rows of a live run go before the tracklets that they are part of
        track_ids, times = self.run.column(camera, "track_id"), self.run.column(camera, "time_s")
        order = np.argsort(track_ids, kind="stable")
        tracks, starts = np.unique(track_ids[order], return_index=True)
        rows = dict(zip(tracks.tolist(), np.split(times[order], starts[1:]), strict=False))
        for one in summaries:
            own = rows.get(one.track_id, _NO_ROWS)
            if len(own) != one.rows or own.min() != one.start_time or own.max() != one.end_time:
                self._damaged(
                    f"{self.run.folder}: tracklet {one.track_id} of camera {camera} is not that of its {len(own)} "
                    "rows: its file and theirs are of different runs; restore the run from a copy"
                )
        return summaries

    def _index(self, summaries: Sequence[TrackletSummary]) -> None:
        path = self.run.folder / INDEX_FILE
        if path.exists():
            check_content(read_table(path, INDEX_SCHEMA), path)
            indexed = read_index(self.run.folder, self.run.manifest.checksum())
            if indexed is not None and repr(indexed) != repr(summaries):
                raise InputError(f"{path}: does not say what the parts say; delete it, and it is made again")

    def _databases(self) -> None:
        ledger = self.run.folder / LEDGER_FILE
        if "observations" not in self.run.purged:
            self._try(lambda: self.run.ledger().close())
        self._try(entries, self.run.folder, 1)
        tables = (("events", EVENT_COLUMNS), ("checkpoints", CHECKPOINT_COLUMNS))
        for path, own in ((ledger, tables), (self.run.folder / AUDIT_FILE, (("entries", AUDIT_COLUMNS),))):
            if path.exists():
                sentences, unchecked = damage(path, own, self.has_checksums)
                for sentence in sentences:
                    self._damaged(sentence)
                if unchecked and not self.has_checksums:
                    self.report["notes"].append(f"{path}: {unchecked} rows of an earlier version, without a checksum")


def check_run_text(report: dict[str, Any]) -> str:
    """Return the report in words."""
    counts = f"{report['parts']} part files with {report['rows']:,} rows, {report['crops']} crops"
    lines = [*report["notes"][:20], *report["damage"]]
    if len(report["notes"]) > 20:
        lines.insert(20, f"… and {len(report['notes']) - 20} more notes (--json lists all)")
    found = f"{len(report['damage'])} things are damaged" if report["damage"] else "nothing is damaged"
    return "\n".join([*lines, f"{report['run']} ({report['state']}): {counts}: {found}."])
