"""A scene on disk: video, truth, calibration and made-up detections of every camera. Written as the scene is rendered.

    OUTPUT/<camera>.mp4              H.264, presentation times from 0
    OUTPUT/<camera>/seqinfo.ini      MOTChallenge's description
    OUTPUT/<camera>/gt/gt.txt        frame, person, left, top, width, height, count, 1, visibility
    OUTPUT/<camera>/det/det.txt      detections made from the truth
    OUTPUT/<camera>/calibration.yaml K, R, t and the homography from floor to picture
    OUTPUT/cameras.yaml              camera list for `--sources`, with the start times that the cameras believe
    OUTPUT/floor.csv                 time_s, person, x_m, y_m of everybody who is in the scene, ten times a second
    OUTPUT/scene.json                cameras with their clocks, pairs that overlap, settings

Person numbers are the same in every camera. Column 7 of the truth is 0 for people of whom less than
`scene.HIDDEN_BELOW` can be seen.

Clocks. A video's own times begin at 0; when it began is known only from its camera's clock, which may be wrong.
`recorded_start_s = start_s + clock_offset_s`: what the camera believes is what was true plus its clock's error. The
camera list holds the believed times, so a run over `cameras.yaml` is to find `clock_offset_s` of `scene.json`. A run
over the plain videos takes all cameras to start together; to it, a camera's clock is `start_s` behind.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml

from app.config import SimulateSettings
from app.errors import InputError, RunError
from app.footage.video_writer import VideoWriter
from app.simulate.cameras import Camera
from app.simulate.detections import noisy_detections
from app.simulate.people import People
from app.simulate.scene import HIDDEN_BELOW, Scene, View, frame_count
from app.system.files import claim_folder
from app.system.untrusted import read_json

FLOOR_STEP_S = 0.1
BEGIN = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
"""Date and time of scene time 0, for the camera list."""

SCENE_FILE = "scene.json"


class CameraWriter:
    """Writes the files of one camera, picture by picture; use it in a `with` block."""

    def __init__(self, output: Path, camera: Camera, settings: SimulateSettings) -> None:
        self.camera = camera
        self.settings = settings
        self.folder = output / camera.name
        for part in ("gt", "det"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.pictures = 0
        self._open = ExitStack()
        video = VideoWriter(
            output / f"{camera.name}.mp4", camera.width, camera.height, camera.fps, crf=settings.video_crf
        )
        self._video = self._open.enter_context(video)
        self._truth = self._open.enter_context((self.folder / "gt" / "gt.txt").open("w", encoding="utf-8"))
        self._detections = self._open.enter_context((self.folder / "det" / "det.txt").open("w", encoding="utf-8"))

    def write(self, view: View) -> None:
        """Append one picture with its truth and made-up detections."""
        self._video.write(view.image, view.index / self.camera.fps)
        self.pictures += 1
        number = view.index + 1
        for person, (x1, y1, x2, y2), seen in zip(view.person_ids, view.boxes, view.visibility, strict=True):
            counts = int(seen >= HIDDEN_BELOW)
            box = f"{x1:.1f},{y1:.1f},{x2 - x1:.1f},{y2 - y1:.1f}"
            self._truth.write(f"{number},{person},{box},{counts},1,{seen:.4f}\n")
        found = noisy_detections(view, self.settings)
        for (x1, y1, x2, y2), score in zip(found.boxes, found.scores, strict=True):
            self._detections.write(f"{number},-1,{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1\n")

    def __enter__(self) -> CameraWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        if error is None:
            self._describe()

    def _describe(self) -> None:
        camera = self.camera
        (self.folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={camera.name}\nimDir=img1\nframeRate={camera.fps:g}\nseqLength={self.pictures}\n"
            f"imWidth={camera.width}\nimHeight={camera.height}\nimExt=.jpg\n",
            encoding="utf-8",
        )
        calibration = {
            "width_px": camera.width,
            "height_px": camera.height,
            "K": camera.K.tolist(),
            "R": camera.R.tolist(),
            "t": camera.t.tolist(),
            "position_m": camera.position.tolist(),
            "floor_to_image": (camera.floor_to_image / camera.floor_to_image[2, 2]).tolist(),
        }
        text = yaml.safe_dump(calibration, sort_keys=False, default_flow_style=None)
        (self.folder / "calibration.yaml").write_text(text, encoding="utf-8")


def write_scene(output: Path, settings: SimulateSettings) -> dict[str, Any]:
    """Render `settings.seconds` of a scene into `output` and return what `scene.json` says.

    Raises RunError when a file cannot be written.
    """
    try:
        scene = Scene(settings)
        names = [name for camera in scene.cameras for name in (camera.name, f"{camera.name}.mp4")]
        known = [SCENE_FILE] if _is_scene(output / SCENE_FILE) else []  # of earlier versions
        claim_folder(output, "simulated scene", [*names, "floor.csv", "cameras.yaml", SCENE_FILE], known)
        with ExitStack() as stack:
            writers = {
                camera.name: stack.enter_context(CameraWriter(output, camera, settings)) for camera in scene.cameras
            }
            for view in scene.views(settings.seconds):
                writers[view.camera.name].write(view)
        _write_floor(output / "floor.csv", scene)
        _write_camera_list(output / "cameras.yaml", scene)
        description = _describe(scene)
        (output / SCENE_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{error.filename or output}: cannot write the scene ({error.strerror})") from error
    return description


def _is_scene(path: Path) -> bool:
    """Return whether a file is what this program says of a scene."""
    try:
        return path.is_file() and {"cameras", "people"} <= read_json(path, "a scene").keys()
    except InputError:
        return False


def _write_camera_list(path: Path, scene: Scene) -> None:
    listed = [
        {
            "name": camera.name,
            "files": f"{camera.name}.mp4",
            "start": (BEGIN + timedelta(seconds=camera.start_s + camera.clock_offset_s)).isoformat(" ", "milliseconds"),
        }
        for camera in scene.cameras
    ]
    path.write_text(yaml.safe_dump({"cameras": listed}, sort_keys=False), encoding="utf-8")


def _write_floor(path: Path, scene: Scene) -> None:
    """Write where everybody is; the crowd is walked through once more, which costs little beside the pictures."""
    settings = scene.settings
    people = People(scene.plan, scene.looks, settings.seed, settings.mean_away_s, settings.mean_stop_s)
    end_s = max(camera.frame_time(frame_count(camera, settings.seconds) - 1) for camera in scene.cameras)
    with path.open("w", encoding="utf-8") as file:
        file.write("time_s,person,x_m,y_m\n")
        for step in range(int(np.floor(end_s / FLOOR_STEP_S + 1e-6)) + 1):
            crowd = people.at(step * FLOOR_STEP_S)
            for person in np.flatnonzero(crowd.present):
                x, y = crowd.floor[person]
                file.write(f"{step * FLOOR_STEP_S:.1f},{person + 1},{x:.3f},{y:.3f}\n")


def _describe(scene: Scene) -> dict[str, Any]:
    settings = scene.settings
    names = [camera.name for camera in scene.cameras]
    pairs = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]] if scene.plan.overlap else []
    return {
        "cameras": [
            {
                "name": camera.name,
                "video": f"{camera.name}.mp4",
                "fps": camera.fps,
                "frames": frame_count(camera, settings.seconds),
                "width_px": camera.width,
                "height_px": camera.height,
                "start_s": camera.start_s,
                "clock_offset_s": camera.clock_offset_s,
                "recorded_start_s": round(camera.start_s + camera.clock_offset_s, 3),
            }
            for camera in scene.cameras
        ],
        "people": settings.people,
        "overlapping": pairs,
        "settings": settings.model_dump(),
    }
