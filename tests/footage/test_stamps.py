"""Times of files whose stamps lie, or that have none."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest

from app.errors import InputError
from app.footage.camera_list import CameraEntry, read_camera_list
from app.footage.recordings import open_recording
from app.footage.video import VideoReader, probe_video

EXPECTED = np.arange(60) / 10


def times_of(path: Path, first_index: int = 0, **entry) -> tuple[list[float], str]:
    footage = open_recording(CameraEntry((str(path),), **entry), 10.0)
    return [one.time_s for one in footage.video_frames(first_index)], footage.problem


@pytest.mark.parametrize(
    ("jump_s", "suffix"),
    [(2**31 / 90_000, ".ts"), (2**31 / 90_000, ".mkv"), (2**32 / 90_000, ".mkv"), (1.7e9, ".mkv")],
)
def test_a_step_that_no_recording_makes_is_not_believed_and_said_once(
    tmp_path: Path, small_videos: ModuleType, jump_s: float, suffix: str
) -> None:
    stamps = [30 + n / 10 + jump_s * (n >= 30) for n in range(60)]
    path = small_videos.write(tmp_path / f"a{suffix}", times=stamps, options={"g": "10", "bf": "0"})
    times, problem = times_of(path)
    assert times == pytest.approx(EXPECTED, abs=0.002)
    assert problem.count("time stamps jump") == 1
    assert f"a{suffix}" in problem
    assert times_of(path, 45)[0] == pytest.approx(times[45:])
    count = probe_video(path).expected_frames
    assert count is None or count < 10_000_000


def test_a_gap_of_hours_is_kept_and_said(tmp_path: Path, small_videos: ModuleType) -> None:
    stamps = [n / 10 + 5 * 3600 * (n >= 30) for n in range(60)]
    times, problem = times_of(small_videos.write(tmp_path / "a.mkv", times=stamps))
    assert times == pytest.approx(stamps, abs=0.002)
    assert "5.00 h at 2.90 s, which is taken for a gap" in problem


def test_recordings_of_a_camera_that_restarted_can_be_glued(tmp_path: Path, small_videos: ModuleType) -> None:
    """FFmpeg takes the step back of the counter for a wrap of its 33 bits, and makes a hole of 12.65 h of it."""
    parts = [
        small_videos.write(tmp_path / f"{start}.ts", times=[start + n / 10 for n in range(30)], first_number=number)
        for start, number in ((50_000.0, 0), (100.0, 30))
    ]
    glued = tmp_path / "glued.ts"
    glued.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader = VideoReader(probe_video(glued))
    frames = list(reader.video_frames())
    assert [small_videos.picture_number(one.image) for one in frames] == list(range(60))
    assert [one.time_s for one in frames] == pytest.approx(EXPECTED, abs=0.21)  # the end of the first is not known
    assert "12.65 h" in reader.notice
    assert reader.problem == ""


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2", "g": "12"}])
@pytest.mark.parametrize("before", range(1, 60, 13))
def test_a_counter_that_wraps_is_no_jump(
    tmp_path: Path, small_videos: ModuleType, before: int, options: dict[str, str]
) -> None:
    stamps = [2**33 / 90_000 + (n - before) / 10 for n in range(60)]
    path = small_videos.write(tmp_path / "wrap.ts", times=stamps, options=options)
    times, problem = times_of(path)
    assert times == pytest.approx(EXPECTED, abs=0.002)
    assert problem == ""
    assert times_of(path, 40)[0] == pytest.approx(times[40:])


def written(path: Path, codec: str, format: str, rate: int, options: dict[str, str]) -> Path:
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_raw_stream_has_the_rate_that_it_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silent = {"x265-params": "vui-timing-info=0:log-level=none"}
    with caplog.at_level(logging.WARNING):
        for name, codec, format, options in (
            ("a.h264", "libx264", "h264", {"bf": "2"}),
            ("a.m4v", "mpeg4", "m4v", {}),
            ("a.m2v", "mpeg2video", "mpeg2video", {}),
        ):
            path = written(tmp_path / name, codec, format, 10 if codec != "mpeg2video" else 50, options)
            rate = 10 if codec != "mpeg2video" else 50
            assert times_of(path)[0] == pytest.approx(np.arange(30) / rate)
            assert times_of(path, 20)[0] == pytest.approx(np.arange(20, 30) / rate)
            assert times_of(path, fps=8.0)[0] == pytest.approx(np.arange(30) / 8)
    assert not caplog.text
    with caplog.at_level(logging.WARNING):
        for name, codec, format, options in (("b.h265", "libx265", "hevc", silent), ("b.mjpg", "mjpeg", "mjpeg", {})):
            path = written(tmp_path / name, codec, format, 10, options)
            assert times_of(path)[0] == pytest.approx(np.arange(30) / 25)
            assert f"{name}: has no time stamps" in caplog.text
            assert times_of(path, fps=10.0)[0] == pytest.approx(np.arange(30) / 10)


def test_a_rate_that_the_list_gives_counts_for_any_file(tmp_path: Path, small_videos: ModuleType) -> None:
    path = small_videos.write(tmp_path / "a.mp4", 20)
    footage = open_recording(CameraEntry((str(path),), fps=4.0), 10.0)
    assert [one.time_s for one in footage.video_frames(0)] == pytest.approx(np.arange(20) / 4)
    assert (footage.info.fps, footage.info.duration_s, footage.info.reading.fps) == (4.0, 5.0, 4.0)
    live = tmp_path / "live.yaml"
    live.write_text("cameras:\n- files: rtsp://127.0.0.1/x\n  fps: 4\n")
    from app.config import SourceSettings
    from app.footage.sources import open_sources

    with pytest.raises(InputError, match="leave out fps"):
        open_sources([str(live)], [], SourceSettings(stream_timeout_s=1.0))


@pytest.mark.parametrize("suffix", [".avi", ".asf", ".mxf"])
def test_reordered_pictures_without_presentation_stamps_come_in_the_decoder_s_order(
    tmp_path: Path, suffix: str
) -> None:
    path = written(tmp_path / f"b{suffix}", "libx264", suffix[1:], 25, {"bf": "3", "g": "12", "b_strategy": "0"})
    reader = VideoReader(probe_video(path))
    frames = list(reader.video_frames())
    assert np.diff([float(one.image.mean()) for one in frames]) == pytest.approx(np.full(29, 4), abs=3)
    assert [one.time_s for one in frames] == pytest.approx(np.arange(30) / 25, abs=0.002)
    assert (reader.problem, reader.notice) == ("", "")
    part = [(one.index, one.time_s) for one in VideoReader(reader.file).video_frames(17)]
    assert part == [(one.index, one.time_s) for one in frames[17:]]


def packed(path: Path) -> Path:
    """An AVI file as DivX wrote it: a packet with a P and a B picture, then one that says "nothing coded"."""
    raws: list[bytes] = []
    encoder = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 10), Fraction(10)
    encoder.options = {"bf": "1", "g": "12", "b_strategy": "0", "flags": "+bitexact"}
    for number in range(41):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="bgr24")
        frame.pts, frame.time_base = number, Fraction(1, 10)
        raws += [bytes(packet) for packet in encoder.encode(frame)]
    raws += [bytes(packet) for packet in encoder.encode(None)]
    kinds = [data[data.index(b"\0\0\1\xb6") + 4] >> 6 for data in raws]  # 0 I, 1 P, 2 B
    nothing = b"\0\0\1\xb6" + bytes([0b01 << 6 | 0b0_1_0000 >> 0, 0b1_0_111111])
    chunks: list[bytes] = []
    for place, (data, kind) in enumerate(zip(raws, kinds, strict=True)):
        if kind == 2:
            continue
        follows = place + 1 < len(raws) and kinds[place + 1] == 2
        chunks.append(data + raws[place + 1] if follows else data)
        if follows:
            chunks.append(nothing)
    if b"DivX" not in chunks[0]:
        at = chunks[0].index(b"\0\0\1\xb6")
        chunks[0] = chunks[0][:at] + b"\0\0\1\xb2DivX503b1393p" + chunks[0][at:]
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, data in enumerate(chunks):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = number
            packet.is_keyframe = data is chunks[0]
            container.mux(packet)
    return path


def test_packed_b_frames_take_no_time_of_their_own(tmp_path: Path) -> None:
    reader = VideoReader(probe_video(packed(tmp_path / "packed.avi")))
    frames = list(reader.video_frames())
    assert [one.index for one in frames] == list(range(len(frames)))
    assert len(frames) >= 40
    assert np.diff([float(one.image.mean()) for one in frames]) == pytest.approx(np.full(len(frames) - 1, 5), abs=3)
    assert [one.time_s for one in frames] == pytest.approx(np.arange(len(frames)) / 10)
    part = [(one.index, one.time_s) for one in VideoReader(reader.file).video_frames(25)]
    assert part == [(one.index, one.time_s) for one in frames[25:]]


def two_lenses(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(2)]
        for stream, side in zip(streams, (64, 96), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, 48, "yuv420p"
        for number in range(20):
            for stream in streams:
                image = np.full((48, stream.width, 3), 8 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_a_second_lens_is_said_and_can_be_chosen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = two_lenses(tmp_path / "roof.mkv")
    with caplog.at_level(logging.WARNING):
        assert probe_video(path).width == 64
    assert "roof.mkv: has 2 video streams (64×48, 96×48)" in caplog.text
    listed = tmp_path / "cameras.yaml"
    listed.write_text("".join(["cameras:\n", *(f"- files: roof.mkv\n  stream: {number}\n" for number in (0, 1, 2))]))
    caplog.clear()
    first, second, third = read_camera_list(listed, "")
    for entry, width in ((first, 64), (second, 96)):
        footage = open_recording(entry, 10.0)
        assert footage.info.width == width
        assert [one.image.shape for one in footage.video_frames(15)] == [(48, width, 3)] * 5
    assert not caplog.text
    with pytest.raises(InputError, match="no stream 2"):
        open_recording(third, 10.0)


@pytest.mark.parametrize("name", ["a.mjpg", "a.mjpeg", "A.MJPG"])
def test_jpegs_one_after_the_other_are_a_video(tmp_path: Path, name: str) -> None:
    """FFmpeg takes them for one image if the first is larger than what it looks at to know the format."""
    grain = np.random.default_rng(0).integers(0, 60, (240, 320, 3), np.uint8)
    encoded = [cv2.imencode(".jpg", grain + np.uint8(8 * number))[1].tobytes() for number in range(20)]
    (tmp_path / name).write_bytes(b"".join(encoded))
    footage = open_recording(CameraEntry((str(tmp_path / name),), fps=5.0), 10.0)
    frames = list(footage.video_frames(0))
    assert [round((one.image.mean() - grain.mean()) / 8) for one in frames] == list(range(20))
    assert [one.time_s for one in frames] == pytest.approx(np.arange(20) / 5)
    assert times_of(tmp_path, 12, fps=5.0)[0] == pytest.approx(np.arange(12, 20) / 5)
