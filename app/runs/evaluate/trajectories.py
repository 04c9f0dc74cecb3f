"""Who was where, as plain arrays: what evaluation compares, whether it comes from a truth file, a result file or a run.

Two conventions of truth are read. Files of MOT17 and MOT20 give a class to each row: only class 1 (pedestrian) is
counted, and a box that a tracker puts on a person on a vehicle, a standing figure, a distractor or a mirror image is
neither right nor wrong. Files with one class use column 7 to mark people too hidden to count: those rows are not asked
for, and a box on them is neither right nor wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.boxes import to_file_pixels
from app.errors import InputError
from app.footage.motchallenge import MotRows, read_rows
from app.frames import NO_ID

if TYPE_CHECKING:
    from app.runs.folder.run import Run

PEDESTRIAN = 1
NEUTRAL_CLASSES = (2, 7, 8, 12)
"""Classes of MOT17 that a tracker may find or not: person on a vehicle, static person, distractor, reflection."""

_TRUTH_MAY_BE_LONGER, _TRUTH_MAY_GO_ON = 100, 10_000
"""A run of the beginning of a recording is compared with the whole truth; many times more is a mistake."""

logger = logging.getLogger(__name__)


class Role(IntEnum):
    """What a row of truth is there for. Rows of results are all COUNTED."""

    COUNTED = 0
    HIDDEN = 1
    """A person too hidden to count; a result box on it that fits no counted person is left out of the scores."""
    NEUTRAL = 2
    """A thing of a neutral class; a result box that fits it better than anything else is left out of the scores."""
    IGNORED = 3
    """Anything else (cars, occluders): never asked for, and a result box on it is a false alarm."""


@dataclass(frozen=True, slots=True)
class Trajectories:
    """The boxes of one camera over time. Rows may come in any order.

    frames: (R,) int64, from 1.
    ids: (R,) int64, the person, the same on every camera; `NO_ID` in results where nobody was named.
    track_ids: (R,) int64, the track within this camera; the same as `ids` for truth.
    boxes: (R, 4) float32, x1 y1 x2 y2 in pixels of the full frame.
    roles: (R,) uint8, a `Role` for each row.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    roles: NDArray[np.uint8]

    def __post_init__(self) -> None:
        rows = len(self.frames)
        for name, dtype, shape in (
            ("frames", np.int64, (rows,)),
            ("ids", np.int64, (rows,)),
            ("track_ids", np.int64, (rows,)),
            ("boxes", np.float32, (rows, 4)),
            ("roles", np.uint8, (rows,)),
        ):
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(
                    f"Trajectories.{name} must be {np.dtype(dtype)} {shape}, not {array.dtype} {array.shape}"
                )
        if rows and self.frames.min() < 1:
            raise ValueError("Trajectories.frames count from 1")

    @classmethod
    def of_result(
        cls,
        frames: NDArray[np.int64],
        ids: NDArray[np.int64],
        boxes: NDArray[np.float32],
        track_ids: NDArray[np.int64] | None = None,
    ) -> Trajectories:
        """Return the rows of a result that belong to a person or a track; without tracks, each id is one track.

        Rows with neither are detections that the tracker set aside, and are dropped.
        """
        track_ids = ids if track_ids is None else track_ids
        keep = (ids != NO_ID) | (track_ids != NO_ID)
        roles = np.zeros(int(keep.sum()), np.uint8)
        return cls(frames[keep], ids[keep], track_ids[keep], boxes[keep], roles)

    @classmethod
    def of_truth(cls, rows: MotRows) -> Trajectories:
        """Return the rows of a truth file, each with its role."""
        person = rows.classes == PEDESTRIAN
        roles = np.full(len(rows), Role.IGNORED, np.uint8)
        roles[np.isin(rows.classes, NEUTRAL_CLASSES)] = Role.NEUTRAL
        roles[person & (rows.scores == 0)] = Role.HIDDEN
        roles[person & (rows.scores != 0)] = Role.COUNTED
        return cls(rows.frames, rows.ids, rows.ids, rows.boxes, roles)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(R,) bool: which rows are asked for."""
        return self.roles == Role.COUNTED

    def __len__(self) -> int:
        return len(self.frames)


def read_truth(path: Path) -> Trajectories:
    """Read a truth file. Raises InputError when it cannot be read, counts nobody or names one id twice in a frame."""
    truth = Trajectories.of_truth(read_rows(path))
    if not truth.counted.any():
        raise InputError(
            f"{path}: no row of this truth is counted; people have 1 in column 7, and in column 8 if it is there"
        )
    check_unique(truth.frames[truth.counted], truth.ids[truth.counted], str(path))
    return truth


def read_result(path: Path) -> Trajectories:
    """Read a result in MOTChallenge format. Raises InputError when it cannot be read or an id is twice in a frame."""
    rows = read_rows(path)
    if len(rows) and (rows.ids == NO_ID).all():
        raise InputError(f"{path}: every id is -1, so these are detections, not the result of a tracker")
    check_unique(rows.frames, rows.ids, str(path))
    return Trajectories.of_result(rows.frames, rows.ids, rows.boxes)


def load_truth(truth: Path, cameras: Sequence[str]) -> dict[str, Trajectories]:
    """Read the truth of each camera: `truth/CAMERA/gt/gt.txt` or `truth/CAMERA.txt`.

    For a single camera, `truth` may also be its truth file or its own folder (`truth/gt/gt.txt`). Truth of cameras that
    were not asked for is mentioned in the log. Raises one InputError naming every camera without truth and where it was
    looked for.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for camera in cameras:
        tried = [truth / camera / "gt" / "gt.txt", truth / f"{camera}.txt"]
        if len(cameras) == 1:
            tried += [truth / "gt" / "gt.txt", truth]
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            problems.append(f"no truth for camera {camera}; looked for {', '.join(str(path) for path in tried)}")
        else:
            found[camera] = path
    if problems:
        raise InputError("\n".join(problems))
    spare = {path.parents[1].name for path in truth.glob("*/gt/gt.txt")} - set(cameras)
    if spare:
        logger.warning("%s also has truth for cameras that are not in this run: %s", truth, ", ".join(sorted(spare)))
    return {camera: read_truth(path) for camera, path in found.items()}


