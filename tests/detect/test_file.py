"""Detections from files: the right rows for each frame, and clear words about files that are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.config import DetectSettings
from app.detect import build_detector
from app.detect.file import FileDetector
from app.errors import InputError
from app.footage.camera import SourceInfo
from app.frames import Frame, blank_image

LINES = """\
3,-1,10,20,30,40,0.5,-1,-1,-1
1,-1,1,2,3,4,0.9,-1,-1,-1
3,-1,11,21,30,40,0.05,-1,-1,-1
3,-1,12,22,30,40,0.7,-1,-1,-1
"""


def info(camera: str, folder: Path | None) -> SourceInfo:
    return SourceInfo(camera, 96, 64, 10.0, 5, 0.0, False, False, f"{camera}.mp4", folder, ())


def frame(camera: str, index: int) -> Frame:
    return Frame(camera, index, index / 10, blank_image(64, 96), has_pixels=False)


@pytest.fixture
def two_cameras(tmp_path: Path) -> list[SourceInfo]:
    for camera, text in (("a", LINES), ("b", LINES.replace("0.9", "0.8"))):
        (tmp_path / camera / "det").mkdir(parents=True)
        (tmp_path / camera / "det" / "det.txt").write_text(text)
    return [info("a", tmp_path / "a"), info("b", tmp_path / "b")]


def test_frame_index_counts_from_0_and_the_file_from_1(two_cameras: list[SourceInfo]) -> None:
    detector = FileDetector("det/det.txt", two_cameras, 0.1)
    frames = [frame("b", 0), frame("a", 2), frame("a", 1), frame("a", 0), frame("a", 99)]
    found = detector.detect(frames)
    assert [len(f) for f in found] == [1, 2, 0, 1, 0]
    assert float(found[0].scores[0]) == pytest.approx(0.8)
    assert float(found[3].scores[0]) == pytest.approx(0.9)
    np.testing.assert_allclose(found[1].boxes, [[10, 20, 40, 60], [12, 22, 42, 62]])
    np.testing.assert_allclose(found[1].scores, [0.5, 0.7])


def test_min_score_is_kept_and_what_is_below_is_dropped(two_cameras: list[SourceInfo]) -> None:
    assert len(FileDetector("det/det.txt", two_cameras, 0.0).detect([frame("a", 2)])[0]) == 3
    assert len(FileDetector("det/det.txt", two_cameras, 0.5).detect([frame("a", 2)])[0]) == 2
    assert len(FileDetector("det/det.txt", two_cameras, 0.71).detect([frame("a", 2)])[0]) == 0


def test_scores_beyond_one_are_cut_off_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "det.txt").write_text("1,-1,1,2,3,4,57.3\n1,-1,1,2,3,4,-2\n")
    detector = FileDetector(str(tmp_path / "det.txt"), [info("a", None)], 0.1)
    np.testing.assert_array_equal(detector.detect([frame("a", 0)])[0].scores, [1.0])
    assert "cut off" in caplog.text


def test_an_empty_file_finds_nobody_and_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "det.txt").touch()
    assert len(FileDetector("det.txt", [info("a", tmp_path)], 0.1).detect([frame("a", 0)])[0]) == 0
    assert "det.txt: is empty" in caplog.text


def test_every_missing_file_is_named_with_its_camera(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        FileDetector("x.txt", [info("left", tmp_path / "l"), info("right", tmp_path / "r"), info("live", None)], 0.1)
    message = str(caught.value)
    assert f"left: there is no detection file {tmp_path / 'l' / 'x.txt'}" in message
    assert f"right: there is no detection file {tmp_path / 'r' / 'x.txt'}" in message
    assert "live: live.mp4 has no folder" in message


def test_a_damaged_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,1,2,3,4,0.5\n2,-1,1,2\n")
    with pytest.raises(InputError, match=r"a: .*det\.txt:2"):
        FileDetector("det.txt", [info("a", tmp_path)], 0.1)


def test_an_absolute_path_is_for_one_source(two_cameras: list[SourceInfo], tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "det" / "det.txt")
    assert len(FileDetector(path, two_cameras[1:], 0.1).detect([frame("b", 0)])[0]) == 1
    with pytest.raises(InputError, match="2 sources"):
        FileDetector(path, two_cameras, 0.1)


def test_no_path_at_all(two_cameras: list[SourceInfo]) -> None:
    with pytest.raises(InputError, match="needs a path"):
        build_detector(DetectSettings(weights="file:"), two_cameras)


def test_real_detections(shared_data: Path) -> None:
    folder = shared_data / "mot" / "MOT17-half" / "MOT17-02"
    detector = FileDetector("det_yolox_x/det.txt", [info("a", folder)], 0.0)
    found = detector.detect([frame("a", index) for index in range(299)])
    assert sum(len(f) for f in found) == sum(1 for _ in (folder / "det_yolox_x" / "det.txt").open())


def test_rows_for_frames_that_the_recording_does_not_have_are_not_dropped_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "det.txt").write_text(LINES + "6,-1,1,2,3,4,0.9\n8,-1,1,2,3,4,0.9\n")
    assert len(FileDetector("det.txt", [info("a", tmp_path)], 0.1).detect([frame("a", 2)])[0]) == 2
    assert "2 of 6 rows are for frames after the last of the recording (5), the first for frame 6" in caplog.text
    (tmp_path / "det.txt").write_text("6,-1,1,2,3,4,0.9\n")
    with pytest.raises(InputError, match="no row fits the recording: it has 5 frames"):
        FileDetector("det.txt", [info("a", tmp_path)], 0.1)
