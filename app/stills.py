"""One picture of a finished run at one time, with everybody in it marked."""

from __future__ import annotations

import math
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from app.covered import read_covered
from app.draw import annotate, resize
from app.errors import InputError
from app.identities import Identities
from app.recordings import IMAGE_SUFFIXES
from app.runs import CameraRecord, Run
from app.video import PictureConverter, open_container

_EARLY_S = 0.001
"""Times go through several units; a picture that seems this much too late is the right one."""


def annotated_still(
    run: Run, identities: Identities, camera: CameraRecord, index: int, time_s: float, height_px: int
) -> NDArray[np.uint8]:
    """Return a frame with its people marked, at most `height_px` high: (H, W, 3) uint8 BGR.

    index, time_s: the frame, as the run recorded it.  Raises InputError if the recording cannot be read any more.
    """
    image = read_still(run, camera, index, time_s)
    rows = run.refined(camera.name, time_s - _EARLY_S, time_s + _EARLY_S)
    rows = rows[rows.frames == index]
    people = identities.person_of(camera.name, rows.track_ids, rows.times)
    scale = min(1.0, height_px / image.shape[0])
    boxes = rows.boxes * np.float32(scale)
    return annotate(resize(image, scale), boxes, people, rows.track_ids, identities.names, unseen=rows.filled)


def read_still(run: Run, camera: CameraRecord, index: int, time_s: float) -> NDArray[np.uint8]:
    """Return the frame of a recording, (H, W, 3) uint8 BGR, with erased people covered.

    A video is not decoded from its beginning. Raises InputError if the recording is gone, or consists of several
    videos.
    """
    covered = read_covered(run.folder, camera.name)
    return covered.hide(_read_original(camera, index, time_s), time_s)


def _read_original(camera: CameraRecord, index: int, time_s: float) -> NDArray[np.uint8]:
    files = [Path(record.path) for record in camera.inputs]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if images:
        # In a benchmark's folder, with its seqinfo.ini, names count from 1; elsewhere pictures count in their order.
        numbered = (
            {int(file.stem) - 1: file for file in images} if len(images) < len(files) else dict(enumerate(images))
        )
        return _read_image(camera, numbered.get(index))
    if not files:
        raise InputError(f"pictures of {camera.name} came from a stream and were not kept; only its videos show them")
    if len(files) != 1:
        raise InputError(f"single frames of {camera.name} cannot be shown: it is not one recording")
    return _read_video(camera, files[0], time_s - camera.start_time)


def _read_image(camera: CameraRecord, file: Path | None) -> NDArray[np.uint8]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR) if file is not None and file.is_file() else None
    if image is None:
        raise InputError(f"a picture of {camera.name} is not where it was, or damaged")
    return np.asarray(image, np.uint8)


def _read_video(camera: CameraRecord, file: Path, time_s: float) -> NDArray[np.uint8]:
    """Return the picture that is shown `time_s` after the first one."""
    if not file.is_file():
        raise InputError(f"the recording of {camera.name} is not where it was: {file}")
    try:
        with open_container(file) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            first = next(container.decode(stream))
            start_s = float(first.time or 0.0)
            last = first
            if time_s > 0:
                container.seek(math.floor((start_s + time_s) / stream.time_base), stream=stream)
                for picture in container.decode(stream):
                    if picture.time is None or picture.time - start_s > time_s + _EARLY_S:
                        break
                    last = picture
            return PictureConverter(camera.width, camera.height).convert(last)
    except (av.FFmpegError, StopIteration) as error:
        raise InputError(f"the recording of {camera.name} cannot be read: {file}") from error
