"""Recorded footage: videos (one file, or several that are one continuous camera), image folders, MOTChallenge folders.

A footage knows nothing of other cameras or of the shared clock: its pictures carry seconds since its own first picture.
`app.footage.sources` puts it on the clock. Opening one finds every problem that can be found without decoding it all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import InputError
from app.footage.addresses import redact
from app.footage.camera import PLAIN, FootageKind, Reading, Size
from app.footage.camera_list import CameraEntry
from app.footage.clock import StartTime, start_from_name
from app.footage.motchallenge import read_sequence_info
from app.footage.picture import square_size, stretched
from app.footage.segments import Segment, place_segments
from app.footage.video import VIDEO_SUFFIXES, VideoFile, VideoFrame, VideoReader, probe_video
from app.frames import blank_image
from app.system.untrusted import LIMITS, decode_image, is_clutter

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])

_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class FootageInfo:
    """What is known of a footage when it is opened; the meaning of the fields is that of `SourceInfo`.

    name: what a camera would be called after it.  duration_s: expected length, None if unknown.
    start: wall-clock time of its first picture and where that is known from, None if unknown.
    kind: how its inputs make up a camera; "live" for none.
    """

    name: str
    width: int
    height: int
    fps: float
    frame_count: int | None
    duration_s: float | None
    start: StartTime | None
    live: bool
    has_pixels: bool
    origin: str
    folder: Path | None
    inputs: tuple[Path, ...]
    kind: FootageKind
    offsets_s: tuple[float, ...] = ()
    address: str = ""
    reading: Reading = PLAIN


class Footage(Protocol):
    """The pictures of one camera on its own clock."""

    info: FootageInfo
    problem: str

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        """Yield pictures from number `first_index` on; times strictly increase. Sets `problem` if it ends early."""
        ...


def natural_order(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key that puts `frame2` before `frame10`."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def open_recording(entry: CameraEntry, image_fps: float) -> Footage:
    """Open the files or the folder of a camera. Raises InputError that names what is wrong and what to do."""
    paths = [Path(source) for source in entry.sources]
    for path in paths:
        if not path.exists():
            # Redacted, because it may be a URL that was mistyped.
            raise InputError(f"{redact(str(path))}: there is no such file or folder; check the path")
    if len(paths) == 1 and paths[0].is_dir():
        return _open_folder(paths[0], entry, image_fps)
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: a folder cannot be one of several files of a camera; list its files")
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise InputError(f"{path}: is a single picture; give the folder that holds the pictures")
    return _open_videos(paths, entry, order_is_given=True)


def _open_folder(folder: Path, entry: CameraEntry, image_fps: float) -> Footage:
    if (folder / "seqinfo.ini").is_file():
        return SequenceFootage(folder, entry)
    files = sorted((file for file in folder.iterdir() if not is_clutter(file.name)), key=natural_order)
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if images and videos:
        raise InputError(f"{folder}: holds both pictures and videos; give a folder with one kind, or name the videos")
    if videos:
        return _open_videos(videos, entry, order_is_given=False, folder=folder)
    if not images:
        raise InputError(f"{folder}: holds no pictures, no videos and no seqinfo.ini; give a folder with one of them")
    return ImageFootage(folder, images, image_fps, entry)


def _open_videos(
    paths: Sequence[Path], entry: CameraEntry, order_is_given: bool, folder: Path | None = None
) -> VideoFootage:
    """Open the files of a camera. Of several, those that cannot be read are gaps, which its problem tells of."""
    files: list[VideoFile] = []
    problems: list[str] = []
    for path in paths:
        try:
            files.append(probe_video(path, entry.aspect, entry.fps, entry.stream))
        except InputError as error:
            problems.append(str(error))
    gaps: list[str] = []
    if files and problems:
        gaps, problems = [f"a segment is missing: {problem}" for problem in problems], []
        for gap in gaps:
            logger.warning("%s; the camera has a gap there", gap)
    sizes = {((file.width, file.height), file.file_size) for file in files}
    if len(sizes) > 1:
        seen = ", ".join(f"{file.name} {file.file_size[0]}×{file.file_size[1]}" for file in files)
        problems.append(f"the files of one camera must have one picture size: {seen}; make them separate cameras")
    if problems:
        raise InputError("\n  ".join(problems))
    segments, start = place_segments(files, entry, order_is_given)
    if folder is not None:
        return VideoFootage(segments, start, folder.resolve().name, folder, gaps)
    return VideoFootage(segments, start, paths[0].stem, paths[0].with_suffix(""), gaps)


class VideoFootage:
    """One video file, or several that are one continuous camera; picture numbers go on over the files."""

    def __init__(
        self,
        segments: Sequence[Segment],
        start: StartTime | None,
        name: str,
        folder: Path | None,
        gaps: Sequence[str] = (),
    ) -> None:
        """segments: in order of time.  name, start: what the camera would be called, and when it began, if known.

        gaps: a sentence for each segment that is not among them, since it cannot be read.
        """
        self.problem = ""
        self._gaps = tuple(gaps)
        self._segments = tuple(segments)
        first = self._segments[0].file
        last = self._segments[-1]
        counts = [segment.file.expected_frames for segment in self._segments]
        last_duration_s = last.file.expected_duration_s
        self.info = FootageInfo(
            name=name,
            width=first.width,
            height=first.height,
            fps=first.fps,
            frame_count=None if None in counts else sum(count for count in counts if count is not None),
            duration_s=None if last_duration_s is None else last.offset_s + last_duration_s,
            start=start,
            live=False,
            has_pixels=True,
            origin=", ".join(segment.file.name for segment in self._segments),
            folder=folder,
            inputs=tuple(s.file.location for s in self._segments if isinstance(s.file.location, Path)),
            kind="video",
            offsets_s=tuple(segment.offset_s for segment in self._segments),
            address=first.name if isinstance(first.location, str) else "",
            reading=first.reading,
        )

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        self.problem = "; ".join(self._gaps)
        problems = list(self._gaps)
        number = 0
        end_s = 0.0
        for segment in self._segments:
            reader = VideoReader(segment.file)
            # A file that is longer than it announced would reach into the next one, but time must increase.
            offset_s = max(segment.offset_s, end_s)
            for picture in reader.video_frames(max(0, first_index - number)):
                yield VideoFrame(number + picture.index, offset_s + picture.time_s, picture.image)
            number += reader.next_index
            end_s = offset_s + reader.end_s
            problems += [text for text in (reader.notice, reader.problem) if text]
            self.problem = "; ".join(problems)


class ImageFootage:
    """A folder of pictures in natural order of their names, at a frame rate that the settings give."""

    def __init__(self, folder: Path, images: Sequence[Path], fps: float, entry: CameraEntry) -> None:
        self.problem = ""
        self._images = tuple(images)
        self._indices = list(range(len(images)))
        width, height, reading = _shown_size(common_size(images), entry, str(folder))
        fps = entry.fps or fps
        name = folder.resolve().name
        self.info = FootageInfo(
            name=name,
            width=width,
            height=height,
            fps=fps,
            frame_count=len(images),
            duration_s=len(images) / fps,
            start=entry.start or start_from_name(name, entry.name_pattern),
            live=False,
            has_pixels=True,
            origin=str(folder),
            folder=folder,
            inputs=self._images,
            kind="images",
            reading=reading,
        )

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        self.problem = ""
        yield from read_images(self._images, self._indices, self.info, first_index)


class SequenceFootage:
    """A MOTChallenge folder: picture n of the benchmark is number n - 1. Without `img1/` its pictures are blank."""

    def __init__(self, folder: Path, entry: CameraEntry) -> None:
        self.problem = ""
        sequence = read_sequence_info(folder)
        images: list[Path] = []
        if sequence.image_folder.is_dir():
            files = (file for file in sequence.image_folder.iterdir() if not is_clutter(file.name))
            images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
            images.sort(key=natural_order)
        self._images = tuple(images)
        self._indices = frame_numbers(images)
        own_size = common_size(images) if images else (sequence.width, sequence.height)
        if own_size != (sequence.width, sequence.height):
            logger.warning(
                "%s says %d×%d, its pictures are %d×%d; the pictures are believed",
                *(folder / "seqinfo.ini", sequence.width, sequence.height, *own_size),
            )
        width, height, reading = _shown_size(own_size, entry, str(folder))
        fps = entry.fps or sequence.fps
        name = folder.resolve().name
        self.info = FootageInfo(
            name=name,
            width=width,
            height=height,
            fps=fps,
            frame_count=len(images) or sequence.frame_count,
            duration_s=sequence.frame_count / fps,
            start=entry.start or start_from_name(name, entry.name_pattern),
            live=False,
            has_pixels=bool(images),
            origin=str(folder),
            folder=folder,
            inputs=(folder / "seqinfo.ini", *images),
            kind="sequence",
            reading=reading,
        )
        self._announced = sequence.frame_count

    def video_frames(self, first_index: int) -> Iterator[VideoFrame]:
        self.problem = ""
        if not self._images:
            image = blank_image(self.info.height, self.info.width)
            for index in range(first_index, self._announced):
                yield VideoFrame(index, index / self.info.fps, image)
            return
        yield from read_images(self._images, self._indices, self.info, first_index)
        if len(self._images) < self._announced:
            counts = f"{len(self._images)} of the {self._announced} pictures that seqinfo.ini names"
            self.problem = f"{self.info.origin}: holds only {counts}"


def _shown_size(own_size: Size, entry: CameraEntry, name: str) -> tuple[int, int, Reading]:
    """Return the width and height in square pixels of images that are `own_size`, and how they are read."""
    if entry.stream:
        raise InputError(f"{entry.place}: images have no video streams; leave out stream")
    size = square_size(own_size, entry.aspect, name)
    return *size, Reading(own_size if size != own_size else (0, 0), entry.fps or 0.0)


def read_images(
    images: Sequence[Path], indices: Sequence[int], info: FootageInfo, first_index: int
) -> Iterator[VideoFrame]:
    """Yield the pictures numbered `indices` from `first_index` on; one that cannot be decoded is skipped."""
    for index, path in zip(indices, images, strict=True):
        if index < first_index:
            continue
        image = read_image(path, (info.width, info.height), info.reading)
        if image is None:
            logger.warning("%s: damaged picture skipped", path)
            continue
        yield VideoFrame(index, index / info.fps, image)


def common_size(images: Sequence[Path]) -> tuple[int, int]:
    """Return the (width, height) in pixels that all pictures share, reading only their headers.

    Raises InputError that names the first picture which cannot be read or differs.
    """
    first: tuple[int, int] | None = None
    for path in images:
        try:
            with Image.open(path) as header:
                width, height = header.size
                # Asking a PNG without EXIF for it would decode the whole picture.
                if "exif" in header.info and header.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS:
                    width, height = height, width
        except (
            OSError,
            ImportError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ):  # Ultralytics, once imported, makes Pillow look for packages that are not there
            raise InputError(f"{path}: not a picture that can be read; remove it or copy it again") from None
        if width * height > LIMITS.image_pixels:
            raise InputError(f"{path}: an image of {width} × {height} pixels; {LIMITS.image_pixels:,} are the most")
        if first is None:
            first = (width, height)
        elif (width, height) != first:
            raise InputError(
                f"{path}: is {width}×{height}, the pictures before it are {first[0]}×{first[1]}; "
                "a camera has one picture size, so separate or resize them"
            )
    if first is None:
        raise InputError("a folder of pictures must hold at least one")
    return first


def read_image(path: Path, size: Size, reading: Reading = PLAIN) -> NDArray[np.uint8] | None:
    """Return an image of a camera as (H, W, 3) uint8 BGR of `size`; None if it is damaged, or not as large as all."""
    own_size = reading.file_size if all(reading.file_size) else size
    image = _decoded(path)
    return None if image is None or image.shape[1::-1] != own_size else stretched(image, size)


def _decoded(path: Path) -> NDArray[np.uint8] | None:
    try:
        encoded = np.fromfile(path, np.uint8)  # cv2.imread cannot open every name on every system
    except OSError:
        return None
    try:
        return decode_image(encoded.tobytes(), str(path)) if len(encoded) else None
    except InputError:
        return None


def frame_numbers(images: Sequence[Path]) -> list[int]:
    """Return the number from 0 of each picture: its name where all names are numbers from 1, else its position."""
    stems = [path.stem for path in images]
    if not all(stem.isdecimal() for stem in stems):
        return list(range(len(images)))
    numbers = [int(stem) - 1 for stem in stems]
    rising = all(a < b for a, b in pairwise(numbers))
    return numbers if rising and numbers and numbers[0] >= 0 else list(range(len(images)))
