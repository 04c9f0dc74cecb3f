"""How fast a recording is entered in its middle: packets skipped unread, beside decoding all that comes before.

    python tests/bench/bench_skipping.py [--minutes 20]

A task of a divided recording (`run.chunk_s`) and a run that goes on (`--resume`) do that before their first picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.footage.video import VideoFile, VideoReader, probe_video

FPS = 25


def write_video(path: Path, seconds: int) -> None:
    """Write moving noise, 640 × 480, with a key picture every two seconds."""
    random = np.random.default_rng(0)
    background = random.integers(0, 255, (480, 1280, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": str(2 * FPS)})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(seconds * FPS):
            left = number % 640
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(background[:, left : left + 640]), format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


class FromTheBeginning(VideoReader):
    """The baseline: everything is decoded."""

    def _find_start(self, first_index: int) -> None:
        return None


def seconds_to(reader: type[VideoReader], file: VideoFile, index: int) -> float:
    """Return the seconds of processor time until the picture numbered `index` is there."""
    used = time.process_time()
    picture = next(iter(reader(file).video_frames(index)))
    assert picture.index == index
    return time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=20)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        write_video(path, 60)
        minute = probe_video(path)
        long = repeat(path, minutes)
        file = probe_video(long)
        print(f"{minutes} minutes, {file.frame_count} pictures, {long.stat().st_size / 1e6:.0f} MB")
        print(f"{'picture':>10} {'decoded':>10} {'skipped':>10} {'ratio of processor time':>24}")
        for share in (0.25, 0.5, 0.95):
            index = int(share * minutes * (minute.frame_count or 0))
            slow, fast = seconds_to(FromTheBeginning, file, index), seconds_to(VideoReader, file, index)
            print(f"{index:>10} {slow:>8.2f} s {fast:>8.2f} s {slow / fast:>24.0f}")


def repeat(path: Path, times: int) -> Path:
    """Write the packets of a video so many times, one after the other."""
    target = path.with_name("repeated.mp4")
    with av.open(str(target), "w") as container:
        stream = None
        for turn in range(times):
            with av.open(str(path)) as source:
                template = source.streams.video[0]
                stream = stream or container.add_stream_from_template(template)
                later = turn * template.duration
                for packet in source.demux(template):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, stream
                    container.mux(packet)
    return target


if __name__ == "__main__":
    main()
