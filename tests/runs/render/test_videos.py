"""Annotated video of a run: drawn from its rows after linking, with the frames and times of the recordings."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.config import RenderSettings, load_settings
from app.errors import RunError
from app.footage.ticks import ticks
from app.footage.video_writer import VideoWriter
from app.frames import NO_ID, Detections, Frame, FrameResult
from app.pipeline.job import Job, open_job
from app.runs.folder.layout import LEDGER_FILE
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.ledger.ledger import Ledger
from app.runs.render.draw import GREY, person_color
from app.runs.render.videos import AnnotatedVideos, Trails, render_run
from app.runs.render.wall import WallCamera

SIZE = (160, 120)
BOX = np.array([60, 40, 100, 110], np.float32)
TIMES = {"left": [0.0, 0.1, 0.25, 0.3, 0.45, 0.5], "right": [0.0, 0.2, 0.4, 0.6]}


def result(camera: str, index: int, time: float, track: int = 1, person: int = 1) -> FrameResult:
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    ids = np.array([track], np.int64), np.array([person], np.int64)
    return FrameResult(Frame(camera, index, time, image), Detections(BOX[None], np.ones(1, np.float32)), *ids)


def read_video(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(frame.time) for frame in frames], [frame.to_ndarray(format="bgr24") for frame in frames]


def textured(seed: int) -> NDArray[np.uint8]:
    """A picture of light and dark squares, 4 pixels wide."""
    squares = np.random.default_rng(seed).integers(0, 2, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    return squares.repeat(4, axis=0).repeat(4, axis=1) * np.uint8(160) + np.uint8(40)


def close_to(image: NDArray[np.uint8], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.abs(image.astype(int) - color).max(axis=2) < 40


def draw(run: Run, settings: RenderSettings | None = None) -> tuple[Path, ...]:
    return render_run(run, settings or RenderSettings(), 240).files


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Two recordings of different and varying frame rates."""
    for camera, times in TIMES.items():
        with VideoWriter(tmp_path / f"{camera}.mp4", *SIZE, 10.0, crf=5) as writer:
            for time in times:
                writer.write(textured(0), time)
    return Job(tuple(str(tmp_path / f"{camera}.mp4") for camera in TIMES), (), load_settings())


@pytest.fixture
def run(tmp_path: Path, job: Job) -> Run:
    """A run over them. Track 1 is missed in frame 2 of `left`; it is person 3 on both cameras."""
    folder = tmp_path / "run"
    sources = open_job(job)
    with RunWriter.create(folder, job.settings, [source.info for source in sources], {}) as writer:
        for tick in ticks(sources):
            for frame in tick:
                missed = (frame.camera, frame.index) == ("left", 2)
                boxes = BOX[None][: 0 if missed else 1]
                ids = np.ones(len(boxes), np.int64)
                writer.write(FrameResult(frame, Detections(boxes, np.ones(len(boxes), np.float32)), ids, ids))
        writer.commit()
        writer.finish("finished", {})
    with Ledger(folder / LEDGER_FILE) as ledger:
        for camera in TIMES:
            ledger.assign(camera, 1, 3, "human")
    return Run.open(folder)


def test_videos_have_the_frames_times_and_people_of_the_run(run: Run) -> None:
    files = draw(run)
    assert [file.relative_to(run.folder).as_posix() for file in files] == [
        "video/left.mp4", "video/right.mp4", "video/wall.mp4"
    ]  # fmt: skip
    for camera, times in TIMES.items():
        got, images = read_video(run.folder / "video" / f"{camera}.mp4")
        np.testing.assert_allclose(got, times, atol=1e-3)
        drawn = [close_to(image[60:100, 59:62], person_color(3)).mean() > 0.3 for image in images]
        assert drawn == [(camera, index) != ("left", 2) for index in range(len(times))]
    wall_times, _ = read_video(run.folder / "video" / "wall.mp4")
    np.testing.assert_allclose(wall_times, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], atol=0.051)


def test_progress_is_reported(run: Run) -> None:
    seen = []
    render_run(run, load_settings().render, 240, seen.append)
    assert (seen[-1].frames, seen[-1].frames_total) == (10, 10)


def test_blurring_covers_frames_where_the_person_was_missed(run: Run) -> None:
    draw(run, RenderSettings(blur=True, trail_s=0.0, video_crf=5))
    _, images = read_video(run.folder / "video" / "left.mp4")
    for image in images:
        inside, outside = image[60:100, 70:90].astype(float), image[60:100, 120:150].astype(float)
        assert inside.std() < 0.45 * outside.std()
    draw(run, RenderSettings(blur=True, blur_except_person=3, trail_s=0.0))
    _, images = read_video(run.folder / "video" / "left.mp4")
    assert images[0][60:100, 70:90].std() > 40


