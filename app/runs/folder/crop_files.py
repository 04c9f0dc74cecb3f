"""The files of crops: JPEG pictures that carry the checksum of their own bytes.

It stands in a comment, which every reader of JPEG passes over, so a crop can be covered, linked or copied and nothing
else has to be kept in step.
"""

from __future__ import annotations

from hashlib import sha256

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import RunError

_COMMENT = b"\xff\xfe"
_WORD = b"sha256:"
_LENGTH = len(_WORD) + 64


def encode_crop(image: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """Return an (H, W, 3) uint8 BGR image as the bytes of a crop. Raises RunError if it cannot be encoded."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        raise RunError(f"cannot encode a crop of {image.shape[1]}×{image.shape[0]} pixels")
    jpeg = data.tobytes()
    at = _after_header(jpeg)
    comment = _COMMENT + (_LENGTH + 2).to_bytes(2, "big") + _WORD + sha256(jpeg).hexdigest().encode()
    return jpeg[:at] + comment + jpeg[at:]


def crop_is_whole(data: bytes) -> bool | None:
    """Return whether the bytes of a crop are those that were written, None if they carry no checksum."""
    at = _after_header(data)
    end = at + 4 + _LENGTH
    comment = data[at:end]
    if comment[:2] != _COMMENT or comment[4 : 4 + len(_WORD)] != _WORD:
        return None
    jpeg = data[:at] + data[end:]
    return comment[:4] == _COMMENT + (_LENGTH + 2).to_bytes(2, "big") and comment[-64:] == (
        sha256(jpeg).hexdigest().encode()
    )


def _after_header(jpeg: bytes) -> int:
    """Return where comments may begin: after the start of the image and the segment that names the format."""
    return 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