def run_trajectories(run: Run) -> dict[str, Trajectories]:
    """Return the boxes of every camera of a run after linking, with the people they belong to now.

    They are in the recordings' own pixels, as those of truth are ("Pixels" in docs/formats.md).

    Where somebody has several boxes in one frame (a human may have merged two people who were in view together), one
    of them counts, as in every export (`extra_boxes`), and the log says so.
    """
    identities = run.identities()
    result = {}
    for camera in run.cameras:
        rows = run.refined(camera.name)
        people = identities.person_of(camera.name, rows.track_ids, rows.times)
        extra = extra_boxes(rows.frames, people, rows.track_ids, rows.scores)
        if extra.any():
            warn_of_extra_boxes(camera.name, rows.frames, people, extra)
            rows, people = rows[~extra], people[~extra]
        boxes = to_file_pixels(rows.boxes, camera.file_scale)
        result[camera.name] = Trajectories.of_result(rows.frames + 1, people, boxes, rows.track_ids)
    return result


def extra_boxes(
    frames: NDArray[np.int64],
    people: NDArray[np.int64],
    track_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Return (R,) bool: which rows of one camera are left out so that nobody has two boxes in a frame.

    All arguments are (R,), in any order. The box with the best score stays (a box that was seen before one that fills a
    gap), the one of the lower track number among equals. Rows of nobody (`NO_ID`) all stay.
    """
    order = np.lexsort((track_ids, -scores, people, frames))
    frames, sorted_people = frames[order], people[order]
    again = (frames[1:] == frames[:-1]) & (sorted_people[1:] == sorted_people[:-1]) & (sorted_people[1:] != NO_ID)
    extra = np.zeros(len(order), np.bool_)
    extra[order[1:][again]] = True
    return extra


def warn_of_extra_boxes(
    camera: str, frames: NDArray[np.int64], people: NDArray[np.int64], extra: NDArray[np.bool_]
) -> None:
    """Say in the log that (R,) `extra` rows of a camera are left out, and whose they are."""
    first = int(np.argmax(extra))
    logger.warning(
        "camera %s: person %d has two boxes in frame %d; %d such boxes, of %d people, are left out: were people merged "
        "who are two?",
        camera, people[first], frames[first], extra.sum(), len(np.unique(people[extra])),
    )  # fmt: skip


def run_times(run: Run, truth: Mapping[str, Trajectories]) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of frames 1 … last of each camera of a run, reaching to the end of its truth."""
    times = {}
    for camera in run.cameras:
        indices, known = run.frames(camera.name)
        last = int(truth[camera.name].frames.max(initial=1))
        if len(indices):
            _check_length(truth[camera.name], int(indices[-1]) + 1, camera.name)
        if len(indices) and last > indices[-1] + 1:
            logger.warning(
                "camera %s: the truth has %d frames, the run %d; the rest counts as missed",
                camera.name, last, int(indices[-1]) + 1,
            )  # fmt: skip
        times[camera.name] = frame_times(indices, known, last, camera.fps)
    return times


def _check_length(truth: Trajectories, frame_count: int, camera: str) -> None:
    """Raise InputError for truth that is not of this recording, judging by its frame numbers from 1."""
    if len(truth) == 0:
        return
    first, last = int(truth.frames.min()), int(truth.frames.max())
    if first > frame_count or last > _TRUTH_MAY_BE_LONGER * frame_count + _TRUTH_MAY_GO_ON:
        raise InputError(
            f"camera {camera}: the truth goes from frame {first} to {last}, but the run has {frame_count} frames, "
            "counted from 1; is this the truth of another recording?"
        )


def check_unique(frames: NDArray[np.int64], ids: NDArray[np.int64], where: str) -> None:
    """Raise InputError if an id other than `NO_ID` appears twice in one frame; `where` names the place."""
    known = ids != NO_ID
    pairs, counts = np.unique(np.stack([frames[known], ids[known]]), axis=1, return_counts=True)
    if (counts > 1).any():
        frame, person = pairs[:, np.argmax(counts > 1)]
        raise InputError(f"{where}: id {person} is twice in frame {frame}; one person has one box in a frame")


def frame_times(indices: NDArray[np.int64], times: NDArray[np.float64], count: int, fps: float) -> NDArray[np.float64]:
    """Return (count,) seconds of frames 1 … count, from (K,) known frame indices (from 0) and their (K,) times.

    Frames in between are interpolated; those outside go on at the mean rate, or at `fps` if fewer than two are known.
    """
    wanted = np.arange(count, dtype=np.float64)
    if len(indices) < 2:
        return wanted / fps
    step = (times[-1] - times[0]) / (indices[-1] - indices[0])
    before, after = wanted - indices[0], wanted - indices[-1]
    inside = np.interp(wanted, indices, times)
    return np.where(before < 0, times[0] + before * step, np.where(after > 0, times[-1] + after * step, inside))
