"""The frames of a run as `supervision.Detections`, for whoever draws or counts with that package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from app.errors import InputError
from app.runs.export.formats import Ids
from app.runs.export.rows import ObjectIds
from app.runs.folder.run import Run


def to_supervision(run: Run, camera: str, ids: Ids = "person") -> Iterator[tuple[int, Any]]:
    """Yield the number of each processed frame of a camera, from 0, and the people in it as `supervision.Detections`.

    `tracker_id` is what `ids` asks for, as in every export: "person", the same on every camera, or "track".
    `confidence` is 0 where linking filled a gap, `class_id` is 0. Needs all boxes of the camera in memory.
    Raises InputError if supervision is not installed, or the run has no such camera.

    >>> numbers = [index for index, people in to_supervision(run, "yard")]
    >>> numbers[:3]
    [0, 1, 2]
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise InputError("supervision is not installed: pip install supervision") from error
    rows = run.refined(camera)
    objects = ObjectIds(run, ids)
    rows = rows[~objects.is_extra(camera, rows.frames, rows.track_ids)]
    own = objects.of(camera, rows.track_ids, rows.times)
    frames, _ = run.frames(camera)
    starts, ends = (np.searchsorted(rows.frames, frames, side) for side in ("left", "right"))
    for frame, start, end in zip(frames.tolist(), starts.tolist(), ends.tolist(), strict=True):
        yield (
            frame,
            Detections(
                xyxy=rows.boxes[start:end],
                confidence=rows.scores[start:end],
                class_id=np.zeros(end - start, np.int64),
                tracker_id=own[start:end],
            ),
        )
