"""Camera lists, start times in names, and the order of segments."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InputError
from app.footage.camera import safe_name
from app.footage.camera_list import CameraEntry, read_camera_list
from app.footage.clock import pattern_regex, start_from_name
from app.footage.segments import place_segments
from app.footage.video import VideoFile

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "cameras_example.yaml"
ONE_PM = 1714568400.0  # 2024-05-01 13:00:00 UTC


def video(name: str, duration_s: float | None = 60.0, created: float | None = None) -> VideoFile:
    return VideoFile(Path(name), 64, 48, 10.0, None, duration_s, created)


def placed(*files: VideoFile, order_is_given: bool = False, **entry: object) -> tuple[list[tuple[str, float]], object]:
    segments, start = place_segments(files, CameraEntry(("x",), place="list.yaml:2", **entry), order_is_given)
    found = [(Path(str(segment.file.location)).stem, segment.offset_s) for segment in segments]
    return found, None if start is None else (start.time_s, start.known_from)


@pytest.mark.parametrize(
    "name",
    [
        "2024-05-01_13-00-00",
        "cam1_20240501_130000",
        "20240501130000",
        "20240501T130000Z",
        "2024.05.01 13.00.00 garden",
        "front 2024-05-01 13:00:00",
        "NVR_ch3_main_20240501130000_20240501133000",
    ],
)
def test_usual_ways_to_write_a_start_time(name: str) -> None:
    start = start_from_name(name)
    assert start is not None
    assert (start.time_s, start.known_from) == (ONE_PM, "name")


@pytest.mark.parametrize("name", ["cam1", "2024", "2024-13-01_13-00-00", "2024-05-01", "120240501130000", "MOT17-02"])
def test_names_without_a_start_time(name: str) -> None:
    assert start_from_name(name) is None


@pytest.mark.parametrize(
    ("name", "hours_later"),
    [
        ("door_2024-05-01_01-00-00_PM", 0),
        ("2024-05-01 1.00.00 p.m", 0),
        ("2024-05-01_130000PM", 0),
        ("2024-05-01_12-00-00AM", -13),
        ("2024-05-01_12-00-00 pm", -1),
        ("2024-05-01_01-00-00_am", -12),
        ("2024-05-01_13-00-00_amber", 0),
    ],
)
def test_clocks_of_twelve_hours(name: str, hours_later: int) -> None:
    start = start_from_name(name)
    assert start is not None
    assert start.time_s == ONE_PM + 3600 * hours_later
    assert start_from_name("2024-05-01_13-00-00_AM") is None


def test_a_pattern_of_twelve_hours() -> None:
    start = start_from_name("c3 May 01052024 1.00.00 PM", "%d%m%Y %I.%M.%S %p")
    assert start is not None
    assert start.time_s == ONE_PM
    for pattern in ("%Y%m%d%I%M", "%Y%m%d%H%M%p", "%Y%m%d%H%I%M%p"):
        with pytest.raises(InputError, match="%I %p"):
            pattern_regex(pattern)


def test_own_pattern() -> None:
    start = start_from_name("c3-01052024 13h00m00.25", "%d%m%Y %Hh%Mm%S.%f")
    assert start is not None
    assert start.time_s == ONE_PM + 0.25


@pytest.mark.parametrize("pattern", ["%Y-%m", "%Y%m%d%H%M%Y", "%Y%m%d%H%M%Q"])
def test_patterns_that_cannot_work_are_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="name_pattern"):
        pattern_regex(pattern)


def test_segments_are_ordered_by_the_times_in_their_names_and_keep_real_gaps() -> None:
    files = [video("b_2024-05-01_13-05-00"), video("z_2024-05-01_13-00-00"), video("a_2024-05-01_13-01-00")]
    found, start = placed(*files)
    assert found == [("z_2024-05-01_13-00-00", 0.0), ("a_2024-05-01_13-01-00", 60.0), ("b_2024-05-01_13-05-00", 300.0)]
    assert start == (ONE_PM, "name")


def test_a_gap_below_the_resolution_of_names_is_none() -> None:
    files = [video("2024-05-01_13-00-00", 59.6), video("2024-05-01_13-01-00", 60.4), video("2024-05-01_13-02-00")]
    assert [offset for _, offset in placed(*files)[0]] == pytest.approx([0.0, 59.6, 120.0])


def test_segments_ordered_by_creation_time() -> None:
    found, start = placed(video("a", created=ONE_PM + 90), video("b", created=ONE_PM))
    assert found == [("b", 0.0), ("a", 90.0)]
    assert start == (ONE_PM, "metadata")


def test_equal_creation_times_say_nothing() -> None:
    found, start = placed(video("part10", created=ONE_PM), video("part11", created=ONE_PM))
    assert found == [("part10", 0.0), ("part11", 60.0)]
    assert start is None


def test_segments_without_times_follow_each_other() -> None:
    assert placed(video("a", 10.0), video("b", 20.0), video("c"))[0] == [("a", 0.0), ("b", 10.0), ("c", 30.0)]


def test_given_start_time_wins_and_names_still_place_the_files() -> None:
    from app.footage.clock import StartTime

    files = [video("2024-05-01_13-00-00"), video("2024-05-01_13-10-00")]
    found, start = placed(*files, order_is_given=True, start=StartTime(5.0, "list"))
    assert [offset for _, offset in found] == [0.0, 600.0]
    assert start == (5.0, "list")


def test_files_that_overlap_are_not_one_camera() -> None:
    with pytest.raises(InputError, match=r"right_2024.*begins 60 s before .*left_2024.* ends.*folder of its own"):
        placed(video("left_2024-05-01_13-00-00"), video("right_2024-05-01_13-00-00"))
    with pytest.raises(InputError, match="put them in order of time"):
        placed(video("2024-05-01_13-10-00"), video("2024-05-01_13-00-00"), order_is_given=True)


def test_a_start_time_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(InputError, match=r"list\.yaml:2: no start time in the name b"):
        placed(video("b"), start_from="name")
    with pytest.raises(InputError, match=r"list\.yaml:2: no creation time in the metadata of b"):
        placed(video("b"), start_from="metadata")


def test_the_example_list_is_valid() -> None:
    entries = read_camera_list(EXAMPLE, "")
    assert [entry.name for entry in entries] == ["entrance", "corridor", "car park", "yard", "till", "lift", "roof"]
    assert len(entries[0].sources) == 2
    assert entries[0].sources[0] == str(EXAMPLE.parent / "recordings/entrance/2024-05-01_13-00-00.mp4")
    assert (entries[1].start_from, entries[1].offset_s) == ("name", 2.5)
    assert entries[2].start is not None
    assert entries[2].start.time_s == ONE_PM + 7
    assert entries[3].start_from == "metadata"
    assert (entries[4].aspect, entries[5].fps, entries[6].stream) == (12 / 11, 12.5, 1)


def test_urls_and_camera_numbers_are_no_paths(tmp_path: Path) -> None:
    path = tmp_path / "live.yaml"
    path.write_text("cameras:\n- {files: 'rtsp://u:p@h/s'}\n- {files: '0'}\n- {files: /abs/x.mp4}\n")
    assert [entry.sources for entry in read_camera_list(path, "")] == [("rtsp://u:p@h/s",), ("0",), ("/abs/x.mp4",)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"bad\.yaml:1: a camera list has the one key"),
        ("- a.mp4\n", "a camera list has the one key"),
        ("cameras: []\n", "a camera list has the one key"),
        ("cameras:\n  - a.mp4\n", r"bad\.yaml:2"),
        ("cameras:\n  - {name: a}\n", r"bad\.yaml:2: files: field required"),
        ("cameras:\n  - {files: a.mp4}\n  - {file: b.mp4}\n", r"bad\.yaml:3: .*keys name, files"),
        ("cameras:\n  - {files: []}\n", r"bad\.yaml:2: files is empty"),
        ("cameras:\n  - {files: a.mp4, start: noon}\n", r"bad\.yaml:2: start: write 2024-05-01 13:00:00"),
        ("cameras:\n  - {files: a.mp4, offset_s: soon}\n", r"bad\.yaml:2: offset_s"),
        ("cameras:\n  - {files: a.mp4, name: a/b}\n", r"bad\.yaml:2: name 'a/b' cannot be a folder name"),
        ("cameras:\n  - {files: a.mp4, name_pattern: '%Y'}\n", r"bad\.yaml:2: name_pattern"),
        ("cameras:\n  - {files: a.mp4\n", r"bad\.yaml:3: not valid YAML"),
    ],
)
def test_mistakes_in_a_list_are_named_with_their_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_camera_list(path, "")


def test_all_mistakes_in_a_list_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("cameras:\n  - {name: a}\n  - {files: x.mp4}\n  - {files: x.mp4, start: noon}\n")
    with pytest.raises(InputError) as error:
        read_camera_list(path, "")
    assert ":2:" in str(error.value)
    assert ":4:" in str(error.value)


@given(st.text(max_size=200))
def test_safe_names_are_safe(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe) <= 101
    assert not set(safe) & set('<>:"/\\|?*\0\n')
    assert safe not in (".", "..")
    assert safe == safe.strip(" .")
    assert safe_name(safe) == safe
