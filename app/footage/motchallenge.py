"""MOTChallenge text files and sequence folders.

A line is `frame, id, left, top, width, height, confidence, class, visibility`; frames count from 1 and `id` is -1 for
detections. Files may end their lines after any column from the sixth. Coordinates are taken as they stand (no shift of
the 1-based pixel origin), as every evaluation code of the benchmark does.
"""

from __future__ import annotations

import configparser
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError

_log = logging.getLogger(__name__)

LAST_FRAME = 100_000_000
"""More than a month at 30 frames/s; a higher number is a mistake, and memory grows with it."""

LARGEST_SIDE_PX = 32_768
"""No picture of a camera is wider or higher."""

_LARGEST_ID = 2**53  # up to here every whole number can be told from its neighbours as it is read
_LARGEST_PX = 1e6


@dataclass(frozen=True, slots=True)
class MotRows:
    """The lines of one file, in order.

    frames: (R,) int64 from 1.  ids: (R,) int64.  boxes: (R, 4) float32 x1 y1 x2 y2 in pixels.
    scores: (R,) float32, seventh column: detection confidence, or in truth 0 for "do not count"; 1 where absent.
    classes: (R,) int64, eighth column; 1 (pedestrian) where absent or -1. MOT15 writes world coordinates in metres
        there: a file with a fraction in that column has no classes and is all 1, with visibility 1.
    visibility: (R,) float32, ninth column; 1 where absent or -1.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    visibility: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, rows: slice | NDArray[Any]) -> MotRows:
        return MotRows(
            self.frames[rows],
            self.ids[rows],
            self.boxes[rows],
            self.scores[rows],
            self.classes[rows],
            self.visibility[rows],
        )


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What `seqinfo.ini` says of a sequence; `image_folder` is the picture folder, which may not exist."""

    name: str
    fps: float
    frame_count: int
    width: int
    height: int
    image_folder: Path
    image_suffix: str


def read_rows(path: Path) -> MotRows:
    """Read a truth, detection or result file. Raises InputError with file and line for anything that is not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot read this MOTChallenge file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8; expected MOTChallenge lines") from error
    lines = text.splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    table = np.full((len(numbered), 9), np.nan)
    for row, (number, line) in enumerate(numbered):
        cells = line.replace(",", " ").split()
        if len(cells) < 6:
            raise InputError(f"{path}:{number}: {len(cells)} columns, at least 6 are needed (frame id x y w h)")
        try:
            values = [float(cell) for cell in cells[:9]]
        except ValueError as error:
            raise InputError(f"{path}:{number}: not a number ({error})") from error
        if not np.isfinite(values).all() or values[0] < 1 or values[4] < 0 or values[5] < 0:
            raise InputError(f"{path}:{number}: frames count from 1, sizes are not negative, all values are finite")
        problem = _problem(values)
        if problem:
            raise InputError(f"{path}:{number}: {problem}")
        table[row, : len(values)] = values
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    classes = table[:, 7]
    visibility = table[:, 8]
    if (np.nan_to_num(classes) % 1 != 0).any():
        classes = visibility = np.ones(len(table))
    return MotRows(
        frames=table[:, 0].astype(np.int64),
        ids=table[:, 1].astype(np.int64),
        boxes=corners.astype(np.float32),
        scores=np.where(np.isnan(table[:, 6]), 1.0, table[:, 6]).astype(np.float32),
        classes=np.where(np.isnan(classes) | (classes < 0), 1, classes).astype(np.int64),
        visibility=np.where(np.isnan(visibility) | (visibility < 0), 1.0, visibility).astype(np.float32),
    )


def _problem(values: list[float]) -> str:
    """Return what no frame, id or box can be in a line of finite numbers, "" if there is nothing."""
    frame, identity, *box = values[:6]
    if frame > LAST_FRAME or frame % 1:
        return f"frame {frame:g}: frames are whole numbers from 1 to {LAST_FRAME:,}"
    if abs(identity) > _LARGEST_ID or identity % 1:
        return f"id {identity:g}: ids are whole numbers up to {_LARGEST_ID:,}"
    if max(map(abs, box)) > _LARGEST_PX:
        return f"box {' '.join(f'{value:g}' for value in box)}: no picture has {max(map(abs, box)):g} pixels in a row"
    if max(map(abs, values[6:]), default=0) > _LARGEST_ID:
        return "columns 7 to 9 are a score, a class and a visibility, none of which is that large"
    return ""


def check_frame_numbers(numbers: NDArray[np.int64], frame_count: int | None, where: str) -> None:
    """Say in the log how many rows are for frames that a recording does not have, and which is the first.

    numbers: (R,) frame of each row, from 1.  frame_count: of the recording, None if unknown.  where: names the file.
    Raises InputError if the recording has the frames of no row: the file is another recording's.
    """
    if frame_count is None or len(numbers) == 0:
        return
    beyond = numbers[numbers > frame_count]
    if len(beyond) == len(numbers):
        raise InputError(
            f"{where}: no row fits the recording: it has {frame_count} frames, counted from 1, and the rows begin with "
            f"frame {numbers.min()}; is this the file of another recording?"
        )
    if len(beyond):
        _log.warning(
            "%s: %d of %d rows are for frames after the last of the recording (%d), the first for frame %d; left out",
            where, len(beyond), len(numbers), frame_count, beyond.min(),
        )  # fmt: skip


def write_rows(
    path: Path,
    frames: NDArray[np.integer[Any]],
    ids: NDArray[np.integer[Any]],
    boxes: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
) -> None:
    """Write (R,) frames from 1, (R,) ids, (R, 4) x1 y1 x2 y2 and (R,) scores as MOTChallenge lines."""
    with path.open("w", encoding="utf-8") as file:
        for frame, person, (x1, y1, x2, y2), score in zip(frames, ids, boxes, scores, strict=True):
            file.write(f"{frame},{person},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1\n")


def read_sequence_info(folder: Path) -> SequenceInfo:
    """Read `folder/seqinfo.ini`. Raises InputError that names the file and the key which is missing or wrong."""
    path = folder / "seqinfo.ini"
    parser = configparser.ConfigParser(interpolation=None)  # a % in a name is a %
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the sequence description ({error.strerror})") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a MOTChallenge sequence description ({error})") from error
    if "Sequence" not in parser:
        raise InputError(f"{path}: the section [Sequence] is missing")
    section = parser["Sequence"]

    def number(key: str, highest: float) -> float:
        try:
            value = float(section[key])
        except KeyError as error:
            raise InputError(f"{path}: the key {key} is missing") from error
        except ValueError as error:
            raise InputError(f"{path}: {key} = {section[key]!r} is not a number") from error
        if not 0 < value <= highest:
            raise InputError(f"{path}: {key} = {value:g} must be positive and at most {highest:g}")
        return value

    return SequenceInfo(
        name=section.get("name", folder.name),
        fps=number("frameRate", 10_000),
        frame_count=int(number("seqLength", LAST_FRAME)),
        width=int(number("imWidth", LARGEST_SIDE_PX)),
        height=int(number("imHeight", LARGEST_SIDE_PX)),
        image_folder=folder / section.get("imDir", "img1"),
        image_suffix=section.get("imExt", ".jpg"),
    )
