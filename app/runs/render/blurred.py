"""Videos of a finished run for other eyes: everybody unrecognisable, or everybody but one person.

RUN/export/everybody_blurred/video/<camera>.mp4    and person_<number>/ for the videos that show one person
RUN/export/everybody_blurred/video/blurred.json    for each camera its frames and those with movement elsewhere
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from app.config import Settings
from app.errors import InputError
from app.frames import NO_ID
from app.runs.folder.layout import VIDEO_FOLDER
from app.runs.folder.progress import Report
from app.runs.folder.run import Run
from app.runs.render.videos import BLURRED_FILE, Blurred, Drawn, render_run


def blurred_folder(run: Run, person: int) -> Path:
    """Return where the blurred videos of a run lie; `NO_ID` for those that blur everybody."""
    return run.folder / "export" / ("everybody_blurred" if person == NO_ID else f"person_{person}")


def render_blurred(run: Run, settings: Settings, person: int = NO_ID, report: Report | None = None) -> Drawn:
    """Draw the recordings of a run again with everybody blurred but `person`, and return what was made.

    The files lie in `blurred_folder`. Blurred is where the run found or suspected somebody, and a while before and
    after (`app.runs.render.blur`). Raises InputError if there is no such person, or a recording is gone; RunError, and
    makes no files, if a frame of one does not fit what the run recorded.
    """
    if person != NO_ID:
        identities = run.identities()
        number = identities.resolve(person)
        if number == NO_ID or not identities.tracklets_of(number):
            raise InputError(f"{run.folder}: there is no person {person}")
        person = number
    look = settings.render.model_copy(update={"blur": True, "blur_except_person": person})
    return render_run(run, look, settings.run.video_height_px, report, blurred_folder(run, person))


def blurred_video(run: Run, person: int, camera: str) -> Path | None:
    """Return the blurred video of a camera, None if it was not made, or by a version that hid less."""
    folder = blurred_folder(run, person)
    video = folder / VIDEO_FOLDER / f"{camera}.mp4"
    return video if camera in read_blurred(video.parent) and video.is_file() else None


def read_blurred(folder: Path) -> dict[str, Blurred]:
    """Return by camera how the videos in a folder were blurred; empty if they were not."""
    try:
        values = json.loads((folder / BLURRED_FILE).read_bytes())
        return {camera: Blurred(**figures) for camera, figures in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def outside_text(blurred: Mapping[str, Blurred]) -> str:
    """Return in words where something moved that nothing hides, "" if nowhere."""
    parts = [f"{name} {one.moving_outside} of {one.frames}" for name, one in blurred.items() if one.moving_outside]
    if not parts:
        return ""
    return (
        f"Frames with movement outside every blurred place: {', '.join(parts)}. It may be somebody whom nobody found: "
        "look at the videos, or blur whatever moves (render.blur_moving)."
    )
