"""Pixels that are not square, and other things that devices do: people keep their shape, and boxes their place."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.cli.parser import main
from app.errors import InputError
from app.footage.camera_list import CameraEntry, read_camera_list
from app.footage.picture import FrameConverter
from app.footage.recordings import open_recording
from app.footage.video import VideoReader, probe_video
from app.runs.folder.run import Run

SHAPES = {  # size in the file, pixel aspect, size in square pixels
    "square": ((192, 144), None, (192, 144)),
    "halfd1": ((88, 144), Fraction(24, 11), (192, 144)),
    "cif2": ((176, 72), Fraction(6, 11), (176, 132)),
}
FRAMES = 24


def person(number: int, frame: int) -> tuple[float, float, float, float]:
    """x y w h in a picture of 192 × 144 square pixels."""
    return (10.0 + 4 * frame, 30.0, 24.0, 80.0) if number else (150.0 - 4 * frame, 50.0, 20.0, 70.0)


def picture(frame: int) -> NDArray[np.uint8]:
    image = np.full((144, 192, 3), 90, np.uint8)
    for number, colour in enumerate([(40, 40, 200), (200, 80, 40)]):
        x, y, w, h = (round(value) for value in person(number, frame))
        image[y : y + h, max(0, x) : x + w] = colour
    return image


def write(path: Path, size: tuple[int, int], aspect: Fraction | None, frames: int = FRAMES, **stream_values) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            stream_values.pop("codec", "libx264"), rate=10, options=stream_values.pop("options", {})
        )
        stream.width, stream.height, stream.pix_fmt = *size, stream_values.pop("pix_fmt", "yuv420p")
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in stream_values.items():
            setattr(stream.codec_context, name, value)
        for number in range(frames):
            small = cv2.resize(picture(number), size, interpolation=cv2.INTER_AREA)
            frame = av.VideoFrame.from_ndarray(small, format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_rows(path: Path, size: tuple[int, int], detections: bool) -> Path:
    """Truth or detections in pixels of a file of `size`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fx, fy = size[0] / 192, size[1] / 144
    path.write_text(
        "".join(
            f"{frame + 1},{-1 if detections else number + 1},{x * fx:.3f},{y * fy:.3f},{w * fx:.3f},{h * fy:.3f},1\n"
            for frame in range(FRAMES)
            for number in (0, 1)
            for x, y, w, h in [person(number, frame)]
        )
    )
    return path


