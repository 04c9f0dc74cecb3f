"""Detections made elsewhere: one MOTChallenge text file for each camera."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.boxes import to_square_pixels
from app.errors import InputError
from app.footage.motchallenge import check_frame_numbers, read_rows
from app.frames import Detections, Frame
from app.system.checksum import file_sha256

if TYPE_CHECKING:
    from app.footage.camera import SourceInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _CameraRows:
    """The detections of one camera in the order of its frames; frame_numbers (R,) int64 from 1, rising."""

    frame_numbers: NDArray[np.int64]
    detections: Detections


class FileDetector:
    """Looks up the boxes of each frame in the camera's detection file.

    path: relative to each source's folder (`SourceInfo.folder`), or absolute when there is one source.
    sources: the cameras that frames will come from.
    min_score: rows with a score (seventh column) below it are dropped.

    The file's frame N is the frame with index N - 1, its boxes are in the recording's own pixels; rows for frames
    after the last are left out, and the log says so.
    Raises InputError that lists every file which is missing, cannot be read or has no row for any frame.
    """

    def __init__(self, path: str, sources: Sequence[SourceInfo], min_score: float) -> None:
        self.name = f"file:{path}"
        self._cameras: dict[str, _CameraRows] = {}
        checksums: list[str] = []
        problems: list[str] = []
        for source in sources:
            try:
                file = _find(path, source, len(sources))
                self._cameras[source.camera] = _read(file, min_score, source)
                checksums.append(file_sha256(file))
            except InputError as error:
                problems.append(f"{source.camera}: {error}")
        if problems:
            raise InputError("\n".join(problems))
        self.weights_sha256 = " ".join(checksums)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> Detections:
        camera = self._cameras[frame.camera]
        number = frame.index + 1
        first, last = np.searchsorted(camera.frame_numbers, [number, number + 1])
        return camera.detections[first:last]


def _find(path: str, source: SourceInfo, source_count: int) -> Path:
    """Return where the detections of `source` are."""
    if not path:
        raise InputError("--detector file: needs a path, for example file:det/det.txt")
    if Path(path).is_absolute():
        if source_count > 1:
            raise InputError(
                f"{path} is one file, but there are {source_count} sources; give a path inside each source's folder, "
                "for example file:det/det.txt"
            )
        file = Path(path)
    elif source.folder is None:
        raise InputError(f"{source.origin} has no folder in which {path} could be; file: is for recordings")
    else:
        file = source.folder / path
    if not file.is_file():
        raise InputError(f"there is no detection file {file}")
    return file


def _read(file: Path, min_score: float, source: SourceInfo) -> _CameraRows:
    rows = read_rows(file)
    if not len(rows):
        _log.warning("%s: is empty, so nobody is found in this recording", file)
    check_frame_numbers(rows.frames, source.frame_count, str(file))
    if len(rows) and (rows.scores.min() < 0 or rows.scores.max() > 1):
        _log.warning("%s: scores go beyond 0 to 1 and are cut off there; people may be missed", file)
    scores = np.clip(rows.scores, 0, 1)
    kept = np.flatnonzero(scores >= np.float32(min_score))
    order = kept[np.argsort(rows.frames[kept], kind="stable")]
    boxes = to_square_pixels(rows.boxes[order], source.file_scale)
    return _CameraRows(rows.frames[order], Detections(boxes, scores[order]))
