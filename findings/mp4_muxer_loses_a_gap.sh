#!/bin/sh
# Expected: a step of 6.63 h (2^31 ticks of 90 kHz) between two frames is kept by FFmpeg's MP4 muxer, or muxing raises.
# Seen with PyAV 18.1.0 (libavformat 62.12.102): a little less is kept; from 2^31 ticks on, muxing and closing succeed, and
# every frame after the step lies one tick (11 microseconds) after the one before: 3 s of video have become less than a
# millisecond. Writing a frame again within the gap avoids it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from fractions import Fraction

import av
import numpy as np


def write(name, step):
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 90_000)
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = 9_000 * number + step * (number >= 30), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"])
kept = []
for step in (2**31 - 20_000, 2**31, 2**32):
    write("a.mp4", step)
    with av.open("a.mp4") as container:
        times = [frame.time for frame in container.decode(video=0)]
    print(f"a step of {step} ticks: frame 29 at {times[29]:.4f} s, 30 at {times[30]:.4f} s, 59 at {times[59]:.4f} s")
    kept.append(times[59] - times[30] > 2.8)
assert kept == [True, False, False], "this has changed"
PY
