"""A run reads its own recordings again: the same frames, with the numbers and times that it recorded.

`reopen` is the only way from a run back to images. It goes by what `run.json` says of the inputs (files in order, their
sizes and sha256, when each begins) and by the table of frames that were looked at. No clock is guessed anew, and an
image whose number or time is not the recorded one is never handed out: whatever hides people relies on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError, RunError
from app.footage.addresses import HIDDEN
from app.footage.camera import Source, SourceInfo
from app.footage.recordings import IMAGE_SUFFIXES, VideoFootage, frame_numbers, read_image
from app.footage.segments import Segment
from app.footage.video import VideoFile, VideoFrame, probe_video
from app.frames import Frame, blank_image
from app.runs.folder.header import CameraRecord
from app.runs.folder.run import Run
from app.system.checksum import file_sha256

SAME_TIME_S = 0.001
"""Times of one frame may differ by so much: they are sums of floating-point numbers in several units."""

_ADDRESSES = ("http://", "https://")


class _Pictures(Protocol):
    """The images of one camera on its own clock: what is needed of a `Footage`."""

    problem: str

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]: ...


class RecordedSource:
    """The frames of one camera that a run looked at, in order: a `Source`.

    Iterating raises RunError at the first frame that is not what was recorded, and if any that was recorded is missing
    at the end: then the recording is not the one that the run was made from, or cannot be read as it could be then.
    """

    def __init__(
        self, camera: CameraRecord, footage: _Pictures | None, indices: NDArray[np.int64], times: NDArray[np.float64]
    ) -> None:
        """footage: None for a camera without pixels.  indices, times: (F,) of the frames that were looked at."""
        count = len(indices)
        info = (camera.name, camera.width, camera.height, camera.fps, count, camera.start_time, False)
        self.info = SourceInfo(*info, camera.has_pixels, camera.origin, None, ())
        self.first_index = 0
        self.end_index: int | None = None
        self.dropped = 0
        self._camera, self._footage = camera, footage
        self._indices, self._times = indices, times

    @property
    def problem(self) -> str:
        return "" if self._footage is None else self._footage.problem

    def stop(self) -> None:
        """Nothing waits: a recording ends after the present image."""

    def __iter__(self) -> Iterator[Frame]:
        end = len(self._indices) if self.end_index is None else int(np.searchsorted(self._indices, self.end_index))
        place = int(np.searchsorted(self._indices, self.first_index))
        if place >= end:
            return
        for picture in self._pictures(int(self._indices[place])):
            if picture.index > self._indices[place]:
                raise RunError(self._misfit(place, f"its recording goes on with frame {picture.index} there"))
            if picture.index < self._indices[place]:
                continue  # a frame that the run did not look at
            time = float(self._times[place])
            found = self._camera.start_time + picture.time_s
            if not abs(found - time) <= SAME_TIME_S:
                raise RunError(self._misfit(place, f"its recording has it at {found:.3f} s"))
            yield Frame(self.info.camera, picture.index, time, picture.image, self.info.has_pixels)
            place += 1
            if place == end:
                return
        why = self.problem or "its recording ends before"
        raise RunError(self._misfit(place, why))

    def _pictures(self, first_index: int) -> Iterator[VideoFrame]:
        if self._footage is not None:
            yield from self._footage.video_frames(first_index)
            return
        image = blank_image(self.info.height, self.info.width)
        rows = slice(int(np.searchsorted(self._indices, first_index)), None)
        for index, time in zip(self._indices[rows].tolist(), self._times[rows].tolist(), strict=True):
            yield VideoFrame(index, time - self._camera.start_time, image)

    def _misfit(self, place: int, why: str) -> str:
        return (
            f"camera {self.info.camera}: the run looked at frame {self._indices[place]} at {self._times[place]:.3f} s, "
            f"but {why}; so it cannot be told who is in its frames, and none is shown"
        )


class GuardedSource:
    """A source that ends where it would raise, and keeps the error: one camera's fault is no fault of the others."""

    def __init__(self, source: Source) -> None:
        self.info = source.info
        self.first_index, self.dropped = 0, 0
        self.end_index: int | None = None
        self.error: RunError | None = None
        self._source = source

    @property
    def problem(self) -> str:
        return self._source.problem

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._source
        except RunError as error:
            self.error = error

    def stop(self) -> None:
        self._source.stop()


