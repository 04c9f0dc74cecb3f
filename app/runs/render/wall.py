"""All cameras in one picture, side by side, at one time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.footage.clock import format_time
from app.runs.render.draw import DARK, LIGHT, draw_tag, draw_text, fit, tag_size

_GAP = 2
_WANTED_ASPECT = 16 / 9
_STALE_S = 1.0
_STALE_FRAMES = 3
_DIMMED = 0.35


@dataclass(frozen=True, slots=True)
class WallCamera:
    """A camera that has a place on the wall.  width, height: pixels of its pictures, 0 if none was seen yet.
    fps: nominal frame rate."""

    name: str
    width: int
    height: int
    fps: float


class Wall:
    """Composes the latest pictures of all cameras into a grid with a strip above that shows the time.

    A camera that has had no picture for a second (or for three of its frame periods) is shown dimmed, with "no signal".
    """

    def __init__(self, cameras: Sequence[WallCamera], height_px: int) -> None:
        """cameras: in the order of their places, row by row.  height_px: height of the whole picture."""
        self._text_height = max(13, round(height_px / 42))
        self._strip = tag_size("0", self._text_height)[1] + 2 * _GAP
        aspects = [camera.width / camera.height for camera in cameras if camera.height]
        aspect = float(np.median(aspects or [_WANTED_ASPECT]))
        self.columns, self.rows = grid(len(cameras), aspect)
        self.tile_height = max(32, (height_px - self._strip) // self.rows - _GAP) // 2 * 2
        self.tile_width = max(32, round(self.tile_height * aspect)) // 2 * 2
        height = self._strip + self.rows * (self.tile_height + _GAP)
        width = self.columns * (self.tile_width + _GAP) - _GAP
        self._canvas = np.full((height + height % 2, width + width % 2, 3), DARK, np.uint8)
        self._cameras = {camera.name: camera for camera in cameras}
        self._places = {camera.name: divmod(number, self.columns) for number, camera in enumerate(cameras)}
        self._latest: dict[str, float] = {}
        self._silent: set[str] = set()
        for name in self._cameras:
            self._mark_silent(name)

    @property
    def width(self) -> int:
        return int(self._canvas.shape[1])

    @property
    def height(self) -> int:
        return int(self._canvas.shape[0])

    def show(self, camera: str, image: NDArray[np.uint8], time: float) -> None:
        """Put a picture (of any size) of a camera, taken at `time` in seconds, into its place."""
        tile = self._tile(camera)
        tile[:] = fit(image, self.tile_width, self.tile_height)
        draw_tag(tile, camera, 0, 0, DARK, self._text_height)
        self._latest[camera] = time
        self._silent.discard(camera)

    def picture(self, time: float) -> NDArray[np.uint8]:
        """Return the wall at `time`, (height, width, 3) uint8 BGR. The array is reused: copy it to keep it."""
        for name, camera in self._cameras.items():
            patience_s = max(_STALE_S, _STALE_FRAMES / camera.fps)
            if name not in self._silent and time - self._latest[name] > patience_s:
                self._mark_silent(name)
        self._canvas[: self._strip] = DARK
        draw_text(self._canvas, format_time(time), 2 * _GAP, 2 * _GAP, LIGHT, self._text_height)
        return self._canvas

    def _tile(self, camera: str) -> NDArray[np.uint8]:
        row, column = self._places[camera]
        top = self._strip + row * (self.tile_height + _GAP)
        left = column * (self.tile_width + _GAP)
        return self._canvas[top : top + self.tile_height, left : left + self.tile_width]

    def _mark_silent(self, camera: str) -> None:
        tile = self._tile(camera)
        tile[:] = cv2.convertScaleAbs(tile, alpha=_DIMMED)
        draw_tag(tile, camera, 0, 0, DARK, self._text_height)
        width, height = tag_size("no signal", self._text_height)
        left, top = (self.tile_width - width) // 2, (self.tile_height - height) // 2
        draw_tag(tile, "no signal", left, top, DARK, self._text_height)
        self._silent.add(camera)


def grid(count: int, aspect: float) -> tuple[int, int]:
    """Return (columns, rows) for `count` tiles of width / height `aspect`, so that the whole is about 16 to 9."""

    def badness(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = columns * rows / count - 1
        return abs(math.log(columns * aspect / rows / _WANTED_ASPECT)) + empty

    columns = min(range(1, count + 1), key=badness)
    return columns, math.ceil(count / columns)
