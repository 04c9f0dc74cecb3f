#!/bin/sh
# Expected: decoded frames come out in the order in which they are shown, and so do their `pts`, in every container that
# FFmpeg itself writes; where a container holds no presentation stamps, `pts` is None.
# Seen with PyAV 18.1.0 (libavcodec 62.28.102): H.264 with B-frames read from ASF, MXF and AVI comes out in the right order
# with a `pts` that runs backwards (FFmpeg guesses it for packets that have none); `dts` of the frames is even and rises.
# MP4 and Matroska are right.
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

print("PyAV", av.__version__, "libavcodec", av.library_versions["libavcodec"])
seen = {}
for suffix in ("mp4", "mkv", "avi", "asf", "mxf"):
    with av.open(f"a.{suffix}", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "g": "12", "x264-params": "b-adapt=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(f"a.{suffix}") as container:
        frames = list(container.decode(video=0))
    assert np.all(np.diff([frame.to_ndarray(format="bgr24").mean() for frame in frames]) > 0), "not in order"
    pts = [round(f.pts * f.time_base * 25) for f in frames if f.pts is not None]
    dts = [round(f.dts * f.time_base * 25) for f in frames if f.dts is not None]
    seen[suffix] = bool(np.all(np.diff(pts) > 0)), bool(np.all(np.diff(dts) > 0))
    print(f"{suffix}: pts {pts[:8]}, dts {dts[:8]}, in frames")
assert all(rises for _, rises in seen.values()), "dts has changed"
assert [pts for pts, _ in seen.values()] == [True, True, False, False, False], "pts has changed"
PY
