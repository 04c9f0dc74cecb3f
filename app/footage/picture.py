"""Decoded pictures as images: upright, with square pixels, all of one size.

Recorders store pixels that are not square (half-D1, 2CIF, anamorphic D1) and say so by a sample aspect ratio. People
have their shape once a picture is stretched by it, which costs nothing on top of the conversion.
"""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from app.footage.camera import WIDEST_PIXEL, Size
from app.system.untrusted import LIMITS

_log = logging.getLogger(__name__)

_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_INTERPOLATION = "BICUBIC"
"""Half-D1 of PETS09-S2L1, 150 frames: DetA 58.9 with it, 52.6 with PyAV's own choice, which is bilinear."""
_SQUARE = 0.01
"""Pixels that are nearer to square than this are left alone: rounding in a tag is no reason to blur every picture."""


def is_sideways(picture: Any) -> bool:
    """Whether a decoded picture has to be turned by a quarter to be upright."""
    return picture.rotation % 180 == 90


def upright_size(picture: Any) -> Size:
    """Return (width, height) of an `av.VideoFrame` in its own pixels, once it is upright."""
    return (picture.height, picture.width) if is_sideways(picture) else (picture.width, picture.height)


def square_size(size: Size, aspect: float | None, name: str) -> Size:
    """Return (width, height) with square pixels of a picture of `size` whose pixels are `aspect` as wide as high.

    The side that has too few pixels grows. aspect: None or 0 where it is not known.  name: of the file, for the log.
    """
    if not aspect or abs(aspect - 1) < _SQUARE:
        return size
    width, height = size
    stretched = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    if not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL or stretched[0] * stretched[1] > LIMITS.image_pixels:
        _log.warning(
            "%s: says that its pixels are %.3g times as wide as high, which is not believed; `aspect:` in a camera "
            "list says how wide they are", name, aspect,
        )  # fmt: skip
        return size
    return stretched


class FrameConverter:
    """Turns decoded pictures into contiguous (height, width, 3) uint8 BGR, upright and of one size.

    size: of the images, in square pixels.  file_size: of the pictures, in the file's own pixels, upright.
    stream: that the pictures come from; while its pixel aspect explains the two sizes, a later one is believed, too.
    A picture of another size, as after a change in the middle of a file, keeps its shape: with black beside it, if the
    shape is another one.
    """

    def __init__(self, size: Size, file_size: Size, stream: Any = None) -> None:
        self._size, self._file_size = size, file_size
        self._coder = None if stream is None else stream.codec_context
        if self._coder is not None and square_size(file_size, float(self._coder.sample_aspect_ratio or 1), "") != size:
            self._coder = None  # turned, or somebody knows better
        # One reformatter for all pictures: it keeps its scaling context, which halves the cost of a conversion.
        self._reformatter = VideoReformatter()

    def convert(self, picture: Any) -> NDArray[np.uint8]:
        """Return the image of an `av.VideoFrame`."""
        rotation = picture.rotation % 360
        shown = self._shown(upright_size(picture))
        width, height = shown[::-1] if is_sideways(picture) else shown
        converted = self._reformatter.reformat(
            picture, width, height, format="bgr24", interpolation=_INTERPOLATION, threads=1
        )
        image = np.asarray(converted.to_ndarray(), np.uint8)
        if rotation in _ROTATIONS:
            image = cv2.rotate(image, _ROTATIONS[rotation])
        return np.ascontiguousarray(image if shown == self._size else pad_to(image, self._size))

    def _shown(self, size: Size) -> Size:
        """Return how large a picture of `size`, in its own pixels, is shown."""
        if size == self._file_size:
            return self._size
        if self._coder is not None:
            return fitting(square_size(size, float(self._coder.sample_aspect_ratio or 1), "a picture"), self._size)
        wide, high = (shown / own for shown, own in zip(self._size, self._file_size, strict=True))
        return fitting((size[0] * wide, size[1] * high), self._size)


def fitting(size: tuple[float, float], into: Size) -> Size:
    """Return the largest size of the shape of `size` within `into`; `into` itself if the shapes differ by rounding."""
    width, height = size
    scale = min(into[0] / width, into[1] / height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    return into if all(abs(a - b) <= _SQUARE * b for a, b in zip(fitted, into, strict=True)) else fitted


def pad_to(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return an image in the middle of a black one of `size`, (width, height)."""
    width, height = size
    padded = np.zeros((height, width, 3), np.uint8)
    left, top = (width - image.shape[1]) // 2, (height - image.shape[0]) // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


def stretched(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image of pixels that are not square, scaled to (width, height) `size` where they are."""
    return image if image.shape[1::-1] == size else np.asarray(cv2.resize(image, size), np.uint8)


def resized(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image scaled to `size`, (width, height), with its shape kept and black beside it."""
    if image.shape[1::-1] == size:
        return image
    shown = fitting((image.shape[1], image.shape[0]), size)
    scaled = np.asarray(cv2.resize(image, shown), np.uint8)
    return scaled if shown == size else pad_to(scaled, size)
