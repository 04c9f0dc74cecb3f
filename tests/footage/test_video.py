"""Decoding one video: numbers, times, rotation, damage and truncation."""

from __future__ import annotations

import logging
import struct
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from app.errors import InputError
from app.footage.video import VideoReader, probe_video


def read(path: Path, first_index: int = 0) -> tuple[VideoReader, list[int], list[float], list[np.ndarray]]:
    reader = VideoReader(probe_video(path))
    pictures = list(reader.video_frames(first_index))
    return reader, [p.index for p in pictures], [p.time_s for p in pictures], [p.image for p in pictures]


def test_pictures_come_in_presentation_order_with_b_frames(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "b.mp4", 30, options={"bf": "3", "g": "30"})
    with av.open(str(path)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert stamps != sorted(stamps), "the file must store pictures out of order for this test to say anything"
    reader, indices, times, images = read(path)
    assert [small_videos.picture_number(image) for image in images] == indices == list(range(30))
    assert times == pytest.approx(np.arange(30) / 10)
    assert reader.problem == ""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_variable_frame_rate_keeps_every_time(tmp_path: Path, small_videos: ModuleType, suffix: str) -> None:
    wanted = [0.0, 0.1, 0.15, 0.9, 1.0, 1.01, 2.5]
    reader, _, times, _ = read(small_videos.write(tmp_path / f"v{suffix}", times=wanted))
    assert times == pytest.approx(wanted, abs=0.001)
    assert reader.problem == ""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_time_counts_from_the_first_picture(tmp_path: Path, small_videos: ModuleType, suffix: str) -> None:
    path = small_videos.write(tmp_path / f"late{suffix}", times=[5.0, 5.1, 5.3])
    assert read(path)[2] == pytest.approx([0.0, 0.1, 0.3], abs=0.001)


def test_pictures_before_the_first_wanted_are_skipped_only(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "a.mp4", 20)
    _, all_indices, all_times, all_images = read(path)
    _, indices, times, images = read(path, first_index=13)
    assert indices == all_indices[13:]
    assert times == all_times[13:]
    assert all(np.array_equal(a, b) for a, b in zip(images, all_images[13:], strict=True))


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will hold a picture's number for each one that the reader takes from the decoder."""
    taken: list[int] = []
    plain = VideoReader._decode

    def counting(self, *given):
        for picture in plain(self, *given):
            taken.append(self.next_index)
            yield picture

    monkeypatch.setattr(VideoReader, "_decode", counting)
    return taken


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"bf": "3", "g": "10"}),
        ("b.mkv", "libx264", {"bf": "3", "g": "10"}),
        ("b.ts", "libx264", {"bf": "3", "g": "10"}),
        ("open.mp4", "libx264", {"bf": "3", "g": "10", "x264-params": "open-gop=1"}),
        ("renewed.mp4", "libx264", {"g": "10", "x264-params": "intra-refresh=1"}),
        ("one.mp4", "libx264", {"g": "1000", "sc_threshold": "0"}),
        ("h265.mp4", "libx265", {"x265-params": "keyint=10:min-keyint=10:bframes=3:log-level=none"}),
        ("m.avi", "mpeg4", {"g": "10"}),
        ("m.mkv", "mjpeg", {}),
        ("v.webm", "libvpx", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
)
def test_a_reading_from_the_middle_gives_what_a_whole_one_does(
    tmp_path: Path, small_videos: ModuleType, name: str, codec: str, options: dict[str, str]
) -> None:
    path = small_videos.write(tmp_path / name, 120, codec=codec, options=options)
    whole, whole_indices, whole_times, whole_images = read(path)
    for first_index in (1, 29, 60, 61, 83, 119, 120, 500):
        part, indices, times, images = read(path, first_index)
        assert indices == whole_indices[first_index:]
        assert times == whole_times[first_index:]
        assert all(np.array_equal(a, b) for a, b in zip(images, whole_images[first_index:], strict=True))
        assert (part.next_index, part.end_s, part.problem) == (whole.next_index, whole.end_s, whole.problem)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_what_lies_far_before_the_first_picture_wanted_is_not_decoded(
    tmp_path: Path, small_videos: ModuleType, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = small_videos.write(tmp_path / f"long{suffix}", 200, codec=codec, options={"g": "10"})
    taken = decodings(monkeypatch)
    assert read(path, 150)[1] == list(range(150, 200))
    assert 130 <= taken[0] < 150
    del taken[:]
    assert read(path, 1000)[0].next_index == 200
    assert taken[0] >= 180


@pytest.mark.parametrize("damaged", [0, 3, 40, 59])
@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_damage_changes_no_number_after_it(tmp_path: Path, small_videos: ModuleType, suffix: str, damaged: int) -> None:
    path = small_videos.write(tmp_path / f"scratched{suffix}", 60, codec="mjpeg")
    with av.open(str(path)) as container:
        place, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][damaged]
    content = bytearray(path.read_bytes())
    content[place + 10 : place + size] = bytes(size - 10)
    path.write_bytes(content)
    whole = [(index, round(time_s, 6)) for index, time_s in zip(*read(path)[1:3], strict=True)]
    part = [(index, round(time_s, 6)) for index, time_s in zip(*read(path, 50)[1:3], strict=True)]
    assert part == [(index, time_s) for index, time_s in whole if index >= 50]


