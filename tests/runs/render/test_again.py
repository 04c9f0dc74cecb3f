"""A run reads its own recordings again by what it recorded, and whoever is to be hidden is hidden in every frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.cli.parser import main
from app.config import load_settings
from app.errors import InputError, RunError
from app.footage.ticks import ticks
from app.footage.video_writer import VideoWriter
from app.frames import Detections, FrameResult
from app.pipeline.job import Job, open_job
from app.runs.folder.layout import LEDGER_FILE, RUN_FILE
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.ledger.ledger import Ledger
from app.runs.people.search import frame_and_box
from app.runs.render.again import reopen
from app.runs.render.stills import read_still

SIZE = (160, 120)
BOX = np.array([60, 40, 100, 110], np.float32)
INSIDE = np.s_[62:88, 72:88]
EVEN = [number / 10 for number in range(12)]
UNEVEN = [0.0, 0.1, 0.15, 0.4, 0.41, 0.5, 0.9, 1.3, 1.34, 1.4]
SETTINGS = load_settings()


def textured(seed: int) -> NDArray[np.uint8]:
    """A picture of light and dark squares, 4 pixels wide; the brightness of its left edge says its number."""
    squares = np.random.default_rng(seed).integers(0, 2, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    image = squares.repeat(4, axis=0).repeat(4, axis=1) * np.uint8(160) + np.uint8(40)
    image[:, :16] = 10 * seed
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    return round(float(image[:, 2:14].mean()) / 10)


def video(path: Path, times: Sequence[float] = EVEN, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, *SIZE, 10.0, crf=5) as writer:
        for number, time in enumerate(times, first):
            writer.write(textured(number), time)
    return path


def images(folder: Path, first_name: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in range(12):
        cv2.imwrite(str(folder / f"{number + first_name:04d}.png"), textured(number))
    return folder


def camera_list(folder: Path, **entry: object) -> str:
    (folder / "list.yaml").write_text(json.dumps({"cameras": [{"name": "cam", **entry}]}))
    return str(folder / "list.yaml")


def bare(folder: Path) -> list[str]:
    return [str(video(folder / "cam.mp4"))]


def uneven(folder: Path) -> list[str]:
    return [str(video(folder / "cam.mp4", UNEVEN))]


def with_start(folder: Path) -> list[str]:
    return [camera_list(folder, files=video(folder / "cam.mp4").name, start="2024-05-01 12:00:00.040")]


def with_offset(folder: Path) -> list[str]:
    return [camera_list(folder, files=video(folder / "cam.mp4").name, offset_s=2.5)]


def segments(folder: Path) -> list[str]:
    """Two files with a gap of 3.8 s between them."""
    names = ["cam_20240501_120000.mp4", "cam_20240501_120005.mp4"]
    for row, name in enumerate(names):
        video(folder / "cam" / name, EVEN, 12 * row)
    return [str(folder / "cam")]


def listed_files(folder: Path) -> list[str]:
    files = [video(folder / f"{name}.mp4", UNEVEN, 10 * row).name for row, name in enumerate("ab")]
    return [camera_list(folder, files=files, start="2024-05-01 12:00:00", offset_s=-1.25)]


def image_folder(folder: Path) -> list[str]:
    return [camera_list(folder, files=images(folder / "cam").name, start="2024-05-01 12:00:00")]


def benchmark(folder: Path) -> list[str]:
    images(folder / "cam" / "img1", 1)
    (folder / "cam" / "seqinfo.ini").write_text(
        "[Sequence]\nname=cam\nimDir=img1\nframeRate=10\nseqLength=12\nimWidth=160\nimHeight=120\nimExt=.png\n"
    )
    return [str(folder / "cam")]


KINDS = [bare, uneven, with_start, with_offset, segments, listed_files, image_folder, benchmark]


def follow(folder: Path, words: Sequence[str], frames: slice = slice(None)) -> Path:
    """Make a run in which one person is in the box all the time; `frames`: those that are looked at."""
    sources = open_job(Job(tuple(words), ("cam",), SETTINGS))
    with RunWriter.create(folder, SETTINGS, [source.info for source in sources], {}) as writer:
        write(writer, [frame for tick in ticks(sources) for frame in tick][frames])
        writer.finish("finished", {})
    with Ledger(folder / LEDGER_FILE) as ledger:
        ledger.assign("cam", 1, 3, "human")
    return folder


def write(writer: RunWriter, frames: Sequence[object], track: int = 1) -> None:
    for frame in frames:
        ids = np.full(1, track, np.int64)
        writer.write(FrameResult(frame, Detections(BOX[None], np.ones(1, np.float32)), ids, ids))


def seen_again(folder: Path) -> list[tuple[int, float, int]]:
    [source] = reopen(Run.open(folder))
    return [(frame.index, frame.time, number_of(frame.image)) for frame in source]


def recorded(folder: Path) -> list[tuple[int, float, int]]:
    """What is to come back: the pictures carry their numbers."""
    indices, times = Run.open(folder).frames("cam")
    return [(index, time, index) for index, time in zip(indices.tolist(), times.tolist(), strict=True)]


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def forget_how(folder: Path) -> None:
    """Make the record that of an earlier version."""
    header = json.loads((folder / RUN_FILE).read_text())
    for camera in header["cameras"]:
        for key in ("live", "kind", "offsets_s", "address"):
            del camera[key]
    (folder / RUN_FILE).write_text(json.dumps(header))


def assert_hidden_everywhere(folder: Path) -> None:
    """Blurred for everybody; covered, once erased, in videos, stills and what a search cuts out."""
    frames = recorded(folder)
    assert main(["render", str(folder), "--blur-everybody", "--set", "render.video_crf=5"]) == 0
    blurred = pictures(folder / "export" / "everybody_blurred" / "video" / "cam.mp4")
    assert [number_of(image) for image in blurred] == [number for _, _, number in frames]
    for image in blurred:
        assert image[INSIDE].std() < 0.5 * image[20:110, 130:155].std()
    assert main(["erase", str(folder), "3"]) == 0
    assert main(["render", str(folder), "--set", "render.video_crf=5"]) == 0
    drawn = pictures(folder / "video" / "cam.mp4")
    assert len(drawn) == len(frames)
    run = Run.open(folder)
    some = frames[1::4]
    stills = [read_still(run, run.camera("cam"), index, time) for index, time, _ in some]
    stills += [frame_and_box(run, "cam", time, [0, 0, *SIZE])[0] for _, time, _ in some]
    assert [number_of(image) for image in stills] == 2 * [number for _, _, number in some]
    for image in (*drawn, *stills):
        assert abs(image[INSIDE].astype(int) - 96).max() < 24


@pytest.mark.parametrize(
    ("make", "earlier"),
    [*((kind, False) for kind in KINDS), (with_start, True), (segments, True), (listed_files, True), (benchmark, True)],
)
def test_a_run_reopens_its_recordings(
    make: Callable[[Path], list[str]], earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "footage").mkdir()
    words = [str(Path(word).relative_to(tmp_path)) for word in make(tmp_path / "footage")]
    folder = follow(tmp_path / "run", words)
    if earlier:
        forget_how(folder)
    assert seen_again(folder) == recorded(folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert_hidden_everywhere(folder)


def test_a_run_of_a_part_shows_that_part(tmp_path: Path) -> None:
    folder = follow(tmp_path / "run", with_start(tmp_path), slice(3, 9))
    assert [index for index, _, _ in recorded(folder)] == list(range(3, 9))
    assert seen_again(folder) == recorded(folder)
    assert_hidden_everywhere(folder)


def test_a_resumed_run_finds_files_that_moved(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    old, new = (
        Job(tuple(segments(tmp_path)), ("cam",), SETTINGS),
        Job((str(tmp_path / "new" / "x"),), ("cam",), SETTINGS),
    )
    sources = open_job(old)
    with RunWriter.create(tmp_path / "run", SETTINGS, [source.info for source in sources], {}) as writer:
        write(writer, [frame for tick in ticks(sources) for frame in tick][:15])
        writer.finish("cancelled", {})
    (tmp_path / "cam").rename(tmp_path / "new" / "x")
    sources = open_job(new)
    with RunWriter.resume(tmp_path / "run", SETTINGS, [source.info for source in sources], {}) as writer:
        write(writer, [frame for tick in ticks(sources, writer.next_frame_index) for frame in tick])
        writer.finish("finished", {})
    with Ledger(tmp_path / "run" / LEDGER_FILE) as ledger:
        ledger.assign("cam", 1, 3, "human")
    assert len(recorded(tmp_path / "run")) == 24
    assert seen_again(tmp_path / "run") == recorded(tmp_path / "run")
    assert_hidden_everywhere(tmp_path / "run")


def test_a_run_of_chunks_reopens_the_whole_recording(tmp_path: Path) -> None:
    job = Job(tuple(with_offset(tmp_path)), ("cam",), SETTINGS)
    infos = [source.info for source in open_job(job)]
    with RunWriter.create(tmp_path / "run", SETTINGS, infos, {}) as whole:
        for number, first in enumerate((0, 5)):
            sources = open_job(job)
            sources[0].end_index = 5 if number == 0 else None
            with RunWriter.create(tmp_path / str(number), SETTINGS, infos, {}, number, first) as writer:
                frames = [frame for tick in ticks(sources, {"cam": first}) for frame in tick]
                write(writer, frames, writer.next_track_id["cam"])
                writer.finish("finished", {})
            whole.adopt(Run.open(tmp_path / str(number)))
        whole.finish("finished", {})
    folder = tmp_path / "run"
    with Ledger(folder / LEDGER_FILE) as ledger:
        for track in np.unique(Run.open(folder).column("cam", "track_id")).tolist():
            ledger.assign("cam", track, 3, "human")
    assert seen_again(folder) == recorded(folder)
    assert_hidden_everywhere(folder)


@pytest.mark.parametrize("change", ["numbers", "times", "rows"])
def test_frames_that_do_not_fit_make_no_video(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = follow(tmp_path / "run", uneven(tmp_path))
    indices, times = Run.open(folder).frames("cam")
    if change == "numbers":
        indices = indices + 1
    elif change == "times":
        times = times + np.array([0.0] * 9 + [0.02])
    else:
        indices, times = np.append(indices, 10), np.append(times, 1.5)
    monkeypatch.setattr(Run, "frames", lambda *_: (indices, times))
    for words in (["--blur-everybody"], ["--blur-others", "3"], []):
        assert main(["render", str(folder), *words]) == 1
        assert "the run looked at frame" in capsys.readouterr().err
    assert not [path for path in folder.rglob("*") if ".mp4" in path.name]


def test_a_recording_that_changed_is_not_drawn(tmp_path: Path) -> None:
    folder = follow(tmp_path / "run", bare(tmp_path))
    data = bytearray((tmp_path / "cam.mp4").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "cam.mp4").write_bytes(bytes(data))
    with pytest.raises(InputError, match="is not the file any more"):
        reopen(Run.open(folder))
    run = Run.open(folder)
    video(tmp_path / "cam.mp4", UNEVEN)
    with pytest.raises(InputError, match="is not the file any more"):
        read_still(run, run.camera("cam"), 3, 0.3)
    (tmp_path / "cam.mp4").unlink()
    assert main(["render", str(folder), "--blur-everybody"]) == 2
    assert not (folder / "export").exists()


def test_stills_show_no_other_frame(tmp_path: Path) -> None:
    run = Run.open(follow(tmp_path / "run", uneven(tmp_path)))
    camera = run.camera("cam")
    assert number_of(read_still(run, camera, 4, 0.41)) == 4
    with pytest.raises(InputError):
        read_still(run, camera, 4, 0.45)
    with pytest.raises(InputError):
        read_still(run, replace(camera, start_time=1.0), 4, 0.41)


def test_nobody_is_shown_once_the_rows_are_gone(tmp_path: Path) -> None:
    folder = follow(tmp_path / "run", bare(tmp_path))
    header = json.loads((folder / RUN_FILE).read_text())
    header["times"]["finished"] = "2020-01-01T00:00:00+00:00"
    (folder / RUN_FILE).write_text(json.dumps(header))
    assert main(["purge", str(folder), "--set", "retention.observations_days=1"]) == 0
    assert main(["render", str(folder), "--blur-everybody"]) == 2
    assert not (folder / "export").exists()


def test_live_cameras_are_not_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of the camera says so, also when the run has not ended."""
    [source] = open_job(Job(tuple(bare(tmp_path)), ("cam",), SETTINGS))
    info = replace(source.info, live=True, kind="live", inputs=(), origin="rtsp://127.0.0.1:9/x")
    with RunWriter.create(tmp_path / "run", SETTINGS, [info], {}) as writer:
        writer.commit()
    monkeypatch.setattr("app.footage.live.open_container", lambda *_: pytest.fail("connected to a camera"))
    run = Run.open(tmp_path / "run")
    assert run.was_live
    with pytest.raises(InputError, match="live cameras and cannot be read again"):
        reopen(run)
    assert main(["render", str(tmp_path / "run")]) == 2


