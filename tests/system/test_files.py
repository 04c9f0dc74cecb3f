"""Output folders: what somebody else has there is never replaced, never mixed with ours, and never taken for ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.parser import main
from app.config import DetectorTrainSettings, TrainSettings
from app.errors import InputError
from app.runs.folder.written import note_copies, written_files
from app.system.files import MARK, claim_folder


def test_a_folder_is_ours_if_it_is_new_empty_marked_or_known(tmp_path: Path) -> None:
    for _ in range(2):
        claim_folder(tmp_path / "new" / "er", "scene")
    assert (tmp_path / "new" / "er" / MARK).read_text() == "scene\n"
    (tmp_path / "new" / "er" / "ours").touch()
    claim_folder(tmp_path / "new" / "er", "scene")
    with pytest.raises(InputError, match=r"er holds files that are of no training \(ours\); give another --output"):
        claim_folder(tmp_path / "new" / "er", "training")
    claim_folder(tmp_path / "new" / "er", "training", known=["ours"])
    assert (tmp_path / "new" / "er" / MARK).read_text() == "scene\ntraining\n"


def test_only_files_of_the_same_name_are_in_the_way_where_names_are_known(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    claim_folder(tmp_path, "scene", ["a.mp4"])
    (tmp_path / "b.mp4").touch()
    with pytest.raises(InputError, match=r"holds files that are of no drawing \(b\.mp4\)"):
        claim_folder(tmp_path, "drawing", ["a.mp4", "b.mp4"])
    with pytest.raises(InputError, match="is a file"):
        claim_folder(tmp_path / "theirs", "scene")


def test_trainings_leave_the_files_of_others_alone(tmp_path: Path) -> None:
    from app.detect.train.adapt import adapt_detector
    from app.detect.train.loop import train_detector
    from app.reid.train.loop import train

    (tmp_path / "log.csv").write_text("mine")
    for work in (
        lambda: train(TrainSettings(), [tmp_path], tmp_path, resume=False),
        lambda: train_detector(DetectorTrainSettings(), [tmp_path], tmp_path),
        lambda: adapt_detector(DetectorTrainSettings(start_from="person_n"), [tmp_path], tmp_path),
    ):
        with pytest.raises(InputError, match=r"holds files that are of no training of .* weights \(log\.csv\)"):
            work()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_scene_a_heat_map_and_a_page_of_mistakes_replace_only_their_own(
    tmp_path: Path, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_run())
    (tmp_path / "truth").mkdir()
    for camera in ("left", "right"):
        (tmp_path / "truth" / f"{camera}.txt").write_text("1,1,40,20,30,80,1,1,1\n")
    page = tmp_path / "out" / "page.html"
    page.parent.mkdir()
    commands = {
        "scene.json": ["simulate", "--output", str(page.parent), "--seconds", "0.2", "--cameras", "1"],
        "left.png": ["places", folder, "--heat", str(page.parent)],
        "page.html": ["evaluate", folder, "--truth", str(tmp_path / "truth"), "--mistakes", str(page)],
    }
    for name, command in commands.items():
        file = page.parent / name
        file.write_text('{"mine": 1}')
        assert main(command) == 2
        assert name in capsys.readouterr().err
        assert file.read_text() == '{"mine": 1}'
        file.unlink()
        assert [main(command), main(command)] == [0, 0]


def test_weights_are_not_exported_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for there, asked in (("a.onnx", "a.onnx"), ("b.bin", "b.xml")):
        (tmp_path / there).write_text("mine")
        kind = "onnx" if asked.endswith("onnx") else "openvino"
        assert main(["export-reid", "--weights", "x", "--format", kind, "--output", str(tmp_path / asked)]) == 2
        assert f"{there} is there already" in capsys.readouterr().err
        assert (tmp_path / there).read_text() == "mine"


def test_a_file_of_the_user_in_a_run_is_not_taken_for_a_copy(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    video = folder / "video" / "left.mp4"
    note_copies([video])
    video.parent.mkdir()
    video.touch()
    note_copies([video])
    theirs = folder / "video" / "wall.mp4"
    theirs.touch()
    with pytest.raises(InputError, match=r"wall\.mp4 is there already, and not of this program"):
        note_copies([video, theirs])
    assert theirs not in written_files(folder)
