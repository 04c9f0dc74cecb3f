"""Pictures, videos and timelines by number: no part of an address is a path, and only a run's own files are sent.

Whatever shows people leaves a line in the run's audit log (`app.ui.views`), also when it is asked for without a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from app.config import UiSettings
from app.errors import InputError
from app.frames import NO_ID
from app.runs.folder.header import CameraRecord
from app.runs.folder.layout import PICTURE_FILE
from app.runs.places.heat import heat_image, plain_still
from app.runs.render.blurred import blurred_video
from app.runs.render.draw import person_color, resize
from app.runs.render.stills import annotated_still
from app.ui.library import OpenRun, RunLibrary

PREFIX = "/omnitrack"
STATIC = Path(__file__).parent / "static"
RECORDINGS = "the recordings"
"""What the audit log says of frames, annotated videos and the timeline: they show whoever comes along."""

_STATIC_TYPES = {
    "omnitrack.css": "text/css",
    "omnitrack.js": "text/javascript",
    "login.css": "text/css",
    "places.css": "text/css",
    "places.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEAT_PX = (640, 360)
_PIECE_BYTES = 1_000_000
_OPEN_RANGE = re.compile(rb"^\s*bytes=(\d{1,15})-\s*$")
_PRIVATE = {"Cache-Control": "no-store"}
"""Pictures of people are not kept by the browser: after an erasure none may be left."""


def media_routes(library: RunLibrary, settings: UiSettings) -> APIRouter:
    """Return the routes. They answer 404 for everything that is not part of a run of the library."""
    routes = APIRouter(prefix=PREFIX, default_response_class=JSONResponse)

    def opened(number: str) -> OpenRun:
        return _found(lambda: library.get(number))

    # What belongs to the pages themselves.
    @routes.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC_TYPES:
            raise HTTPException(404)
        return FileResponse(STATIC / name, media_type=_STATIC_TYPES[name], headers={"Cache-Control": "no-cache"})

    @routes.get("/runs")
    def runs() -> list[dict[str, str]]:
        return [{"id": number, "name": folder.name} for number, folder in library.folders().items()]

    # Pictures of people.
    @routes.get("/{number}/crop/{camera}/{track_id}/{frame}")
    def crop(request: Request, number: str, camera: int, track_id: int, frame: int) -> Response:
        found = opened(number)
        name = _found(lambda: found.camera_named(camera))
        answer = _file(_found(lambda: found.run.crop_path(f"crops/{name}/{track_id}_{frame}.jpg")), "image/jpeg")
        person = found.person_of(name, track_id, frame)
        if person == NO_ID:
            found.views.things(_actor(request), "pictures of people who are not decided")
        else:
            found.views.people(_actor(request), [person], "pictures")
        return answer

    # Videos that the run has.
    @routes.get("/{number}/video/{camera}")
    def video(request: Request, number: str, camera: int) -> Response:
        found = opened(number)
        found.views.things(_actor(request), RECORDINGS)
        return _film(_found(lambda: found.video(found.camera_named(camera))))

    @routes.get("/{number}/person/{person}/{camera}")
    def person(request: Request, number: str, person: int, camera: int) -> Response:
        found = opened(number)
        name = _found(lambda: found.camera_named(camera))
        found.views.people(_actor(request), [person], "video, everybody else blurred")
        return _film(blurred_video(found.run, person, name))

    @routes.get("/{number}/everybody/{camera}")
    def everybody(request: Request, number: str, camera: int) -> Response:
        found = opened(number)
        found.views.things(_actor(request), "videos with everybody blurred")
        name = _found(lambda: found.camera_named(camera))
        return _film(blurred_video(found.run, NO_ID, name))

    # Frames that are drawn when they are asked for.
    @routes.get("/{number}/frame/{camera}")
    def frame(request: Request, number: str, camera: int, t: float) -> Response:
        found = opened(number)
        found.views.things(_actor(request), RECORDINGS)
        return Response(_found(lambda: _still(found, camera, t, settings.frame_height_px)), 200, _PRIVATE, "image/jpeg")

    @routes.get("/{number}/still/{camera}")
    def still(request: Request, number: str, camera: int) -> Response:
        found = opened(number)
        found.views.things(_actor(request), RECORDINGS)

        def look() -> bytes:
            image = plain_still(found.run, found.run.camera(found.camera_named(camera)))
            small = resize(image, min(1.0, settings.frame_height_px / image.shape[0]))
            return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])

        return Response(_found(look), 200, _PRIVATE, "image/jpeg")

    @routes.get("/{number}/heat/{camera}")
    def heat_map(number: str, camera: int) -> Response:
        found = opened(number)

        def look() -> bytes:
            picture = heat_image(found.heat(found.camera_named(camera)), *_HEAT_PX)
            return bytes(cv2.imencode(".png", picture)[1])

        return Response(_found(look), 200, _PRIVATE, "image/png")

    # A run that goes on, and what the players show below themselves.
    @routes.get("/{number}/live")
    def live(request: Request, number: str) -> Response:
        try:
            picture = (library.folders()[number] / PICTURE_FILE).read_bytes()
            opened(number).views.things(_actor(request), "live pictures")
            return Response(picture, 200, _PRIVATE, "image/jpeg")
        except (KeyError, OSError):  # the run has not begun, or has ended
            return Response(None, 204)

    @routes.get("/{number}/timeline")
    def timeline(request: Request, number: str) -> Response:
        found = opened(number)
        found.views.things(_actor(request), RECORDINGS)
        return JSONResponse(_timeline(found), headers=_PRIVATE)

    return routes


def crop_url(found: OpenRun, reference: str) -> str:
    """Return the address of a crop of a run."""
    _, camera, file = reference.split("/")
    track_id, frame = file.removesuffix(".jpg").split("_")
    return f"{PREFIX}/{found.id}/crop/{found.camera_number(camera)}/{track_id}/{frame}"


def why_no_frames(camera: CameraRecord) -> str:
    """Say what stands where a frame of a camera can't be shown."""
    if not camera.has_pixels:
        return "this run has no pictures"
    if not camera.has_frames and camera.address:
        return "single pictures of a recording behind an address are not shown; `render` draws its video"
    if not camera.has_frames:
        return "pictures of a stream are not kept; --save-video keeps them"
    return "the recording cannot be read any more"