def test_a_recording_behind_an_address_is_no_stream(tmp_path: Path, web_server: Callable[[Path], str]) -> None:
    address = web_server(video(tmp_path / "cam.mp4"))
    folder = follow(tmp_path / "run", [f"http://{address}"])
    run = Run.open(folder)
    assert not run.was_live
    assert seen_again(folder) == recorded(folder)
    assert main(["render", str(folder), "--blur-everybody"]) == 0
    login = follow(tmp_path / "login", [f"http://me:secret@{address}"])
    assert "secret" not in (login / RUN_FILE).read_text()
    with pytest.raises(InputError, match="needs a login, which is never kept"):
        reopen(Run.open(login))
    run.cameras = (replace(run.cameras[0], address="file:///etc/hostname"),)
    with pytest.raises(InputError, match="no address of a recording"):
        reopen(run)


def test_an_error_while_drawing_is_raised_once_all_frames_before_are_taken(tmp_path: Path) -> None:
    folder = follow(tmp_path / "run", bare(tmp_path))
    [source] = reopen(Run.open(folder))
    source._times[7] += 1.0
    seen = (frame.index for tick in ticks([source]) for frame in tick)
    assert [next(seen) for _ in range(7)] == list(range(7))
    with pytest.raises(RunError, match="frame 7"):
        next(seen)
