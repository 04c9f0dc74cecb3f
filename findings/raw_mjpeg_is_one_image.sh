#!/bin/sh
# Expected: FFmpeg reads JPEG images one after the other in a file called .mjpg as video (its mjpeg demuxer lists .mjpg),
# whatever their size, and PyAV tells that format.
# Seen with PyAV 18.1.0 (libavformat 62.12.102) and images of Pillow 12.3.0: so for images of 2 kB; with images of 100 kB
# the file is a `jpeg_pipe` ("piped jpeg sequence"), as a single picture is. Its frames still come out, but whoever tells
# pictures from videos by the format refuses the video. Naming the format ("mjpeg") helps.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6 pillow==12.3.0
cd "$folder"
venv/bin/python - <<'PY'
import av
import numpy as np
from PIL import Image


def write(name, width, height):
    grain = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    with open(name, "wb") as file:
        for _ in range(5):
            Image.fromarray(grain).save(file, "JPEG")


seen = {}
for name, size in (("small.mjpg", (32, 24)), ("large.mjpg", (480, 360))):
    write(name, *size)
    with av.open(name) as container:
        seen[name] = container.format.name, len(list(container.decode(video=0)))
with av.open("large.mjpg", format="mjpeg") as container:
    seen["large.mjpg, format named"] = container.format.name, len(list(container.decode(video=0)))
print("PyAV", av.__version__, "libavformat", av.library_versions["libavformat"])
for name, what in seen.items():
    print(f"{name}: {what[0]}, {what[1]} frames")
assert list(seen.values()) == [("mjpeg", 5), ("jpeg_pipe", 5), ("mjpeg", 5)], "this has changed"
PY
