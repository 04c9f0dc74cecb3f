"""Writing a run in the formats of other tools; `app.runs.export.formats` says what each of them holds.

Exports follow the ledger: after a merge, a split or an undo the
next export differs accordingly, and equal identities give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from app.errors import InputError
from app.footage.motchallenge import write_rows
from app.frames import NO_ID
from app.runs.evaluate.trajectories import extra_boxes, warn_of_extra_boxes
from app.runs.export.formats import FORMATS, IDS, Ids
from app.runs.folder.run import Observations, Run, concatenate
from app.runs.folder.topology_file import read_topology
from app.runs.folder.written import copying_into, note_copies
from app.track.linking.floors import foot_points, mapped

_README = "README.txt"
_README_BEGINS = "OmniTrack export, format "
_TRACKS_ACROSS = "Ids are tracks, numbered over all cameras, so that no id is on two cameras."
_UNDECIDED_CROPS = (
    "Ids are person ids. Crops of tracklets whose person is not decided have the id -1, which loaders skip."
)
_LEFT_OUT = (
    "Left out are {} boxes of people who have another box in the same frame of a camera: each person has one box in a "
    "frame, the one with the best score. Two people may have been merged who are two."
)


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
        """Yield the rows of a camera part by part, each with its (R,) int64 ids. No id is twice in a frame."""
        for rows in self.run.refined_parts(camera):
            kept = rows[~self.objects.is_extra(camera, rows.frames, rows.track_ids)]
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


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. files: README.txt among them.  left_out: rows whose person has another box in that frame."""

    files: list[Path]
    left_out: int


def export_run(run: Run, format: str, ids: Ids, output: Path) -> Exported:
    """Write `run` in a format of `FORMATS` into the folder `output`.

    Raises InputError for a format or a kind of ids that does not exist, and where old files would be mixed with new.
    """
    from app.runs.export.annotations import write_coco, write_cvat
    from app.runs.export.crops import write_market1501

    writers: dict[str, Callable[[Export], list[Path]]] = {
        "mot": write_mot,
        "aicity": write_aicity,
        "csv": write_csv,
        "coco": write_coco,
        "cvat": write_cvat,
        "market1501": write_market1501,
    }
    if format not in writers:
        raise InputError(f"there is no export format {format!r}; there are {', '.join(writers)}")
    if ids not in get_args(Ids):
        raise InputError(f"there are no ids {ids!r}; there are {', '.join(get_args(Ids))}")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; --output is a folder")
    across = format in ("aicity", "coco", "market1501")
    with copying_into(output, "exporting this run"):
        run = Run.open(run.folder)
        objects = ObjectIds(run, ids, across)
        export = Export(run, ids, objects, output, _is_export(output))
        readme = export.file(_README)
        output.mkdir(parents=True, exist_ok=True)
        files = writers[format](export)
    meaning = _TRACKS_ACROSS if across and ids == "track" else IDS[ids]
    if format == "market1501" and ids == "person":
        meaning = _UNDECIDED_CROPS
    if objects.left_out:
        meaning += f"\n{_LEFT_OUT.format(objects.left_out)}"
    readme.write_text(_readme(run, format, meaning), encoding="utf-8")
    return Exported([*files, readme], objects.left_out)


def _is_export(folder: Path) -> bool:
    """Whether an earlier export was written into a folder."""
    try:
        return (folder / _README).read_text(encoding="utf-8", errors="replace").startswith(_README_BEGINS)
    except OSError:
        return False


def write_mot(export: Export) -> list[Path]:
    files = []
    for camera in export.run.cameras:
        path = export.file(f"{camera.name}.txt")
        rows, ids = export.rows(camera.name)
        write_rows(path, rows.frames + 1, ids, rows.boxes, rows.scores)
        files.append(path)
    return files


def write_aicity(export: Export) -> list[Path]:
    path = export.file("track1.txt")
    with path.open("w", encoding="utf-8") as file:
        for number, camera in enumerate(export.run.cameras, 1):
            for rows, ids in export.parts(camera.name):
                corners = np.rint(rows.boxes).astype(np.int64)
                left, top, right, bottom = corners.T
                columns = (ids, rows.frames + 1, left, top, right - left, bottom - top)
                for line in np.stack(columns, axis=1).tolist():
                    file.write(f"{number} {' '.join(map(str, line))} -1 -1\n")
    return [path, write_camera_numbers(export)]


def write_csv(export: Export) -> list[Path]:
    path = export.file("observations.csv")
    fields = [("camera", pa.string()), ("frame", pa.int64()), ("time_s", pa.float64()), ("track_id", pa.int64())]
    fields += [("person_id", pa.int64()), ("name", pa.string()), ("id", pa.int64())]
    fields += [(name, pa.float32()) for name in ("x1", "y1", "x2", "y2", "score")]
    fields += [("observed", pa.bool_())]
    topology = read_topology(export.run.folder)
    to_floor = topology.calibrations if topology is not None else {}
    if to_floor:
        fields += [("x_m", pa.float64()), ("y_m", pa.float64())]
    schema = pa.schema(fields)
    identities = export.objects.identities
    options = pa.csv.WriteOptions(quoting_style="needed")
    with pa.csv.CSVWriter(path, schema, write_options=options) as writer:
        for camera in export.run.cameras:
            for rows, ids in export.parts(camera.name):
                persons = identities.person_of(camera.name, rows.track_ids, rows.times)
                columns = [
                    pa.repeat(camera.name, len(rows)),
                    rows.frames,
                    rows.times,
                    rows.track_ids,
                    persons,
                    pa.array([identities.names.get(person, "") for person in persons.tolist()], pa.string()),
                    ids,
                    *(np.ascontiguousarray(rows.boxes[:, side]) for side in range(4)),
                    rows.scores,
                    ~rows.filled,
                ]
                if camera.name in to_floor:
                    columns += list(mapped(to_floor[camera.name], foot_points(rows.boxes)).T.round(3))
                elif to_floor:
                    columns += [pa.nulls(len(rows), pa.float64())] * 2
                writer.write_table(pa.table(columns, schema=schema))
    return [path]


def write_camera_numbers(export: Export) -> Path:
    """Write which camera has which number, for the formats that know cameras by number only."""
    path = export.file("cameras.csv")
    lines = ["camera_id,camera", *(f"{number},{csv_cell(c.name)}" for number, c in enumerate(export.run.cameras, 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text


def _readme(run: Run, format: str, meaning: str) -> str:
    lines = [
        f"{_README_BEGINS}{format}, made from a run of {len(run.cameras)} cameras.",
        "",
        FORMATS[format],
        meaning,
        "",
        "Cameras, in order:",
        *(
            f"  {number}  {camera.name}: {camera.width}×{camera.height} pixels, {camera.fps:g} frames/s, "
            f"picture 0 at about {camera.start_time:.3f} s"
            for number, camera in enumerate(run.cameras, 1)
        ),
    ]
    return "\n".join(lines) + "\n"