def test_pictures_that_come_irregularly_keep_numbers_and_times(tmp_path: Path, small_videos: ModuleType) -> None:
    moments = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.4, 100))
    for suffix in (".mp4", ".mkv", ".ts"):
        path = small_videos.write(tmp_path / f"v{suffix}", times=list(moments), options={"g": "10", "bf": "2"})
        _, indices, times, images = read(path)
        _, later_indices, later_times, later_images = read(path, 70)
        assert (later_indices, later_times) == (indices[70:], times[70:])
        assert all(np.array_equal(a, b) for a, b in zip(later_images, images[70:], strict=True))


def test_images_are_contiguous_bgr(tmp_path: Path) -> None:
    path = tmp_path / "blue.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 66, 50, "yuv420p"
        blue = np.zeros((50, 66, 3), np.uint8)
        blue[..., 0] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(blue, format="bgr24")))
        container.mux(stream.encode(None))
    image = read(path)[3][0]
    assert image.shape == (50, 66, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image[..., 0].mean() > 240
    assert image[..., 1:].mean() < 15


@pytest.mark.parametrize(("angle", "size"), [(0, (64, 48)), (90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_display_rotation_is_honoured(tmp_path: Path, small_videos: ModuleType, angle: int, size: tuple) -> None:
    path = small_videos.write(tmp_path / "turned.mp4", 3, first_number=0b00001111)
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[angle]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer to reserved
    content[at : at + 36] = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    file = probe_video(path)
    image = read(path)[3][0]
    assert (file.width, file.height) == size == image.shape[1::-1]
    white_half = {  # the file shows white on the left; turning it clockwise takes that to the top
        0: image[:, : size[0] // 3],
        90: image[: size[1] // 3],
        180: image[:, -(size[0] // 3) :],
        270: image[-(size[1] // 3) :],
    }[angle]
    assert white_half.mean() > 240
    assert image.mean() < 150


def test_a_file_cut_off_says_so_and_keeps_the_start(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "whole.mp4", 60, size=(320, 240), index_first=True)
    whole = path.read_bytes()
    mdat = whole.index(b"mdat")
    path.write_bytes(whole[: mdat + (len(whole) - mdat) // 2])
    reader, indices, _, _ = read(path)
    assert 10 < len(indices) < 55
    assert "truncated" in reader.problem
    assert "whole.mp4" in reader.problem
    assert "of 6.00 s" in reader.problem


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_truncated_avi_and_matroska_keep_the_start(tmp_path: Path, small_videos: ModuleType, suffix: str) -> None:
    path = small_videos.write(tmp_path / f"cut{suffix}", 60, size=(320, 240), codec="mpeg4", options={"g": "5"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    reader, indices, times, images = read(path)
    assert 10 < len(indices) < 55
    assert times == pytest.approx(np.array(indices) / 10)
    assert small_videos.picture_number(images[8]) == indices[8]
    assert "6.00 s" in reader.problem


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_damage_in_the_middle_is_skipped_with_a_warning(
    tmp_path: Path, small_videos: ModuleType, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    path = small_videos.write(tmp_path / f"scratched{suffix}", 60, codec="mjpeg")
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in (30, 33, 34):
        start, size = places[number]
        content[start + 10 : start + size] = bytes(size - 10)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        reader, indices, times, images = read(path)
    assert indices == [number for number in range(60) if number not in (30, 33, 34)]
    assert [small_videos.picture_number(image) for image in images] == indices
    assert times == pytest.approx(np.array(indices) / 10, abs=0.001)
    assert f"scratched{suffix}: 3 damaged pictures" in caplog.text
    assert reader.problem == ""


def test_damage_up_to_the_end_is_a_problem(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "dead.avi", 60, codec="mjpeg")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    reader, indices, _, _ = read(path)
    assert 15 < len(indices) < 45
    assert "dead.avi" in reader.problem


def test_stamps_that_stand_still_or_jump_back_never_turn_time_back(tmp_path: Path, small_videos: ModuleType) -> None:
    first = small_videos.write(tmp_path / "a.ts", 10)
    second = small_videos.write(tmp_path / "b.ts", 10, first_number=10)
    path = tmp_path / "glued.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    _, indices, times, images = read(path)
    assert [small_videos.picture_number(image) for image in images] == indices == list(range(20))
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] == pytest.approx(1.9, abs=0.2)


def test_metadata_is_reported(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "m.mp4", 20, metadata={"creation_time": "2024-05-01T13:00:00.000000Z"})
    file = probe_video(path)
    assert file.created == 1714568400.0
    assert (file.fps, file.frame_count, file.duration_s) == (10.0, 20, pytest.approx(2.0))
    old = small_videos.write(tmp_path / "o.mp4", 2, metadata={"creation_time": "1970-01-01T00:00:01.000000Z"})
    assert probe_video(old).created is None


def truncated_mp4(folder: Path, small_videos: ModuleType) -> Path:
    path = small_videos.write(folder / "cut.mp4", 20)
    path.write_bytes(path.read_bytes()[:1000])
    return path


def sound_only(folder: Path, small_videos: ModuleType) -> Path:
    path = folder / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return path


def file_of(name: str, content: bytes):
    def make(folder: Path, small_videos: ModuleType) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder, _: folder / "missing.mp4", "missing.mp4: cannot be read"),
        (file_of("empty.mp4", b""), "empty.mp4: the file is empty"),
        (file_of("notes.txt", b"shopping: milk, bread, and quite a bit more\n" * 40), "notes.txt: not a video"),
        (file_of("noise.mp4", bytes(range(256)) * 40), "noise.mp4: not a video"),
        (truncated_mp4, "cut.mp4: the MP4 file is truncated"),
        (sound_only, "sound.wav: has no video stream"),
    ],
)
def test_unusable_files_are_named_with_the_reason(tmp_path: Path, small_videos: ModuleType, make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        probe_video(make(tmp_path, small_videos))
