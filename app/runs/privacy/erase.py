"""Removing a person from a run: rows, vectors, pictures, videos and exports; a tombstone in the ledger remains.

The recordings themselves are not the run's: they stay as they are, and everything that shows a frame of them covers the
person (`app.runs.folder.covered`). Where the run used a folder of people known from run to run
(`app.runs.people.known`), the person is forgotten there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.errors import InputError
from app.frames import NO_ID
from app.runs.folder.covered import add_covered, cover_crops, read_covered
from app.runs.folder.layout import INDEX_FILE, PartKind, crop_frame
from app.runs.folder.locks import lock_deletion, lock_run
from app.runs.folder.manifest import PartFile
from app.runs.folder.parts import Part, write_parts
from app.runs.folder.run import Run
from app.runs.folder.tables import TRACKLET_SCHEMA, Observations, concatenate
from app.runs.folder.tracklet_index import TrackletSummary
from app.runs.folder.written import (
    damaged_lines,
    delete_files,
    delete_unlisted,
    files_of_others,
    named_files,
    rendered_files,
    sweep,
)
from app.runs.ledger.identities import Identities, Segment
from app.runs.ledger.ledger import Ledger
from app.runs.people.known import PEOPLE_FILE, forget_people, gallery_of_run
from app.system.uploads import sweep_uploads


def erase_person(folder: Path, person: int, actor: str = "command line", gallery: Path | None = None) -> dict[str, Any]:
    """Remove a person from the run in `folder` and return JSON values that say what was removed.

    gallery: the folder of people from run to run; by default the one that the run was made with, where that is still.
    Raises InputError if the run has no such person or `gallery` is no such folder, RunError while another process
    changes the run or the gallery, or if a file cannot be deleted. Parts are rewritten beside the old ones and change
    places with them in one step; then the old ones are deleted, and last the tombstone is written. A kill in between
    leaves a run that can be read, and that still knows the person; erasing the person again completes it. A process
    that follows cameras into the run lets go of the person at its next part.

    `removed_files` lists deleted videos and exports (paths within the run): those still wanted have to be made again.
    `covered_crops` counts pictures of others in which the person was covered. `gallery` is the folder of known people
    from which the person was removed as well. `left` says in sentences what still shows the person.
    """
    run = Run.open(folder)
    used = gallery_of_run(run)
    if gallery is not None and used is None:
        raise InputError(f"{folder} was made without --gallery: its numbers mean other people in {gallery}")
    if gallery is not None and not (gallery / PEOPLE_FILE).is_file():
        raise InputError(f"{gallery}: no folder of known people (there is no {PEOPLE_FILE})")
    gallery = gallery or used
    known = gallery is not None and (gallery / PEOPLE_FILE).is_file()
    sweep_uploads(of_living=True)  # a picture that somebody searched with may be left, and may show the person
    doing = f"erasing person {person}"
    lock = lock_run(gallery, doing) if gallery is not None and known else nullcontext()
    with lock, lock_deletion(folder, doing):
        run = after = Run.open(folder)
        crops = _crops(run)
        covered_crops = 0
        removed_files: list[str] = []
        with run.ledger() as ledger:
            done = False
            while not done:  # once more if a human gives the person more meanwhile
                identities = ledger.replay()
                root = identities.resolve(person)
                segments = identities.tracklets_of(root)
                numbers = _numbers(ledger, identities, person)
                if not segments:
                    if gallery is not None and known and forget_people(gallery, numbers) is not None:
                        return _only_forgotten(person, gallery)  # erased from the run before the gallery was found
                    raise InputError(f"{folder}: there is no person {person}")
                covered_crops += _cover(after, identities, root, segments)
                after = _remove_rows(after, identities, root, segments)
                removed_files += _delete_rendered(run)
                sweep(folder)
                done = ledger.erase(root, actor, segments) is not None
            after.index_tracklets()
        others = forget_people(gallery, numbers) if gallery is not None and known else None
    return {
        "person": root,
        "rows": _row_count(run) - _row_count(after),
        "tracklets": len(segments),
        "crops": len(crops) - len(_crops(after)),
        "covered_crops": covered_crops,
        "removed_files": removed_files,
        "gallery": str(gallery) if others is not None else None,
        "left": _left(run, root, {segment.camera for segment in segments}, None if known else used, others or ()),
    }


def _remove_rows(run: Run, identities: Identities, person: int, segments: Sequence[Segment]) -> Run:
    """Rewrite the parts of a run without the rows, vectors and pictures of a person; return the run as it is then."""
    rewritten: dict[PartFile, PartFile | None] = {}
    for camera in {segment.camera for segment in segments} & {camera.name for camera in run.cameras}:
        tracks = {segment.track_id for segment in segments if segment.camera == camera}
        rewritten |= _CameraErasure(run, camera, tracks, identities, person).rewrite_parts()
    files = [rewritten.get(file, file) for file in run.manifest.files]
    before = named_files(run)
    (run.folder / INDEX_FILE).unlink(missing_ok=True)
    run.manifest.replace_files(run.folder, (file for file in files if file is not None))
    after = Run.open(run.folder)
    delete_unlisted(after, before)
    return after


def _only_forgotten(person: int, gallery: Path) -> dict[str, Any]:
    """Return the report of an erasure that had nothing left to do but in the gallery."""
    nothing: dict[str, Any] = dict.fromkeys(("rows", "tracklets", "crops", "covered_crops"), 0)
    return {"person": person, **nothing, "removed_files": [], "gallery": str(gallery), "left": []}


def _numbers(ledger: Ledger, identities: Identities, person: int) -> set[int]:
    """Return all numbers that a person has or had; after an erasure those of its tombstone."""
    root = identities.resolve(person)
    if root != NO_ID:
        return {number for number in range(1, identities.next_person_id) if identities.resolve(number) == root}
    tombstones = (event.evidence["people"] for event in ledger.corrections() if event.kind == "erase")
    return next((set(people) for people in tombstones if person in people), set())


def erased_text(report: dict[str, Any]) -> str:
    """Return in words what `erase_person` did and what it could not do."""
    counts = f"{report['rows']:,} rows, {report['tracklets']} tracklets and {report['crops']} pictures are gone"
    lines = [f"Person {report['person']} is erased: {counts}."]
    if report["covered_crops"]:
        lines.append(f"Covered in {report['covered_crops']} pictures of other people.")
    if report["removed_files"]:
        lines.append(f"Deleted, because they may show the person: {len(report['removed_files'])} videos and exports.")
    if report["gallery"]:
        lines.append(f"Forgotten in {report['gallery']} as well, for the runs to come.")
    return "\n".join([*lines, *report["left"]])


def _cover(run: Run, identities: Identities, person: int, segments: Sequence[Segment]) -> int:
    """Cover a person in the recordings, and in the kept pictures of others; return how many of those changed."""
    shown: dict[str, list[Observations]] = {}
    changed = 0
    summaries = run.tracklet_summaries(vectors=False)
    for camera in sorted({segment.camera for segment in segments} & {camera.name for camera in run.cameras}):
        recorded = [_rows_of(rows, identities, camera, person) for rows in run.observation_parts(camera)]
        refined = [_rows_of(rows, identities, camera, person) for rows in run.refined_parts(camera)]
        shown[camera] = [*recorded, *refined]
        kept = _kept(run, [summary for summary in summaries if summary.camera == camera], identities, camera, person)
        changed += len(cover_crops(run, camera, concatenate(recorded), kept))
    add_covered(run.folder, shown.items())
    return changed


def _kept(
    run: Run, summaries: Sequence[TrackletSummary], identities: Identities, camera: str, person: int
) -> dict[tuple[int, int], str]:
    """Return the kept pictures of everybody else on a camera by track id and frame index. summaries: of that camera."""
    crops = {(summary.track_id, crop_frame(crop)): crop for summary in summaries for crop in summary.crops}
    track_ids = np.array([track_id for track_id, _ in crops], np.int64)
    others = identities.person_of(camera, track_ids, run.crop_times(camera, list(crops.values()))) != person
    return {key: crop for (key, crop), other in zip(crops.items(), others.tolist(), strict=True) if other}


def _rows_of(rows: Observations, identities: Identities, camera: str, person: int) -> Observations:
    return rows[identities.person_of(camera, rows.track_ids, rows.times) == person]


def _left(run: Run, person: int, cameras: set[str], missed: Path | None, others: Sequence[str]) -> list[str]:
    """Return sentences about what shows the person still. missed: a gallery that is not where it was."""
    shown = [camera.origin for camera in run.cameras if camera.name in cameras and camera.has_pixels]
    recordings = [] if run.was_live else shown  # a stream is no recording
    left = [f"{sentence}; look yourself whether it shows the person" for sentence in damaged_lines(run.folder)]
    others_files = [path.relative_to(run.folder).as_posix() for path in files_of_others(run)]
    if others_files:
        left.append(
            f"This program did not write {', '.join(others_files[:10])}{' and more' * (len(others_files) > 10)} in "
            f"{run.folder}, so they are still there: look yourself whether they show the person."
        )
    if recordings:
        left.append(
            f"The recordings still show the person: {', '.join(recordings)}. This program covers the person in every "
            "picture that it makes from them for this run; delete or redact the files yourself."
        )
    if missed is not None:
        left.append(
            f"The folder of known people that this run used is not at {missed}. If it lies elsewhere now, it still "
            f"knows the person: `main.py erase {run.folder} {person} --gallery DIR` removes the person there as well."
        )
    elsewhere = [other for other in others if Path(other) != run.folder.resolve()]
    if elsewhere:
        left.append(f"The same person may be in other runs: {', '.join(elsewhere)}. Erase the person there too.")
    return left


class _CameraErasure:
    """Rewrites the parts of one camera without the rows of one person; `tracks` are those that have such rows."""

    def __init__(self, run: Run, camera: str, tracks: set[int], identities: Identities, person: int) -> None:
        self.run, self.camera, self.tracks = run, camera, tracks
        self.identities, self.person = identities, person
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
            table = self.run.read_part(file)
            left = self._left_of(file.kind, table)
            if left is None:
                continue
            new[file] = None
            if left.num_rows:
                parts[file] = Part(file.kind, self.camera, f"{Path(file.path).stem}e", left)
        return new | dict(zip(parts, write_parts(self.run.folder, list(parts.values())), strict=True))

    def _left_of(self, kind: PartKind, table: pa.Table) -> pa.Table | None:
        """Return what is everybody else's in a part, or None if that is all of it."""
        if kind == "tracklets":
            return self._tracklets(table)
        return self._untracked(table) if kind == "untracked" else self._observations(table)

    def _untracked(self, table: pa.Table) -> pa.Table | None:
        """Return the boxes of no track that are not where the person is covered: those may show the person as well."""
        boxes = np.stack([table[side].to_numpy() for side in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32)
        stays = ~read_covered(self.run.folder, self.camera).hides(table["time_s"].to_numpy(), boxes)
        return None if stays.all() else table.filter(pa.array(stays))

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
        crops = row["crops"]
        times = self.run.crop_times(self.camera, crops)
        stays = self._stays(np.full(len(crops), row["track_id"], np.int64), times)
        vectors = np.array(row["vectors"], np.float32).reshape(len(crops), row["dimension"])
        row["crops"] = [crop for crop, stay in zip(crops, stays, strict=True) if stay]
        row["qualities"] = np.array(row["qualities"], np.float32)[stays]
        row["vectors"] = vectors[stays].reshape(-1)


def _row_count(run: Run) -> int:
    return sum(file.rows for file in run.manifest.files if file.kind == "observations")


def _crops(run: Run) -> set[str]:
    return {crop for summary in run.tracklet_summaries(vectors=False) for crop in summary.crops}


def _delete_rendered(run: Run) -> list[str]:
    """Delete what may show the person in a form that cannot be cut, and return the paths within the run."""
    files = rendered_files(run)
    delete_files(run.folder, files)
    return [path.relative_to(run.folder).as_posix() for path in files]