def reopen(run: Run) -> list[Source]:
    """Return a source for each camera of a run, in order, that gives the frames which the run looked at.

    The files must be those that were read then, by size and sha256, and lie where they lay. Raises InputError that
    lists every camera whose recording cannot be read again and why; live cameras are not connected to.
    """
    if run.was_live:
        raise InputError(
            f"{run.folder}: its pictures came from live cameras and cannot be read again; --save-video, with --blur or "
            "without, draws them while they come"
        )
    sources: list[Source] = []
    problems: list[str] = []
    for camera in run.cameras:
        try:
            sources.append(reopen_camera(run, camera, compare_content=True))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n  ".join([f"{run.folder}: cannot read its recordings again:", *problems]))
    return sources


def reopen_camera(run: Run, camera: CameraRecord, compare_content: bool) -> RecordedSource:
    """Return the source of one camera; `compare_content` False compares only the sizes of its files, which is quick."""
    indices, times = run.frames(camera.name)
    if not camera.has_pixels:
        return RecordedSource(camera, None, indices, times)
    check_inputs(camera, compare_content)
    return RecordedSource(camera, _footage(camera, indices, times), indices, times)


def check_inputs(camera: CameraRecord, compare_content: bool) -> None:
    """Raise InputError if a file of a camera is gone or is another one than the run read."""
    for record in camera.inputs:
        path = Path(record.path)
        if not path.is_file():
            raise InputError(f"camera {camera.name}: its recording is not where it was: {path}; put it back there")
        same = path.stat().st_size == record.size_bytes
        if not same or (compare_content and file_sha256(path) != record.sha256):
            raise InputError(f"camera {camera.name}: {path} is not the file any more that the run was made from")


def images_by_number(camera: CameraRecord) -> dict[int, Path] | None:
    """Return the image files of a camera by frame number, None if it was recorded as videos."""
    files = [Path(record.path) for record in camera.inputs]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if camera.kind == "video" or not images:
        return None
    # Runs of earlier versions don't say what kind it is; a benchmark's folder has its seqinfo.ini among the inputs.
    is_sequence = camera.kind == "sequence" or (not camera.kind and len(images) < len(files))
    return dict(zip(frame_numbers(images) if is_sequence else range(len(images)), images, strict=True))


class _RecordedImages:
    """Image files by frame number, at the frame rate of their camera."""

    def __init__(self, camera: CameraRecord, images: dict[int, Path]) -> None:
        self.problem = ""
        self._camera, self._images = camera, images

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        for index, path in self._images.items():
            size = (self._camera.width, self._camera.height)
            image = read_image(path, size, self._camera.reading) if index >= first_index else None
            if image is not None:
                yield VideoFrame(index, index / self._camera.fps, image)


def _footage(camera: CameraRecord, indices: NDArray[np.int64], times: NDArray[np.float64]) -> _Pictures:
    images = images_by_number(camera)
    if images is not None:
        return _RecordedImages(camera, images)
    locations: list[Path | str] = [Path(record.path) for record in camera.inputs] or [_address(camera)]
    told = camera.reading
    files = []
    for location in locations:
        file = probe_video(location, None, told.fps or None, told.stream)
        if file.file_size != camera.file_size:
            raise InputError(
                f"camera {camera.name}: {file.name} has pictures of {file.file_size[0]}×{file.file_size[1]}, "
                f"the run looked at {camera.file_size[0]}×{camera.file_size[1]}"
            )
        files.append(replace(file, width=camera.width, height=camera.height, reading=told))
    offsets = camera.offsets_s or _offsets_of_frames(camera, files, indices, times)
    segments = [Segment(file, offset_s) for file, offset_s in zip(files, offsets, strict=True)]
    return VideoFootage(segments, None, camera.name, None)


def _address(camera: CameraRecord) -> str:
    """Return where a recording is read from another machine."""
    if not camera.address:
        raise InputError(f"camera {camera.name}: the run did not record where its pictures came from")
    if HIDDEN in camera.address:
        raise InputError(
            f"camera {camera.name}: {camera.address} needs a login, which is never kept; "
            "get the recording as a file and run over that"
        )
    if not camera.address.lower().startswith(_ADDRESSES):
        raise InputError(f"camera {camera.name}: {camera.address} is no address of a recording")
    return camera.address


def _offsets_of_frames(
    camera: CameraRecord, files: Sequence[VideoFile], indices: NDArray[np.int64], times: NDArray[np.float64]
) -> list[float]:
    """Return when each file begins by the times of its frames, for runs of versions that did not record it."""
    lengths = [file.expected_frames for file in files[:-1]]
    firsts = [0, *accumulate(length or 0 for length in lengths)]
    places = np.searchsorted(indices, firsts)
    if None in lengths or (len(files) > 1 and np.any(places >= len(indices))):
        raise InputError(f"camera {camera.name}: an earlier version made this run and did not record how its files lie")
    return [0.0, *(float(times[place]) - camera.start_time for place in places[1:].tolist())]
