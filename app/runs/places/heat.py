"""Heat maps: where in a camera's picture people stood, and for how long."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.boxes import feet_of
from app.errors import InputError
from app.runs.folder.header import CameraRecord
from app.runs.folder.run import Run
from app.runs.folder.written import copying_into, note_copies
from app.runs.render.stills import read_still
from app.system.files import MARK, claim_folder

_RAMP = np.array([[160, 60, 30], [200, 160, 40], [60, 210, 240], [30, 110, 250], [40, 30, 220]], np.float64)
"""Blue, cyan, yellow, orange, red, as BGR."""

_GRID = (36, 64)

_LONGEST_SHOWN_S, _LONGEST_SHOWN_STEPS = 1.0, 3.0


def heat_image(seconds: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width, 4) uint8 BGRA for a grid of seconds: warm where people stood long, clear where nobody did.

    The scale goes by the square root, so that a single bench does not hide the ways to it.
    """
    smooth = cv2.GaussianBlur(np.sqrt(seconds), (0, 0), 1.0)
    share = np.clip(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC), 0, None)
    share = share / max(float(share.max()), 1e-9)
    place = share * (len(_RAMP) - 1)
    colours = np.stack([np.interp(place, np.arange(len(_RAMP)), _RAMP[:, c]) for c in range(3)], axis=2)
    alpha = 215 * np.clip(share * 3.5, 0, 1) * (share > 0.02)
    return np.concatenate([colours, alpha[:, :, None]], axis=2).astype(np.uint8)


def plain_still(run: Run, camera: CameraRecord) -> NDArray[np.uint8]:
    """Return the frame in the middle of a recording, with nothing drawn on it: (H, W, 3) uint8 BGR.

    Raises InputError if there is none, or the recording cannot be read any more.
    """
    indices, times = run.frames(camera.name)
    if not len(indices) or not camera.has_pixels:
        raise InputError(f"camera {camera.name} has no pictures")
    middle = len(indices) // 2
    return read_still(run, camera, int(indices[middle]), float(times[middle]))


def write_heat(folder: Path, output: Path) -> list[Path]:
    """Write `output/CAMERA.png` for each camera of a run: its heat map over one of its pictures, or over grey."""
    with copying_into(output, "drawing heat maps"):
        return _write(Run.open(folder), output)


def _write(run: Run, output: Path) -> list[Path]:
    names = [f"{camera.name}.png" for camera in run.cameras]
    note_copies([*(output / name for name in names), output / MARK])
    claim_folder(output, "heat map", names, option="--heat")
    files = []
    for camera in run.cameras:
        if not camera.width:  # a live camera that was never seen
            continue
        try:
            below = plain_still(run, camera)
        except InputError:
            below = np.full((camera.height, camera.width, 3), 48, np.uint8)
        over = heat_image(heat(run, camera), below.shape[1], below.shape[0])
        alpha = over[:, :, 3:] / 255.0
        picture = (below * (1 - alpha) + over[:, :, :3] * alpha).astype(np.uint8)
        files.append(output / f"{camera.name}.png")
        if not cv2.imwrite(str(files[-1]), picture):
            raise InputError(f"{files[-1]}: cannot write this picture")
    return files


def shown_s(times: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Return (F,) how long each frame of a camera stands for, seconds, from the (F,) times of all that were looked at.

    Until the next one, but not over a gap: what was there meanwhile is not known.  fps: of the camera, if it has one
    frame only.
    """
    if len(times) < 2:
        return np.full(len(times), 1 / max(fps, 1e-6))
    steps = np.diff(times)
    usual_s = float(np.median(steps))
    return np.append(np.minimum(steps, max(_LONGEST_SHOWN_S, _LONGEST_SHOWN_STEPS * usual_s)), usual_s)


def heat(run: Run, camera: CameraRecord) -> NDArray[np.float64]:
    """Return how long people stood where in a camera's picture: (36, 64) seconds, rows from the top.

    Feet outside the picture count at its edge.
    """
    grid = np.zeros(_GRID[0] * _GRID[1])
    indices, times = run.frames(camera.name)
    seconds = shown_s(times, camera.fps)
    for rows in run.refined_parts(camera.name):
        cells = feet_of(rows.boxes) / [camera.width, camera.height] * [_GRID[1], _GRID[0]]
        x, y = np.clip(cells.astype(np.int64), 0, [_GRID[1] - 1, _GRID[0] - 1]).T
        places = np.clip(np.searchsorted(indices, rows.frames), 0, max(len(indices) - 1, 0))
        grid += np.bincount(y * _GRID[1] + x, seconds[places], minlength=len(grid))
    return grid.reshape(_GRID)
