"""Reading the Parquet files of a run: verified, with the columns they should have, or a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.errors import InputError
from app.runs.folder.layout import FORMAT_VERSION, PartKind
from app.system.untrusted import reading

CONTENT = b"content_sha256"
"""Key in a file's metadata: the checksum of its rows, where no manifest lists that of its bytes."""

FILLED_SCORE = 0.0
"""Score of a refined row where nobody was detected; detected rows are above it."""

_BASES = {
    "format": f"omnitrack {FORMAT_VERSION}",
    "frame_base": "0",
    "time_unit": "seconds on the clock that all cameras of the run share",
    "boxes": "x1 y1 x2 y2 in pixels of the full frame",
}

OBSERVATION_SCHEMA = pa.schema(
    [
        ("camera", pa.dictionary(pa.int32(), pa.string())),
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
        ("track_id", pa.int64()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("score", pa.float32()),
    ],
    metadata=_BASES,
)
UNTRACKED_SCHEMA = pa.schema(
    [
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
        ("x1", pa.int16()),
        ("y1", pa.int16()),
        ("x2", pa.int16()),
        ("y2", pa.int16()),
        ("percent", pa.uint8()),
    ],
    metadata={**_BASES, "boxes": "x1 y1 x2 y2 in whole pixels of the full frame", "percent": "confidence"},
)
"""What hides people needs no more than whole pixels; most of these boxes show nobody."""

FRAME_SCHEMA = pa.schema([("frame", pa.int64()), ("time_s", pa.float64())], metadata=_BASES)
TRACKLET_SCHEMA = pa.schema(
    [
        ("camera", pa.dictionary(pa.int32(), pa.string())),
        ("track_id", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("rows", pa.int64()),
        ("open", pa.bool_()),
        ("crops", pa.list_(pa.string())),
        ("qualities", pa.list_(pa.float32())),
        ("dimension", pa.int64()),
        ("vectors", pa.list_(pa.float32())),
    ],
    metadata=_BASES,
)

SCHEMAS: dict[PartKind, pa.Schema] = {
    "observations": OBSERVATION_SCHEMA,
    "refined": OBSERVATION_SCHEMA,
    "frames": FRAME_SCHEMA,
    "tracklets": TRACKLET_SCHEMA,
    "untracked": UNTRACKED_SCHEMA,
}


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None, rows: int | None = None) -> pa.Table:
    """Read some columns of a Parquet file, all without `columns`; checksums of its pages are verified, none has nulls.

    schema: what its columns have to be.
    rows: how many it has to have.
    Raises InputError if it is missing, damaged, or something else.
    """
    if not path.exists():
        raise InputError(f"{path}: this file of the run is missing; restore it from a copy")
    # Without the search for further files that `pq.read_table` begins with.
    with reading(path, "this table of a run"), pq.ParquetFile(path, page_checksum_verification=True) as file:
        if rows is not None and file.metadata.num_rows != rows:
            raise InputError(f"{path}: {file.metadata.num_rows} rows instead of {rows}; restore it from a copy")
        found = file.schema_arrow
        for name in columns or schema.names:
            if found.names.count(name) != 1:
                raise InputError(f"{path}: there is no column {name}; this is not a file of a run")
            kind, wanted = found.field(name).type, schema.field(name).type
            if not _same(kind, wanted):
                raise InputError(f"{path}: column {name} is {kind}, not {wanted}; this is not a file of a run")
        table = file.read(columns=columns, use_threads=False)
    empty = [name for name in table.column_names if _nulls(table.column(name))]
    if empty:
        raise InputError(f"{path}: column {empty[0]} has rows without a value; this is not a file of a run")
    return table


def _nulls(column: pa.ChunkedArray) -> int:
    """Return how many values of a column are null, within lists too."""
    inner = sum(chunk.flatten().null_count for chunk in column.chunks) if pa.types.is_list(column.type) else 0
    return int(column.null_count + inner)


def with_checksum(table: pa.Table) -> pa.Table:
    """Return the table with the checksum of its content in its metadata."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), CONTENT: _content(table)})


def check_content(table: pa.Table, path: Path) -> None:
    """Raise InputError if a table from `with_checksum` is not what was written. One without a checksum passes."""
    expected = (table.schema.metadata or {}).get(CONTENT)
    if expected is not None and expected != _content(table):
        raise InputError(f"{path}: damaged (the checksum of its rows does not fit); restore it from a copy")


def _content(table: pa.Table) -> bytes:
    """Return a checksum of columns and rows, the same however they are stored."""
    digest = sha256(repr(sorted(table.schema.names)).encode())
    for name in sorted(table.schema.names):
        digest.update(repr(table.column(name).to_pylist()).encode())
    return digest.hexdigest().encode()


def _same(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types are the same, whatever lists call their elements and whether texts are stored once."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_dictionary(wanted):
        wanted = wanted.value_type
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return bool(found.value_type == wanted.value_type)
    return bool(found == wanted)


@dataclass(frozen=True, slots=True)
class Observations:
    """Tracked boxes of one camera, in the order of its frames.

    frames: (R,) int64 from 0.  times: (R,) float64 seconds.  track_ids: (R,) int64.
    boxes: (R, 4) float32 x1 y1 x2 y2.  scores: (R,) float32, `FILLED_SCORE` where a gap was filled.
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    track_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    @property
    def filled(self) -> NDArray[np.bool_]:
        """(R,) bool: rows where nobody was detected; linking filled a gap with them."""
        return self.scores <= FILLED_SCORE

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Observations:
        """Select rows by slice, index array or boolean mask."""
        return Observations(
            self.frames[rows], self.times[rows], self.track_ids[rows], self.boxes[rows], self.scores[rows]
        )


def concatenate(parts: Sequence[Observations]) -> Observations:
    return Observations(
        np.concatenate([np.zeros(0, np.int64), *(part.frames for part in parts)]),
        np.concatenate([np.zeros(0, np.float64), *(part.times for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.track_ids for part in parts)]),
        np.concatenate([np.zeros((0, 4), np.float32), *(part.boxes for part in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)]),
    )


def box_table(parts: Sequence[tuple[str, Observations, NDArray[np.int64]]]) -> pa.Table:
    """Return the rows of cameras, given with their (R,) person ids, as one table."""
    schema = OBSERVATION_SCHEMA.insert(4, pa.field("person_id", pa.int64()))
    tables = [
        pa.table(
            [
                camera_column(camera, len(rows)),
                rows.frames,
                rows.times,
                rows.track_ids,
                persons,
                *rows.boxes.T,
                rows.scores,
            ],
            schema=schema,
        )
        for camera, rows, persons in parts
    ]
    return pa.concat_tables(tables).unify_dictionaries()


def times_table(parts: Sequence[tuple[str, NDArray[np.int64], NDArray[np.float64]]]) -> pa.Table:
    """Return the (F,) numbers and (F,) times of the frames of cameras as one table."""
    schema = FRAME_SCHEMA.insert(0, OBSERVATION_SCHEMA.field("camera"))
    tables = [
        pa.table([camera_column(camera, len(frames)), frames, times], schema=schema) for camera, frames, times in parts
    ]
    return pa.concat_tables(tables).unify_dictionaries()


def camera_column(camera: str, rows: int) -> pa.Array:
    """Return the name of a camera for each of so many rows, stored once."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [camera])