def test_pixels_mean_the_same_from_detections_to_scores_and_exports(tmp_path: Path, capsys) -> None:
    boxes, scores = {}, {}
    for name, (size, aspect, shown) in SHAPES.items():
        video = write(tmp_path / f"{name}.mp4", size, aspect)
        write_rows(tmp_path / name / "det/det.txt", size, True)
        truth = write_rows(tmp_path / name / "gt/gt.txt", size, False)
        run = tmp_path / f"run_{name}"
        options = ["--detector", "file:det/det.txt", "--reid", "none", "--save-video"]
        assert main(["track", "--sources", str(video), "--output", str(run), *options]) == 0
        camera = Run.open(run).camera(name)
        assert ((camera.width, camera.height), camera.file_size) == (shown, size)
        with av.open(str(run / f"video/{name}.mp4")) as drawn:
            assert (drawn.streams.video[0].width, drawn.streams.video[0].height) == shown
        boxes[name] = Run.open(run).observations(name).boxes * (192 / shown[0])
        capsys.readouterr()
        assert main(["evaluate", str(run), "--truth", str(tmp_path / name), "--json"]) == 0
        scores[name] = json.loads(capsys.readouterr().out)["cameras"][name]
        # What other programs get fits the file as they read it.
        for format in ("mot", "coco"):
            assert main(["export", str(run), "--format", format, "--output", str(tmp_path / f"{format}_{name}")]) == 0
        exported = np.loadtxt(tmp_path / f"mot_{name}" / f"{name}.txt", delimiter=",")
        wanted = np.loadtxt(truth, delimiter=",")
        first = exported[exported[:, 0] == FRAMES // 2][:, 2:6]
        assert np.sort(first, axis=0) == pytest.approx(
            np.sort(wanted[wanted[:, 0] == FRAMES // 2][:, 2:6], axis=0), abs=1.5
        )
        image = json.loads(next((tmp_path / f"coco_{name}").glob("*.json")).read_text())["images"][0]
        assert (image["width"], image["height"]) == size
    assert scores["square"]["MOTA"] > 70
    for name in ("halfd1", "cif2"):
        assert boxes[name] == pytest.approx(boxes["square"], abs=0.05)
        assert scores[name] == pytest.approx(scores["square"], abs=0.5)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_an_image_has_the_shape_that_the_file_is_shown_in(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    file = probe_video(write(tmp_path / f"a{suffix}", (88, 144), Fraction(24, 11), 3, codec=codec))
    assert (file.width, file.height, file.file_size) == (192, 144, (88, 144))
    image = next(VideoReader(file).video_frames()).image
    assert np.abs(image.astype(int) - picture(0)).mean() < 12


def test_a_camera_list_knows_better_than_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "plain.mp4", (88, 144), None, 3)
    write(tmp_path / "wrong.mp4", (192, 144), Fraction(12, 11), 3)
    listed = tmp_path / "cameras.yaml"
    listed.write_text(
        "cameras:\n- files: plain.mp4\n  aspect: 24:11\n"
        "- files: wrong.mp4\n  aspect: 1\n- files: plain.mp4\n  aspect: 24/11\n"
    )
    sizes = [(i.width, i.height) for i in (open_recording(e, 10).info for e in read_camera_list(listed, ""))]
    assert sizes == [(192, 144), (192, 144), (192, 144)]
    with caplog.at_level(logging.WARNING):
        assert probe_video(write(tmp_path / "mad.mp4", (192, 144), Fraction(40, 1), 3)).width == 192
    assert "mad.mp4" in caplog.text
    assert "aspect:" in caplog.text
    listed.write_text("cameras:\n- files: plain.mp4\n  aspect: wide\n")
    with pytest.raises(InputError, match=r"cameras\.yaml:2: aspect: 'wide'"):
        read_camera_list(listed, "")


def test_images_may_have_narrow_pixels(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.resize(picture(number), (88, 144)))
    footage = open_recording(CameraEntry((str(tmp_path),), aspect=24 / 11), 10)
    assert (footage.info.width, footage.info.height, footage.info.reading.file_size) == (192, 144, (88, 144))
    assert [image.image.shape for image in footage.video_frames(0)] == [(144, 192, 3)] * 3


def test_a_picture_of_another_shape_is_not_stretched() -> None:
    converter = FrameConverter((192, 144), (88, 144))
    square = np.zeros((144, 192, 3), np.uint8)
    square[32:112, 56:136] = 255
    for size in ((88, 144), (44, 72), (176, 288)):
        small = np.ascontiguousarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA))
        image = converter.convert(av.VideoFrame.from_ndarray(small, format="bgr24"))
        assert np.abs(image.astype(int) - square).mean() < 6
    wide = np.full((72, 88, 3), 255, np.uint8)  # twice as wide a view, in pixels as narrow
    image = converter.convert(av.VideoFrame.from_ndarray(wide, format="bgr24"))
    assert image.shape == (144, 192, 3)
    assert image[40:104].min() == 255
    assert not image[:34].any()
    assert not image[-34:].any()


@pytest.mark.parametrize("first", ["halfd1", "square"])
def test_a_recorder_that_changes_to_other_pixels_is_not_stretched(tmp_path: Path, first: str) -> None:
    """Half-D1 and square pixels show the same view; each picture has the aspect that its own coding says."""
    parts = [
        write(tmp_path / f"{name}.ts", *SHAPES[name][:2], 6)
        for name in (first, {"halfd1": "square"}.get(first, "halfd1"))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(VideoReader(probe_video(path)).video_frames())
    assert len(frames) == 12
    for one in frames:
        assert np.abs(one.image.astype(int) - picture(one.index % 6)).mean() < 12
    later = list(VideoReader(probe_video(path)).video_frames(9))
    assert [np.array_equal(a.image, b.image) for a, b in zip(later, frames[9:], strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ten_bits.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none"}}),
        ("full_range.mp4", {"color_range": 2, "pix_fmt": "yuvj420p"}),
        ("bt709.mp4", {"colorspace": 1, "color_primaries": 1, "color_trc": 1}),
        ("interlaced.ts", {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme", "top": "1"}}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "11", "crf": "8"}}),
        ("gray.avi", {"codec": "mjpeg", "pix_fmt": "yuvj422p"}),
    ],
)
def test_what_devices_write_looks_as_it_looked(tmp_path: Path, name: str, values: dict) -> None:
    codec = values.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    file = probe_video(write(tmp_path / name, (192, 144), None, 12, **values))
    reader = VideoReader(file)
    images = list(reader.video_frames())
    assert [one.index for one in images] == list(range(12))
    assert [one.time_s for one in images] == pytest.approx(np.arange(12) / 10, abs=0.002)
    assert reader.problem == ""
    assert all(np.abs(one.image.astype(int) - picture(one.index)).mean() < 8 for one in images)


def test_pictures_that_an_edit_list_hides_are_not_there(tmp_path: Path, small_videos: ModuleType) -> None:
    """What an MP4 file cut without encoding has: pictures before the cut are decoded and never shown."""
    whole = small_videos.write(tmp_path / "whole.mp4", 30, options={"g": "30", "bf": "0"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as container, av.open(str(cut), "w") as out:
        source = container.streams.video[0]
        stream = out.add_stream_from_template(source)
        for packet in container.demux(source):
            if packet.dts is not None:
                packet.pts -= round(1 / packet.time_base)
                packet.dts -= round(1 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    reader = VideoReader(probe_video(cut))
    pictures = list(reader.video_frames())
    assert [small_videos.picture_number(one.image) for one in pictures] == list(range(10, 30))
    assert [one.time_s for one in pictures] == pytest.approx(np.arange(20) / 10)
    part = list(VideoReader(reader.file).video_frames(12))
    assert [(one.index, one.time_s) for one in part] == [(one.index, one.time_s) for one in pictures[12:]]