@lru_cache(maxsize=4096)
def person_hex(person: int) -> str:
    """Return the colour of a person for CSS: the same as in videos."""
    blue, green, red = person_color(person)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _actor(request: Request) -> str:
    return str(request.scope["state"]["user"])


def _found(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (InputError, FileNotFoundError) as error:  # an erasure or a purge may take a file away meanwhile
        raise HTTPException(404, str(error)) from error


def _file(path: Path | None, media_type: str) -> Response:
    if path is None or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=media_type, headers=_PRIVATE)


class _Film(FileResponse):
    """A video in pieces. A player asks for everything from a moment on and reads it when it needs it: with one answer
    for all, six players would hold all connections that a browser makes to a host, and no click would get through."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (name, _OPEN_RANGE.sub(_one_piece, value) if name == b"range" else value)
            for name, value in scope["headers"]
        ]
        await super().__call__({**scope, "headers": headers}, receive, send)


def _one_piece(asked: re.Match[bytes]) -> bytes:
    first = int(asked[1])
    return b"bytes=%d-%d" % (first, first + _PIECE_BYTES - 1)


def _film(path: Path | None) -> Response:
    if path is None or not path.is_file():
        raise HTTPException(404)
    return _Film(path, media_type="video/mp4", headers=_PRIVATE)


def _still(found: OpenRun, camera: int, time_s: float, height_px: int) -> bytes:
    record = found.run.camera(found.camera_named(camera))
    indices, times = found.frames(record.name)
    if len(times) == 0 or not np.isfinite(time_s):
        raise InputError(f"camera {record.name} has no frames")
    row = max(0, int(np.searchsorted(times, time_s, side="right")) - 1)
    image = annotated_still(found.run, found.identities(), record, int(indices[row]), float(times[row]), height_px)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _timeline(found: OpenRun) -> dict[str, Any]:
    """Return lanes and bars: [camera number, track id, start, end] for each visit of each person."""
    run, people, doubtful = found.run, found.people(), found.doubtful()
    numbers = {camera.name: number for number, camera in enumerate(run.cameras)}
    start, end = found.span()
    bounds = {
        camera.name: [
            (file.start_s, file.end_s)
            for file in run.manifest.files
            if file.kind == "frames" and file.camera == camera.name
        ]
        for camera in run.cameras
    }
    return {
        "start": start,
        "end": end,
        "cameras": [
            {
                "name": camera.name,
                "width": camera.width,
                "height": camera.height,
                "fps": camera.fps,
                "start": min((first for first, _ in bounds[camera.name]), default=start),
                "end": max((last for _, last in bounds[camera.name]), default=start),
                "video": found.video(camera.name) is not None,
                "frames": camera.has_frames,
                "absent": why_no_frames(camera),
            }
            for camera in run.cameras
        ],
        "people": [
            {
                "id": person.id,
                "label": person.label,
                "doubtful": person.id in doubtful,
                "color": person_hex(person.id if person.id != NO_ID else -1),
                "visits": [
                    [numbers[visit.camera], visit.track_id, round(visit.start_s, 3), round(visit.end_s, 3)]
                    for visit in person.visits
                ],
            }
            for person in sorted(people.values(), key=lambda person: person.first_s)
        ],
    }
