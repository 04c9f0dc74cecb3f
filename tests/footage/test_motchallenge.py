"""MOTChallenge text: what is read, what is written, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InputError
from app.footage.motchallenge import check_frame_numbers, read_rows, read_sequence_info, write_rows


def test_short_and_long_lines(tmp_path: Path) -> None:
    file = tmp_path / "gt.txt"
    file.write_text("1,-1,10,20,30,40\n\n2,5,1.5,2.5,10,20,0.75\n3 6 0 0 1 1 0 7 0.25\n3,7,0,0,1,1,1,-1,-1,-1\n")
    rows = read_rows(file)
    assert rows.frames.tolist() == [1, 2, 3, 3]
    assert rows.ids.tolist() == [-1, 5, 6, 7]
    assert rows.boxes[0].tolist() == [10, 20, 40, 60]
    assert rows.scores.tolist() == [1, 0.75, 0, 1]
    assert rows.classes.tolist() == [1, 1, 7, 1]
    assert rows.visibility.tolist() == [1, 1, 0.25, 1]
    assert len(rows[rows.frames == 3]) == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3", "3 columns, at least 6"),
        ("1,2,a,4,5,6", "not a number"),
        ("0,2,3,4,5,6", "frames count from 1"),
        ("1,2,3,4,-5,6", "sizes are not negative"),
        ("1,2,3,4,nan,6", "all values are finite"),
        ("1e300,2,3,4,5,6", "frames are whole numbers"),
        ("1.5,2,3,4,5,6", "frames are whole numbers"),
        ("1,2.5,3,4,5,6", "ids are whole numbers"),
        ("1,-1e30,3,4,5,6", "ids are whole numbers"),
        ("1,2,3,4,1e39,6", "no picture has"),
        ("1,2,3,4,5,6,1e300", "none of which is that large"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "det.txt"
    file.write_text(f"1,1,1,1,1,1\n{line}\n")
    with pytest.raises(InputError, match=rf"det\.txt:2: .*{complaint}"):
        read_rows(file)


def test_a_missing_file_and_a_binary_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: cannot read"):
        read_rows(tmp_path / "absent.txt")
    binary = tmp_path / "video.txt"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"video\.txt: not a text file"):
        read_rows(binary)


def test_rows_for_frames_that_are_not_there_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    numbers = np.array([9, 1, 5, 7], np.int64)
    for count in (9, None):
        check_frame_numbers(numbers, count, "det.txt")
    check_frame_numbers(numbers[:0], 0, "det.txt")
    assert not caplog.records
    check_frame_numbers(numbers, 6, "det.txt")
    assert (
        "det.txt: 2 of 4 rows are for frames after the last of the recording (6), the first for frame 7" in caplog.text
    )
    with pytest.raises(InputError, match=r"det\.txt: no row fits the recording: it has 4 frames.* begin with frame 5"):
        check_frame_numbers(numbers[[0, 2, 3]], 4, "det.txt")


rows_of_a_file = st.lists(
    st.tuples(
        st.integers(1, 99), st.integers(-1, 99), st.integers(-200, 900), st.integers(0, 900), st.integers(0, 1000)
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_a_file)
def test_what_is_written_is_read_back(tmp_path: Path, rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, np.int64).reshape(-1, 5)
    boxes = np.stack([table[:, 2], table[:, 2], table[:, 2] + table[:, 3], table[:, 2] + table[:, 3]], 1)
    scores = (table[:, 4] / 1000).astype(np.float32)
    file = tmp_path / "rows.txt"
    write_rows(file, table[:, 0], table[:, 1], boxes.astype(np.float32), scores)
    back = read_rows(file)
    assert np.array_equal(back.frames, table[:, 0])
    assert np.array_equal(back.ids, table[:, 1])
    assert np.array_equal(back.boxes, boxes)
    assert back.scores == pytest.approx(scores, abs=1e-4)


SEQINFO = "[Sequence]\nname=X\nimDir=img1\nframeRate=25\nseqLength=10\nimWidth=640\nimHeight=360\nimExt=.png\n"


def test_sequence_description(tmp_path: Path) -> None:
    (tmp_path / "seqinfo.ini").write_text(SEQINFO)
    info = read_sequence_info(tmp_path)
    assert (info.fps, info.frame_count, info.width, info.height) == (25.0, 10, 640, 360)
    assert info.image_folder == tmp_path / "img1"
    assert info.image_suffix == ".png"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "section \\[Sequence\\] is missing"),
        (SEQINFO.replace("frameRate=25\n", ""), "frameRate is missing"),
        (SEQINFO.replace("=25", "=fast"), "frameRate = 'fast' is not a number"),
        (SEQINFO.replace("=640", "=0"), "imWidth = 0 must be positive"),
        (SEQINFO.replace("=640", "=40000"), "imWidth = 40000 must be positive and at most 32768"),
        (SEQINFO.replace("=25", "=nan"), "frameRate = nan must be positive"),
        (SEQINFO.replace("=10", "=inf"), "seqLength = inf must be positive"),
        ("name=X", "not a MOTChallenge sequence description"),
    ],
)
def test_a_wrong_sequence_description_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "seqinfo.ini").write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_sequence_info(tmp_path)
