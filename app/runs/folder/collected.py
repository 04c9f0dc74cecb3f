"""What was taken of a run and is not in one of its parts yet: the half of the writer that needs no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.frames import NO_ID, FrameResult
from app.runs.folder.covered import Covered, read_covered
from app.runs.folder.manifest import Manifest
from app.runs.folder.parts import FrameRows, Part, frame_table, observation_table, tracklet_table, untracked_table
from app.runs.ledger.identities import Segment

if TYPE_CHECKING:
    from app.track.tracklets import TrackletDraft


def _without(rows: FrameRows, segment: Segment, covered: Covered) -> FrameRows:
    """Return the rows of a frame without those of a segment, and without boxes of no track where it is covered."""
    if not segment.start_s <= rows.time < segment.end_s:
        return rows
    stay = rows.track_ids != segment.track_id
    loose = ~covered.hides(np.full(len(rows.untracked), rows.time), rows.untracked.boxes)
    return replace(
        rows,
        track_ids=rows.track_ids[stay],
        boxes=rows.boxes[stay],
        scores=rows.scores[stay],
        untracked=rows.untracked[loose],
    )


class Collected:
    """Rows and tracklets of a run that were taken, until they are in one of its parts."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.next_frame_index = dict(manifest.next_frame_index)
        self.next_track_id = dict(manifest.next_track_id)
        self._results: dict[str, list[FrameRows]] = {camera: [] for camera in self.next_frame_index}
        self._drafts: list[tuple[TrackletDraft, bool]] = []
        self._flushed_drafts: list[tuple[TrackletDraft, bool]] = []

    def write(self, result: FrameResult) -> None:
        """Take the rows of a frame, those without a track (`NO_ID`) apart, and that the frame was processed.

        Raises ValueError for a frame that was already written: its rows would be doubled.
        """
        frame = result.frame
        if frame.index < self.next_frame_index[frame.camera]:
            raise ValueError(f"camera {frame.camera}: frame {frame.index} is already in the run")
        rows = np.flatnonzero(result.track_ids != NO_ID)
        track_ids = result.track_ids[rows]
        detections = result.detections[rows]
        self._results[frame.camera].append(
            FrameRows(
                frame.index,
                frame.time,
                track_ids,
                detections.boxes,
                detections.scores,
                result.detections[result.track_ids == NO_ID],
            )
        )
        self.next_frame_index[frame.camera] = frame.index + 1
        if len(rows):
            self.next_track_id[frame.camera] = max(self.next_track_id[frame.camera], int(track_ids.max()) + 1)

    def _all_drafts(self) -> list[tuple[TrackletDraft, bool]]:
        """Return what the present part says of tracklets: of one that went on between two flushes only the latest."""
        new = {draft.tracklet.key for draft, _ in self._drafts}
        kept = [
            (draft, is_open) for draft, is_open in self._flushed_drafts if not (is_open and draft.tracklet.key in new)
        ]
        return [*kept, *self._drafts]

    def forget(self, segments: Iterable[Segment]) -> None:
        """Drop the rows of erased people that were taken and are not in the run yet."""
        for segment in segments:
            rows = self._results.get(segment.camera, [])
            covered = read_covered(self.folder, segment.camera)
            rows[:] = [_without(row, segment, covered) for row in rows]

    def _tables(self, stem: str) -> list[Part]:
        """Return the tables of the present part; `stem`: what their files are called."""
        all_drafts = self._all_drafts()
        parts = []
        for camera, rows in self._results.items():
            if rows:
                parts.append(Part("frames", camera, stem, frame_table(rows)))
            if any(len(row.track_ids) for row in rows):
                parts.append(Part("observations", camera, stem, observation_table(camera, rows)))
            if any(len(row.untracked) for row in rows):
                parts.append(Part("untracked", camera, stem, untracked_table(rows)))
            drafts = [(draft, is_open) for draft, is_open in all_drafts if draft.tracklet.camera == camera]
            if drafts:
                parts.append(Part("tracklets", camera, stem, tracklet_table(camera, drafts)))
        return parts
