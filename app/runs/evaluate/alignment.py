"""Truth and result laid beside each other, frame by frame: which box is which person, and what does not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from app.boxes import iou
from app.errors import InputError
from app.frames import NO_ID
from app.runs.evaluate.trajectories import Role, Trajectories, check_unique

MATCH_IOU = 0.5
"""Boxes that overlap at least this much are the same person, as in every benchmark of the field."""

_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of one camera: which rows of truth and result are in it, and how well they overlap.

    truth: (N,) row numbers of counted truth.  result: (M,) row numbers of the boxes that count, for or against.
    overlap: (N, M) float64 intersection over union.
    """

    truth: NDArray[np.int64]
    result: NDArray[np.int64]
    overlap: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Truth and result of several cameras laid beside each other; rows of all cameras are numbered through.

    cameras: their names.  steps: the frames of each camera, in the order of time.
    truth_cameras, truth_frames, truth_ids: (R,) int64 for the rows of truth; cameras by number.
    result_cameras, result_frames, result_ids, result_tracks: (S,) int64 for the rows of results. A track has one number
        over all cameras. A row without a person has an id of its track alone.
    matches: (K, 2) int64 rows (of truth, of result) that are the same box: one to one in each frame, overlap ≥ 0.5.
    """

    cameras: tuple[str, ...]
    steps: tuple[tuple[Step, ...], ...]
    truth_cameras: NDArray[np.int64]
    truth_frames: NDArray[np.int64]
    truth_ids: NDArray[np.int64]
    result_cameras: NDArray[np.int64]
    result_frames: NDArray[np.int64]
    result_ids: NDArray[np.int64]
    result_tracks: NDArray[np.int64]
    matches: NDArray[np.int64]

    @property
    def all_steps(self) -> list[Step]:
        return [step for steps in self.steps for step in steps]


def align(truth: Mapping[str, Trajectories], result: Mapping[str, Trajectories]) -> Alignment:
    """Lay the cameras of `result` beside their truth; leave out of account what truth says not to count.

    Raises InputError when a camera has no truth, or when one id has two boxes in a frame.
    """
    missing = [camera for camera in result if camera not in truth]
    if missing or not result:
        raise InputError(f"no truth for camera {', '.join(missing)}" if result else "there is no camera to evaluate")
    cameras = tuple(result)
    steps: list[tuple[Step, ...]] = []
    matches: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    first_truth = first_result = 0
    for camera in cameras:
        counted = truth[camera].counted
        check_unique(truth[camera].frames[counted], truth[camera].ids[counted], f"truth of camera {camera}")
        check_unique(result[camera].frames, result[camera].ids, f"result of camera {camera}")
        camera_steps, camera_matches = _align_camera(truth[camera], result[camera], first_truth, first_result)
        steps.append(camera_steps)
        matches.append(camera_matches)
        first_truth += len(truth[camera])
        first_result += len(result[camera])
    result_cameras = _numbers([len(result[camera]) for camera in cameras])
    ids = np.concatenate([result[camera].ids for camera in cameras])
    tracks = np.concatenate([result[camera].track_ids for camera in cameras])
    tracks = groups(result_cameras, tracks, np.where(tracks == NO_ID, ids, NO_ID))
    return Alignment(
        cameras=cameras,
        steps=tuple(steps),
        truth_cameras=_numbers([len(truth[camera]) for camera in cameras]),
        truth_frames=np.concatenate([truth[camera].frames for camera in cameras]),
        truth_ids=np.concatenate([truth[camera].ids for camera in cameras]),
        result_cameras=result_cameras,
        result_frames=np.concatenate([result[camera].frames for camera in cameras]),
        result_ids=groups(ids, np.where(ids == NO_ID, tracks, NO_ID)),
        result_tracks=tracks,
        matches=np.concatenate(matches),
    )


def _align_camera(
    truth: Trajectories, result: Trajectories, first_truth: int, first_result: int
) -> tuple[tuple[Step, ...], NDArray[np.int64]]:
    """Return the steps of one camera and its matches; row numbers start at `first_truth` and `first_result`."""
    frames = np.union1d(truth.frames, result.frames)
    truth_rows = _rows_by_frame(truth.frames, frames)
    result_rows = _rows_by_frame(result.frames, frames)
    # Files give decimals. Rounding brings them back from float32, so that an overlap of exactly one half is one.
    truth_boxes, result_boxes = (rows.boxes.astype(np.float64).round(_DECIMALS) for rows in (truth, result))
    steps: list[Step] = []
    matches: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    for asked, given in zip(truth_rows, result_rows, strict=True):
        overlap = iou(truth_boxes[asked], result_boxes[given]).astype(np.float64)
        roles = truth.roles[asked]
        counted = roles == Role.COUNTED
        if not counted.all():
            keep = ~_excused(roles, overlap)
            asked, given, overlap = asked[counted], given[keep], overlap[np.ix_(counted, keep)]
        rows, columns = match_boxes(overlap)
        matches.append(np.stack([asked[rows] + first_truth, given[columns] + first_result], axis=1))
        steps.append(Step(asked + first_truth, given + first_result, overlap))
    return tuple(steps), np.concatenate(matches)


def _excused(roles: NDArray[np.uint8], overlap: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (M,) bool: which result boxes of a frame lie on truth that is neither asked for nor wrong to find.

    Neutral things compete with people for a box, as in the MOT17 protocol; hidden people take what others left over.
    """
    excused = np.zeros(overlap.shape[1], np.bool_)
    visible = np.flatnonzero(roles != Role.HIDDEN)
    rows, columns = match_boxes(overlap[visible])
    excused[columns[roles[visible[rows]] == Role.NEUTRAL]] = True
    hidden = np.flatnonzero(roles == Role.HIDDEN)
    if len(hidden):
        taken = excused.copy()
        taken[columns[roles[visible[rows]] == Role.COUNTED]] = True
        left = np.flatnonzero(~taken)
        excused[left[match_boxes(overlap[np.ix_(hidden, left)])[1]]] = True
    return excused


def match_boxes(overlap: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the one-to-one matching with the largest sum of overlaps that reach 0.5."""
    reach = np.where(overlap < MATCH_IOU - np.finfo(float).eps, 0.0, overlap)
    rows, columns = linear_sum_assignment(reach, maximize=True)
    good = reach[rows, columns] > 0
    return rows[good], columns[good]


def _rows_by_frame(row_frames: NDArray[np.int64], frames: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return for each of the sorted `frames` the row numbers that belong to it."""
    order = np.argsort(row_frames, kind="stable")
    starts = np.searchsorted(row_frames[order], frames[1:])
    return np.split(order, starts) if len(frames) else []


def _numbers(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return 0 `lengths[0]` times, 1 `lengths[1]` times and so on."""
    return np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)


def groups(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (R,) int64 numbers from 0: equal where all `keys` (R,) are equal."""
    return np.unique(np.stack(keys), axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)
