"""Annotated video of a run: one file for each camera, and one of all cameras side by side.

Recordings are drawn after linking, by decoding them again, so that video, export and evaluation show the same people.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Container, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from app.config import RenderSettings
from app.errors import InputError, RunError
from app.footage.camera import Source, SourceInfo
from app.footage.ticks import ticks
from app.footage.video_writer import VideoWriter
from app.frames import NO_ID, Detections, Frame, FrameResult
from app.runs.folder.covered import read_covered
from app.runs.folder.layout import VIDEO_FOLDER
from app.runs.folder.progress import Progress, Report
from app.runs.folder.run import Run
from app.runs.folder.tables import FILLED_SCORE
from app.runs.folder.written import copying_into, note_copies
from app.runs.ledger.identities import Identities
from app.runs.render.again import GuardedSource, reopen
from app.runs.render.blur import NOWHERE, CameraBlur, Held, Hidden, Whereabouts
from app.runs.render.draw import annotate, resize
from app.runs.render.wall import Wall, WallCamera
from app.system.files import write_atomically

BLURRED_FILE = "blurred.json"
"""Beside blurred videos: how each camera was blurred."""

DOUBTS_MISSING = (
    "This run, or its beginning, is from a version that did not keep boxes in doubt (untracked/), so blurred videos of "
    "it miss more people than those of a new run: follow the recordings again before you give a video away."
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blurred:
    """How the frames of one camera were blurred: how many, and how many had movement outside every hidden place."""

    frames: int
    moving_outside: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """The videos that were made, and how each camera was blurred (nothing if it was not)."""

    files: tuple[Path, ...]
    blurred: Mapping[str, Blurred]


_CHUNK_S = 300.0
_OVERLAP_S = 30.0
_SAME_INSTANT = 0.75  # of the shortest frame period: two cameras out of step by half of it still share a wall picture


def render_run(
    run: Run, settings: RenderSettings, wall_height_px: int, report: Report | None = None, folder: Path | None = None
) -> Drawn:
    """Write `video/<camera>.mp4` for every camera of a run, and `video/wall.mp4` if there are several.

    report: called after each tick with the frames so far.
    folder: where `video` is made, instead of in the run's own folder.
    Raises InputError if a recording cannot be read again (`app.runs.render.again.reopen`), or if the rows that
    tell whom to blur were deleted; RunError if a frame of a camera is not the recorded one or its file cannot be
    written. There is no file of that camera then; the others are finished all the same.
    """
    sources = reopen(run)
    if settings.blur and "observations" in run.purged:
        raise InputError(f"{run.folder}: who was where was deleted (`purge`), so nobody can be blurred any more")
    with copying_into(folder or run.folder, "drawing videos of this run"):
        return _render(Run.open(run.folder), sources, settings, wall_height_px, report, folder or run.folder)


def _render(
    run: Run,
    sources: Sequence[Source],
    settings: RenderSettings,
    wall_height_px: int,
    report: Report | None,
    target: Path,
) -> Drawn:
    identities = run.identities()
    if settings.blur_except_person != NO_ID:
        settings = settings.model_copy(update={"blur_except_person": identities.resolve(settings.blur_except_person)})
    infos = [source.info for source in sources]
    rows = {info.camera: _CameraRows(run, identities, info.camera) for info in infos}
    covered = {info.camera: read_covered(run.folder, info.camera) for info in infos}
    whereabouts = {info.camera: Whereabouts(run, identities, info.camera) for info in infos} if settings.blur else {}
    if settings.blur and not run.keeps_doubts:
        _LOG.warning("%s: %s", run.folder, DOUBTS_MISSING)
    total = sum(reader.frame_count for reader in rows.values())
    people = len(identities.people())
    start = time.perf_counter()
    drawn = 0
    guarded = [GuardedSource(source) for source in sources]
    with (
        open_videos(infos, target, settings, wall_height_px, identities.names) as videos,
        closing(ticks(guarded)) as all_ticks,
    ):
        for tick in all_ticks:
            for frame in tick:
                grey = covered[frame.camera]
                result = rows[frame.camera].at(replace(frame, image=grey.hide(frame.image, frame.time)))
                hidden = None
                if settings.blur:
                    somebody, people_there = whereabouts[frame.camera].at(frame.index, frame.time)
                    hidden = Hidden(somebody, people_there, grey.boxes_at(frame.time))
                videos.write(result, hidden)
                drawn += 1
            if report is not None:
                report(Progress(drawn, total, time.perf_counter() - start, people, len(infos)))
        for source in guarded:
            if source.error is not None:
                videos.give_up(source.info.camera, source.error)
    return Drawn(tuple(videos.files), videos.blurred())


def open_videos(
    infos: Sequence[SourceInfo],
    folder: Path,
    settings: RenderSettings,
    wall_height_px: int,
    names: Mapping[int, str] | None = None,
) -> AnnotatedVideos:
    """Return the sink that writes the annotated videos of some cameras into the run `folder`."""
    cameras = [WallCamera(info.camera, info.width, info.height, info.fps) for info in infos]
    return AnnotatedVideos(folder / VIDEO_FOLDER, cameras, settings, wall_height_px, names)


class AnnotatedVideos:
    """A sink that draws every result into the video of its camera, and into the wall of all cameras.

    Use it in a `with` block: files get their names at its end, and after an error there are none. A camera whose video
    cannot be written goes without; the others are finished, and the end of the block raises RunError. Blurred videos
    have `blurred.json` beside them: for each camera the values of `Blurred`.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Sequence[WallCamera],
        settings: RenderSettings,
        wall_height_px: int,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """names: labels of people; others are labelled with their number."""
        self.files: list[Path] = []
        """The finished files, once closed."""
        self.paused = False
        """Whether nothing is drawn for now: the disk has no room. The videos go on afterwards, with the right times."""
        self._folder = folder
        self._cameras = {camera.name: camera for camera in cameras}
        self._wall_height_px = wall_height_px
        self._settings = settings
        self._names = names or {}
        self._begin()

    def _begin(self) -> None:
        wall = self._folder / f"{wall_name(self._cameras)}.mp4"
        self._report = self._folder / BLURRED_FILE
        self._failed: dict[str, RunError] = {}
        note_copies([*(self._folder / f"{name}.mp4" for name in self._cameras), wall, self._report])
        self._blurs = {name: CameraBlur(self._settings) for name in self._cameras}
        self._held = {name: Held() for name in self._cameras}
        self._trails: dict[str, Trails] = {name: Trails(self._settings.trail_s) for name in self._cameras}
        self._writers = {
            camera.name: self._writer(camera, camera.width, camera.height)
            for camera in self._cameras.values()
            if camera.width
        }
        self._wall: _WallVideo | None = None
        if len(self._cameras) > 1:
            self._wall = _WallVideo(wall, list(self._cameras.values()), self._wall_height_px, self._settings.video_crf)

    def start_again(self) -> None:
        """Give up what was drawn so far and begin new videos: somebody in them was erased."""
        self.discard()
        self._begin()

    def write(self, result: FrameResult, hidden: Hidden | None = None) -> None:
        """Draw one result. hidden: what to hide where blurring is on; by default what was found up to now."""
        if self.paused or result.frame.camera in self._failed:
            return
        try:
            self._write(result, hidden)
        except RunError as error:
            self.give_up(result.frame.camera, error)

    def give_up(self, camera: str, error: RunError) -> None:
        """Go on without the video of a camera, because of `error`, which is raised when the others are finished."""
        if camera not in self._failed:
            _LOG.warning("%s; the videos of the other cameras go on", error)
            self._failed[camera] = error
        if camera in self._writers:
            self._writers.pop(camera).discard()

    def _write(self, result: FrameResult, hidden: Hidden | None) -> None:
        frame, boxes = result.frame, result.detections.boxes
        image = frame.image
        if frame.camera not in self._writers:  # it was not there when the run began
            self._writers[frame.camera] = self._writer(self._cameras[frame.camera], frame.width, frame.height)
        if self._settings.blur and frame.has_pixels:
            if hidden is None:
                hidden = Hidden(*self._held[frame.camera].follow(boxes, result.person_ids, frame.time), NOWHERE)
            image = self._blurs[frame.camera].hide(frame, hidden)
        unseen = result.detections.scores <= FILLED_SCORE
        trails = self._trails[frame.camera].follow(boxes, result.track_ids, frame.time)

        def drawn(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
            scaled = {track_id: points * scale for track_id, points in trails.items()}
            return annotate(
                picture, boxes * np.float32(scale), result.person_ids, result.track_ids, self._names, scaled, unseen
            )

        self._writers[frame.camera].write(drawn(image, 1.0), frame.time)
        if self._wall is not None:
            # Drawn anew in the small picture, so that lines and labels stay readable there.
            small, scale = self._wall.shrink(image)
            try:
                self._wall.write(frame.camera, drawn(small, scale), frame.time)
            except RunError as error:
                self._give_up_wall(error)

    def _give_up_wall(self, error: RunError) -> None:
        assert self._wall is not None
        self._failed[self._wall.writer.path.stem] = error  # no camera has this name
        self._wall.writer.discard()
        self._wall = None

    def blurred(self) -> dict[str, Blurred]:
        """Return how each camera was blurred so far."""
        return {
            camera: Blurred(blur.frames, blur.frames_outside)
            for camera, blur in self._blurs.items()
            if blur.frames and camera not in self._failed
        }

    def close(self) -> None:
        """Finish all files. Raises RunError if one of them could not be written; no unfinished file is left."""
        try:
            self._report.unlink(missing_ok=True)  # that of videos that are replaced now
            for camera, writer in list(self._writers.items()):
                try:
                    self._finish(writer)
                except RunError as error:
                    self.give_up(camera, error)
            if self._wall is not None:
                try:
                    self._wall.flush()
                    self._finish(self._wall.writer)
                except RunError as error:
                    self._give_up_wall(error)
            if blurred := self.blurred():
                values = {camera: asdict(one) for camera, one in blurred.items()}
                write_atomically(self._report, (json.dumps(values, indent=1) + "\n").encode())
        except BaseException:
            self.discard()
            raise
        if self._failed:
            raise RunError("; ".join(map(str, self._failed.values())))

    def _finish(self, writer: VideoWriter) -> None:
        writer.close()
        if writer.frame_count:
            self.files.append(writer.path)

    def discard(self) -> None:
        """Give up: delete what is not finished."""
        for writer in self._all_writers():
            writer.discard()

    def __enter__(self) -> AnnotatedVideos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _writer(self, camera: WallCamera, width: int, height: int) -> VideoWriter:
        return VideoWriter(self._folder / f"{camera.name}.mp4", width, height, camera.fps, self._settings.video_crf)

    def _all_writers(self) -> list[VideoWriter]:
        return [*self._writers.values(), *([self._wall.writer] if self._wall is not None else [])]


def wall_name(cameras: Container[str]) -> str:
    """Return what the video of all cameras is called, which no camera is."""
    name = "wall"
    while name in cameras:
        name += "_"
    return name


class Trails:
    """Where the tracks of one camera walked in the last seconds."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._points: dict[int, deque[tuple[float, float, float]]] = {}

    def follow(
        self, boxes: NDArray[np.float32], track_ids: NDArray[np.int64], time: float
    ) -> dict[int, NDArray[np.float32]]:
        """Add the feet of the (N, 4) boxes at `time` and return the (P, 2) points x y of each track in sight."""
        if self._length_s <= 0:
            return {}
        for track_id, box in zip(track_ids.tolist(), boxes.tolist(), strict=True):
            if track_id != NO_ID:
                self._points.setdefault(track_id, deque()).append((time, (box[0] + box[2]) / 2, box[3]))
        for track_id, points in list(self._points.items()):
            while points and points[0][0] < time - self._length_s:
                points.popleft()
            if not points:
                del self._points[track_id]
        seen = [track_id for track_id in track_ids.tolist() if track_id in self._points]
        return {track_id: np.array(self._points[track_id], np.float64)[:, 1:].astype(np.float32) for track_id in seen}


class _WallVideo:
    """The wall as a video: a picture for each instant at which some camera has a new frame."""

    def __init__(self, path: Path, cameras: Sequence[WallCamera], height_px: int, crf: int) -> None:
        self._wall = Wall(cameras, height_px)
        fps = max(camera.fps for camera in cameras)
        self.writer = VideoWriter(path, self._wall.width, self._wall.height, fps, crf)
        self._instant_s = _SAME_INSTANT / fps
        self._opened: float | None = None
        self._shown: set[str] = set()

    def shrink(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Return the picture at the size at which it hangs on the wall, and the scale."""
        scale = min(self._wall.tile_width / image.shape[1], self._wall.tile_height / image.shape[0])
        return resize(image, scale), scale

    def write(self, camera: str, image: NDArray[np.uint8], time: float) -> None:
        """Show a picture; when it belongs to a new instant, write the last one first."""
        if self._opened is not None and (camera in self._shown or time - self._opened > self._instant_s):
            self.flush()
        if self._opened is None:
            self._opened = time
        self._shown.add(camera)
        self._wall.show(camera, image, time)

    def flush(self) -> None:
        """Write the instant that is open, if there is one."""
        if self._opened is not None:
            self.writer.write(self._wall.picture(self._opened), self._opened)
        self._opened = None
        self._shown.clear()


class _CameraRows:
    """Looks up who is in a frame of a finished run, reading a few minutes of rows at a time."""

    def __init__(self, run: Run, identities: Identities, camera: str) -> None:
        self._run = run
        self._identities = identities
        self._camera = camera
        self._indices, self._times = run.frames(camera)
        self._start_s = self._end_s = math.inf
        self._rows = run.refined(camera, math.inf)
        self._people = np.zeros(0, np.int64)

    @property
    def frame_count(self) -> int:
        return len(self._indices)

    def at(self, frame: Frame) -> FrameResult:
        """Return the rows of a frame with the people they belong to now. Frames come in the order of time."""
        self._load(frame.time)
        rows = slice(*np.searchsorted(self._rows.frames, [frame.index, frame.index + 1]))
        detections = Detections(self._rows.boxes[rows], self._rows.scores[rows])
        return FrameResult(frame, detections, self._rows.track_ids[rows], self._people[rows])

    def _load(self, time: float) -> None:
        if self._start_s <= time < self._end_s:
            return
        self._start_s, self._end_s = time, time + _CHUNK_S
        self._rows = self._run.refined(self._camera, time - _OVERLAP_S, self._end_s + _OVERLAP_S)
        self._people = self._identities.person_of(self._camera, self._rows.track_ids, self._rows.times)
