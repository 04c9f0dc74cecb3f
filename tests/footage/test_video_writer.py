"""Writing video: what is decoded again has the pictures and the times that were written."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import RunError
from app.footage import video_writer
from app.footage.video_writer import VideoWriter


def grey(level: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def read_video(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(frame.time) for frame in frames], [frame.to_ndarray(format="bgr24") for frame in frames]


def test_times_of_a_variable_frame_rate_survive(tmp_path: Path) -> None:
    times = np.cumsum([5000.0, 0.04, 0.04, 0.5, 0.0333, 2.0, 0.0011, 0.1])
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 25.0) as writer:
        for number, time in enumerate(times):
            writer.write(grey(30 * number), float(time))
        assert not (tmp_path / "a.mp4").exists(), "the file appears when it is complete"
    got, images = read_video(tmp_path / "a.mp4")
    np.testing.assert_allclose(got, times - times[0], atol=1e-4)
    np.testing.assert_allclose([image.mean() for image in images], 30 * np.arange(8), atol=4)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_many_pictures_and_browsers_can_start_at_once(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0) as writer:
        for number in range(60):
            writer.write(grey(number), number / 10)
    assert len(read_video(tmp_path / "a.mp4")[0]) == 60
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def test_odd_sizes_are_filled_up(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 63, 47, 10.0) as writer:
        writer.write(grey(120, 63, 47), 0.0)
        with pytest.raises(ValueError, match="picture of"):
            writer.write(grey(120), 0.1)
    _, images = read_video(tmp_path / "a.mp4")
    assert images[0].shape == (48, 64, 3)
    np.testing.assert_allclose(images[0], 120, atol=4)


def test_equal_times_still_give_every_picture(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0) as writer:
        for time in (1.0, 1.0, 0.5, 1.1):
            writer.write(grey(50), time)
    assert len(read_video(tmp_path / "a.mp4")[0]) == 4


def test_an_error_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("an earlier video")

    def fail() -> None:
        with VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0) as writer:
            writer.write(grey(50), 0.0)
            raise KeyError("something else broke")

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "a.mp4").read_text() == "an earlier video"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_picture_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"a\.mp4: cannot write"):
        VideoWriter(tmp_path / "file" / "a.mp4", 64, 48, 10.0)
    monkeypatch.setattr(video_writer, "CODEC", "no_such_codec")
    with pytest.raises(RunError, match=r"a\.mp4: .*no_such_codec"):
        VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0)


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    (tmp_path / ".a.mp4.partial").symlink_to(full)
    writer = VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0)
    images = np.random.default_rng(0).integers(0, 256, (400, 48, 64, 3), dtype=np.uint8)

    def write_all() -> None:
        for number, image in enumerate(images):
            writer.write(image, number / 10)
        writer.close()

    with pytest.raises(RunError, match="disk full"):
        write_all()
    assert not (tmp_path / "a.mp4").exists()


def test_a_gap_longer_than_mp4_can_hold_is_kept(tmp_path: Path) -> None:
    """MP4 keeps how long a picture is shown in 31 bits: 6.6 h at 90 kHz."""
    with VideoWriter(tmp_path / "a.mp4", 64, 48, 10.0) as writer:
        for number, time in enumerate([0.0, 0.1, 15 * 3600.0, 15 * 3600.1]):
            writer.write(grey(60 * number), time)
    assert writer.frame_count == 4
    got, images = read_video(tmp_path / "a.mp4")
    assert len(got) < 30
    assert got[-2:] == pytest.approx([15 * 3600.0, 15 * 3600.1])
    assert [images[1].mean(), images[-3].mean(), images[-2].mean()] == pytest.approx([60, 60, 120], abs=4)
