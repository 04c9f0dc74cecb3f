"""Make the README's picture of a result anew: python tests/readme_pictures.py runs/demo

Takes the instant of the run's wall video at which most people are in view. Use a run of the rendered demo scene only:
nothing from real footage may be published.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import av

from app.runs import Run

TARGET = Path(__file__).resolve().parents[1] / "docs" / "wall.jpg"


def main(folder: Path) -> None:
    run = Run.open(folder)
    present: Counter[float] = Counter()
    cameras_in_view: Counter[float] = Counter()
    for camera in run.cameras:
        times = [round(time, 2) for time in run.observations(camera.name).times.tolist()]
        present.update(times)
        cameras_in_view.update(set(times))
    best = max(present, key=lambda time: (cameras_in_view[time], present[time], -time))
    start = min(float(run.frames(camera.name)[1][0]) for camera in run.cameras)
    with av.open(str(folder / "video" / "wall.mp4")) as video:
        for picture in video.decode(video=0):
            if picture.time is not None and picture.time >= best - start:
                TARGET.parent.mkdir(exist_ok=True)
                picture.to_image().save(TARGET, quality=88)
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
