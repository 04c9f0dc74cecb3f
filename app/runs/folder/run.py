"""Reading a run folder: who was where, frame by frame, tracklet by tracklet; `writer` makes such a folder.

`layout` lists the files. In them `frame` is `Frame.index`, from 0; `time_s` is seconds on the clock that all cameras
share; boxes are x1 y1 x2 y2 in pixels of the full frame. The rows of a camera are in the order of its frames. The boxes
of a tracklet are stored once, as observations; its row holds the rest.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.errors import InputError
from app.frames import Tracklet
from app.runs.folder.header import LARGEST_NUMBER, LAST_TIME_S, RUN_ID, CameraRecord, check_header, read_header
from app.runs.folder.layout import (
    FORMAT_VERSION,
    LEDGER_FILE,
    MANIFEST_FILE,
    PART_KINDS,
    RUN_FILE,
    PartKind,
    crop_frame,
)
from app.runs.folder.locks import is_followed
from app.runs.folder.manifest import Manifest, PartFile
from app.runs.folder.tables import (
    FRAME_SCHEMA,
    OBSERVATION_SCHEMA,
    SCHEMAS,
    UNTRACKED_SCHEMA,
    Observations,
    box_table,
    concatenate,
    read_table,
    times_table,
)
from app.runs.folder.tracklet_index import (
    ReadColumns,
    TrackletSummary,
    read_index,
    read_summaries,
    stretches,
    summary_table,
    write_index,
)
from app.runs.ledger.identities import Identities
from app.runs.ledger.ledger import Ledger
from app.system.checksum import file_sha256

_OWN_PLACES = ("crops", *PART_KINDS, "index", "video", "export", ".purged", LEDGER_FILE, "audit.sqlite")
"""Where a run is written and deleted from; none of it may be a link to somewhere else."""

_LARGEST_PX = 1e7
_NUMBERED = ("frame", "track_id")
_WITHIN = {"time_s": LAST_TIME_S, **dict.fromkeys(("x1", "y1", "x2", "y2"), _LARGEST_PX), "score": 1.001}
"""What no column of a run goes beyond, whoever reads it."""

_RESTORE = "restore the run from a copy"

TableName = Literal["boxes", "frames", "tracklets"]


class Run:
    """A run folder, open for reading. It shows the parts that were finished when it was opened.

    Once somebody links the run, erases somebody from it or purges it, it answers no more: open it again.

    >>> run = Run.open(folder)
    >>> [camera.name for camera in run.cameras]
    ['yard']
    >>> run.arrays("tracklets")["track_id"]
    array([1, 2, 3, 4, 5, 6])
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], manifest: Manifest) -> None:
        """Raises InputError if the header or the manifest names anything that does not lie in the run folder."""
        self.folder = folder
        self.header = header
        self.manifest = manifest
        self.cameras = tuple(CameraRecord.from_json(camera) for camera in header["cameras"])
        self._verified: set[str] = set()
        self._frames_of: tuple[str, NDArray[np.int64], NDArray[np.float64]] | None = None
        self._stamp = Manifest.stamp(folder)
        _check_paths(folder, self.cameras, manifest)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Raises InputError if `folder` holds no run, or one that another version of this program made."""
        folder = Path(folder)
        if not (folder / RUN_FILE).is_file():
            raise InputError(f"{folder}: not a run folder (there is no {RUN_FILE}); `main.py track --output` makes one")
        header = read_header(folder / RUN_FILE)
        if header.get("format") != FORMAT_VERSION:
            raise InputError(f"{folder}: run format {header.get('format')!r}, this version reads {FORMAT_VERSION}")
        check_header(header, folder / RUN_FILE)
        manifest = Manifest.read(folder)
        if manifest.run != header.get(RUN_ID, ""):
            raise InputError(
                f"{folder}: {RUN_FILE} and {MANIFEST_FILE} are of two different runs; restore one of them from a copy"
            )
        if manifest.next_part < header.get("next_part", 0):
            raise InputError(
                f"{folder / MANIFEST_FILE}: has lost its last lines (next is part {manifest.next_part}, not "
                f"{header['next_part']}), and with them rows; restore the run folder from a copy"
            )
        return cls(folder, header, manifest)

    @property
    def settings_dict(self) -> dict[str, Any]:
        """The resolved settings that the run was made with, as nested plain values."""
        return dict(self.header["settings"])

    @property
    def summary(self) -> dict[str, Any]:
        return dict(self.header["summary"])

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed`, `cancelled`, or `interrupted` if the process that made it is gone."""
        state = str(self.header["state"])
        return "interrupted" if state == "running" and not is_followed(self.folder) else state

    @property
    def was_live(self) -> bool:
        """Whether live cameras were followed; of runs of earlier versions it is known once they have ended."""
        return any(camera.live for camera in self.cameras) or bool(self.summary.get("live"))

    @property
    def purged(self) -> dict[str, str]:
        """When (ISO 8601, UTC) which kind of data was deleted because its time was over: see
        `app.runs.privacy.purge`."""
        return dict(self.header.get("purged", {}))

    @property
    def keeps_doubts(self) -> bool:
        """Whether all boxes that belong to no track were kept (`untracked`); runs of earlier versions lack them."""
        kept = self.header.get("untracked", any(file.kind == "untracked" for file in self.manifest.files))
        return bool(kept)

    def camera(self, name: str) -> CameraRecord:
        """Raises InputError for a name that is no camera of this run."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise InputError(f"{self.folder}: no camera {name!r}; it has {', '.join(c.name for c in self.cameras)}")

    def observations(self, camera: str, start_s: float = -math.inf, end_s: float = math.inf) -> Observations:
        """Return the rows of a camera whose time is in [start_s, end_s], as they were recorded."""
        return concatenate(list(self.observation_parts(camera, start_s, end_s)))

    def observation_parts(
        self, camera: str, start_s: float = -math.inf, end_s: float = math.inf
    ) -> Iterator[Observations]:
        """Yield the same rows part by part, so that a long run never has to fit into memory."""
        return self._row_parts("observations", camera, start_s, end_s)

    def refined(self, camera: str, start_s: float = -math.inf, end_s: float = math.inf) -> Observations:
        """Return the rows of a camera after linking: gaps filled, boxes smoothed (`app.runs.folder.refined`).

        The rows as they were recorded where linking has not made any: before it, or with `link.fill_gaps` off.
        """
        return concatenate(list(self.refined_parts(camera, start_s, end_s)))

    def refined_parts(self, camera: str, start_s: float = -math.inf, end_s: float = math.inf) -> Iterator[Observations]:
        """Yield the same rows as `refined`, part by part."""
        self._refuse_stale()
        kind: PartKind = "refined" if self._files("refined", camera) else "observations"
        return self._row_parts(kind, camera, start_s, end_s)

    def _row_parts(self, kind: PartKind, camera: str, start_s: float, end_s: float) -> Iterator[Observations]:
        for file in self._files(kind, camera, start_s, end_s):
            table = self._columns(file, OBSERVATION_SCHEMA.names[1:])
            part = Observations(
                table["frame"],
                table["time_s"],
                table["track_id"],
                np.stack([table[side] for side in ("x1", "y1", "x2", "y2")], axis=1),
                table["score"],
            )
            if file.start_s < start_s or file.end_s > end_s:
                part = part[(part.times >= start_s) & (part.times <= end_s)]
            yield part

    def untracked(
        self, camera: str, start_s: float = -math.inf, end_s: float = math.inf
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return (R,) times and (R, 4) float32 boxes that belong to no track, at times in [start_s, end_s].

        Runs of earlier versions have none.
        """
        times, boxes = [np.zeros(0)], [np.zeros((0, 4), np.float32)]
        for file in self._files("untracked", camera, start_s, end_s):
            table = self._columns(file, UNTRACKED_SCHEMA.names[1:6])
            own = (table["time_s"] >= start_s) & (table["time_s"] <= end_s)
            times.append(table["time_s"][own])
            boxes.append(np.stack([table[side][own] for side in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32))
        return np.concatenate(times), np.concatenate(boxes)

    def column(self, camera: str, name: str, refined: bool = False) -> NDArray[Any]:
        """Return one column of all observations of a camera, reading nothing else: (R,) `time_s`, `track_id`, …

        refined: of the rows that `refined` returns.
        """
        files = (self._files("refined", camera) if refined else []) or self._files("observations", camera)
        empty = np.zeros(0, OBSERVATION_SCHEMA.field(name).type.to_pandas_dtype())
        return np.concatenate([empty, *(self._columns(file, [name])[name] for file in files)])

    def frames(self, camera: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (F,) int64 indices and (F,) float64 times of every processed frame, in order."""
        tables = [self._columns(file, FRAME_SCHEMA.names) for file in self._files("frames", camera)]
        frames = np.concatenate([np.zeros(0, np.int64), *(table["frame"] for table in tables)])
        times = np.concatenate([np.zeros(0, np.float64), *(table["time_s"] for table in tables)])
        if (np.diff(frames, prepend=-1) <= 0).any():
            raise InputError(f"{self.folder}: the frames of camera {camera} are not numbered in rising order")
        return frames, times

    def crop_times(self, camera: str, crops: Sequence[str]) -> NDArray[np.float64]:
        """Return when crops of a camera were taken, (K,) float64 seconds; crops: their K references.

        The frames of one camera are kept in memory, so ask camera by camera.
        """
        known = self._frames_of
        if known is None or known[0] != camera:
            known = self._frames_of = (camera, *self.frames(camera))
        _, frames, times = known
        wanted = np.array([crop_frame(crop) for crop in crops], np.int64)
        return times[np.minimum(np.searchsorted(frames, wanted), len(times) - 1)]

    def read_part(self, file: PartFile, columns: list[str] | None = None) -> pa.Table:
        """Return some columns of a part, all without `columns`.

        The first reading compares the bytes of the file with what the manifest says of them. Raises InputError if it is
        missing or damaged.
        """
        path = self.folder / file.path
        if not path.exists():
            self._refuse_stale()
        if file.sha256 and file.path not in self._verified:
            if path.is_file() and file_sha256(path) != file.sha256:
                raise InputError(f"{path}: damaged (its checksum does not fit); restore it from a copy")
            self._verified.add(file.path)
        return read_table(path, SCHEMAS[file.kind], columns, file.rows)

    def _columns(self, file: PartFile, names: list[str]) -> dict[str, NDArray[Any]]:
        table = self.read_part(file, names)
        columns = {name: table.column(name).to_numpy() for name in names}
        for name, values in columns.items():
            off = name in _NUMBERED and not ((values >= 0) & (values < LARGEST_NUMBER)).all()
            if off or (name in _WITHIN and not (np.abs(values) <= _WITHIN[name]).all()):  # nor is what is no number
                raise InputError(f"{self.folder / file.path}: {name} holds a value that cannot be; {_RESTORE}")
        return columns

    def tracklet_summaries(self, vectors: bool = True) -> list[TrackletSummary]:
        """Return every tracklet without its boxes, by camera and then by track id.

        vectors: False leaves them unread, which takes a small part of the time and of the memory; they are (K, 0) then.
        """
        indexed = None if vectors else read_index(self.folder, self.manifest.checksum())
        if indexed is not None:
            return indexed
        return [summary for camera in self.cameras for summary in self.read_tracklets(camera.name, vectors)]

    def tracklet_stretches(self, camera: str) -> Iterator[TrackletSummary]:
        """Yield the tracklets of a camera with their vectors, part by part, so that a long run never has to fit into
        memory. A track that was closed and opened again comes several times."""
        return stretches(camera, self._readers(camera), vectors=True)

    def index_tracklets(self) -> list[TrackletSummary]:
        """Return what `tracklet_summaries` returns without vectors, and keep it in one file for the next who asks."""
        checksum = self.manifest.checksum()
        summaries = read_index(self.folder, checksum)
        if summaries is None:
            summaries = self.tracklet_summaries(vectors=False)
            write_index(self.folder, checksum, summaries)
        return summaries

    def tracklets(self) -> list[Tracklet]:
        """Return every tracklet with its boxes, by camera and then by track id. Needs all observations in memory."""
        tracklets = []
        for camera in self.cameras:
            rows = self.observations(camera.name)
            order = np.argsort(rows.track_ids, kind="stable")
            track_ids, starts = np.unique(rows.track_ids[order], return_index=True)
            of_track = dict(zip(track_ids.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}
            for summary in self.read_tracklets(camera.name):
                if summary.track_id not in of_track:
                    raise InputError(
                        f"{self.folder}: tracklet {summary.track_id} of camera {camera.name} has no rows; {_RESTORE}"
                    )
                own = rows[of_track[summary.track_id]]
                tracklets.append(
                    Tracklet(
                        camera.name,
                        summary.track_id,
                        own.times,
                        own.boxes,
                        own.scores,
                        summary.crops,
                        summary.vectors,
                        summary.qualities,
                    )
                )
        return tracklets

    def table(self, name: TableName = "boxes", camera: str | None = None) -> pa.Table:
        """Return everything of one kind as an Arrow table, of one camera or of all. All of it has to fit into memory.

        boxes: the rows of `refined`, as camera, frame, time_s, track_id, person_id (-1 while it is open, and of erased
        people), x1, y1, x2, y2, score; where a gap was filled the score is 0.
        frames: every processed frame, as camera, frame, time_s.
        tracklets: camera, track_id, start_s, end_s, rows, crops, qualities, vectors (D numbers of each crop).

        >>> run.table("frames").column_names
        ['camera', 'frame', 'time_s']
        """
        cameras = [self.camera(camera)] if camera is not None else self.cameras
        if name == "boxes":
            identities = self.identities()
            return box_table(
                [
                    (c.name, rows := self.refined(c.name), identities.person_of(c.name, rows.track_ids, rows.times))
                    for c in cameras
                ]
            )
        if name == "frames":
            return times_table([(c.name, *self.frames(c.name)) for c in cameras])
        if name == "tracklets":
            return summary_table([summary for c in cameras for summary in self.read_tracklets(c.name)])
        raise InputError(f"there is no table {name!r} of a run; there are {', '.join(get_args(TableName))}")

    def arrays(self, name: TableName = "boxes", camera: str | None = None) -> dict[str, NDArray[Any]]:
        """Return the same by column as NumPy arrays, all of one length.

        >>> run.arrays("frames")["frame"][:3]
        array([0, 1, 2])
        """
        table = self.table(name, camera)
        return {column: table.column(column).to_numpy() for column in table.column_names}

    def to_pandas(self, name: TableName = "boxes", camera: str | None = None) -> Any:
        """Return the same as a pandas DataFrame. Raises InputError if pandas is not installed."""
        try:
            return self.table(name, camera).to_pandas()
        except ImportError as error:
            raise InputError("pandas is not installed: pip install pandas, or take `arrays`") from error

    def ledger(self, make: bool = False) -> Ledger:
        """Open who is who. make: begin an empty one if it is gone, instead of raising InputError.

        What a purge deleted is rightly gone, and runs of earlier versions made theirs when it was first asked for.
        Raises InputError, too, for the ledger of another run.
        """
        path = self.folder / LEDGER_FILE
        gone = not path.is_file() or path.stat().st_size == 0
        if gone and not make and self.header.get("checksums") and "observations" not in self.purged:
            raise InputError(
                f"{path}: who is who is missing; restore it from a copy. Without one, `main.py link {self.folder}` "
                "links the run anew, but what humans corrected is lost"
            )
        ledger = Ledger(path)
        owner = self.header.get(RUN_ID, "")
        if gone:
            ledger.give_to(owner)
        elif ledger.owner != owner:
            ledger.close()
            raise InputError(f"{path}: who is who in another run, not in {self.folder}; restore it from a copy")
        return ledger

    def identities(self) -> Identities:
        """Return who is who by the events of the ledger up to now."""
        self._refuse_stale()
        with self.ledger() as ledger:
            return ledger.replay()

    def _refuse_stale(self) -> None:
        """Raise InputError if others took parts of the run away or put new ones in their place since it was opened."""
        if Manifest.stamp(self.folder) != self._stamp:
            raise InputError(
                f"{self.folder}: was linked, erased from or purged after it was opened here, so what is known of it is "
                "out of date; open it again (Run.open)"
            )

    def crop_path(self, reference: str) -> Path:
        """Return the file of a crop reference. Raises InputError if it would lie outside the run's crops."""
        path = Path(os.path.normpath(self.folder / reference))
        if not path.is_relative_to(Path(os.path.normpath(self.folder / "crops"))):
            raise InputError(f"{reference!r} is not a crop of {self.folder}")
        return path

    def read_tracklets(self, camera: str, vectors: bool = True) -> list[TrackletSummary]:
        """Return the tracklets of a camera by track id from the parts, never from the index."""
        return read_summaries(camera, self._readers(camera), vectors)

    def _readers(self, camera: str) -> list[ReadColumns]:
        return [partial(self.read_part, file) for file in self._files("tracklets", camera)]

    def _files(
        self, kind: PartKind, camera: str, start_s: float = -math.inf, end_s: float = math.inf
    ) -> list[PartFile]:
        self.camera(camera)
        return [
            file
            for file in self.manifest.files
            if file.kind == kind and file.camera == camera and file.start_s <= end_s and file.end_s >= start_s
        ]


def check_camera_name(name: str) -> None:
    """Raise InputError for a name that cannot be the name of a folder: that of its camera is."""
    if not name or name.startswith(".") or any(sign in '/\\:*?"<>|' or ord(sign) < 32 for sign in name):
        raise InputError(f"camera name {name!r} cannot be the name of a folder; give another one with --names")


def _check_paths(folder: Path, cameras: Sequence[CameraRecord], manifest: Manifest) -> None:
    """Raise InputError for a run folder, perhaps from elsewhere, that would have files outside of it touched."""
    for camera in cameras:
        try:
            check_camera_name(camera.name)
        except InputError as error:
            raise InputError(f"{folder / RUN_FILE}: {error}") from error
    inner = {f"{parent}/{camera.name}" for parent in ("crops", *PART_KINDS) for camera in cameras}
    inner |= {path.rpartition("/")[0] for path in (*(file.path for file in manifest.files), *manifest.removed)}
    for name in (*_OWN_PLACES, *sorted(inner)):
        if (folder / name).is_symlink():
            raise InputError(f"{folder / name}: this is a link; what belongs to a run lies in the run folder itself")