def test_frames_that_were_not_processed_are_left_out(tmp_path: Path, job: Job) -> None:
    folder = tmp_path / "short"
    sources = open_job(job)
    with RunWriter.create(folder, job.settings, [source.info for source in sources], {}) as writer:
        for tick in list(ticks(sources))[:2]:
            for frame in tick:
                none = np.zeros(0, np.int64)
                writer.write(FrameResult(frame, Detections.empty(), none, none))
        writer.commit()
        writer.finish("cancelled", {})
    draw(Run.open(folder))
    assert len(read_video(folder / "video" / "left.mp4")[0]) == 2


def test_one_camera_has_no_wall_and_colours_follow_the_person(tmp_path: Path) -> None:
    with AnnotatedVideos(tmp_path, [WallCamera("a", *SIZE, 10.0)], RenderSettings(video_crf=5), 240) as videos:
        videos.write(result("a", 0, 0.0, person=2))
        videos.write(result("a", 1, 0.1, person=NO_ID))
    assert videos.files == [tmp_path / "a.mp4"]
    _, images = read_video(tmp_path / "a.mp4")
    assert close_to(images[0][60:100, 60:62], person_color(2)).all()
    assert close_to(images[1][60:100, 60:62], GREY).all()


def test_wall_shows_cameras_out_of_step_in_one_picture(tmp_path: Path) -> None:
    cameras = [WallCamera("a", *SIZE, 10.0), WallCamera("wall", *SIZE, 10.0)]
    with AnnotatedVideos(tmp_path, cameras, RenderSettings(), 240) as videos:
        for index in range(5):
            videos.write(result("a", index, index * 0.1))
            videos.write(result("wall", index, index * 0.1 + 0.05))
    assert [file.name for file in videos.files] == ["a.mp4", "wall.mp4", "wall_.mp4"]
    times, _ = read_video(tmp_path / "wall_.mp4")
    np.testing.assert_allclose(times, np.arange(5) * 0.1, atol=1e-3)


def test_a_failure_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: VideoWriter) -> None:
        raise RunError("no space")

    cameras = [WallCamera("a", *SIZE, 10.0), WallCamera("b", *SIZE, 10.0)]
    videos = AnnotatedVideos(tmp_path, cameras, RenderSettings(), 240)
    videos.write(result("a", 0, 0.0))
    monkeypatch.setattr(VideoWriter, "close", refuse)
    with pytest.raises(RunError, match="no space"):
        videos.close()
    assert list(tmp_path.iterdir()) == []


def test_trails_are_as_long_as_asked() -> None:
    trails = Trails(1.0)
    ids = np.array([4, NO_ID], np.int64)
    boxes = np.stack([BOX, BOX])
    for step in range(5):
        found = trails.follow(boxes + np.float32(step), ids, step * 0.4)
    assert list(found) == [4]
    np.testing.assert_allclose(found[4], [[82, 112], [83, 113], [84, 114]])
    assert trails.follow(boxes[:0], ids[:0], 1.7) == {}
    assert trails.follow(boxes, ids, 9.0)[4].shape == (1, 2)
    assert Trails(0.0).follow(boxes, ids, 0.0) == {}


def test_one_camera_that_cannot_be_drawn_costs_the_others_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = VideoWriter.write

    def failing(self: VideoWriter, image: NDArray[np.uint8], time: float) -> None:
        if self.path.stem == "left" and time > 0.2:
            raise RunError("left.mp4: cannot write this video")
        plain(self, image, time)

    monkeypatch.setattr(VideoWriter, "write", failing)
    with pytest.raises(RunError, match=r"left\.mp4"):
        draw(run)
    folder = run.folder / "video"
    assert sorted(file.name for file in folder.iterdir()) == ["right.mp4", "wall.mp4"]
    assert len(read_video(folder / "right.mp4")[0]) == len(TIMES["right"])


def test_one_recording_that_is_another_one_costs_the_others_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Run.frames

    def frames(self: Run, camera: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        indices, times = plain(self, camera)
        return indices, times + (0.5 * (indices > 2) if camera == "left" else 0.0)

    monkeypatch.setattr(Run, "frames", frames)
    with pytest.raises(RunError, match="camera left: the run looked at frame 3"):
        draw(run)
    assert sorted(file.name for file in (run.folder / "video").iterdir()) == ["right.mp4", "wall.mp4"]
