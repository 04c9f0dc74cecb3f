"""Videos of a finished run for other eyes: everybody unrecognisable, or everybody but one person."""

from __future__ import annotations

from pathlib import Path

from app.config import Settings
from app.engines import Report
from app.errors import InputError
from app.frames import NO_ID
from app.render import render_run
from app.runs import Run


def blurred_folder(run: Run, person: int) -> Path:
    """Return where the blurred videos of a run lie; `NO_ID` for those that blur everybody."""
    return run.folder / "export" / ("everybody_blurred" if person == NO_ID else f"person_{person}")


def render_blurred(run: Run, settings: Settings, person: int = NO_ID, report: Report | None = None) -> list[Path]:
    """Draw the recordings of a run again with everybody blurred but `person`, and return the files.

    They lie in `blurred_folder`. Only those whom the run found can be blurred, from half a second before they were
    first found until half a second after. Raises InputError if there is no such person, or a recording is gone.
    """
    if person != NO_ID:
        identities = run.identities()
        number = identities.resolve(person)
        if number == NO_ID or not identities.tracklets_of(number):
            raise InputError(f"{run.folder}: there is no person {person}")
        person = number
    drawn = settings.render.model_copy(update={"blur": True, "blur_except_person": person})
    return render_run(run, drawn, settings.run.video_height_px, report, blurred_folder(run, person))
