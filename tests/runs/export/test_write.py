"""Exports: read back, they say what the run says; and they follow the ledger."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from app.config import load_settings
from app.errors import InputError
from app.footage.motchallenge import read_rows, write_rows
from app.frames import NO_ID
from app.runs.evaluate.scores import evaluate_run
from app.runs.export.formats import FORMATS
from app.runs.export.rows import ObjectIds
from app.runs.export.write import export_run
from app.runs.folder.run import Run
from app.runs.folder.topology_file import write_topology
from app.runs.folder.writer import RunWriter
from app.runs.ledger.identities import WHOLE
from app.track.linking.topology import Topology

GALLERY = "machine:gallery"


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Run:
    """Person 1 is track 1 on both cameras, person 7 (named) is track 2 on `left` up to 1 s; the rest is undecided."""
    run = Run.open(make_run())
    with run.ledger() as ledger:
        ledger.assign("left", 1, 1, GALLERY)
        ledger.assign("right", 1, 1, GALLERY)
        ledger.assign("left", 2, 7, GALLERY)
        ledger.name(7, "Ada <Löwe>, 2nd", "anna")
        ledger.split("left", 2, 1.0, "anna")
        ledger.assign("right", 3, 9, GALLERY)
        ledger.undo(6, "anna")
        ledger.confirm(("left", 1), ("right", 1), "anna")
        ledger.reject(("left", 1), ("left", 2), "anna")
    return run


def rows_of(run: Run, camera: str, ids: str = "person", across: bool = False) -> list[tuple[Any, ...]]:
    rows = run.observations(camera)
    numbers = ObjectIds(run, ids, across).of(camera, rows.track_ids, rows.times)  # type: ignore[arg-type]
    return list(zip(rows.frames.tolist(), numbers.tolist(), rows.boxes.tolist(), rows.scores.tolist(), strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ids_never_join_two_people(run: Run) -> None:
    people = {}
    for camera in ("left", "right"):
        rows = run.observations(camera)
        persons = run.identities().person_of(camera, rows.track_ids, rows.times)
        ids = ObjectIds(run, "person").of(camera, rows.track_ids, rows.times)
        for track, person, number in zip(rows.track_ids.tolist(), persons.tolist(), ids.tolist(), strict=True):
            people.setdefault(number, set()).add(person if person != NO_ID else (camera, track))
    assert all(len(who) == 1 for who in people.values())
    assert people[1] == {1}
    assert people[7] == {7}
    assert people[8] == {8}  # split off
    assert sorted(people) == [1, 7, 8, 9, 10, 11]
    assert people[9] == {("left", 3)}


@pytest.mark.parametrize("ids", ["person", "track"])
def test_mot_is_read_back(run: Run, tmp_path: Path, ids: str) -> None:
    made = export_run(run, "mot", ids, tmp_path / "out")  # type: ignore[arg-type]
    assert made.left_out == 0
    assert [file.name for file in made.files] == ["left.txt", "right.txt", "README.txt"]
    for camera in ("left", "right"):
        back = read_rows(tmp_path / "out" / f"{camera}.txt")
        rows = run.observations(camera)
        assert back.frames.tolist() == (rows.frames + 1).tolist()
        assert np.array_equal(back.boxes, rows.boxes)
        assert np.array_equal(back.scores, rows.scores)
        if ids == "track":
            assert back.ids.tolist() == rows.track_ids.tolist()
        else:
            assert back.ids.tolist() == [number for _, number, _, _ in rows_of(run, camera)]


def test_aicity_numbers_cameras(run: Run, tmp_path: Path) -> None:
    export_run(run, "aicity", "person", tmp_path)
    lines = [[float(cell) for cell in line.split(" ")] for line in (tmp_path / "track1.txt").read_text().splitlines()]
    expected = [
        [number, person, frame + 1, *np.rint(box[:2]), *(np.rint(box[2:]) - np.rint(box[:2])), -1, -1]
        for number, camera in enumerate(("left", "right"), 1)
        for frame, person, box, _ in rows_of(run, camera)
    ]
    assert lines == [[float(cell) for cell in row] for row in expected]
    assert (tmp_path / "cameras.csv").read_text() == "camera_id,camera\n1,left\n2,right\n"


@pytest.mark.parametrize("format", ["aicity", "coco"])
def test_formats_with_one_file_share_no_track_id(run: Run, tmp_path: Path, format: str) -> None:
    export_run(run, format, "track", tmp_path)
    numbers = {
        camera: {number for _, number, _, _ in rows_of(run, camera, "track", across=True)}
        for camera in ("left", "right")
    }
    assert numbers == {"left": {1, 2, 3}, "right": {4, 5, 6}}
    text = (tmp_path / ("track1.txt" if format == "aicity" else "coco.json")).read_text()
    found = re.findall(r"^\d (\d+)", text, re.M) if format == "aicity" else re.findall(r'"track_id": (\d+)', text)
    assert {int(number) for number in found} == {1, 2, 3, 4, 5, 6}
    assert "numbered over all cameras" in (tmp_path / "README.txt").read_text()


def test_csv_is_one_tidy_table(run: Run, tmp_path: Path) -> None:
    export_run(run, "csv", "person", tmp_path)
    with (tmp_path / "observations.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    row = 0
    for camera in ("left", "right"):
        rows = run.observations(camera)
        persons = run.identities().person_of(camera, rows.track_ids, rows.times)
        for index, (frame, number, box, score) in enumerate(rows_of(run, camera)):
            cells = table[row]
            assert (cells["camera"], int(cells["frame"]), int(cells["id"])) == (camera, frame, number)
            assert (float(cells["time_s"]), int(cells["track_id"])) == (rows.times[index], rows.track_ids[index])
            assert int(cells["person_id"]) == persons[index]
            assert cells["name"] == ("Ada <Löwe>, 2nd" if persons[index] == 7 else "")
            assert [float(cells[side]) for side in ("x1", "y1", "x2", "y2", "score")] == [*box, score]
            row += 1
    assert row == len(table)


def test_coco_holds_together(run: Run, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    export_run(run, "coco", "person", tmp_path)
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert {"info", "licenses", "images", "annotations", "categories", "videos"} <= coco.keys()
    images = {image["id"]: image for image in coco["images"]}
    assert len(images) == len(coco["images"]) == sum(len(run.frames(camera)[0]) for camera in ("left", "right"))
    assert len({annotation["id"] for annotation in coco["annotations"]}) == len(coco["annotations"])
    assert {annotation["category_id"] for annotation in coco["annotations"]} == {c["id"] for c in coco["categories"]}
    videos = {video["id"]: video["name"] for video in coco["videos"]}
    found: dict[str, list[Any]] = {"left": [], "right": []}
    for annotation in coco["annotations"]:
        image = images[annotation["image_id"]]
        assert image["video_id"] == annotation["video_id"]
        left, top, width, height = annotation["bbox"]
        assert annotation["area"] == pytest.approx(width * height, abs=0.01)
        found[videos[image["video_id"]]].append(
            (image["frame_index"], annotation["track_id"], [left, top, left + width, top + height], annotation["score"])
        )
    for camera in ("left", "right"):
        assert found[camera] == rows_of(run, camera)
    assert len(COCO(str(tmp_path / "coco.json")).getAnnIds()) == len(coco["annotations"])


def test_cvat_tracks_begin_and_end(run: Run, tmp_path: Path) -> None:
    export_run(run, "cvat", "person", tmp_path)
    for camera in ("left", "right"):
        root = ET.parse(tmp_path / f"{camera}.xml").getroot()
        assert root.findtext("version") == "1.1"
        assert root.findtext("meta/task/mode") == "interpolation"
        count = len(run.frames(camera)[0])
        assert root.findtext("meta/task/size") == str(count)
        assert root.findtext("meta/task/original_size/width") == "320"
        assert root.findtext("meta/task/labels/label/name") == "person"
        found = []
        for track in root.findall("track"):
            boxes = track.findall("box")
            frames = [int(box.attrib["frame"]) for box in boxes]
            assert frames == sorted(set(frames))
            for box, following in zip(boxes, [*boxes[1:], None], strict=True):
                frame = int(box.attrib["frame"])
                if box.attrib["outside"] == "0":
                    number = int(box.findtext("attribute[@name='id']") or 0)
                    found.append((frame, number, [float(box.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")]))
                    assert (following is None) == (frame == count - 1)  # shown until the end, or taken away
                    assert following is None or int(following.attrib["frame"]) == frame + 1
        assert sorted(found) == sorted((frame, number, box) for frame, number, box, _ in rows_of(run, camera))
    names = {e.text for e in ET.parse(tmp_path / "left.xml").iterfind(".//attribute[@name='name']") if e.text}
    assert names == {"Ada <Löwe>, 2nd"}


def test_market1501_is_a_training_set(run: Run, tmp_path: Path) -> None:
    export_run(run, "market1501", "person", tmp_path)
    names = sorted(path.name for path in (tmp_path / "bounding_box_train").iterdir())
    pattern = re.compile(r"(-1|\d{4})_c(\d+)s1_(\d{6})_(\d{2})\.jpg")
    parsed = [pattern.fullmatch(name).groups() for name in names]  # type: ignore[union-attr]
    assert len(parsed) == 12  # two crops for each of six tracklets
    assert {(who, camera) for who, camera, _, _ in parsed if who == "0001"} == {("0001", "1"), ("0001", "2")}
    assert [frame for who, _, frame, _ in parsed if who == "0007"] == ["000005"]  # before the split
    assert [frame for who, _, frame, _ in parsed if who == "0008"] == ["000019"]  # after it
    assert sum(who == "-1" for who, *_ in parsed) == 6
    with (tmp_path / "identities.csv").open(encoding="utf-8", newline="") as file:
        table = {row["file"]: row for row in csv.DictReader(file)}
    assert sorted(table) == names
    row = table["0007_c1s1_000005_00.jpg"]
    assert (row["name"], row["camera"], row["track_id"], float(row["time_s"])) == ("Ada <Löwe>, 2nd", "left", "2", 0.5)
    copied = cv2.imread(str(tmp_path / "bounding_box_train" / "0007_c1s1_000005_00.jpg"))
    assert np.array_equal(copied, cv2.imread(str(run.crop_path("crops/left/2_5.jpg"))))
    with (tmp_path / "pairs.csv").open(encoding="utf-8", newline="") as file:
        assert [list(row.values()) for row in csv.DictReader(file)] == [
            ["bounding_box_train/0001_c1s1_000000_00.jpg", "bounding_box_train/0001_c2s1_000000_00.jpg", "1"],
            ["bounding_box_train/0001_c1s1_000014_00.jpg", "bounding_box_train/0001_c2s1_000007_00.jpg", "1"],
            ["bounding_box_train/0001_c1s1_000000_00.jpg", "bounding_box_train/0007_c1s1_000005_00.jpg", "0"],
            ["bounding_box_train/0001_c1s1_000014_00.jpg", "bounding_box_train/0008_c1s1_000019_00.jpg", "0"],
        ]
    with pytest.raises(InputError, match="mixed with new"):
        export_run(run, "market1501", "person", tmp_path)


def test_judged_pairs_that_a_later_correction_contradicts_are_no_training_pairs(run: Run, tmp_path: Path) -> None:
    with run.ledger() as ledger:
        ledger.split("right", 1, WHOLE, "anna")  # not the same person as left 1 any more
        ledger.merge(7, 1, "anna")  # the first half of left 2 is the same person as left 1 now
    export_run(run, "market1501", "person", tmp_path)
    with (tmp_path / "pairs.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["same"] == "0"
    assert row["crop_b"] == "bounding_box_train/0008_c1s1_000019_00.jpg"
    assert all((tmp_path / row[crop]).is_file() for crop in ("crop_a", "crop_b"))


def test_market1501_by_track(run: Run, tmp_path: Path) -> None:
    export_run(run, "market1501", "track", tmp_path)
    names = [path.name for path in (tmp_path / "bounding_box_train").iterdir()]
    assert sorted({name[:7] for name in names}) == [f"000{n}_c{1 if n <= 3 else 2}" for n in range(1, 7)]


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_exports_follow_the_ledger_and_undo_is_exact(run: Run, tmp_path: Path, format: str) -> None:
    export_run(run, format, "person", tmp_path / "before")
    with run.ledger() as ledger:
        merge = ledger.merge(7, 1, "anna")
        export_run(run, format, "person", tmp_path / "merged")
        ledger.undo(merge, "anna")
    export_run(run, format, "person", tmp_path / "after")
    assert contents(tmp_path / "before") != contents(tmp_path / "merged")
    assert contents(tmp_path / "before") == contents(tmp_path / "after")
    assert FORMATS[format] in (tmp_path / "before" / "README.txt").read_text()


def test_a_run_without_people_is_exported(tmp_path: Path, small_run: ModuleType) -> None:
    left, right = small_run.sources()
    with RunWriter.create(tmp_path / "run", load_settings(), [left, right], {}) as writer:
        result = small_run.result(left, 0)  # and `right` never showed a picture
        writer.write(replace(result, track_ids=np.full_like(result.track_ids, NO_ID)))
        writer.finish("finished", {})
    run = Run.open(tmp_path / "run")
    for format in FORMATS:
        made = export_run(run, format, "person", tmp_path / format)
        assert all(file.is_file() for file in made.files)
    assert (tmp_path / "mot" / "left.txt").read_text() == ""
    coco = json.loads((tmp_path / "coco" / "coco.json").read_text())
    assert (len(coco["images"]), coco["annotations"]) == (1, [])
    assert ET.parse(tmp_path / "cvat" / "right.xml").getroot().findtext("meta/task/size") == "0"


@pytest.fixture
def merged(run: Run) -> Run:
    """The same run after somebody said that persons 1 and 7, in view together on `left` from 0.5 s to 1 s, are one."""
    with run.ledger() as ledger:
        ledger.merge(7, 1, "anna")
    return run


def test_nobody_has_two_boxes_in_a_frame_of_any_export(merged: Run, tmp_path: Path) -> None:
    made = {format: export_run(merged, format, "person", tmp_path / format) for format in FORMATS}
    assert {exported.left_out for exported in made.values()} == {5}
    assert all("Left out are 5 boxes" in (tmp_path / f / "README.txt").read_text() for f in FORMATS)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    back = read_rows(tmp_path / "mot" / "left.txt")
    rows["mot"] = list(zip((back.frames - 1).tolist(), back.ids.tolist(), strict=True))
    cells = [line.split() for line in (tmp_path / "aicity" / "track1.txt").read_text().splitlines()]
    rows["aicity"] = [(int(frame) - 1, int(who)) for camera, who, frame, *_ in cells if camera == "1"]
    with (tmp_path / "csv" / "observations.csv").open(encoding="utf-8", newline="") as file:
        rows["csv"] = [(int(r["frame"]), int(r["id"])) for r in csv.DictReader(file) if r["camera"] == "left"]
    coco = json.loads((tmp_path / "coco" / "coco.json").read_text())
    index = {image["id"]: image["frame_index"] for image in coco["images"]}
    rows["coco"] = [(index[a["image_id"]], a["track_id"]) for a in coco["annotations"] if a["video_id"] == 1]
    boxes = ET.parse(tmp_path / "cvat" / "left.xml").iterfind(".//box[@outside='0']")
    rows["cvat"] = [(int(b.attrib["frame"]), int(b.findtext("attribute[@name='id']") or 0)) for b in boxes]
    everything = merged.observations("left")
    assert {name: len(found) for name, found in rows.items()} == dict.fromkeys(rows, len(everything) - 5)
    assert all(len(set(found)) == len(found) for found in rows.values())
    assert len({tuple(sorted(found)) for found in rows.values()}) == 1
    # In the shared frames track 2 has the better score, and stays.
    shared = back.frames - 1 == 7
    assert back.ids[shared].tolist() == [1]
    assert back.scores[shared].tolist() == [2 / 16]
    crops = (tmp_path / "market1501" / "bounding_box_train").iterdir()
    assert len({path.name[:16] for path in crops if not path.name.startswith("-1")}) == 6


def test_trackeval_reads_an_export_and_says_what_evaluate_says(merged: Run, tmp_path: Path) -> None:
    from trackeval import metrics
    from trackeval.datasets import MotChallenge2DBox

    export_run(merged, "mot", "person", tmp_path / "out" / "ours" / "data")
    truth, rows = tmp_path / "gt", merged.observations("left")
    for camera in ("left", "right"):
        (truth / camera / "gt").mkdir(parents=True)
    write_rows(truth / "left" / "gt" / "gt.txt", rows.frames + 1, rows.track_ids, rows.boxes, np.ones(len(rows)))
    write_rows(truth / "right" / "gt" / "gt.txt", *[np.array([1])] * 2, np.array([[0, 0, 9, 9]]), np.ones(1))
    (truth / "left" / "seqinfo.ini").write_text("[Sequence]\nname=left\nseqLength=20\n")
    dataset = MotChallenge2DBox(
        {"GT_FOLDER": str(truth), "TRACKERS_FOLDER": str(tmp_path / "out"), "SEQ_INFO": {"left": 20},
         "SKIP_SPLIT_FOL": True, "DO_PREPROC": False, "PRINT_CONFIG": False}
    )  # fmt: skip
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("ours", "left"), "pedestrian")
    identity = metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    ours = evaluate_run(merged.folder, truth)
    assert ours["left_out_boxes"] == 5
    assert ours["cameras"]["left"]["IDF1"] == pytest.approx(100 * identity["IDF1"])
    clear = metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    assert ours["cameras"]["left"]["MOTA"] == pytest.approx(100 * clear["MOTA"])
    assert ours["cameras"]["left"]["MOTA"] < 100


def test_wrong_requests_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'kitti'; there are mot"):
        export_run(run, "kitti", "person", tmp_path)
    with pytest.raises(InputError, match="person, track"):
        export_run(run, "mot", "name", tmp_path)  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        export_run(run, "mot", "person", tmp_path / "file")


def test_csv_says_where_on_the_floor_people_stand_when_a_camera_is_calibrated(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = Run.open(make_run())
    write_topology(run.folder, Topology(calibrations={"left": np.diag([0.01, 0.02, 1.0])}))
    export_run(run, "csv", "track", tmp_path / "out")
    with (tmp_path / "out" / "observations.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["camera"] == "right":
            assert row["x_m"] == row["y_m"] == ""
        else:
            assert float(row["x_m"]) == pytest.approx((float(row["x1"]) + float(row["x2"])) / 200, abs=1e-3)
            assert float(row["y_m"]) == pytest.approx(float(row["y2"]) / 50, abs=1e-3)
    (run.folder / "topology.json").unlink()
    export_run(run, "csv", "track", tmp_path / "plain")
    assert "x_m" not in (tmp_path / "plain" / "observations.csv").read_text(encoding="utf-8")
