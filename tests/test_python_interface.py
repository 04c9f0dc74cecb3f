"""`omnitrack.py`, as somebody at a notebook uses it."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

import omnitrack
from app.config import Settings, load_settings
from app.frames import NO_ID, Detections, Embeddings
from app.reid.calibrate import Calibration
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.runs.folder.audit_log import entries, numbers_text
from app.track.tracker import STILL, CameraTracker
from omnitrack import Follower, InputError, Run

ROOT = Path(__file__).resolve().parents[1]
FRAMES, PEOPLE, FPS = 20, 6, 10


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of six people in clothes of their own who stroll side by side, with boxes and truth."""
    folder = tmp_path_factory.mktemp("footage") / "yard"
    for inner in ("img1", "det", "gt"):
        (folder / inner).mkdir(parents=True)
    random = np.random.default_rng(0)
    clothes = [cv2.resize(random.integers(0, 256, (4, 2, 3), dtype=np.uint8), (24, 60)) for _ in range(PEOPLE)]
    found, truth = [], []
    for index in range(FRAMES):
        image = np.full((160, 420, 3), 100, np.uint8)
        for person, look in enumerate(clothes):
            x, y = 12 + 66 * person + index, 60 + person
            image[y : y + 60, x : x + 24] = look
            found.append(f"{index + 1},-1,{x},{y},24,60,0.9,-1,-1,-1")
            truth.append(f"{index + 1},{person + 1},{x},{y},24,60,1,1,1.0")
        cv2.imwrite(str(folder / "img1" / f"{index + 1:06d}.jpg"), image)
    (folder / "det" / "det.txt").write_text("\n".join(found) + "\n")
    (folder / "gt" / "gt.txt").write_text("\n".join(truth) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=yard\nimDir=img1\nframeRate={FPS}\nseqLength={FRAMES}\nimWidth=420\nimHeight=160\nimExt=.jpg\n"
    )
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The defaults, with an OSNet that was never trained: that takes no time to load."""
    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(weights, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict()))
    quick = ["detect.weights=file:det/det.txt", "detect.device=cpu"]
    return load_settings(assignments=[f"reid.weights={weights}", "reid.backend=torch", "reid.device=cpu", *quick])


@pytest.fixture(scope="module")
def tracked(yard: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omnitrack.track(yard, tmp_path_factory.mktemp("runs") / "run", settings).folder


@pytest.fixture
def run(tracked: Path) -> Run:
    """Opened anew, since an example links it again."""
    return Run.open(tracked)


def test_importing_it_loads_nothing_and_a_name_only_what_it_needs() -> None:
    def loaded(statement: str) -> set[str]:
        code = f"{statement}\nimport sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        return {name.split(".")[0] for name in done.stdout.split()}

    heavy = {"torch", "cv2", "pyarrow", "openvino", "ultralytics", "gradio", "av", "ray"}
    assert not loaded("import omnitrack; dir(omnitrack)") & {*heavy, "numpy", "pydantic", "scipy", "app"}
    assert not loaded("from omnitrack import Follower; Follower().update([[0, 0, 9, 9]], time=0)") & heavy
    assert not loaded("from omnitrack import Run") & {"torch", "cv2", "openvino", "gradio"}


def test_its_list_is_complete() -> None:
    wanted = "track Run load_settings build_detector build_embedder CameraTracker Pipeline Frame Detections link_run"
    wanted += " search_run evaluate_run export_run Follower InputError RunError to_supervision"
    assert sorted(omnitrack.__all__) == sorted(wanted.split())
    assert len(omnitrack.__all__) == len(set(omnitrack.__all__))
    assert set(omnitrack._HOME) == set(omnitrack.__all__) - {"track"}
    assert set(omnitrack.__all__) <= set(dir(omnitrack))
    own = {name for name, value in vars(omnitrack).items() if getattr(value, "__module__", "") == "omnitrack"}
    assert {name for name in own if not name.startswith("_")} == {"track"}
    with pytest.raises(AttributeError, match="no attribute 'tracks'"):
        omnitrack.tracks  # noqa: B018


@pytest.mark.parametrize("name", omnitrack.__all__)
def test_each_name_is_documented_with_an_example_that_runs(
    name: str, run: Run, yard: Path, settings: Settings, tmp_path: Path
) -> None:
    thing = getattr(omnitrack, name)
    module = sys.modules[thing.__module__]
    given_names = {"run": run, "folder": run.folder, "truth": yard, "sources": yard, "output": tmp_path}
    given_names |= {"settings": settings, "picture": run.crop_path(run.tracklets()[0].crops[0]), "np": np}
    if name == "build_detector":
        given_names["settings"] = load_settings(assignments=["detect.weights=person_n", "detect.device=cpu"])
    if name == "to_supervision":
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "supervision", supervision())
            examples(thing, name, vars(module) | given_names)
    else:
        examples(thing, name, vars(module) | given_names)


def examples(thing: Any, name: str, names: dict[str, Any]) -> None:
    assert re.match(r"[A-Z].+\.", inspect.getdoc(thing) or "", re.DOTALL)
    tests = doctest.DocTestFinder().find(thing, name, globs=names)
    own = [test for test in tests if test.name == name]
    assert own[0].examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    text: list[str] = []
    for test in tests:
        runner.run(test, out=text.append)
    assert not runner.summarize(verbose=False).failed, "".join(text)


def test_what_a_program_searches_and_exports_stands_in_the_audit_log(
    run: Run, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    before = len(entries(run.folder))
    picture = run.crop_path(run.tracklets()[0].crops[0])
    found = omnitrack.search_run(run.folder, picture, settings, top=2)
    omnitrack.export_run(run, "csv", "person", tmp_path / "csv")
    exported, searched = entries(run.folder)[: len(entries(run.folder)) - before]
    assert (searched.actor, searched.action) == ("python: grace", "searched")
    listed = numbers_text(entry["person"] for entry in found.people)
    assert searched.what == f"with a picture from outside; listed: {listed}"
    assert (exported.actor, exported.action, exported.what) == ("python: grace", "exported", "csv")


def test_a_run_that_was_opened_before_it_was_linked_says_so(tracked: Path, settings: Settings) -> None:
    before, other = Run.open(tracked), Run.open(tracked)
    rows = before.table("boxes").num_rows
    omnitrack.link_run(tracked, settings.link)
    for answer in (before.table, before.identities, lambda: before.refined(before.cameras[0].name), other.to_pandas):
        with pytest.raises(InputError, match="open it again"):
            answer()
    assert Run.open(tracked).table("boxes").num_rows == rows


def test_tracking_is_quiet_says_how_far_it_is_and_returns_the_run(
    yard: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    quick = {"detect.weights": "file:det/det.txt", "reid.weights": "none"}
    run = omnitrack.track([yard], str(tmp_path / "run"), quick, names=["door"], progress=seen.append)
    assert [camera.name for camera in run.cameras] == ["door"]
    assert run.state == "finished"
    assert seen[-1].frames == seen[-1].frames_total == FRAMES
    assert run.summary["detector"]
    assert capfd.readouterr() == ("", "")
    with pytest.raises(InputError, match=r"did you mean detect\.weights"):
        omnitrack.track(yard, tmp_path / "other", {"detect.wights": "x"})
    with pytest.raises(InputError, match="engine"):
        omnitrack.track(yard, tmp_path / "other", quick, engine="locale")


def test_nobody_is_shown_warnings_who_did_not_ask_for_them() -> None:
    warn = "import logging; logging.getLogger('app.footage').warning('out of order')"
    for before, printed in (("", "out of order\n"), ("import omnitrack; ", "")):
        done = subprocess.run(
            [sys.executable, "-c", before + warn], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("", printed)


def test_what_the_readme_says_of_python_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    [block] = re.findall(r"\n## From Python\n[^#]*?```python\n(.*?)```", text, re.DOTALL)
    signature = inspect.signature(omnitrack.track)

    def track(*args: Any, **named: Any) -> Run:
        signature.bind(*args, **named)
        return run

    monkeypatch.setattr(omnitrack, "track", track)
    names: dict[str, Any] = {"my_frames": [(walk(index), [0.9, 0.8], np.eye(2, 8)) for index in range(3)]}
    exec(block, names)
    assert names["ids"].tolist() == [1, 2]
    assert names["rows"].num_rows == len(run.refined("yard"))


def test_tables_of_a_run(run: Run) -> None:
    table = run.table("boxes")
    rows = run.refined("yard")
    assert table.num_rows == len(rows) >= PEOPLE * (FRAMES - 1)
    arrays = run.arrays("boxes", "yard")
    np.testing.assert_array_equal(np.stack([arrays[side] for side in ("x1", "y1", "x2", "y2")], 1), rows.boxes)
    np.testing.assert_array_equal(arrays["person_id"], run.identities().person_of("yard", rows.track_ids, rows.times))
    assert set(arrays["camera"]) == {"yard"}
    assert run.arrays("frames")["time_s"].tolist() == pytest.approx([index / FPS for index in range(FRAMES)])
    tracklets = run.table("tracklets")
    first = run.tracklets()[0]
    np.testing.assert_array_equal(
        np.reshape(tracklets.column("vectors")[0].as_py(), first.vectors.shape), first.vectors
    )
    assert tracklets.column("crops")[0].as_py() == list(first.crops)
    with pytest.raises(InputError, match="boxes, frames, tracklets"):
        run.table("people")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no camera"):
        run.table("boxes", "hall")


def test_tables_hold_all_cameras_also_those_that_saw_nobody(make_run: Callable[..., Path]) -> None:
    run = Run.open(str(make_run()))
    cameras = [camera.name for camera in run.cameras]
    for name in ("boxes", "frames", "tracklets"):
        one_by_one = [run.table(name, camera) for camera in cameras]  # type: ignore[arg-type]
        whole = run.table(name)  # type: ignore[arg-type]
        assert whole.num_rows == sum(table.num_rows for table in one_by_one)
        assert whole.column("camera").to_pylist() == [c for t in one_by_one for c in t.column("camera").to_pylist()]
        assert isinstance(whole, pa.Table)
    assert set(run.arrays("boxes")["person_id"]) == {NO_ID}


def test_a_table_for_pandas(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    frame = run.to_pandas("boxes")
    assert len(frame) == run.table("boxes").num_rows
    assert frame["camera"].unique().tolist() == ["yard"]


def walk(index: int) -> list[list[float]]:
    return [[10.0 + 2 * index, 20, 50 + 2 * index, 140], [200.0 - 2 * index, 20, 240 - 2 * index, 140]]


def test_three_lines_give_what_five_modules_gave() -> None:
    random = np.random.default_rng(0)
    looks = random.normal(size=(2, 16)).astype(np.float32)
    follower = Follower(camera="door")
    tracker = CameraTracker(load_settings().track, "door", Calibration.unknown(16), 16)
    for index in range(30):
        boxes = walk(index)
        vectors = looks + random.normal(size=looks.shape, scale=0.2).astype(np.float32)
        ids = follower.update(boxes, [0.9, 0.8], vectors, time=index / 10)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = Detections(np.array(boxes, np.float32), np.array([0.9, 0.8], np.float32))
        expected = tracker.update(found, Embeddings(unit, np.ones(2, np.bool_)), index / 10, STILL)
        np.testing.assert_array_equal(ids, expected)
    assert ids.tolist() == [1, 2]


def test_boxes_without_scores_or_vectors_and_frames_without_people() -> None:
    follower = Follower()
    assert follower.update([], time=0.0).shape == (0,)
    assert [follower.update(walk(index), time=0.1 + index / 10).tolist() for index in range(3)][-1] == [1, 2]
    assert follower.update(np.zeros((0, 4)), np.zeros(0), time=1.0).tolist() == []
    assert follower.update(walk(9), time=1.1).tolist() == [1, 2]


def test_some_boxes_may_lack_a_vector_and_some_frames_all() -> None:
    follower = Follower()
    looks = np.eye(2, 8)
    looks[1] = np.nan
    for index in range(3):
        ids = follower.update(walk(index), vectors=looks, time=index / 10)
    assert follower.update(walk(3), time=0.3).tolist() == ids.tolist() == [1, 2]
    assert follower.update([], vectors=[], time=0.4).tolist() == []


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"boxes": [[1, 2, 3]]}, "boxes: shape"),
        ({"boxes": [[1, 2, 3, 4], [5, 6, 5, 9]]}, r"boxes: row 1 is"),
        ({"boxes": [[1, 2, 3, float("nan")]]}, "boxes: row 0"),
        ({"boxes": [[1, 2, 3, 4], [1]]}, "boxes: these are not numbers"),
        ({"boxes": "many"}, "boxes: these are not numbers"),
        ({"scores": [0.5]}, "scores: give 2 numbers"),
        ({"scores": [0.5, 1.5]}, "scores: give 2 numbers"),
        ({"vectors": np.ones((1, 8))}, r"vectors: \(1, 8\) for 2 boxes"),
        ({"vectors": np.ones((2, 9))}, "vectors: length 9"),
        ({"time": 1.0}, "time: 1.0 s does not come after 1.0 s"),
        ({"time": float("nan")}, "time: nan"),
        ({"motion": np.eye(3)}, "motion"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_changes_nothing(
    given_values: dict[str, Any], message: str
) -> None:
    looks = np.eye(2, 8)
    follower = Follower()
    for index in range(2):
        follower.update(walk(index), vectors=looks, time=float(index))
    good = {"boxes": walk(2), "vectors": looks, "time": 1.1}
    with pytest.raises(InputError, match=message):
        follower.update(**(good | given_values))
    assert follower.update(**good).tolist() == [1, 2]  # type: ignore[arg-type]


def test_a_refused_first_frame_leaves_everything_open() -> None:
    follower = Follower()
    with pytest.raises(InputError, match="time: nan"):
        follower.update(walk(0), vectors=np.eye(2, 8), time=float("nan"))
    assert follower.update(walk(0), vectors=np.eye(2, 4), time=0.0).tolist() == [NO_ID, NO_ID]


def test_vectors_come_from_the_first_boxes_on_and_fit_the_calibration() -> None:
    follower = Follower()
    follower.update(walk(0), time=0.0)
    with pytest.raises(InputError, match="from the first boxes on"):
        follower.update(walk(1), vectors=np.eye(2, 8), time=0.1)
    with pytest.raises(InputError, match="the calibration is for 4"):
        Follower(calibration=Calibration.default(4)).update(walk(0), vectors=np.eye(2, 8), time=0.0)


@how(max_examples=30)
@given(
    frames=st.lists(
        st.lists(st.tuples(*[st.floats(0, 900, width=32)] * 2, *[st.floats(1, 200, width=32)] * 2), max_size=5),
        max_size=6,
    )
)
def test_there_is_an_id_for_each_box_and_no_id_twice(frames: list[list[tuple[float, ...]]]) -> None:
    follower = Follower()
    for index, rows in enumerate(frames):
        ids = follower.update([[x, y, x + w, y + h] for x, y, w, h in rows], time=index / 5)
        assert ids.shape == (len(rows),)
        assert ids.dtype == np.int64
        assert len(set(ids[ids != NO_ID].tolist())) == (ids != NO_ID).sum()


@dataclass
class StandIn:
    """What of `supervision.Detections` is used here."""

    xyxy: np.ndarray
    mask: Any = None
    confidence: np.ndarray | None = None
    class_id: np.ndarray | None = None
    tracker_id: np.ndarray | None = None

    def __getitem__(self, rows: Any) -> StandIn:
        rest = (self.confidence, self.class_id, self.tracker_id)
        return StandIn(self.xyxy[rows], None, *(None if part is None else part[rows] for part in rest))

    def __len__(self) -> int:
        return len(self.xyxy)


def supervision() -> ModuleType:
    module = ModuleType("supervision")
    module.Detections = StandIn  # type: ignore[attr-defined]
    return module


def test_supervision_goes_in_and_comes_out() -> None:
    follower = Follower()
    for index in range(3):
        boxes = np.array([*walk(index), [300 + 40 * index, 9, 310 + 40 * index, 19]], np.float64)
        found = StandIn(boxes, confidence=np.array([0.9, 0.8, 0.2]), class_id=np.zeros(3, int))
        tracked = follower.update_with_detections(found, time=index / 10)
        assert found.tracker_id is None
        assert len(tracked) == (0 if index == 0 else 2)
        assert tracked.tracker_id is not None
    assert tracked.tracker_id.tolist() == [1, 2]
    np.testing.assert_array_equal(tracked.xyxy, boxes[:2])
    assert tracked.confidence is not None
    assert len(follower.update_with_detections(StandIn(np.zeros((0, 4))), time=0.3)) == 0


def test_a_run_comes_out_as_supervision(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        next(omnitrack.to_supervision(run, "yard"))
    monkeypatch.setitem(sys.modules, "supervision", supervision())
    frames = dict(omnitrack.to_supervision(run, "yard"))
    assert list(frames) == list(range(FRAMES))
    table = run.arrays("boxes", "yard")
    for index, people in frames.items():
        own = table["frame"] == index
        np.testing.assert_array_equal(people.tracker_id, table["person_id"][own])
        np.testing.assert_array_equal(people.xyxy[:, 0], table["x1"][own])
        assert people.class_id.tolist() == [0] * own.sum()
    tracks = dict(omnitrack.to_supervision(run, "yard", ids="track"))
    np.testing.assert_array_equal(tracks[FRAMES - 1].tracker_id, table["track_id"][table["frame"] == FRAMES - 1])
