"""Places in the recordings where people were erased: every picture that is made from a recording is covered there.

    RUN/covered.parquet    camera, start_s, end_s, x1, y1, x2, y2: one row for each half second and erased presence

The recordings of a run still show whom `erase` removed, and the run cannot change them. So `erase` leaves where
something has to be hidden, and no more: no person, no track, no looks, boxes only as exact as half a second of walking.
Everything that decodes a frame of a run goes through `Covered.hide`: `app.runs.render.stills` and
`app.runs.render.videos`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.boxes import coverage
from app.errors import InputError
from app.runs.folder.crop_files import crop_place, encode_crop
from app.runs.folder.header import RUN_ID, check_owner, read_header, run_id, write_header
from app.runs.folder.layout import COVERED_FILE, RUN_FILE
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations, check_content, read_table, with_checksum
from app.system.files import write_atomically
from app.track.carrying import carried_boxes

COVERS = "covers"
"""Key in `run.json`: somebody is covered, so that a missing file is damage."""

_STEP_S = 0.5
_BEFORE_AND_AFTER_S = 1.0
"""So long before the first and after the last row somebody may be in the picture without having been found, where the
way seen so far, continued, leads (`app.track.carrying`)."""

_JOIN_S = 10.0
"""Between rows that are not further apart, the person is taken to have walked from one box to the other."""

_MARGIN = 0.2
_LEAST_MARGIN_PX = 4
_HIDDEN_SHARE = 0.5
_GREY = 96
_RUN = RUN_ID.encode()
_SIDES = ("x1", "y1", "x2", "y2")
_SCHEMA = pa.schema(
    [("camera", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]
    + [(side, pa.float32()) for side in _SIDES]
)


@dataclass(frozen=True, slots=True)
class Covered:
    """What is covered in the pictures of one camera.

    starts, ends: (N,) float64 seconds on the shared clock, both included.  boxes: (N, 4) float32 x1 y1 x2 y2 in pixels.
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    boxes: NDArray[np.float32]

    def boxes_at(self, time_s: float) -> NDArray[np.float32]:
        """Return the (M, 4) boxes that are covered at a time, margins included."""
        boxes = self.boxes[(self.starts <= time_s) & (time_s <= self.ends)]
        margin = np.maximum(_MARGIN * (boxes[:, 2:] - boxes[:, :2]), _LEAST_MARGIN_PX)
        return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)

    def hides(self, times: NDArray[np.float64], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return (N,) bool: which of the (N, 4) boxes at (N,) times, seconds, lie at least by half where one covered
        box is."""
        hidden = np.zeros(len(times), np.bool_)
        for time_s in np.unique(times).tolist():
            rows = np.flatnonzero(times == time_s)
            hidden[rows] = (coverage(boxes[rows], self.boxes_at(time_s)) >= _HIDDEN_SHARE).any(axis=1)
        return hidden

    def hide(self, image: NDArray[np.uint8], time_s: float) -> NDArray[np.uint8]:
        """Return a picture of the camera, (H, W, 3) uint8, with grey where people were erased; the picture itself if
        nobody was in it."""
        boxes = self.boxes_at(time_s)
        if not len(boxes):
            return image
        image = image.copy()
        for box in boxes:
            _cover(image, box)
        return image


def read_covered(folder: Path, camera: str) -> Covered:
    """Return what is covered in the pictures of a camera of the run in `folder`.

    Raises InputError if the file cannot be read: nobody may be shown then, since somebody should not be.
    """
    path = folder / COVERED_FILE
    if not path.exists() and not _header(folder).get(COVERS):
        return Covered(np.zeros(0), np.zeros(0), np.zeros((0, 4), np.float32))
    table = _read(path)
    table = table.filter(pc.equal(table["camera"], camera))
    boxes = np.stack([table[side].to_numpy() for side in _SIDES], axis=1)
    return Covered(table["start_s"].to_numpy(), table["end_s"].to_numpy(), boxes)


def _header(folder: Path) -> dict[str, Any]:
    return read_header(folder / RUN_FILE) if (folder / RUN_FILE).is_file() else {}


def _read(path: Path) -> pa.Table:
    """Return the file's rows. Raises InputError unless they are what was written."""
    try:
        table = read_table(path, _SCHEMA)
        check_content(table, path)
        check_owner(path, (table.schema.metadata or {}).get(_RUN, b"").decode())
        if not all(np.isfinite(table[name].to_numpy()).all() for name in _SCHEMA.names[1:]):
            raise InputError(f"{path}: holds a place or time that cannot be")
    except InputError as error:
        raise InputError(f"cannot read who must not be shown, so no recording is: {error}") from error
    return table.select(_SCHEMA.names).replace_schema_metadata(None)


def add_covered(folder: Path, rows_of: Iterable[tuple[str, Sequence[Observations]]]) -> None:
    """Cover what is in these rows from now on, in one step and besides what is covered already.

    rows_of: (camera, rows) where one person was seen, in the order of time or not.
    """
    path = folder / COVERED_FILE
    known = [_read(path)] if path.exists() else []
    tables = known + [_table(camera, covered_by(rows)) for camera, rows in rows_of]
    covered = pa.concat_tables(tables, promote_options="none") if tables else _SCHEMA.empty_table()
    if covered.num_rows:
        data = io.BytesIO()
        once = covered.group_by(_SCHEMA.names).aggregate([])
        owner = run_id(folder)
        once = with_checksum(once.replace_schema_metadata({_RUN: owner.encode()} if owner else None))
        pq.write_table(once, data, compression="zstd", write_page_checksum=True)
        write_atomically(path, data.getvalue())
        header = _header(folder)
        if header and not header.get(COVERS):
            write_header(folder, {**header, COVERS: True})


def covered_by(rows: Sequence[Observations]) -> Covered:
    """Return where one person is on one camera: for each half second the box around all boxes within it."""
    times = np.concatenate([np.zeros(0), *(part.times for part in rows)])
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(part.boxes for part in rows)])
    order = np.argsort(times, kind="stable")
    times, boxes = times[order], boxes[order]
    apart = np.flatnonzero(np.diff(times) > _JOIN_S) + 1
    found = [
        _stretch(own_times, own_boxes)
        for own_times, own_boxes in zip(np.split(times, apart), np.split(boxes, apart), strict=True)
        if len(own_times)
    ]
    starts = np.concatenate([np.zeros(0), *(starts for starts, _ in found)])
    around = np.concatenate([np.zeros((0, 4), np.float32), *(around for _, around in found)])
    return Covered(starts, starts + _STEP_S, around)


