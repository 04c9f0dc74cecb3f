"""Places where people were erased: covered in every picture, also between rows, and nothing but boxes is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from app.errors import InputError
from app.runs.folder.covered import add_covered, cover_crops, covered_by, read_covered
from app.runs.folder.layout import COVERED_FILE
from app.runs.folder.run import Run
from app.runs.folder.tables import Observations

WHITE = np.full((240, 320, 3), 255, np.uint8)


def walk(times: list[float], lefts: list[float]) -> Observations:
    """A box of 30×80 pixels whose left side is at these places."""
    count = len(times)
    boxes = [[left, 100, left + 30, 180] for left in lefts]
    zeros = np.zeros(count, np.int64)
    return Observations(zeros, np.array(times), zeros, np.array(boxes, np.float32), np.ones(count, np.float32))


def hidden(picture: np.ndarray, box: list[float]) -> bool:
    x1, y1, x2, y2 = np.rint(box).astype(int)
    return not (picture[y1:y2, x1:x2] == 255).any()


def test_whoever_walks_is_covered_at_every_moment_and_a_little_before_and_after() -> None:
    covered = covered_by([walk([1.0, 1.1, 4.0], [10, 20, 200])])
    for time_s, left in ((0.5, 10), (1.0, 10), (1.1, 20), (2.0, 20 + 180 * 0.9 / 2.9), (4.0, 200), (4.5, 200)):
        assert hidden(covered.hide(WHITE, time_s), [left, 100, left + 30, 180])
    assert covered.hide(WHITE, -0.6) is WHITE
    assert covered.hide(WHITE, 5.1) is WHITE
    assert (WHITE == 255).all()


def test_somebody_who_was_away_for_long_is_not_covered_meanwhile() -> None:
    covered = covered_by([walk([1.0, 30.0], [10, 200])])
    assert covered.hide(WHITE, 15.0) is WHITE
    assert hidden(covered.hide(WHITE, 30.2), [200, 100, 230, 180])


def test_what_is_covered_adds_up_and_names_nobody(tmp_path: Path) -> None:
    assert read_covered(tmp_path, "left").hide(WHITE, 1.0) is WHITE
    add_covered(tmp_path, [("left", [walk([1.0], [10])]), ("right", [])])
    add_covered(tmp_path, [("left", [walk([1.0], [200])])])
    size = (tmp_path / COVERED_FILE).stat().st_size
    add_covered(tmp_path, [("left", [walk([1.0], [200])])])  # erasing again after a kill
    assert (tmp_path / COVERED_FILE).stat().st_size <= size
    picture = read_covered(tmp_path, "left").hide(WHITE, 1.0)
    assert hidden(picture, [10, 100, 40, 180])
    assert hidden(picture, [200, 100, 230, 180])
    assert read_covered(tmp_path, "right").hide(WHITE, 1.0) is WHITE
    assert set(pq.read_table(tmp_path / COVERED_FILE).column_names) == {
        "camera", "start_s", "end_s", "x1", "y1", "x2", "y2",
    }  # fmt: skip


def test_a_damaged_file_shows_no_recording(tmp_path: Path) -> None:
    (tmp_path / COVERED_FILE).write_bytes(b"damaged")
    with pytest.raises(InputError, match="no recording"):
        read_covered(tmp_path, "left")


def test_pictures_of_others_are_covered_where_the_person_was_in_them(make_run: Callable[..., Path]) -> None:
    run = Run.open(make_run())
    rows = run.observations("left")
    own = rows[(rows.track_ids == 1) & (rows.frames == 3)]  # no picture of track 1 is from this frame
    x1, y1, x2, y2 = own.boxes[0]
    kept = {(1, 3): "crops/left/1_3.jpg", (1, 4): "crops/left/1_4.jpg"}
    size = int(np.ceil(y2) - np.floor(y1)), int(np.ceil(x2) - np.floor(x1))
    for reference in kept.values():
        cv2.imwrite(str(run.folder / reference), np.full((*size, 3), 255, np.uint8))
    theirs = walk([float(own.times[0]), float(own.times[0]) + 60.0], [float(x1) + 10, 900])
    assert cover_crops(run, "left", theirs, {}) == []
    assert cover_crops(run, "left", theirs, kept) == [run.folder / reference for reference in kept.values()]
    picture = cv2.imread(str(run.folder / "crops/left/1_3.jpg"))
    top = int(100 - np.floor(y1))
    assert (picture[top + 2 :, 12:] < 130).all()  # JPEG: not to the pixel
    assert (picture[: top - 2, :8] > 225).all()
