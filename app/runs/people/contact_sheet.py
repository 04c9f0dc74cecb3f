"""One picture of everybody in a run: a row for each person, a block for each camera."""

from __future__ import annotations

from pathlib import Path

import cv2

from app.runs.folder.layout import VIDEO_FOLDER
from app.runs.folder.run import Run
from app.runs.folder.written import copying_into, note_copies
from app.runs.people.visits import Person, people_of
from app.runs.render.draw import contact_sheet

SHEET_NAME = "people.jpg"
_MOST_PEOPLE = 60
_CROPS_PER_CAMERA = 4


def write_contact_sheet(run: Run) -> Path | None:
    """Write the run's `video/people.jpg` and return its path; None, with nothing written, if there is nobody to show.

    People on many cameras come first, then those in sight for long; the first 60 are shown. It lies beside the videos
    so that `erase` removes it with them.
    """
    with copying_into(run.folder, "drawing a sheet of people"):
        return _write(Run.open(run.folder))


def _write(run: Run) -> Path | None:
    everybody = people_of(run, run.identities()).values()
    people = sorted(everybody, key=lambda person: (-len(person.cameras), -person.seen_s, person.id))[:_MOST_PEOPLE]
    crops = {person.id: _crops_by_camera(run, person) for person in people}
    crops = {person: by_camera for person, by_camera in crops.items() if by_camera}
    if not crops:
        return None
    names = {person.id: person.label for person in people}
    path = run.folder / VIDEO_FOLDER / SHEET_NAME
    note_copies([path])
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), contact_sheet(crops, names, _CROPS_PER_CAMERA))
    return path


def _crops_by_camera(run: Run, person: Person) -> dict[str, list[cv2.typing.MatLike]]:
    """Return the person's best pictures of each camera: the best of every visit first, then the second best, …"""
    found: dict[str, list[cv2.typing.MatLike]] = {}
    for rank in range(_CROPS_PER_CAMERA):
        for visit in person.visits:
            own = found.setdefault(visit.camera, [])
            if rank < len(visit.crops) and len(own) < _CROPS_PER_CAMERA:
                image = cv2.imread(str(run.crop_path(visit.crops[rank])))
                if image is not None:
                    own.append(image)
    return {camera: images for camera, images in found.items() if images}
