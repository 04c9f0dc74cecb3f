"""Small videos for tests, whose pictures carry their number. Loaded by the fixture `small_videos`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write(
    path: Path,
    count: int = 20,
    fps: float = 10.0,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    metadata: dict[str, str] | None = None,
    first_number: int = 0,
    options: dict[str, str] | None = None,
    index_first: bool = False,
) -> Path:
    """Write `count` pictures at `fps`, or one at each of `times` (seconds); `options` go to the encoder.

    index_first: write the index of an MP4 file at its beginning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    time_base = Fraction(1, 90000)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":  # other encoders take no finer time base than their frame rate
            stream.codec_context.time_base = time_base
        stamps = times if times is not None else [number / fps for number in range(count)]
        for number, stamp in enumerate(stamps):
            picture = av.VideoFrame.from_ndarray(numbered_picture(first_number + number, size), format="bgr24")
            picture.time_base = stream.codec_context.time_base or time_base
            picture.pts = round(stamp / picture.time_base)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def cut(source: Path, target: Path, frames: int) -> Path:
    """Copy the first pictures of a video without encoding them anew."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in islice(container.demux(video=0), frames):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def numbered_picture(number: int, size: tuple[int, int] = (64, 48)) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 BGR: eight bars, white where the bit of `number` is set, the lowest bit on the left."""
    width, height = size
    bits = (number >> (np.arange(width) * 8 // width)) & 1
    return np.repeat(np.tile((bits * 255).astype(np.uint8), (height, 1))[..., None], 3, axis=2)


def picture_number(image: NDArray[np.uint8]) -> int:
    """Return the number that a picture of `write` carries."""
    height, width = image.shape[:2]
    middles = (np.arange(8) * width // 8) + width // 16
    return int(((image[height // 2, middles].mean(axis=1) > 128) * 2 ** np.arange(8)).sum())
