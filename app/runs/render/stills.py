"""One picture of a finished run at one time, with everybody in it marked."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from app.errors import InputError, RunError
from app.footage.picture import FrameConverter
from app.footage.recordings import read_image
from app.footage.stamps import are_guessed
from app.footage.video import chosen_stream, open_container
from app.runs.folder.covered import read_covered
from app.runs.folder.header import CameraRecord
from app.runs.folder.run import Run
from app.runs.ledger.identities import Identities
from app.runs.render.again import SAME_TIME_S, check_inputs, images_by_number, reopen_camera
from app.runs.render.draw import annotate, resize


def annotated_still(
    run: Run, identities: Identities, camera: CameraRecord, index: int, time_s: float, height_px: int
) -> NDArray[np.uint8]:
    """Return a frame with its people marked, at most `height_px` high: (H, W, 3) uint8 BGR.

    index, time_s: the frame, as the run recorded it.  Raises InputError if the recording cannot be read any more.
    """
    image = read_still(run, camera, index, time_s)
    rows = run.refined(camera.name, time_s - SAME_TIME_S, time_s + SAME_TIME_S)
    rows = rows[rows.frames == index]
    people = identities.person_of(camera.name, rows.track_ids, rows.times)
    scale = min(1.0, height_px / image.shape[0])
    boxes = rows.boxes * np.float32(scale)
    return annotate(resize(image, scale), boxes, people, rows.track_ids, identities.names, unseen=rows.filled)


def read_still(run: Run, camera: CameraRecord, index: int, time_s: float) -> NDArray[np.uint8]:
    """Return the frame of a recording, (H, W, 3) uint8 BGR, with erased people covered.

    index, time_s: the frame, as the run recorded it. A video is not decoded from its beginning. Raises InputError if
    the recording is gone, is another one by now, or shows no such frame at that time.
    """
    covered = read_covered(run.folder, camera.name)
    return covered.hide(_read_original(run, camera, index, time_s), time_s)


def _read_original(run: Run, camera: CameraRecord, index: int, time_s: float) -> NDArray[np.uint8]:
    if not camera.has_pixels:
        raise InputError(f"camera {camera.name} has no pictures")
    if not camera.inputs and camera.address:
        raise InputError(f"single pictures of {camera.name}, a recording behind an address, are not shown")
    if not camera.inputs:
        raise InputError(f"pictures of {camera.name} came from a stream and were not kept; only its videos show them")
    check_inputs(camera, compare_content=False)
    images = images_by_number(camera)
    if images is None:
        seen = _seek_in_videos(camera, time_s - camera.start_time)
        return seen if seen is not None else _count_to(run, camera, index, time_s)
    file = images.get(index)
    image = None if file is None else read_image(file, (camera.width, camera.height), camera.reading)
    if image is None:
        raise InputError(f"a picture of {camera.name} is not where it was, or damaged")
    if not abs(index / camera.fps + camera.start_time - time_s) <= SAME_TIME_S:
        raise InputError(f"camera {camera.name}: its picture {index} is not of the time that the run recorded")
    return image


def _seek_in_videos(camera: CameraRecord, time_s: float) -> NDArray[np.uint8] | None:
    """Return the image shown exactly `time_s` after the camera's first one, None if seeking does not find it."""
    offsets = camera.offsets_s or (0.0,)
    if len(offsets) != len(camera.inputs) or camera.reading.fps:
        return None  # an earlier version made this run and did not record when its files begin
    for record, offset_s in zip(camera.inputs[::-1], offsets[::-1], strict=True):
        if offset_s <= time_s + SAME_TIME_S:
            return _seek(camera, Path(record.path), time_s - offset_s)
    return None


def _seek(camera: CameraRecord, file: Path, time_s: float) -> NDArray[np.uint8] | None:
    try:
        with open_container(file) as container:
            stream = chosen_stream(container, file.name, camera.reading.stream)
            stream.thread_type = "AUTO"
            converter = FrameConverter((camera.width, camera.height), camera.file_size, stream)
            first = next(container.decode(stream))
            start_s = float(first.time or 0.0)
            last = first
            stamps: list[tuple[int | None, int | None]] = []
            if time_s > SAME_TIME_S:
                container.seek(math.floor((start_s + time_s) / stream.time_base), stream=stream)
                for picture in container.decode(stream):
                    stamps.append((picture.pts, picture.dts))
                    if picture.time is None or picture.time - start_s > time_s + SAME_TIME_S:
                        break
                    last = picture
            if stream.codec_context.has_b_frames and are_guessed(container.format.name, stamps):
                return None
            if last.is_corrupt or last.time is None or not abs(last.time - start_s - time_s) <= SAME_TIME_S:
                return None
            return converter.convert(last)
    except (av.FFmpegError, StopIteration) as error:
        raise InputError(f"the recording of {camera.name} cannot be read: {file}") from error


def _count_to(run: Run, camera: CameraRecord, index: int, time_s: float) -> NDArray[np.uint8]:
    """Return a frame by counting from the beginning of the recording, for files whose times are not to be trusted."""
    source = reopen_camera(run, camera, compare_content=False)
    source.first_index, source.end_index = index, index + 1
    try:
        frame = next(iter(source), None)
    except RunError as error:
        raise InputError(str(error)) from error
    if frame is None or frame.index != index or not abs(frame.time - time_s) <= SAME_TIME_S:
        raise InputError(f"camera {camera.name}: the run did not look at a frame {index} at {time_s:.3f} s")
    return frame.image
