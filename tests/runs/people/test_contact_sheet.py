"""The sheet of people: who is on it, and that erasing somebody takes it away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from app.runs.folder.run import Run
from app.runs.people.contact_sheet import write_contact_sheet
from app.runs.privacy.erase import erase_person


def test_people_on_several_cameras_come_first_and_erasing_removes_the_sheet(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    assert write_contact_sheet(run) is None  # nobody is anybody yet
    with run.ledger() as ledger:
        ledger.assign("left", 1, 5, "machine:gallery")
        ledger.assign("left", 2, 7, "machine:gallery")
        ledger.assign("right", 2, 7, "machine:gallery")
    path = write_contact_sheet(run)
    assert path is not None
    sheet = cv2.imread(str(path))
    assert sheet is not None
    crops = [level for level in (10, 20) for _ in (0, 1)]  # the small run paints crops of track t in grey 10 t
    counts = {level: int((abs(sheet.astype(int) - level).max(axis=2) <= 1).sum()) for level in set(crops)}
    assert counts[20] > counts[10] > 1000  # person 7 has crops of two cameras
    first_row = sheet[: sheet.shape[0] // 2]
    assert (abs(first_row.astype(int) - 20).max(axis=2) <= 1).sum() > 1000

    erase_person(run.folder, 7)

    assert not path.exists()
