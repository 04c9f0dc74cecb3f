"""What every format of an export is made from: the boxes of a run, one a person and frame, with the ids that were asked
for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.boxes import to_file_pixels
from app.errors import InputError
from app.frames import NO_ID
from app.runs.evaluate.trajectories import extra_boxes, warn_of_extra_boxes
from app.runs.export.formats import Ids
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations, concatenate
from app.runs.folder.written import note_copies


@dataclass(frozen=True, slots=True)
class Export:
    """What every writer of a format gets: the run, whose ids, and the folder to write to, which exists.

    replaces: whether that folder holds an earlier export, whose files may be replaced.
    """

    run: Run
    ids: Ids
    objects: ObjectIds
    output: Path
    replaces: bool

    def file(self, name: str) -> Path:
        """Return the path of a file that is about to be written, and note that it is one of ours.

        Raises InputError if there is a file of that name which no export wrote.
        """
        path = self.output / name
        if path.exists() and not self.replaces:
            raise InputError(f"{path} is there already, and no export wrote it; give another --output")
        note_copies([path])
        return path

    def parts(self, camera: str) -> Iterator[tuple[Observations, NDArray[np.int64]]]:
        """Yield the rows of a camera part by part, each with its (R,) int64 ids. No id is twice in a frame.

        Boxes are in the recording's own pixels ("Pixels" in docs/formats.md).
        """
        file_scale = self.run.camera(camera).file_scale
        for rows in self.run.refined_parts(camera):
            kept = rows[~self.objects.is_extra(camera, rows.frames, rows.track_ids)]
            kept = replace(kept, boxes=to_file_pixels(kept.boxes, file_scale))
            yield kept, self.objects.of(camera, kept.track_ids, kept.times)

    def rows(self, camera: str) -> tuple[Observations, NDArray[np.int64]]:
        """Return the rows of a camera and their (R,) int64 ids, all at once."""
        parts = list(self.parts(camera))
        return concatenate([rows for rows, _ in parts]), np.concatenate([np.zeros(0, np.int64), *(i for _, i in parts)])


class ObjectIds:
    """The ids of an export: one for every row of a run, none shared by two people.

    ids: "person" or "track".  across: number tracks over all cameras instead of within each.

    Where a person has several boxes in a frame, all but one are left out
    (`app.runs.evaluate.trajectories.extra_boxes`); a track has one box in a frame anyhow.
    """

    def __init__(self, run: Run, ids: Ids, across: bool = False) -> None:
        self.identities = run.identities()
        self._by_person = ids == "person"
        self._numbered = self._by_person or across
        self._numbers: dict[str, tuple[NDArray[np.int64], int]] = {}
        self._extra: dict[str, set[tuple[int, int]]] = {}
        if not self._numbered:
            return
        used = max(self.identities.people(), default=0) if self._by_person else 0
        for camera in run.cameras:
            track_ids = run.column(camera.name, "track_id", refined=True)
            if self._by_person:
                persons = self.identities.person_of(
                    camera.name, track_ids, run.column(camera.name, "time_s", refined=True)
                )
                self._leave_out(run, camera.name, track_ids, persons)
                track_ids = track_ids[persons == NO_ID]
            own = np.unique(track_ids)
            self._numbers[camera.name] = own, used + 1
            used += len(own)

    def _leave_out(self, run: Run, camera: str, track_ids: NDArray[np.int64], persons: NDArray[np.int64]) -> None:
        frames = run.column(camera, "frame", refined=True)
        extra = extra_boxes(frames, persons, track_ids, run.column(camera, "score", refined=True))
        if extra.any():
            warn_of_extra_boxes(camera, frames, persons, extra)
            self._extra[camera] = set(zip(frames[extra].tolist(), track_ids[extra].tolist(), strict=True))

    @property
    def left_out(self) -> int:
        """How many rows are left out."""
        return sum(map(len, self._extra.values()))

    def is_extra(self, camera: str, frames: NDArray[np.int64], track_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (R,) bool: which rows, given by (R,) frames and (R,) track ids, are left out."""
        extra = self._extra.get(camera, set())
        if not extra:
            return np.zeros(len(frames), np.bool_)
        rows = zip(frames.tolist(), track_ids.tolist(), strict=True)
        return np.fromiter((row in extra for row in rows), np.bool_, len(frames))

    def of(self, camera: str, track_ids: NDArray[np.int64], times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return (R,) int64 ids, from 1, for rows of this run given by (R,) track ids and (R,) times in seconds."""
        if not self._numbered:
            return track_ids
        own, first = self._numbers[camera]
        numbers = np.searchsorted(own, track_ids) + first
        if not self._by_person:
            return numbers
        persons = self.identities.person_of(camera, track_ids, times)
        return np.where(persons == NO_ID, numbers, persons)


def write_camera_numbers(export: Export) -> Path:
    """Write which camera has which number, for the formats that know cameras by number only."""
    path = export.file("cameras.csv")
    lines = ["camera_id,camera", *(f"{number},{csv_cell(c.name)}" for number, c in enumerate(export.run.cameras, 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text
