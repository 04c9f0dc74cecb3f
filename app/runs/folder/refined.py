"""Better boxes for a recorded run: short gaps filled, jitter smoothed. The last step of linking, never online.

What was recorded stays as it is. The better rows are written beside it (`refined/`), in one step for all cameras, and
made anew by every linking from the recorded ones; they name tracks, not people, so corrections and undo hold for them
without a change. A row that fills a gap has the score `FILLED_SCORE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from app.frames import Tracklet
from app.runs.folder.parts import Part, write_parts
from app.runs.folder.run import Run
from app.runs.folder.tables import FILLED_SCORE, OBSERVATION_SCHEMA, Observations
from app.runs.folder.written import delete_files, written_files
from app.track.smoothing import fill_and_smooth

ROWS_PER_FILE = 200_000


def refine_run(run: Run, tracklets: Sequence[Tracklet], max_gap_s: float | None) -> int:
    """Write the refined rows of a run in the place of earlier ones and return how many rows fill gaps.

    The caller keeps others from changing the run since it was opened, and the tracklets read.
    tracklets: all of the run, with their boxes.  max_gap_s: longest gap to fill; None only takes earlier ones away.
    """
    parts: list[Part] = []
    filled = 0
    for camera in run.cameras if max_gap_s is not None else ():
        own = [tracklet for tracklet in tracklets if tracklet.camera == camera.name]
        rows = refined_rows(own, *run.frames(camera.name), max_gap_s or 0.0)
        filled += int(rows.filled.sum())
        for number, piece in enumerate(_pieces(rows)):
            stem = f"{run.manifest.next_part:06d}_{number:06d}"
            parts.append(Part("refined", camera.name, stem, _table(camera.name, piece)))
    files = [file for file in run.manifest.files if file.kind != "refined"]
    files += write_parts(run.folder, parts)
    run.manifest.replace_files(run.folder, files, run.manifest.next_part + 1)
    left = [path for path in written_files(run.folder) if path.is_relative_to(run.folder / "refined")]
    delete_files(run.folder, set(left) - {run.folder / file.path for file in files})
    return filled


def refined_rows(
    tracklets: Sequence[Tracklet],
    frames: np.ndarray[tuple[int], np.dtype[np.int64]],
    frame_times: np.ndarray[tuple[int], np.dtype[np.float64]],
    max_gap_s: float,
) -> Observations:
    """Return the rows of the tracklets of one camera, filled and smoothed, by frame and then by track.

    frames, frame_times: (F,) int64 and (F,) seconds of every processed frame of the camera.
    """
    columns: list[tuple[np.ndarray, ...]] = [_NO_ROWS]
    for tracklet in tracklets:
        rows, boxes, observed = fill_and_smooth(tracklet.times, tracklet.boxes, frame_times, max_gap_s)
        scores = np.full(len(rows), FILLED_SCORE, np.float32)
        scores[observed] = np.maximum(tracklet.scores, np.finfo(np.float32).tiny)
        columns.append((rows, np.full(len(rows), tracklet.track_id, np.int64), boxes, scores))
    rows, track_ids, boxes, scores = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((track_ids, rows))
    rows = rows[order]
    return Observations(frames[rows], frame_times[rows], track_ids[order], boxes[order], scores[order])


_NO_ROWS = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def _pieces(rows: Observations) -> Iterator[Observations]:
    """Cut rows into files of bounded size, between frames."""
    start = 0
    while start < len(rows):
        end = min(start + ROWS_PER_FILE, len(rows))
        end = int(np.searchsorted(rows.frames, rows.frames[end - 1], side="right"))
        yield rows[start:end]
        start = end


def _table(camera: str, rows: Observations) -> pa.Table:
    return pa.table(
        [
            pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [camera]),
            rows.frames,
            rows.times,
            rows.track_ids,
            *(np.ascontiguousarray(rows.boxes[:, side]) for side in range(4)),
            rows.scores,
        ],
        schema=OBSERVATION_SCHEMA,
    )
