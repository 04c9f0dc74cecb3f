"""Opening what the user names: the contract of every recorded source, names, the shared clock, errors."""

from __future__ import annotations

import logging
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from app.config import SourceSettings
from app.errors import InputError
from app.footage.camera import Source
from app.footage.sources import open_sources
from app.footage.ticks import ticks
from app.frames import Frame

DEFAULTS = SourceSettings()


def image_folder(folder: Path, count: int = 12, size: tuple[int, int] = (64, 48), suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        image = np.full((size[1], size[0], 3), number, np.uint8)
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), image)
    return folder


def sequence_folder(folder: Path, count: int = 12, with_images: bool = True) -> Path:
    if with_images:
        image_folder(folder / "img1", count)
    folder.mkdir(exist_ok=True)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=other\nimDir=img1\nframeRate=10\nseqLength={count}\nimWidth=64\nimHeight=48\nimExt=.png\n"
    )
    return folder


def segments(folder: Path, videos: ModuleType) -> Path:
    videos.write(folder / "2024-05-01_13-00-00.mp4", 6)
    videos.write(folder / "2024-05-01_13-00-30.mp4", 6, first_number=6)
    return folder


def camera_list(folder: Path, videos: ModuleType) -> Path:
    videos.write(folder / "b.mp4", 6)
    videos.write(folder / "a.mp4", 6, first_number=6)
    path = folder / "list.yaml"
    path.write_text("cameras:\n  - name: hall\n    files: [b.mp4, a.mp4]\n")
    return path


RECORDED: dict[str, Callable[[Path, ModuleType], Path]] = {
    "mp4": lambda folder, videos: videos.write(folder / "clip.mp4", 12),
    "mp4 with b-frames": lambda folder, videos: videos.write(folder / "b.mp4", 12, options={"bf": "2"}),
    "variable frame rate": lambda folder, videos: videos.write(
        folder / "v.mkv", times=[0.0, 0.1, 0.15, 0.4, 0.5, 0.6, 0.65, 0.7, 0.9, 1.0, 1.05, 1.15]
    ),
    "late start": lambda folder, videos: videos.write(folder / "late.ts", times=[3 + n / 10 for n in range(12)]),
    "avi": lambda folder, videos: videos.write(folder / "clip.avi", 12, codec="mpeg4"),
    "images": lambda folder, _: image_folder(folder / "pictures"),
    "sequence": lambda folder, _: sequence_folder(folder / "SEQ-01"),
    "sequence without images": lambda folder, _: sequence_folder(folder / "SEQ-02", with_images=False),
    "segments": lambda folder, videos: segments(folder / "cam", videos),
    "camera list": camera_list,
}


def signature(frames: list[Frame]) -> list[tuple[int, float, int]]:
    return [(frame.index, frame.time, int(frame.image.sum())) for frame in frames]


@pytest.mark.parametrize("kind", RECORDED)
def test_contract_of_recorded_sources(tmp_path: Path, small_videos: ModuleType, kind: str) -> None:
    [source] = open_sources([str(RECORDED[kind](tmp_path, small_videos))], [], DEFAULTS)
    info = source.info
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert info.frame_count == pytest.approx(12, abs=2)
    assert frames[0].time == info.start_time
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert info.fps == pytest.approx(10, abs=1)
    assert not info.live
    assert info.has_pixels == (kind != "sequence without images")
    for frame in frames:
        assert (frame.camera, frame.width, frame.height) == (info.camera, info.width, info.height)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous or not info.has_pixels
        assert frame.has_pixels == info.has_pixels
    assert info.camera
    assert info.inputs
    assert all(path.is_file() for path in info.inputs)
    assert info.folder is not None
    assert source.problem == ""
    assert signature(list(source)) == signature(frames), "iterating again starts at the beginning"
    source.first_index = 8
    assert signature(list(source)) == signature(frames[8:])
    [resumed] = open_sources([str(RECORDED[kind](tmp_path, small_videos))], [], DEFAULTS)
    assert signature([tick[0] for tick in ticks([resumed], {info.camera: 5})]) == signature(frames[5:])


