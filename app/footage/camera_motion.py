"""How a camera itself moved between two of its frames, so that people who stand still are not seen as walking.

Read from a file (`gmc.txt`, as MOTChallenge tools write it) or measured by sparse optical flow: corners (Shi and
Tomasi, "Good Features to Track", 1994) followed by the pyramidal tracker of Lucas and Kanade (Bouguet's note of 2001),
and a similarity fitted to them by RANSAC (Fischler and Bolles, 1981). Static cameras are the rule, so the flow switches
itself off where nothing moves and only looks again now and then.
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from app.config import SourceSettings
from app.errors import InputError
from app.footage.motchallenge import LAST_FRAME, check_frame_numbers
from app.frames import Frame

if TYPE_CHECKING:
    from app.footage.camera import SourceInfo

_log = logging.getLogger(__name__)

Affine = NDArray[np.float64]
"""(2, 3) float64: takes pixel coordinates of the previous frame to the present one."""

_SMALL_WIDTH_PX = 320
_CORNERS = 100
_MIN_TRACKED = 15
_MIN_INLIERS = 0.5  # share of the tracked corners that must agree on one motion
_INLIER_PX = 1.0  # on the small picture
_MOVED_PX = 0.3  # on the small picture: a smaller motion of all its corners is noise
_MIN_SPREAD = 5  # of 9 fields of the picture that must take part: a bus that passes fills fewer
_STILL_SHARE = 0.3  # corners that stay where they are: so many do not, when the camera turns
_LOOK_S = 1.0
_LOOK_FRAMES = 10
_LOOK_WHEN_STILL_S = 2.0
_LOOK_WHEN_UNSURE_S = 10.0
_REFERENCE_S = 60.0
_LONGEST_STEP_S = 2.0
_BOX_MARGIN = 0.1
_LARGEST_PX = 1e6


class CameraMotionEstimator(Protocol):
    """Follows the motion of one camera; call it once for every frame, in order."""

    def step(self, frame: Frame, people: NDArray[np.floating[Any]]) -> Affine:
        """Return the (2, 3) float64 affine from the previous frame that was given to this one.

        people: (N, 4) x1 y1 x2 y2 of the people in this frame, pixels; what moves there is not the camera.
        The exact identity is returned for the first frame and whenever the camera stands still.
        """
        ...


def build_camera_motion(info: SourceInfo, settings: SourceSettings) -> CameraMotionEstimator:
    """Return the estimator for a source: its `gmc.txt` if it has one, else optical flow if it has pixels."""
    if settings.camera_motion == "none":
        return NoCameraMotion()
    if info.folder is not None and (info.folder / "gmc.txt").exists():
        return FileCameraMotion(info.folder / "gmc.txt", info.frame_count, info.file_scale)
    if not info.has_pixels:
        return NoCameraMotion()
    return FlowCameraMotion(switches_off=settings.camera_motion == "auto")


class NoCameraMotion:
    """A camera that stands still, or of which nothing can be known."""

    def step(self, frame: Frame, people: NDArray[np.floating[Any]]) -> Affine:
        return np.eye(2, 3)


class FileCameraMotion:
    """Camera motion from a file of lines `frame a b tx c d ty`; line n is the motion from frame n - 1 to n, from 1.

    frame_count: of the recording, None if unknown.  file_scale: its own pixels, which the file is in, for a square one.
    Raises InputError with file and line for anything else.
    """

    def __init__(
        self, path: Path, frame_count: int | None = None, file_scale: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        self._to_file = np.diag([*file_scale, 1.0])
        self._motions = _read_motions(path)
        if not self._motions:
            _log.warning("%s: is empty, so the camera is taken to stand still", path)
        check_frame_numbers(np.array(list(self._motions), np.int64), frame_count, str(path))
        self._previous_index: int | None = None

    def step(self, frame: Frame, people: NDArray[np.floating[Any]]) -> Affine:
        motion = np.eye(3)
        if self._previous_index is not None:
            for index in range(self._previous_index + 1, frame.index + 1):
                motion = self._motions.get(index + 1, np.eye(3)) @ motion
        self._previous_index = frame.index
        return (np.linalg.inv(self._to_file) @ motion @ self._to_file)[:2]


def _read_motions(path: Path) -> dict[int, NDArray[np.float64]]:
    """Return the (3, 3) motions by frame number from 1. Raises InputError with file and line."""
    motions = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the camera motion ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = [float(cell) for cell in line.replace(",", " ").split()]
        except ValueError as error:
            raise InputError(f"{path}:{number}: not a number ({error})") from error
        if len(values) != 7 or not np.isfinite(values).all():
            raise InputError(f"{path}:{number}: a line has 7 finite numbers: frame a b tx c d ty")
        if not 1 <= values[0] <= LAST_FRAME or values[0] % 1 or np.abs(values[1:]).max() > _LARGEST_PX:
            raise InputError(
                f"{path}:{number}: frames are whole numbers from 1, motions less than {_LARGEST_PX:g} pixels"
            )
        if int(values[0]) in motions:
            raise InputError(f"{path}:{number}: frame {values[0]:g} is there twice")
        motions[int(values[0])] = np.array([values[1:4], values[4:7], [0.0, 0.0, 1.0]])
    return motions


class _Verdict(Enum):
    STILL = auto()
    MOVED = auto()
    UNSURE = auto()


class _View:
    """A small grey picture with the corners that can be followed from it, which are looked for when first needed."""

    def __init__(self, frame: Frame, people: NDArray[np.floating[Any]]) -> None:
        self.time = frame.time
        self.scale = min(1.0, _SMALL_WIDTH_PX / frame.width)
        size = (max(1, round(frame.width * self.scale)), max(1, round(frame.height * self.scale)))
        # Bilinear and not by area: ten times cheaper on large pictures, and the smoothing takes away its false edges.
        small = cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR)
        self.grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (3, 3), 0)
        self._people = people
        self._corners: NDArray[np.float32] | None = None

    @property
    def corners(self) -> NDArray[np.float32]:
        """(P, 2) float32 corners x y on the small picture, none of them on a person."""
        if self._corners is None:
            mask = np.full(self.grey.shape, 255, np.uint8)
            margin = _BOX_MARGIN * (self._people[:, 2:] - self._people[:, :2])
            grown = np.concatenate([self._people[:, :2] - margin, self._people[:, 2:] + margin], axis=1) * self.scale
            for x1, y1, x2, y2 in np.clip(grown, 0, max(self.grey.shape)).astype(int):
                mask[y1 : y2 + 1, x1 : x2 + 1] = 0
            found = cv2.goodFeaturesToTrack(self.grey, _CORNERS, 0.01, 7, mask=mask)
            self._corners = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        return self._corners


class FlowCameraMotion:
    """Measures camera motion by optical flow, and rests while there is none.

    At first, and as long as motion is seen, every frame is compared with the one before. After a second the picture is
    compared with an earlier one: if everything is where it was, the estimator rests until the next such look, two
    seconds later, and returns the identity at no cost. A camera that begins to turn is thus noticed within two seconds.
    """

    def __init__(self, switches_off: bool = True) -> None:
        self._switches_off = switches_off
        self._reference: _View | None = None
        self._previous: _View | None = None
        self._last_time = 0.0
        self._last_look = 0.0
        self._resting = False
        self._moved_since_look = False
        self._frames_since_look = 0
        self._look_s = _LOOK_S

    def step(self, frame: Frame, people: NDArray[np.floating[Any]]) -> Affine:
        gap_s = frame.time - self._last_time
        self._last_time = frame.time
        if self._reference is None or gap_s > _LONGEST_STEP_S:
            self._begin(_View(frame, people))
            return np.eye(2, 3)
        self._frames_since_look += 1
        is_due = self._frames_since_look >= _LOOK_FRAMES and frame.time - self._last_look >= self._look_s
        if self._resting and not is_due:
            return np.eye(2, 3)
        view = _View(frame, people)
        motion = np.eye(2, 3)
        if not self._resting and self._previous is not None:
            verdict, measured = _compare(self._previous, view)
            if verdict is _Verdict.MOVED:
                motion = measured
                self._moved_since_look = True
        if is_due and self._switches_off:
            self._look(view)
        self._previous = None if self._resting else view
        return motion

    def _begin(self, view: _View) -> None:
        """Start anew: at the first frame and after a gap, over which nothing can be followed."""
        self._reference = self._previous = view
        self._last_look = view.time
        self._resting = False
        self._moved_since_look = False
        self._frames_since_look = 0
        self._look_s = _LOOK_S

    def _look(self, view: _View) -> None:
        """Decide whether to rest until the next look."""
        assert self._reference is not None
        verdict, _ = _compare(self._reference, view)
        watched = not self._resting
        if self._moved_since_look or verdict is _Verdict.MOVED:
            self._resting = False
            self._look_s = _LOOK_S
        elif verdict is _Verdict.STILL:
            self._resting = True
            self._look_s = _LOOK_WHEN_STILL_S
        else:
            # A fast turn, a curtain, or a picture without corners: watch for a while, then do so less often.
            self._resting = watched
            self._look_s = _LOOK_WHEN_UNSURE_S if watched else _LOOK_S
        if verdict is not _Verdict.STILL or view.time - self._reference.time > _REFERENCE_S:
            self._reference = view  # kept otherwise, because its corners are known
        self._last_look = view.time
        self._moved_since_look = False
        self._frames_since_look = 0


def _compare(before: _View, now: _View) -> tuple[_Verdict, Affine]:
    """Return whether the camera moved between two views, and the motion in pixels of the full picture if it did."""
    still = np.eye(2, 3)
    corners = before.corners
    if len(corners) < _MIN_TRACKED:
        return _Verdict.UNSURE, still
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before.grey, now.grey, corners, None, winSize=(15, 15), maxLevel=3)
    kept = found.ravel() == 1
    start, end = corners[kept], moved.reshape(-1, 2)[kept]
    if len(start) < max(_MIN_TRACKED, 0.3 * len(corners)):
        return _Verdict.UNSURE, still
    shifts = np.abs(end - start).max(axis=1)
    if np.mean(shifts < _MOVED_PX) >= _STILL_SHARE:
        return _Verdict.STILL, still
    affine, agrees = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX)
    if affine is None:
        return _Verdict.UNSURE, still
    inliers = start[agrees.ravel() == 1]
    height, width = now.grey.shape
    fields = np.unique(inliers[:, 0] * 3 // width + 3 * (inliers[:, 1] * 3 // height))
    if len(inliers) < max(_MIN_TRACKED, _MIN_INLIERS * len(start)) or len(fields) < _MIN_SPREAD:
        return _Verdict.UNSURE, still
    edges = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    if np.abs(edges @ affine[:, :2].T + affine[:, 2] - edges).max() < _MOVED_PX:
        return _Verdict.STILL, still
    return _Verdict.MOVED, np.column_stack([affine[:, :2], affine[:, 2] / now.scale])
