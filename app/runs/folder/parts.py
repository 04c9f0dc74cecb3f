"""Writing the Parquet parts of a run durably.

A file gets its final name only after its content is on the disk, and the names are synced as well. So whatever the
manifest lists is whole, even after a loss of power.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.frames import Detections
from app.runs.folder.layout import PartKind
from app.runs.folder.manifest import PartFile
from app.runs.folder.tables import FRAME_SCHEMA, OBSERVATION_SCHEMA, TRACKLET_SCHEMA, UNTRACKED_SCHEMA, camera_column
from app.runs.folder.written import note_written
from app.system.files import sync

if TYPE_CHECKING:
    from app.track.tracklets import TrackletDraft


_INT16 = -32768, 32767


@dataclass(frozen=True, slots=True)
class Part:
    """A table on its way into the Parquet file `<kind>/<camera>/<stem>.parquet`."""

    kind: PartKind
    camera: str
    stem: str
    table: pa.Table


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The tracked rows of one frame: track_ids (N,) int64, boxes (N, 4) float32, scores (N,) float32.

    untracked: the boxes that belong to no track.
    """

    index: int
    time: float
    track_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    untracked: Detections


def frame_table(rows: Sequence[FrameRows]) -> pa.Table:
    return pa.table(
        [[row.index for row in rows], np.array([row.time for row in rows], np.float64)], schema=FRAME_SCHEMA
    )


def observation_table(camera: str, rows: Sequence[FrameRows]) -> pa.Table:
    counts = [len(row.track_ids) for row in rows]
    boxes = np.concatenate([row.boxes for row in rows])
    return pa.table(
        [
            camera_column(camera, sum(counts)),
            np.repeat(np.array([row.index for row in rows], np.int64), counts),
            np.repeat(np.array([row.time for row in rows], np.float64), counts),
            np.concatenate([row.track_ids for row in rows]),
            *(np.ascontiguousarray(boxes[:, side]) for side in range(4)),
            np.concatenate([row.scores for row in rows]),
        ],
        schema=OBSERVATION_SCHEMA,
    )


def untracked_table(rows: Sequence[FrameRows]) -> pa.Table:
    counts = [len(row.untracked) for row in rows]
    boxes = np.concatenate([row.untracked.boxes for row in rows])
    whole = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1)
    whole = np.clip(whole, *_INT16).astype(np.int16)
    return pa.table(
        [
            np.repeat(np.array([row.index for row in rows], np.int64), counts),
            np.repeat(np.array([row.time for row in rows], np.float64), counts),
            *(np.ascontiguousarray(whole[:, side]) for side in range(4)),
            np.rint(100 * np.concatenate([row.untracked.scores for row in rows])).astype(np.uint8),
        ],
        schema=UNTRACKED_SCHEMA,
    )


def tracklet_table(camera: str, drafts: Sequence[tuple[TrackletDraft, bool]]) -> pa.Table:
    """Return one row for each (draft, whether it still goes on)."""
    tracklets = [draft.tracklet for draft, _ in drafts]
    columns = {
        "camera": camera_column(camera, len(drafts)),
        "track_id": [tracklet.track_id for tracklet in tracklets],
        "start_s": [tracklet.start_time for tracklet in tracklets],
        "end_s": [tracklet.end_time for tracklet in tracklets],
        "rows": [len(tracklet.times) for tracklet in tracklets],
        "open": [is_open for _, is_open in drafts],
        "crops": [list(tracklet.crops) for tracklet in tracklets],
        "qualities": [tracklet.qualities for tracklet in tracklets],
        "dimension": [tracklet.vectors.shape[1] for tracklet in tracklets],
        "vectors": [tracklet.vectors.reshape(-1) for tracklet in tracklets],
    }
    return pa.table(columns, schema=TRACKLET_SCHEMA)


def write_parts(folder: Path, parts: Sequence[Part], others: Iterable[Path] = ()) -> list[PartFile]:
    """Write Parquet files durably under their final names and return what the manifest has to say of them.

    others: files written just now that have to be as durable. Waiting for all files at once takes the disk much less
    time than one after the other.
    """
    paths = [folder / part.kind / part.camera / f"{part.stem}.parquet" for part in parts]
    note_written(folder, paths)
    checksums = []
    for part, path in zip(parts, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        data = pa.BufferOutputStream()
        pq.write_table(part.table, data, compression="zstd", write_page_checksum=True)
        checksums.append(sha256(data.getvalue()).hexdigest())
        path.with_suffix(".tmp").write_bytes(data.getvalue())
    written = [*others, *(path.with_suffix(".tmp") for path in paths)]
    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(sync, written))
        for path in paths:
            path.with_suffix(".tmp").replace(path)
        list(pool.map(sync, sorted({path.parent for path in written})))
    return [_part_file(folder, *written) for written in zip(parts, paths, checksums, strict=True)]


def _part_file(folder: Path, part: Part, path: Path, checksum: str) -> PartFile:
    starts, ends = ("start_s", "end_s") if part.kind == "tracklets" else ("time_s", "time_s")
    start_s, end_s = float(part.table[starts].to_numpy().min()), float(part.table[ends].to_numpy().max())
    name = path.relative_to(folder).as_posix()
    return PartFile(part.kind, part.camera, name, part.table.num_rows, start_s, end_s, checksum)
