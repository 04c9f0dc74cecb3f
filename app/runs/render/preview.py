"""What a run looks like while it goes on: a picture of all cameras and how far it is, for whoever watches it.

    video/live.jpg       the latest annotated pictures side by side
    video/progress.json  frames, frames_total (null if unknown), people, seconds, what live cameras are doing

Both are written anew once in a while and deleted at the end. They lie beside the videos: `erase` takes them too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import RenderSettings
from app.footage.camera import SourceInfo
from app.footage.live import arrival_time
from app.frames import FrameResult
from app.runs.folder.layout import PICTURE_FILE, PROGRESS_FILE
from app.runs.folder.progress import Progress
from app.runs.folder.written import note_copies
from app.runs.render.blur import Held
from app.runs.render.draw import annotate, blur_people, resize
from app.runs.render.wall import Wall, WallCamera

_PERIOD_S = 1.0
_HEIGHT_PX = 540
_QUALITY = 80


class Preview:
    """A sink that keeps the latest result of each camera and draws them all once a second. Use it in a `with` block."""

    def __init__(self, folder: Path, infos: Sequence[SourceInfo], settings: RenderSettings) -> None:
        """folder: of the run."""
        self._picture, self._progress = folder / PICTURE_FILE, folder / PROGRESS_FILE
        note_copies([self._picture, self._progress])
        self._settings = settings
        self._latest: dict[str, FrameResult] = {}
        self._held: dict[str, Held] = {}
        self._hidden: dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]] = {}
        self._wall = Wall([WallCamera(info.camera, info.width, info.height, info.fps) for info in infos], _HEIGHT_PX)
        self._live = all(info.live for info in infos)
        self._due_s = self._now = 0.0

    def write(self, result: FrameResult) -> None:
        frame = result.frame
        self._latest[frame.camera] = result
        held = self._held.setdefault(frame.camera, Held())
        self._hidden[frame.camera] = held.follow(result.detections.boxes, result.person_ids, frame.time)

    def report(self, progress: Progress) -> None:
        """Say how far the run is; files are written if the last time is a while ago."""
        if time.monotonic() < self._due_s:
            return
        for result in self._latest.values():
            self._draw(result)
        self._now = max((result.frame.time for result in self._latest.values()), default=self._now)
        if self._live:
            self._now = arrival_time()  # time goes on while no picture comes
        self._latest.clear()
        done, data = cv2.imencode(".jpg", self._wall.picture(self._now), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if done:
            _replace(self._picture, data.tobytes())
        _replace(self._progress, json.dumps(asdict(progress)).encode())
        self._due_s = time.monotonic() + _PERIOD_S

    def __enter__(self) -> Preview:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._picture, self._progress):
            file.unlink(missing_ok=True)

    def _draw(self, result: FrameResult) -> None:
        frame, boxes = result.frame, result.detections.boxes
        image = frame.image
        if self._settings.blur and frame.has_pixels:
            image = blur_people(image, *self._hidden[frame.camera])
        # Drawn in the small picture, so that lines and labels stay readable there.
        scale = min(1.0, self._wall.tile_height / image.shape[0])
        drawn = annotate(resize(image, scale), boxes * np.float32(scale), result.person_ids, result.track_ids)
        self._wall.show(frame.camera, drawn, frame.time)


def _replace(file: Path, data: bytes) -> None:
    """Write a file in one step. Unlike rows it need not survive a loss of power."""
    file.parent.mkdir(parents=True, exist_ok=True)  # an erasure may have taken it away with the picture
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_bytes(data)
    unfinished.replace(file)
