"""Where decoding may begin so that the pictures from some number on come out, with the numbers and times they have.

A recording that is divided among tasks, or gone on with, would otherwise be decoded from its beginning each time.
Packets can be read without decoding them at a fiftieth of the cost, and tell as much: in files in order, the n-th stamp
in time is that of the n-th picture. Where that is not certain, nothing is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.footage.stamps import SHORTEST_STEP_S

_ONE_PICTURE_A_PACKET = frozenset(["h264", "hevc", "mpeg4", "mpeg2video", "mjpeg", "av1"])
"""Codecs of which a packet holds one picture that is shown; others, as VP8, also send pictures that never are."""

_INDEXED = ("mov", "avi")
"""Beginnings of the names of containers that list their packets: damage loses none of them unnoticed."""

_FARTHEST_APART_S = 30.0
"""Steps of stamps that are longer may be none of time (`app.footage.stamps`)."""

_FARTHEST_REORDERED = 64
"""Packets after which none comes that is shown earlier; coders reorder 16 pictures at most."""

_MARGIN = 2
"""Key pictures that a decoder sees before the first picture wanted: what follows the first of them may refer to what
was skipped, and some streams renew a picture bit by bit."""


@dataclass(frozen=True, slots=True)
class VideoStart:
    """packets: how many of the file's first packets are not decoded.

    stamp: presentation stamp of the key picture that comes next; what is shown before it is not to be believed.
    stamps: (N,) int64 presentation stamps of the file's first pictures, in order.  tick_s: their unit, seconds.
    """

    packets: int
    stamp: int
    stamps: NDArray[np.int64]
    tick_s: Fraction

    def number_of(self, stamp: int) -> int:
        """Return the number of the picture with this stamp."""
        return int(np.searchsorted(self.stamps, stamp))

    def seconds(self, number: int) -> float:
        """Return the stamp of a picture in seconds."""
        return float(int(self.stamps[number]) * self.tick_s)


def find_start(container: Any, stream: Any, fps: float, first_index: int) -> VideoStart | None:
    """Read packets until the picture numbered `first_index` is among them and say where to begin.

    fps: of the file, 1/s.  If the file has fewer pictures, it is where the last ones can be decoded. None if decoding
    has to begin with the file. Raises av.FFmpegError if its beginning or its packets are damaged.
    """
    if stream.codec_context.name not in _ONE_PICTURE_A_PACKET:
        return None
    in_file: list[int] = []
    keys: list[int] = []
    shown: list[int | None] = []
    for packet in container.demux(stream):
        if not packet.size:
            break
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return None
        if not shown:
            shown = [picture.pts for picture in packet.decode() if not picture.is_corrupt]
        if packet.is_keyframe:
            keys.append(len(in_file))
        in_file.append(packet.pts)
        if len(in_file) > first_index + _FARTHEST_REORDERED:
            break
    if not in_file or not shown:
        return None
    stamps = np.sort(np.array(in_file, np.int64))
    if not stamps[0] == in_file[0] == shown[0] or not _in_order(container, stamps, float(stream.time_base), fps):
        return None
    wanted = stamps[min(first_index, len(stamps) - 1)]
    before = [place for place in keys if in_file[place] <= wanted]
    if len(before) <= _MARGIN:
        return None
    place = before[-_MARGIN]
    return VideoStart(place, in_file[place], stamps, stream.time_base)


def _in_order(container: Any, stamps: NDArray[np.int64], tick_s: float, fps: float) -> bool:
    """Whether sorted stamps are all different, can be believed and, where packets can get lost, none is missing."""
    apart = np.diff(stamps)
    if not np.all(apart * tick_s >= SHORTEST_STEP_S) or np.any(apart * tick_s > _FARTHEST_APART_S):
        return False
    return container.format.name.startswith(_INDEXED) or bool(np.all(apart * tick_s * fps < 1.5))


def length_of(container: Any, stream: Any, fps: float, has_stamps: bool) -> float:
    """Read all packets of a stream and return how long their pictures are shown, seconds, without its gaps.

    fps: of the file, 1/s.  has_stamps: False counts the packets.  Raises av.FFmpegError for damage.
    """
    packets = [packet.pts for packet in container.demux(stream) if packet.size]
    stamps = np.unique(np.array([stamp for stamp in packets if stamp is not None], np.int64))
    if not has_stamps or len(stamps) < 2:
        return len(packets) / fps
    apart = np.diff(stamps) * float(stream.time_base)
    return float(apart[apart <= _FARTHEST_APART_S].sum()) + 1 / fps
