"""Removing a person from a run: rows, vectors, pictures, videos and exports; a tombstone in the ledger remains."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.errors import InputError
from app.identities import Identities
from app.known_people import forget_person, gallery_of_run
from app.run_parts import Part, lock_run, write_atomically, write_parts
from app.run_writer import delete_unlisted
from app.runs import MANIFEST_FILE, TRACKLET_SCHEMA, PartFile, Run, crop_frame
from app.tracklet_parts import INDEX_FILE

RENDERED = ("video", "export")
"""Folders of a run that are made from its rows and may show anybody: they are deleted whole and can be made again."""


def erase_person(folder: Path, person: int, actor: str = "command line") -> dict[str, Any]:
    """Remove a person from the run in `folder` and return JSON values that say what was removed.

    Raises InputError if the run has no such person, RunError while another process writes to it. Parts are rewritten
    beside the old ones and change places with them in one step; then the old ones are deleted, and last the tombstone
    is written. A kill in between leaves a run that can be read; erasing the person again completes it.
    `removed_files` lists deleted videos and exports (paths within the run): those still wanted have to be made again.
    `gallery` is the folder of people from run to run from which the person was removed as well, if there was one.
    """
    Run.open(folder)
    with lock_run(folder):
        run = Run.open(folder)
        with run.ledger() as ledger:
            identities = ledger.replay()
            root = identities.resolve(person)
            segments = identities.tracklets_of(root)
            if not segments:
                raise InputError(f"{folder}: there is no person {person}")
            crops = _crops(run)
            rewritten: dict[PartFile, PartFile | None] = {}
            for camera in {segment.camera for segment in segments} & {camera.name for camera in run.cameras}:
                tracks = {segment.track_id for segment in segments if segment.camera == camera}
                rewritten |= _CameraErasure(run, camera, tracks, identities, root).rewrite_parts()
            files = [rewritten.get(file, file) for file in run.manifest.files]
            (folder / INDEX_FILE).unlink(missing_ok=True)
            manifest = replace(run.manifest, files=tuple(file for file in files if file is not None))
            write_atomically(folder / MANIFEST_FILE, manifest.to_json().encode())
            after = Run.open(folder)
            delete_unlisted(after)
            removed_files = _delete_rendered(folder)
            ledger.erase(root, actor)
            after.index_tracklets()
    gallery = gallery_of_run(run)
    forgotten = gallery is not None and forget_person(gallery, root)
    return {
        "person": root,
        "rows": _row_count(run) - _row_count(after),
        "tracklets": len(segments),
        "crops": len(crops) - len(_crops(after)),
        "removed_files": removed_files,
        "gallery": str(gallery) if forgotten else None,
    }


class _CameraErasure:
    """Rewrites the parts of one camera without the rows of one person; `tracks` are those that have such rows."""

    def __init__(self, run: Run, camera: str, tracks: set[int], identities: Identities, person: int) -> None:
        self.run, self.camera, self.tracks = run, camera, tracks
        self.identities, self.person = identities, person
        self.frames, self.frame_times = run.frames(camera)
        track_ids, times = run.column(camera, "track_id"), run.column(camera, "time_s")
        kept = np.isin(track_ids, list(tracks)) & self._stays(track_ids, times)
        self.kept_track_ids, self.kept_times = track_ids[kept], times[kept]

    def rewrite_parts(self) -> dict[PartFile, PartFile | None]:
        """Return the new file of each part that changed, None for one of which nothing is left."""
        new: dict[PartFile, PartFile | None] = {}
        parts: dict[PartFile, Part] = {}
        for file in self.run.manifest.files:
            if file.camera != self.camera or file.kind == "frames":
                continue
            table = pq.read_table(self.run.folder / file.path)
            left = self._tracklets(table) if file.kind == "tracklets" else self._observations(table)
            if left is None:
                continue
            new[file] = None
            if left.num_rows:
                parts[file] = Part(file.kind, self.camera, f"{Path(file.path).stem}e", left)
        return new | dict(zip(parts, write_parts(self.run.folder, list(parts.values())), strict=True))

    def _stays(self, track_ids: NDArray[np.int64], times: NDArray[np.float64]) -> NDArray[np.bool_]:
        return self.identities.person_of(self.camera, track_ids, times) != self.person

    def _observations(self, table: pa.Table) -> pa.Table | None:
        """Return the rows of everybody else, or None if that is all of them."""
        stays = self._stays(table["track_id"].to_numpy(), table["time_s"].to_numpy())
        return None if stays.all() else table.filter(pa.array(stays))

    def _tracklets(self, table: pa.Table) -> pa.Table | None:
        """Return the tracklets without the person's, and of those split among people what is the others'."""
        if not self.tracks & set(table["track_id"].to_pylist()):
            return None
        rows = []
        for row in table.to_pylist():
            if row["track_id"] in self.tracks:
                own = self.kept_times[self.kept_track_ids == row["track_id"]]
                own = own[(own >= row["start_s"]) & (own <= row["end_s"])]
                if len(own) == 0:
                    continue
                row |= {"start_s": own.min(), "end_s": own.max(), "rows": len(own)}
                self._drop_crops(row)
            rows.append(row)
        return pa.Table.from_pylist(rows, schema=TRACKLET_SCHEMA)

    def _drop_crops(self, row: dict[str, Any]) -> None:
        indices = np.array([crop_frame(crop) for crop in row["crops"]], np.int64)
        times = self.frame_times[np.searchsorted(self.frames, indices)]
        stays = self._stays(np.full(len(indices), row["track_id"], np.int64), times)
        vectors = np.array(row["vectors"], np.float32).reshape(len(indices), row["dimension"])
        row["crops"] = [crop for crop, stay in zip(row["crops"], stays, strict=True) if stay]
        row["qualities"] = np.array(row["qualities"], np.float32)[stays]
        row["vectors"] = vectors[stays].reshape(-1)


def _row_count(run: Run) -> int:
    return sum(file.rows for file in run.manifest.files if file.kind == "observations")


def _crops(run: Run) -> set[str]:
    return {crop for summary in run.tracklet_summaries(vectors=False) for crop in summary.crops}


def _delete_rendered(folder: Path) -> list[str]:
    """Delete what may show the person in a form that cannot be cut, and return the paths within the run."""
    files = [path for name in RENDERED for path in sorted((folder / name).rglob("*")) if path.is_file()]
    for name in RENDERED:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    return [path.relative_to(folder).as_posix() for path in files]
