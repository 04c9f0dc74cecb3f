"""Every file reads the same from its middle as from its start: what resuming, chunks and drawing again rely on.

All containers and coders that PyAV can write and read again, with pictures out of order where a coder can do that, at
even and at uneven times.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from app.errors import InputError
from app.footage.video import VideoReader, probe_video

NAMES = "mp4 mov webm avi mpegts mpeg vob flv asf 3gp ogv mxf gif nut ivf h264 hevc m4v obu mpeg2video mjpeg matroska"
FORMATS = [*NAMES.split(), "yuv4mpegpipe"]
OPTIONS = {
    "libx264": {"g": "8", "preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"},
    "libx265": {"preset": "ultrafast", "x265-params": "keyint=8:min-keyint=8:bframes=2:log-level=none:pools=none"},
    "mpeg4": {"g": "8", "bf": "2"},
    "mpeg2video": {"g": "8", "bf": "2"},
    "mpeg1video": {"g": "8", "bf": "1"},
    "libvpx": {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8", "deadline": "realtime"},
    "libvpx-vp9": {"g": "8", "cpu-used": "8", "deadline": "realtime"},
    "libaom-av1": {"g": "8", "cpu-used": "8", "usage": "realtime"},
    **{name: {"g": "8"} for name in ("msmpeg4v3", "wmv2", "flv", "h263p", "mjpeg", "ffv1", "gif", "rawvideo")},
}
CODERS = [name for name in OPTIONS if name in av.codecs_available]
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}
COUNT, FPS = 32, 25
READABLE = {"libx264": 13, "libx265": 8, "mpeg4": 10, "mpeg2video": 8, "libvpx": 4, "libvpx-vp9": 4, "libaom-av1": 4}
"""In how many containers these are written and read at least: a test that skips everything shows nothing."""

ODD = {("libx265", "mpeg"), ("libx265", "vob")}
"""FFmpeg's program streams hold H.265 with stamps that are uneven."""


def written(path: Path, format: str, codec: str, uneven: bool) -> bool:
    """Write a video and return whether this container takes this coder's pictures."""
    at = np.cumsum(np.random.default_rng(1).integers(1, 5, COUNT)) if uneven else np.arange(COUNT)
    try:
        with av.open(str(path), "w", format=format) as container:
            stream = container.add_stream(codec, rate=FPS, options=OPTIONS[codec])
            stream.width, stream.height, stream.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
            for number, stamp in enumerate(at.tolist()):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 7 * number, np.uint8), format="bgr24")
                frame.pts, frame.time_base = stamp, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, OSError):
        return False
    return True


def read(path: Path, first_index: int) -> list[tuple[int, float, float]]:
    reader = VideoReader(probe_video(path))
    return [(one.index, one.time_s, float(one.image.mean())) for one in reader.video_frames(first_index)]


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("codec", CODERS)
def test_a_reading_from_the_middle_is_a_part_of_the_whole(tmp_path: Path, codec: str, uneven: bool) -> None:
    read_again = 0
    for place, format in enumerate(FORMATS):
        path = tmp_path / f"a.{format}"
        if not written(path, format, codec, uneven):
            continue
        try:
            whole = read(path, 0)
        except InputError:  # FFmpeg writes some pairs that it does not read
            continue
        read_again += 1
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(whole)), format
        if not uneven and len(whole) == COUNT and (codec, format) not in ODD:
            assert [one[1] for one in whole] == pytest.approx(np.arange(COUNT) / FPS, abs=0.5 / FPS + 1e-6), format
        for first_index in (place % 8 + 1, 17, COUNT - 1 - place % 5):
            assert read(path, first_index) == [one for one in whole if one[0] >= first_index], (format, first_index)
    assert read_again >= READABLE.get(codec, 1)