def _stretch(times: NDArray[np.float64], boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the (N,) starts of the steps of an uninterrupted presence, and the (N, 4) box around each."""
    first, last = times[0] - _BEFORE_AND_AFTER_S, times[-1] + _BEFORE_AND_AFTER_S
    edges = np.arange(np.floor(first / _STEP_S), np.ceil(last / _STEP_S) + 1) * _STEP_S
    at_edges = carried_boxes(times, boxes, edges)
    around = np.concatenate(
        [np.minimum(at_edges[:-1, :2], at_edges[1:, :2]), np.maximum(at_edges[:-1, 2:], at_edges[1:, 2:])], axis=1
    )
    steps = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(around) - 1)
    np.minimum.at(around[:, :2], steps, boxes[:, :2])
    np.maximum.at(around[:, 2:], steps, boxes[:, 2:])
    return edges[:-1], around.astype(np.float32)


def _table(camera: str, covered: Covered) -> pa.Table:
    columns = [pa.repeat(camera, len(covered.starts)), covered.starts, covered.ends]
    return pa.table([*columns, *(np.ascontiguousarray(covered.boxes[:, side]) for side in range(4))], schema=_SCHEMA)


def cover_crops(run: Run, camera: str, theirs: Observations, kept: Mapping[tuple[int, int], str]) -> list[Path]:
    """Cover one person in the kept pictures of others, as far as their boxes overlap, and return the changed files.

    theirs: recorded rows of the person on this camera, in the order of time.
    kept: references of the pictures of others by (track id, frame index).
    """
    changed: list[Path] = []
    if not len(theirs) or not kept:
        return changed
    tracks = np.unique([track_id for track_id, _ in kept])
    for part in run.observation_parts(camera, theirs.times[0] - _JOIN_S, theirs.times[-1] + _JOIN_S):
        for row in np.flatnonzero(np.isin(part.track_ids, tracks)).tolist():
            reference = kept.get((int(part.track_ids[row]), int(part.frames[row])))
            box = None if reference is None else _box_at(theirs, float(part.times[row]))
            if reference is not None and box is not None:
                path = run.crop_path(reference)
                picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
                corner = np.floor(np.maximum(part.boxes[row, :2], 0))
                if picture is not None and _cover(picture, box - np.tile(corner, 2)):
                    place = crop_place(run.manifest.run, reference)
                    write_atomically(path, encode_crop(picture, 95, place))
                    changed.append(path)
    return changed


def _box_at(rows: Observations, time_s: float) -> NDArray[np.float64] | None:
    """Return the box of somebody at a time, between two rows where there is none; None while they are away."""
    row = int(np.searchsorted(rows.times, time_s))
    before_s = time_s - rows.times[row - 1] if row else math.inf
    after_s = rows.times[row] - time_s if row < len(rows) else math.inf
    if before_s + after_s > _JOIN_S and min(before_s, after_s) > _BEFORE_AND_AFTER_S:
        return None
    return carried_boxes(rows.times, rows.boxes, np.array([time_s]))[0].astype(np.float64)


def _cover(picture: NDArray[np.uint8], box: NDArray[np.floating[Any]]) -> bool:
    """Paint a box into a picture, which is changed, and return whether any of it lies inside."""
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(box[:2]), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(box[2:]), 0, [width, height]).astype(int)
    picture[top:bottom, left:right] = _GREY
    return bool(right > left and bottom > top)
