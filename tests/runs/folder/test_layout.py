"""All that a run folder may hold is in one table, and erasing and purging do to each of it what the table says."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from app.cli.parser import main
from app.config import RetentionSettings
from app.reid.checkpoint import Checkpoint, save_checkpoint
from app.reid.osnet import OSNETS
from app.runs.folder.layout import (
    CAMERAS_FOLDER,
    EARLIER_MANIFEST_FILE,
    FLUSHED_FILE,
    LAYOUT,
    PUT_AWAY,
    STATES_FILE,
    DataKind,
    Place,
)
from app.runs.folder.run import Run
from app.runs.folder.written import sweep
from app.runs.privacy.erase import erase_person
from app.runs.privacy.purge import purge

SELDOM = {EARLIER_MANIFEST_FILE, FLUSHED_FILE, STATES_FILE, f"{PUT_AWAY}/**", f"{CAMERAS_FOLDER}/**"}
"""Places that a finished run of recordings has nothing in."""


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with whatever can be made of it: videos, preview, zones, topology, somebody erased, exports, audit log."""
    root = tmp_path_factory.mktemp("layout")
    scene, folder, weights = root / "scene", root / "run", root / "untrained.safetensors"
    small = ["simulate.width_px=320", "simulate.height_px=180", "simulate.fps=10", "simulate.mean_away_s=1"]
    sizes = ["--people", "8", "--seconds", "4", "--seed", "3", *(word for one in small for word in ("--set", one))]
    torch.manual_seed(0)
    save_checkpoint(weights, Checkpoint("osnet_x0_25", OSNETS["osnet_x0_25"]().state_dict()))
    run = str(folder)
    for words in (
        ["simulate", "--output", str(scene), *sizes],
        ["--sources", str(scene / "cam1.mp4"), str(scene / "cam2.mp4"), "--detector", "file:det/det.txt",
         "--reid", str(weights), "--device", "cpu", "--output", run, "--gallery", str(root / "gallery"),
         "--save-video", "--preview", "--set", "run.part_s=2"],
        ["places", run, "--zone", "door", "cam1", "0,0", "200,0", "200,150", "--line", "way", "cam2", "0,90", "300,90"],
        ["people", run],
        ["erase", run, "2"],
        ["render", run],
        ["render", run, "--blur-everybody"],
        ["export", run, "--format", "csv", "--output", str(folder / "export" / "csv")],
    ):  # fmt: skip
        assert main(words) == 0, words
    return folder


@pytest.fixture
def folder(full_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(full_run, tmp_path / "run")


def files(folder: Path, place: Place) -> dict[str, bytes]:
    """The files of a place, with their content."""
    there = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return {name: path.read_bytes() for name, path in there if place.matches(name)}


def test_nothing_of_a_full_run_is_missing_in_the_table(full_run: Path) -> None:
    names = {path.relative_to(full_run).as_posix() for path in full_run.rglob("*") if path.is_file()}
    unknown = {name for name in names if not any(place.matches(name) for place in LAYOUT)}
    assert not unknown
    empty = {place.pattern for place in LAYOUT if not files(full_run, place)}
    assert {name for name in empty if not name.endswith("-*")} <= SELDOM


def test_a_file_has_one_place(full_run: Path) -> None:
    for path in full_run.rglob("*"):
        name = path.relative_to(full_run).as_posix()
        assert sum(place.matches(name) for place in LAYOUT) <= 1, name


def test_the_writers_are_there() -> None:
    for place in LAYOUT:
        importlib.import_module(f"app.{place.writer}")


def test_a_star_ends_at_the_next_folder() -> None:
    crops = Place("crops/*/*.jpg", "", "")
    assert crops.matches("crops/door/1_2.jpg")
    assert not crops.matches("crops/door/more/1_2.jpg")
    assert not crops.matches("crops/door/1_2.jpgs")
    assert Place("video/**", "", "").matches("video/a/b.mp4")


def test_erasing_does_to_each_place_what_the_table_says(folder: Path) -> None:
    run = Run.open(folder)
    before = {place: files(folder, place) for place in LAYOUT}
    people = run.identities().people()
    person = max(people, key=lambda one: len(run.identities().tracklets_of(one)))
    keys = {segment.key for segment in run.identities().tracklets_of(person)}
    crops = {crop for one in run.tracklet_summaries() if (one.camera, one.track_id) in keys for crop in one.crops}
    assert crops
    erase_person(folder, person)
    for place in LAYOUT:
        after = files(folder, place)
        if place.erase == "stays" and not place.pattern.startswith("."):
            assert after == before[place], place.pattern
        elif place.erase == "deleted":
            assert not after, place.pattern
        elif place.erase == "cut" and place.pattern.startswith("crops"):
            assert not crops & after.keys()
            assert after
        elif place.erase == "cut":
            assert after, place.pattern
            assert not keys & {key for name in after for key in tracks_in(folder / name)}, place.pattern
        elif place.erase == "notes" and before[place]:
            assert after.keys() == before[place].keys() or place.pattern.endswith("-*"), place.pattern


def tracks_in(file: Path) -> set[tuple[str, int]]:
    table = pq.read_table(file)
    if "track_id" not in table.column_names:
        return set()
    return set(zip(table["camera"].to_pylist(), table["track_id"].to_pylist(), strict=True))


@pytest.mark.parametrize("kind", ["video", "crops", "vectors", "observations"])
def test_purging_does_to_each_place_what_the_table_says(folder: Path, kind: DataKind) -> None:
    before = {place: files(folder, place) for place in LAYOUT}
    purge(folder, RetentionSettings.model_validate({f"{kind}_days": 0.001}), now_s=4e9)
    sweep(folder)
    # When the rows go, everything that is made from them goes as well.
    kinds = {"video", "crops", "vectors", "observations"} if kind == "observations" else {kind}
    for place in LAYOUT:
        after = files(folder, place)
        if not kinds & set(place.purge):
            if not place.pattern.startswith("."):
                assert after.keys() >= before[place].keys() or place.pattern.endswith("-*"), place.pattern
        elif kind == "vectors":
            vectors = [row for name in after for row in pq.read_table(folder / name)["vectors"].to_pylist()]
            assert vectors
            assert not any(np.size(row) for row in vectors)
        elif place.pattern.endswith(".sqlite"):
            with Run.open(folder).ledger() as ledger:
                assert not list(ledger.events())
        else:
            assert not after, place.pattern
