"""Hiding people: before they are found, where the detector had a doubt, and knowing what moves elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from app.cli.parser import main
from app.config import RenderSettings, Settings, SimulateSettings, load_settings
from app.frames import NO_ID, Detections, Frame, FrameResult, blank_image
from app.runs.folder.header import write_header
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.runs.privacy.erase import erase_person
from app.runs.render.blur import CARRY_S, HOLD_S, NOWHERE, CameraBlur, Held, Hidden, Movement, Whereabouts
from app.runs.render.blurred import blurred_folder, blurred_video, outside_text, read_blurred
from app.runs.render.videos import AnnotatedVideos, Blurred
from app.runs.render.wall import WallCamera
from app.system.untrusted import CHECKSUM
from app.ui import privacy
from app.ui.library import OpenRun

FPS = 10.0


def box_at(time: float) -> list[float]:
    """Where somebody is who walks to the right, 40 pixels per second."""
    return [40 * time, 60, 40 * time + 30, 160]


def write_run(folder: Path, small_run: ModuleType, tracked: range, doubted: Sequence[int] = ()) -> Run:
    """Write 6 s of one camera; the walker is track 1 in some frames, and a doubtful box in others."""
    info = small_run.source("cam", FPS)
    with RunWriter.create(folder, Settings(), [info], {}) as writer:
        for index in range(60):
            seen = index in tracked or index in doubted
            ids = np.full(int(seen), 1 if index in tracked else NO_ID, np.int64)
            boxes = np.array([box_at(index / FPS)], np.float32)[: len(ids)]
            scores = np.full(len(ids), 0.9 if index in tracked else 0.15, np.float32)
            frame = Frame("cam", index, index / FPS, blank_image(240, 320))
            writer.write(FrameResult(frame, Detections(boxes, scores), ids, ids))
            if index % 13 == 12:
                writer.commit()
        writer.finish("finished", {})
    with Run.open(folder).ledger() as ledger:
        ledger.assign("cam", 1, 7, "human")
    return Run.open(folder)


def hidden(run: Run) -> list[bool]:
    """Which frames hide the walker, all of them."""
    places = Whereabouts(run, run.identities(), "cam")
    found = []
    for index, time in zip(*(values.tolist() for values in run.frames("cam")), strict=True):
        boxes, _ = places.at(index, time)
        true = np.array(box_at(time))
        found.append(bool(((boxes[:, :2] <= true[:2] + 0.1) & (boxes[:, 2:] >= true[2:] - 0.1)).all(axis=1).any()))
    return found


def test_whoever_walks_is_hidden_before_and_after_being_found(tmp_path: Path, small_run: ModuleType) -> None:
    run = write_run(tmp_path, small_run, range(20, 40))
    carried = round(CARRY_S * FPS)
    assert [index for index, is_hidden in enumerate(hidden(run)) if is_hidden] == list(
        range(20 - carried, 40 + carried)
    )


def without_doubts(folder: Path) -> None:
    """Make a run one of an earlier version, which kept no boxes in doubt and did not say so."""
    header = json.loads((folder / "run.json").read_bytes())
    write_header(folder, {name: value for name, value in header.items() if name not in ("untracked", CHECKSUM)})
    run = Run.open(folder)
    run.manifest.replace_files(folder, [file for file in run.manifest.files if file.kind != "untracked"])


def test_a_run_that_kept_no_doubts_says_so(
    tmp_path: Path, small_videos: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    video = small_videos.write(tmp_path / "cam.mp4", 5)
    words = ["--sources", str(video), "--reid", "none", "--detector", "file:det.txt", "--no-link"]
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "det.txt").write_text("1,-1,1,1,20,40,0.9\n")
    folder = tmp_path / "run"
    assert main([*words, "--output", str(folder)]) == 0
    assert Run.open(folder).keeps_doubts
    assert main(["render", str(folder), "--blur-everybody"]) == 0
    assert privacy._notes(OpenRun("1", folder)) == ""
    assert caplog.text == ""
    without_doubts(folder)
    assert not Run.open(folder).keeps_doubts
    assert main(["render", str(folder), "--blur-everybody"]) == 0
    assert "did not keep boxes in doubt" in caplog.text
    assert "did not keep boxes in doubt" in privacy._notes(OpenRun("1", folder))


def test_a_resumed_run_lacks_the_doubts_of_its_beginning(tmp_path: Path, small_run: ModuleType) -> None:
    infos = [small_run.source("cam", FPS)]
    with RunWriter.create(tmp_path / "run", Settings(), infos, {}) as writer:
        writer.write(small_run.result(infos[0], 0))
        writer.commit()
    without_doubts(tmp_path / "run")
    with RunWriter.resume(tmp_path / "run", Settings(), infos, {}) as writer:
        small_run.write_rest(writer, infos, 5)
        writer.finish("finished", {})
    run = Run.open(tmp_path / "run")
    assert len(run.untracked("cam")[0]) > 0
    assert not run.keeps_doubts


def test_doubtful_boxes_are_kept_and_hidden(tmp_path: Path, small_run: ModuleType) -> None:
    doubted = [0, 3, 6, 9, 50, 51, 59]
    run = write_run(tmp_path, small_run, range(20, 40), doubted)
    times, boxes = run.untracked("cam")
    np.testing.assert_allclose(times, np.array(doubted) / FPS)
    np.testing.assert_allclose(boxes, [box_at(time) for time in times], atol=1.0)
    times, boxes = run.untracked("cam", 0.2, 0.7)
    assert np.rint(times * FPS).tolist() == [3, 6]
    assert {index for index, is_hidden in enumerate(hidden(run)) if is_hidden} >= set(doubted)
    places = Whereabouts(run, run.identities(), "cam")
    boxes, people = places.at(1, 0.1)
    assert people.tolist() == [NO_ID] * 2, "they hold for a while before and after"
    assert len(places.at(59, 5.9)[0]) == 1


def test_holes_of_a_track_are_hidden(tmp_path: Path, small_run: ModuleType) -> None:
    info = small_run.source("cam", FPS)
    with RunWriter.create(tmp_path, Settings(), [info], {}) as writer:
        for index in range(60):
            boxes = np.array([box_at(index / FPS)], np.float32)[: int(index in (20, 40))]
            ids = np.ones(len(boxes), np.int64)
            frame = Frame("cam", index, index / FPS, blank_image(240, 320))
            writer.write(FrameResult(frame, Detections(boxes, np.ones(len(ids), np.float32)), ids, ids))
        writer.finish("finished", {})
    assert all(hidden(Run.open(tmp_path))[20:41])


def test_doubtful_boxes_of_the_erased_are_erased(tmp_path: Path, small_run: ModuleType) -> None:
    """Those where the person is covered, and no others."""
    write_run(tmp_path, small_run, range(20, 40), [2, 18, 19, 41, 58])
    erase_person(tmp_path, 7)
    assert np.rint(Run.open(tmp_path).untracked("cam")[0] * FPS).tolist() == [2, 58]
    for path in (tmp_path / "untracked").rglob("*.parquet"):
        assert path.relative_to(tmp_path).as_posix() in {file.path for file in Run.open(tmp_path).manifest.files}


def test_doubtful_boxes_are_purged_with_the_rows(tmp_path: Path, small_run: ModuleType) -> None:
    folder = tmp_path / "run"
    write_run(folder, small_run, range(20, 40), [2])
    header = json.loads((folder / "run.json").read_text())
    header["times"]["finished"] = "2020-01-01T00:00:00+00:00"
    (folder / "run.json").write_text(json.dumps(header))
    assert main(["purge", str(folder), "--set", "retention.observations_days=1"]) == 0
    assert not list((folder / "untracked").rglob("*.parquet"))
    assert not len(Run.open(folder).untracked("cam")[0])


def scene(index: int, thing: int | None = None, shadow: bool = False) -> NDArray[np.uint8]:
    """A noisy picture with a thing at 8 pixels per frame, 40 high."""
    rng = np.random.default_rng(index)
    image = np.full((240, 320, 3), 120, np.int16)
    image[::8] = 90
    if thing is not None:
        left = thing + 8 * index
        image[100:140, left : left + 16] = (200, 40, 40)
        image[100:140:2, left : left + 16] = (40, 40, 200)
        if shadow:
            image[132:140, left + 16 : left + 34] //= 2
    return np.clip(image + rng.normal(0, 2.5, image.shape), 0, 255).astype(np.uint8)


def boxes_of_thing(index: int, thing: int) -> NDArray[np.float32]:
    left = thing + 8 * index
    return np.array([[left - 3, 97, left + 19, 143]], np.float32)


@pytest.mark.parametrize(
    ("thing", "is_hidden", "shadow", "moves", "outside"),
    [
        (None, False, False, False, False),
        (20, False, False, True, True),
        (20, True, False, True, False),
        (20, True, True, True, False),
    ],
    ids=["nothing", "somebody", "somebody hidden", "hidden with a shadow"],
)
def test_movement_is_found_and_told_from_what_is_hidden(
    thing: int | None, is_hidden: bool, shadow: bool, moves: bool, outside: bool
) -> None:
    movement = Movement()
    for index in range(12):
        places = boxes_of_thing(index, thing) if is_hidden and thing is not None else NOWHERE
        found = movement.step(scene(index, thing, shadow), index / FPS, places)
        if index > 2:
            assert bool(len(found.boxes)) == moves
            assert bool(len(found.outside)) == outside
            if moves and thing is not None:
                inside = boxes_of_thing(index, thing)[0]
                assert found.boxes[:, 0].min() <= inside[0] + 4
                assert found.boxes[:, 2].max() >= inside[2] - 4


def test_a_change_of_light_or_a_long_pause_is_no_movement() -> None:
    movement = Movement()
    for index in range(8):
        brighter = np.clip(scene(index).astype(int) + (25 if index >= 4 else 0), 0, 255).astype(np.uint8)
        assert not len(movement.step(brighter, index / FPS, NOWHERE).outside)
    assert not len(movement.step(scene(0, 100), 60.0, NOWHERE).boxes)


def detail(image: NDArray[np.uint8]) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=0)).mean())


def test_what_moves_is_blurred_if_asked_for() -> None:
    for blur_moving in (False, True):
        blur = CameraBlur(RenderSettings(blur=True, blur_moving=blur_moving))
        for index in range(10):
            frame = Frame("cam", index, index / FPS, scene(index, 20))
            image = blur.hide(frame, Hidden(NOWHERE, np.zeros(0, np.int64), NOWHERE))
        inside = np.s_[100:140, 20 + 8 * 9 : 20 + 8 * 9 + 16]
        assert (detail(image[inside]) < 0.3 * detail(frame.image[inside])) == blur_moving
        assert (blur.frames, blur.frames_outside) == (10, 9)


def test_one_person_is_shown_and_everything_else_is_not() -> None:
    """Doubtful boxes and movement within the box of the person who is shown are that person."""
    settings = RenderSettings(blur=True, blur_moving=True, blur_except_person=7)
    blur = CameraBlur(settings)
    for index in range(10):
        own = boxes_of_thing(index, 20) + np.array([-6, -6, 6, 6], np.float32)
        part = own + np.array([4, 2, -4, -20], np.float32)
        beside = own + np.array([100, 0, 100, 0], np.float32)
        boxes = np.concatenate([own, part, beside])
        frame = Frame("cam", index, index / FPS, scene(index, 20))
        image = blur.hide(frame, Hidden(boxes, np.array([7, NO_ID, NO_ID]), NOWHERE))
    left, top, right, bottom = boxes_of_thing(9, 20)[0].astype(int)
    np.testing.assert_array_equal(image[top:bottom, left:right], frame.image[top:bottom, left:right])
    inside = np.s_[top:bottom, left + 105 : right + 95]
    assert detail(image[inside]) < 0.6 * detail(frame.image[inside])


def test_a_picture_drawn_live_holds_boxes_for_a_while() -> None:
    held = Held()
    one, none = np.array([[10, 10, 20, 40]], np.float32), np.zeros((0, 4), np.float32)
    held.follow(one, np.array([3]), 0.0)
    boxes, people = held.follow(none, np.zeros(0, np.int64), HOLD_S - 0.01)
    assert boxes.tolist() == one.tolist()
    assert people.tolist() == [3]
    assert len(held.follow(none, np.zeros(0, np.int64), HOLD_S + 0.02)[0]) == 0


def test_videos_say_how_they_were_blurred(tmp_path: Path) -> None:
    for blur, expected in ((True, {"cam": Blurred(10, 9)}), (False, {})):
        with AnnotatedVideos(tmp_path, [WallCamera("cam", 320, 240, FPS)], RenderSettings(blur=blur), 240) as videos:
            for index in range(10):
                frame, ids = Frame("cam", index, index / FPS, scene(index, 20)), np.zeros(0, np.int64)
                videos.write(FrameResult(frame, Detections.empty(), ids, ids))
        assert videos.blurred() == read_blurred(tmp_path) == expected, "videos that are not blurred replace those"


def test_blurred_videos_that_do_not_say_how_are_not_shown(make_run: Callable[..., Path]) -> None:
    """An earlier version made them, and may have blurred nobody."""
    run = Run.open(make_run())
    folder = blurred_folder(run, NO_ID)
    (folder / "video").mkdir(parents=True)
    (folder / "video" / "left.mp4").write_bytes(b"video")
    assert blurred_video(run, NO_ID, "left") is None
    (folder / "video" / "blurred.json").write_text('{"left": {"frames": 40, "moving_outside": 3}}')
    assert blurred_video(run, NO_ID, "left") == folder / "video" / "left.mp4"
    assert blurred_video(run, NO_ID, "right") is None
    assert "left 3 of 40" in outside_text(read_blurred(folder / "video"))
    assert outside_text({"left": Blurred(40, 0)}) == ""
    (folder / "video" / "blurred.json").write_text("[]")
    assert read_blurred(folder / "video") == {}


def test_nobody_of_a_rendered_scene_is_recognisable(tmp_path: Path, bench_blur: ModuleType) -> None:
    """The bundled detector finds people late and at the edges only in part."""
    small = SimulateSettings(seed=1, cameras=1, people=4, seconds=3, fps=10, width_px=384, height_px=216)
    found = bench_blur.measure(tmp_path, small, load_settings(assignments=["reid.weights=none"]))
    assert found["people"] > 5_000
    assert found["hidden"] >= 0.99 * found["people"]
    assert found["hidden_moving"] >= found["hidden"] > found["boxed"]
    assert found["covered"] >= 0.97 * found["people"]
    assert found["blurred"] < 0.2 * found["pixels"]
