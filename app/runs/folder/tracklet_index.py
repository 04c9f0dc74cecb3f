"""Reading the tracklets of a run from its parts, and the one small file that holds what nearly everybody asks for.

A tracklet that was still open when a part was written has a row there, and a later one that replaces it; a track that
was closed and opened again has several rows that count. Finding that out takes a look into every part, and an hour of
four cameras has 480 of them. So a finished run keeps `index/tracklets.parquet`: all tracklets as they came out, without
their vectors. It is derived, carries the checksum of the manifest that it was made from, and is not believed otherwise.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.errors import InputError
from app.runs.folder.header import LARGEST_NUMBER, LAST_TIME_S
from app.runs.folder.layout import INDEX_FILE
from app.runs.folder.tables import check_content, read_table, with_checksum

INDEX_SCHEMA = pa.schema(
    [
        ("camera", pa.dictionary(pa.int32(), pa.string())),
        ("track_id", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("rows", pa.int64()),
        ("crops", pa.list_(pa.string())),
        ("qualities", pa.list_(pa.float32())),
    ]
)
_LIGHT = ["track_id", "start_s", "end_s", "rows", "open", "crops", "qualities"]
_WITH_VECTORS = [*_LIGHT, "dimension", "vectors"]
_MADE_FROM = b"manifest"
_CROP = re.compile(r"crops/[^/\\]+/[0-9]{1,19}_[0-9]{1,18}\.jpg")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackletSummary:
    """A tracklet without its boxes: cheap to read for all people of a long run.

    rows: number of its observations.  crops: references, best first, aligned with `vectors` (K, D) and `qualities`.
    """

    camera: str
    track_id: int
    start_time: float
    end_time: float
    rows: int
    crops: tuple[str, ...]
    vectors: NDArray[np.float32]
    qualities: NDArray[np.float32]

    @property
    def key(self) -> tuple[str, int]:
        return self.camera, self.track_id


class ReadColumns(Protocol):
    """Reads columns of one part: `Run.read_part` of a file."""

    def __call__(self, columns: list[str]) -> pa.Table: ...


def read_summaries(camera: str, parts: Sequence[ReadColumns], vectors: bool) -> list[TrackletSummary]:
    """Return the tracklets of a camera by track id, from its parts in the order of their making."""
    found: dict[int, list[TrackletSummary]] = {}
    for summary in stretches(camera, parts, vectors):
        found.setdefault(summary.track_id, []).append(summary)
    return [_joined(found[track_id]) for track_id in sorted(found)]


def stretches(camera: str, parts: Sequence[ReadColumns], vectors: bool) -> Iterator[TrackletSummary]:
    """Yield the rows that count part by part: a track that was closed and opened again comes several times."""
    light = [] if vectors else [read(_LIGHT) for read in parts]
    heads = [read(["track_id", "open"]) for read in parts] if vectors else light
    ids = [head.column("track_id").to_numpy() for head in heads]
    last = {track_id: (part, row) for part, own in enumerate(ids) for row, track_id in enumerate(own.tolist())}
    for part, (read, head) in enumerate(zip(parts, heads, strict=True)):
        is_open = head.column("open").to_numpy()
        wanted = [row for row, track_id in enumerate(ids[part].tolist())
                  if not is_open[row] or last[track_id] == (part, row)]  # fmt: skip
        if wanted:
            table = read(_WITH_VECTORS) if vectors else light[part]
            yield from _summaries(camera, table.take(wanted))


def write_index(folder: Path, manifest_checksum: str, summaries: Sequence[TrackletSummary]) -> None:
    """Write the index of the run in `folder`. A half written one never gets its name."""
    schema = INDEX_SCHEMA.with_metadata({_MADE_FROM: manifest_checksum.encode()})
    table = with_checksum(pa.table(_index_columns(summaries), schema=schema))
    path = folder / INDEX_FILE
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    temporary.replace(path)


def summary_table(summaries: Sequence[TrackletSummary]) -> pa.Table:
    """Return tracklets as one table, each with its vectors in a row."""
    vectors = [summary.vectors.reshape(-1) for summary in summaries]
    columns = {**_index_columns(summaries), "vectors": vectors}
    return pa.table(columns, schema=INDEX_SCHEMA.append(pa.field("vectors", pa.list_(pa.float32()))))


def _index_columns(summaries: Sequence[TrackletSummary]) -> dict[str, Any]:
    """Return the columns of `INDEX_SCHEMA` for these tracklets."""
    columns: dict[str, Any] = {
        "camera": [summary.camera for summary in summaries],
        "track_id": [summary.track_id for summary in summaries],
        "start_s": [summary.start_time for summary in summaries],
        "end_s": [summary.end_time for summary in summaries],
        "rows": [summary.rows for summary in summaries],
        "crops": [list(summary.crops) for summary in summaries],
        "qualities": [summary.qualities for summary in summaries],
    }
    columns["camera"] = pa.array(columns["camera"], pa.string()).dictionary_encode()
    return columns


def read_index(folder: Path, manifest_checksum: str) -> list[TrackletSummary] | None:
    """Return all tracklets by camera and track id, None if there is no index or it is of another manifest."""
    path = folder / INDEX_FILE
    if not path.exists():
        return None
    try:
        table = read_table(path, INDEX_SCHEMA)
        if (table.schema.metadata or {}).get(_MADE_FROM) != manifest_checksum.encode():
            return None
        check_content(table, path)
    except InputError as error:  # it can be made again
        _log.info("%s", error)
        return None
    cameras = table.column("camera").to_pylist()
    without = table.drop_columns(["camera"])
    return [
        _summary(camera, row, np.zeros((len(row["crops"]), 0), np.float32))
        for camera, row in zip(cameras, without.to_pylist(), strict=True)
    ]


def _summaries(camera: str, table: pa.Table) -> Iterator[TrackletSummary]:
    numbers = [np.zeros(0, np.float32)] * table.num_rows
    if "vectors" in table.column_names:
        # Taken as arrays: as Python numbers they would need eight times the memory and most of the time.
        numbers = [value.values.to_numpy() for value in table.column("vectors")]
        table = table.drop_columns(["vectors"])
    for row, own in zip(table.to_pylist(), numbers, strict=True):
        shape = len(row["crops"]), row.get("dimension", 0)
        if len(own) != shape[0] * shape[1] or not np.isfinite(own).all() or not _is_whole(row):
            raise InputError(f"camera {camera}: tracklet {row['track_id']} is damaged; restore the run from a copy")
        yield _summary(camera, row, np.array(own, np.float32).reshape(shape))


def _is_whole(row: dict[str, Any]) -> bool:
    """Return whether a row of tracklets can have been written by this program."""
    return (
        0 <= row["track_id"] < LARGEST_NUMBER
        and 0 <= row["rows"] < LARGEST_NUMBER
        and -LAST_TIME_S <= row["start_s"] <= row["end_s"] <= LAST_TIME_S
        and len(row["qualities"]) == len(row["crops"])
        and all(map(math.isfinite, row["qualities"]))
        and all(map(_CROP.fullmatch, row["crops"]))
    )


def _summary(camera: str, row: dict[str, Any], vectors: NDArray[np.float32]) -> TrackletSummary:
    return TrackletSummary(
        camera,
        row["track_id"],
        row["start_s"],
        row["end_s"],
        row["rows"],
        tuple(row["crops"]),
        vectors,
        np.array(row["qualities"], np.float32),
    )


def _joined(parts: list[TrackletSummary]) -> TrackletSummary:
    """Return one summary for a track whose tracklet was closed and opened again; nearly always there is one stretch."""
    if len(parts) == 1:
        return parts[0]
    if any(part.vectors.size for part in parts):  # the vectors of earlier stretches may have been purged
        parts = [part for part in parts if part.vectors.size or not part.crops]
    crops = [crop for part in parts for crop in part.crops]
    qualities = np.concatenate([part.qualities for part in parts])
    vectors = [part.vectors for part in parts if len(part.vectors)]
    order = np.argsort(-qualities, kind="stable")
    return TrackletSummary(
        parts[0].camera,
        parts[0].track_id,
        min(part.start_time for part in parts),
        max(part.end_time for part in parts),
        sum(part.rows for part in parts),
        tuple(crops[row] for row in order),
        np.concatenate(vectors)[order] if vectors else parts[0].vectors,
        qualities[order],
    )