def opened(*sources: Path | str, names: tuple[str, ...] = (), settings: SourceSettings = DEFAULTS) -> list[Source]:
    return open_sources([str(source) for source in sources], names, settings)


def test_cameras_are_named_after_file_or_folder(tmp_path: Path, small_videos: ModuleType) -> None:
    video = small_videos.write(tmp_path / "front door.mp4", 2)
    infos = [source.info for source in opened(video, sequence_folder(tmp_path / "SEQ-01"))]
    assert [info.camera for info in infos] == ["front door", "SEQ-01"]
    assert [info.folder for info in infos] == [tmp_path / "front door", tmp_path / "SEQ-01"]


def test_names_that_occur_twice_get_a_number(
    tmp_path: Path, small_videos: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [small_videos.write(tmp_path / folder / "cam.mp4", 2) for folder in ("a", "b", "c")]
    paths.append(small_videos.write(tmp_path / "CAM_2.mp4", 2))
    assert [source.info.camera for source in opened(*paths)] == ["cam", "cam_3", "cam_4", "CAM_2"]
    assert "--names" in caplog.text


def test_given_names_win(tmp_path: Path, small_videos: ModuleType) -> None:
    paths = [small_videos.write(tmp_path / name, 2) for name in ("a.mp4", "b.mp4")]
    assert [source.info.camera for source in opened(*paths, names=("left", "right"))] == ["left", "right"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("only",), "--names gives 1 names for 2 cameras"),
        (("x", "X"), "given more than once"),
        (("x", "a/b"), "'a/b': cannot be a folder name; take 'a_b'"),
        (("x", ".."), "cannot be a folder name"),
        (("x", ""), "cannot be a folder name"),
        (("x", "con"), "cannot be a folder name"),
    ],
)
def test_bad_names_are_refused(tmp_path: Path, small_videos: ModuleType, names: tuple[str, ...], words: str) -> None:
    paths = [small_videos.write(tmp_path / name, 2) for name in ("a.mp4", "b.mp4")]
    with pytest.raises(InputError, match=words):
        opened(*paths, names=names)


def test_all_bad_sources_are_named_at_once(tmp_path: Path, small_videos: ModuleType) -> None:
    good = small_videos.write(tmp_path / "good.mp4", 2)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "nothing").mkdir()
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    bad = ["missing.mp4", "empty.mp4", "nothing", "sound.wav", "missing.yaml"]
    with pytest.raises(InputError) as error:
        opened(good, *(tmp_path / name for name in bad))
    message = str(error.value)
    assert message.startswith("5 problems with the sources:")
    assert len(message.splitlines()) == 6
    assert all(name in message for name in bad)
    assert "good.mp4" not in message


def test_passwords_of_mistyped_and_misplaced_urls_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "cams.yaml"
    path.write_text("cameras:\n  - files: ['rtsp://admin:hunter2@cam/1', b.mp4]\n")
    with pytest.raises(InputError) as error:
        opened(path, "rtsp:/admin:hunter2@cam/1", "admin:hunter2@cam/1", "rtsp//admin:hunter2@cam/1")
    assert "4 problems" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_no_source_at_all_is_an_error() -> None:
    with pytest.raises(InputError, match="no source is given"):
        opened()


def starts(*sources: Path, settings: SourceSettings = DEFAULTS) -> list[float]:
    return [next(iter(source)).time for source in opened(*sources, settings=settings)]


NOON = 1714564800.0  # 2024-05-01 12:00:00 UTC


def test_all_cameras_start_together_by_default(tmp_path: Path, small_videos: ModuleType) -> None:
    paths = [small_videos.write(tmp_path / f"{name}.mp4", 3, fps=fps) for name, fps in (("a", 10), ("b", 25))]
    assert starts(*paths) == [0.0, 0.0]


