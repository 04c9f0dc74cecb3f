"""The files of crops: JPEG pictures that carry the checksum of their own bytes.

It stands in a comment, which every reader of JPEG passes over, so a crop can be covered, linked or copied and nothing
else has to be kept in step. `CropWriter` writes those of a run that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import RunError
from app.runs.folder.written import note_written

if TYPE_CHECKING:
    from app.track.tracklets import TrackletDraft

_COMMENT = b"\xff\xfe"
_WORD = b"sha256:"
_LENGTH = len(_WORD) + 64


def crop_place(run: str, reference: str) -> str:
    """Return what a crop belongs to: a run by its id, and a reference. In runs of earlier versions that is nothing."""
    return f"{run} {reference}\n" if run else ""


def encode_crop(image: NDArray[np.uint8], jpeg_quality: int, place: str) -> bytes:
    """Return an (H, W, 3) uint8 BGR image as the bytes of a crop. Raises RunError if it cannot be encoded.

    place: where it belongs, see `crop_place`; elsewhere its checksum doesn't fit.
    """
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        raise RunError(f"cannot encode a crop of {image.shape[1]}×{image.shape[0]} pixels")
    jpeg = data.tobytes()
    at = _after_header(jpeg)
    comment = _COMMENT + (_LENGTH + 2).to_bytes(2, "big") + _WORD + _checksum(jpeg, place)
    return jpeg[:at] + comment + jpeg[at:]


class CropWriter:
    """Writes the crops of tracklets, and deletes those that gave way to better ones while the tracklet went on.

    keep: False leaves them out, when the disk has no room (vectors stay).  left_out: the references of those.
    unsynced: files that are not durable yet.
    """

    def __init__(self, folder: Path, jpeg_quality: int, run: str) -> None:
        """run: the id of the run in `folder`."""
        self.keep = True
        self.left_out: set[str] = set()
        self.unsynced: list[Path] = []
        self._folder = folder
        self._run = run
        self._jpeg_quality = jpeg_quality
        self._of_open: dict[tuple[str, int], frozenset[str]] = {}

    def write(self, drafts: Sequence[TrackletDraft]) -> None:
        """Write the crops of tracklets that are not written yet."""
        new = [crop for draft in drafts for crop in self._new(draft)]
        note_written(self._folder, [path for path, _ in new])
        for path, image in new:
            path.parent.mkdir(parents=True, exist_ok=True)
            place = crop_place(self._run, path.relative_to(self._folder).as_posix())
            path.write_bytes(encode_crop(image, self._jpeg_quality, place))
            self.unsynced.append(path)

    def _new(self, draft: TrackletDraft) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
        """Yield the crops of a tracklet that are to be written, each with its file."""
        known = self._of_open.get(draft.tracklet.key, frozenset())
        for reference, image in zip(draft.tracklet.crops, draft.images, strict=bool(draft.images)):
            path = self._folder / reference
            # An erasure that was cut off may have taken away what is known.
            if reference in known and reference not in self.left_out and path.exists():
                continue
            if not self.keep:
                self.left_out.add(reference)
                continue
            self.left_out.discard(reference)
            yield path, image

    def drop_replaced(self, drafts: Iterable[tuple[TrackletDraft, bool]]) -> None:
        """Delete crops that gave way to better ones, now that no listed row names them.

        drafts: tracklets as they are listed now, each with whether it goes on.
        """
        for draft, is_open in drafts:
            key, crops = draft.tracklet.key, frozenset(draft.tracklet.crops)
            for reference in self._of_open.pop(key, frozenset()) - crops:
                (self._folder / reference).unlink(missing_ok=True)
            if is_open:
                self._of_open[key] = crops


def moved_crop(data: bytes, place: str, new_place: str) -> bytes:
    """Return the bytes of a crop for another place, as they are unless they are whole where they are."""
    at = _after_header(data)
    end = at + 4 + _LENGTH
    whole = crop_is_whole(data, place)
    return data[: end - 64] + _checksum(data[:at] + data[end:], new_place) + data[end:] if whole else data


def crop_is_whole(data: bytes, place: str) -> bool | None:
    """Return whether the bytes of a crop are those that were written for this place, None without a checksum."""
    at = _after_header(data)
    end = at + 4 + _LENGTH
    comment = data[at:end]
    if comment[:2] != _COMMENT or comment[4 : 4 + len(_WORD)] != _WORD:
        return None
    jpeg = data[:at] + data[end:]
    return comment[:4] == _COMMENT + (_LENGTH + 2).to_bytes(2, "big") and comment[-64:] == (_checksum(jpeg, place))


def _checksum(jpeg: bytes, place: str) -> bytes:
    return sha256(place.encode() + jpeg).hexdigest().encode()


def _after_header(jpeg: bytes) -> int:
    """Return where comments may begin: after the start of the image and the segment that names the format."""
    return 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
