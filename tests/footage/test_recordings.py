"""Folders as sources: images, MOTChallenge sequences and recording segments."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest

from app.errors import InputError
from app.footage.camera_list import CameraEntry
from app.footage.recordings import Footage, natural_order, open_recording


def opened(*paths: Path) -> Footage:
    return open_recording(CameraEntry(tuple(str(path) for path in paths)), image_fps=5.0)


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (32, 24)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), np.full((size[1], size[0], 3), 10 * number, np.uint8))


def write_seqinfo(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    text = f"[Sequence]\nname=s\nimDir=img1\nframeRate=20\nseqLength={count}\nimWidth=32\nimHeight=24\nimExt=.png\n"
    (folder / "seqinfo.ini").write_text(text)


def test_natural_order() -> None:
    names = ["f10.png", "f2.png", "F1.png", "f2b.png", "1.png", "a.png"]
    assert [path.name for path in sorted(map(Path, names), key=natural_order)] == [
        "1.png",
        "a.png",
        "F1.png",
        "f2.png",
        "f2b.png",
        "f10.png",
    ]


def test_images_follow_their_numbers_at_the_rate_of_the_settings(tmp_path: Path) -> None:
    write_images(tmp_path, ["10.png", "9.png", "1.jpg"])
    (tmp_path / ".hidden.png").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("not an image")
    footage = opened(tmp_path)
    pictures = list(footage.video_frames(0))
    assert [int(picture.image.mean()) for picture in pictures] == [20, 10, 0]
    assert [picture.time_s for picture in pictures] == pytest.approx([0.0, 0.2, 0.4])
    assert (footage.info.width, footage.info.height, footage.info.fps) == (32, 24, 5.0)


def test_grey_and_transparent_images_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((24, 32), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((24, 32, 4), 7, np.uint8))
    assert [picture.image.shape for picture in opened(tmp_path).video_frames(0)] == [(24, 32, 3)] * 2


def test_an_image_of_another_size_is_found_at_opening(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    write_images(tmp_path, ["3.png"], (48, 24))
    with pytest.raises(InputError, match=r"3\.png: is 48×24, the pictures before it are 32×24"):
        opened(tmp_path)


def test_an_image_that_is_none_is_found_at_opening(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png"])
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"2\.png: not a picture"):
        opened(tmp_path)


def test_an_image_damaged_inside_is_skipped_with_its_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path, ["1.png", "2.png", "3.png"])
    damaged = tmp_path / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:45])
    with caplog.at_level(logging.WARNING):
        assert [picture.index for picture in opened(tmp_path).video_frames(0)] == [0, 2]
    assert "2.png" in caplog.text


def test_sequence_numbers_come_from_the_names(tmp_path: Path) -> None:
    write_seqinfo(tmp_path / "S", 4)
    write_images(tmp_path / "S" / "img1", ["000001.png", "000002.png", "000004.png"])
    footage = opened(tmp_path / "S")
    pictures = list(footage.video_frames(0))
    assert [(picture.index, picture.time_s) for picture in pictures] == [(0, 0.0), (1, 0.05), (3, pytest.approx(0.15))]
    assert "only 3 of the 4" in footage.problem


def test_sequence_without_images_is_blank_and_takes_no_memory(tmp_path: Path) -> None:
    write_seqinfo(tmp_path / "S", 1000)
    footage = opened(tmp_path / "S")
    pictures = list(footage.video_frames(998))
    assert [(picture.index, picture.image.shape) for picture in pictures] == [(998, (24, 32, 3)), (999, (24, 32, 3))]
    assert pictures[0].image.strides == (0, 0, 0) or pictures[0].image.base is not None
    assert not footage.info.has_pixels
    assert footage.problem == ""


def test_segments_are_one_camera_with_real_gaps(tmp_path: Path, small_videos: ModuleType) -> None:
    small_videos.write(tmp_path / "c_2024-05-01_13-00-05.mp4", 5, first_number=10)
    small_videos.write(tmp_path / "z_2024-05-01_13-00-00.mp4", 10)
    footage = opened(tmp_path)
    pictures = list(footage.video_frames(0))
    assert [small_videos.picture_number(picture.image) for picture in pictures] == list(range(15))
    assert [picture.index for picture in pictures] == list(range(15))
    wanted = [*(n / 10 for n in range(10)), *(5 + n / 10 for n in range(5))]
    assert [picture.time_s for picture in pictures] == pytest.approx(wanted)
    assert [(p.index, p.time_s) for p in footage.video_frames(12)] == [(p.index, p.time_s) for p in pictures[12:]]
    assert footage.info.frame_count == 15
    assert footage.info.duration_s == pytest.approx(5.5)
    assert footage.info.name == tmp_path.name


def test_a_broken_segment_keeps_the_others(tmp_path: Path, small_videos: ModuleType) -> None:
    broken = small_videos.write(tmp_path / "1.avi", 40, codec="mjpeg", size=(320, 240))
    small_videos.write(tmp_path / "2.avi", 10, codec="mjpeg", size=(320, 240), first_number=100)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    footage = opened(tmp_path)
    pictures = list(footage.video_frames(0))
    assert "1.avi" in footage.problem
    assert [small_videos.picture_number(picture.image) for picture in pictures[-10:]] == list(range(100, 110))
    assert pictures[-10].time_s == pytest.approx(4.0), "the second begins where the first would have ended"


def test_segments_of_different_size_are_refused(tmp_path: Path, small_videos: ModuleType) -> None:
    small_videos.write(tmp_path / "1.mp4", 2)
    small_videos.write(tmp_path / "2.mp4", 2, size=(96, 48))
    with pytest.raises(InputError, match=r"one picture size: .*1\.mp4 64×48, .*2\.mp4 96×48"):
        opened(tmp_path)


def test_every_bad_segment_is_named(tmp_path: Path, small_videos: ModuleType) -> None:
    small_videos.write(tmp_path / "1.mp4", 2)
    (tmp_path / "2.mp4").touch()
    (tmp_path / "3.mp4").write_bytes(b"no video" * 100)
    footage = opened(tmp_path)
    assert len(list(footage.video_frames(0))) == 2
    assert re.search(r"2\.mp4(.|\n)*3\.mp4", footage.problem)


def test_a_folder_of_both_kinds_and_a_single_picture_are_refused(tmp_path: Path, small_videos: ModuleType) -> None:
    write_images(tmp_path, ["1.png"])
    with pytest.raises(InputError, match="single picture; give the folder"):
        opened(tmp_path / "1.png")
    small_videos.write(tmp_path / "2.mp4", 2)
    with pytest.raises(InputError, match="both pictures and videos"):
        opened(tmp_path)
    with pytest.raises(InputError, match="a folder cannot be one of several files"):
        opened(tmp_path / "2.mp4", tmp_path)


def test_real_sequences_without_images(shared_data: Path) -> None:
    footage = opened(shared_data / "mot" / "MOT17-half" / "MOT17-05")
    assert (footage.info.frame_count, footage.info.fps, footage.info.has_pixels) == (418, 14.0, False)
    assert sum(1 for _ in footage.video_frames(0)) == 418


@pytest.mark.parametrize("fault", ["empty", "cut", "noise"])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_segment_that_cannot_be_read_is_a_gap(
    tmp_path: Path, small_videos: ModuleType, caplog: pytest.LogCaptureFixture, fault: str, bad: int
) -> None:
    paths = [tmp_path / f"2024-05-01_13-00-{2 * n:02d}.mp4" for n in range(5)]
    for number, path in enumerate(paths):
        small_videos.write(path, 20, first_number=20 * number)
    whole = paths[bad].read_bytes()
    paths[bad].write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": bytes(range(256)) * 9}[fault])
    with caplog.at_level(logging.WARNING):
        footage = opened(tmp_path)
    assert f"{paths[bad].name}" in caplog.text
    frames = list(footage.video_frames(0))
    assert [small_videos.picture_number(one.image) for one in frames] == [n for n in range(100) if n // 20 != bad]
    first = 20 if bad == 0 else 0
    assert [one.time_s for one in frames] == pytest.approx([(n - first) / 10 for n in range(100) if n // 20 != bad])
    assert "a segment is missing" in footage.problem
    assert paths[bad] not in footage.info.inputs


def test_no_segment_that_can_be_read_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"0\.mp4.*\n.*1\.mp4"):
        opened(tmp_path)


def test_segments_that_do_not_say_how_long_they_are_are_measured(tmp_path: Path, small_videos: ModuleType) -> None:
    for number in range(3):
        part = small_videos.write(tmp_path / f"{number}.mp4", 20, first_number=20 * number)
        with av.open(str(part)) as container, av.open(str(tmp_path / f"{number}.h264"), "w") as raw:
            stream = raw.add_stream_from_template(container.streams.video[0])
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    raw.mux(packet)
        part.unlink()
    footage = open_recording(CameraEntry((str(tmp_path),), fps=10.0), 5.0)
    frames = list(footage.video_frames(0))
    assert [small_videos.picture_number(one.image) for one in frames] == list(range(60))
    assert [one.time_s for one in frames] == pytest.approx(np.arange(60) / 10)


def test_a_segment_whose_stamps_jump_does_not_overlap_the_next(tmp_path: Path, small_videos: ModuleType) -> None:
    stamps = [n / 10 + 2**31 / 90_000 * (n >= 10) for n in range(20)]
    small_videos.write(tmp_path / "2024-05-01_13-00-00.mkv", times=stamps)
    small_videos.write(tmp_path / "2024-05-01_13-00-05.mkv", 20)
    footage = opened(tmp_path)
    wanted = [*(np.arange(20) / 10), *(5 + np.arange(20) / 10)]
    assert [one.time_s for one in footage.video_frames(0)] == pytest.approx(wanted, abs=0.002)