def test_times_in_names_are_the_clock_when_all_have_one(
    tmp_path: Path, small_videos: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    a = small_videos.write(tmp_path / "a_2024-05-01_12-00-00.mp4", 3)
    b = small_videos.write(tmp_path / "b_20240501T120007Z.mp4", 3)
    with caplog.at_level(logging.INFO, logger="app"):  # which the command line may have set
        assert starts(a, b) == [NOON, NOON + 7]
    assert "start times from name" in caplog.text
    assert starts(a, b, settings=SourceSettings(clock="zero")) == [0.0, 0.0]
    plain = small_videos.write(tmp_path / "plain.mp4", 3)
    assert starts(a, plain) == [0.0, 0.0]
    with pytest.raises(InputError, match=r"plain\.mp4: no start time"):
        starts(a, plain, settings=SourceSettings(clock="metadata"))
    next_year = small_videos.write(tmp_path / "c_2025-05-01_12-00-00.mp4", 3)
    assert starts(a, next_year) == [0.0, 0.0]
    assert starts(a, next_year, settings=SourceSettings(clock="metadata")) == [NOON, NOON + 365 * 86400]


def test_creation_times_are_believed_only_if_the_recordings_overlap(tmp_path: Path, small_videos: ModuleType) -> None:
    def recorded(name: str, moment: str) -> Path:
        return small_videos.write(tmp_path / name, 30, metadata={"creation_time": moment})

    a = recorded("a.mp4", "2024-05-01T12:00:00Z")
    b = recorded("b.mp4", "2024-05-01T12:00:02Z")
    much_later = recorded("c.mp4", "2024-05-01T15:00:00Z")
    assert starts(a, b) == [NOON, NOON + 2]
    assert starts(a, much_later) == [0.0, 0.0]
    assert starts(a) == [0.0], "one camera needs no common clock"
    assert starts(a, much_later, settings=SourceSettings(clock="metadata")) == [NOON, NOON + 3 * 3600]


def test_camera_list_gives_cameras_start_times_and_offsets(tmp_path: Path, small_videos: ModuleType) -> None:
    small_videos.write(tmp_path / "x.mp4", 3)
    small_videos.write(tmp_path / "y.mp4", 3)
    path = tmp_path / "cams.yaml"
    path.write_text(
        "cameras:\n"
        "  - {name: gate, files: x.mp4, start: 2024-05-01 12:00:00, offset_s: 0.5}\n"
        "  - {name: hall, files: [y.mp4], start: '2024-05-01T14:00:03+02:00'}\n"
    )
    sources = opened(path)
    assert [source.info.camera for source in sources] == ["gate", "hall"]
    assert [source.info.start_time for source in sources] == [NOON + 0.5, NOON + 3]
    assert starts(path, settings=SourceSettings(clock="zero")) == [0.5, 0.0]
    with pytest.raises(InputError, match=r"x\.mp4: no start time"):
        opened(path, tmp_path / "x.mp4")


def test_a_camera_that_breaks_lets_the_others_go_on(tmp_path: Path, small_videos: ModuleType) -> None:
    broken = small_videos.write(tmp_path / "broken.avi", 40, size=(320, 240), codec="mjpeg")
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    whole = small_videos.write(tmp_path / "whole.mp4", 40)
    sources = opened(broken, whole)
    seen = [frame for tick in ticks(sources) for frame in tick]
    assert 10 < sum(frame.camera == "broken" for frame in seen) < 30
    assert sum(frame.camera == "whole" for frame in seen) == 40
    assert "broken.avi" in sources[0].problem
    assert sources[1].problem == ""


def test_vtest_has_795_frames_a_tenth_of_a_second_apart(shared_data: Path) -> None:
    [source] = opened(shared_data / "mot" / "PETS09-S2L1" / "vtest.avi")
    times = [frame.time for frame in source]
    assert times == pytest.approx(np.arange(795) / 10)
    assert source.problem == ""
    assert (source.info.width, source.info.height, source.info.fps, source.info.frame_count) == (768, 576, 10.0, 795)


def test_real_cameras_that_are_not_synchronised_start_together(shared_data: Path) -> None:
    sources = opened(*(shared_data / "mcam" / "lab_4p" / f"cam_{letter}.mp4" for letter in "ab"))
    assert [source.info.start_time for source in sources] == [0.0, 0.0]
    seen = list(ticks(sources))
    assert sum(len(tick) for tick in seen) == 220 + 98
    assert len(seen) == 220
