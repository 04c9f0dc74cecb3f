"""Reading data sets: folders and zip files alike, and what is said of a bad one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.config import SimulateSettings
from app.detect.train import photos
from app.detect.train.photos import cut_out, data_sets, read_data_set, read_labels, read_stock
from app.errors import InputError
from app.simulate.scene import View


def write_data(folder: Path) -> Path:
    """Three pictures of 60 × 40: one with two boxes, one with nobody, one with a person and a mask."""
    for kind in ("images", "labels", "masks"):
        (folder / "deep" / "set" / kind).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:35, 20:32] = 255
    root = folder / "deep" / "set"
    for name in ("a", "b", "c"):
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
    (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.5\n\n1 0.1 0.1 0.1 0.1\n0 0.25 0.5 0.1 0.2\n")
    (root / "labels" / "b.txt").write_text("")
    (root / "labels" / "c.txt").write_text("0 0.4333 0.5 0.2 0.75\n")
    cv2.imwrite(str(root / "masks" / "c.png"), mask)
    return folder


def test_a_zip_file_reads_as_its_folder_does(tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data")
    archive = Path(shutil.make_archive(str(tmp_path / "data"), "zip", folder))
    for path in (folder, archive):
        (found,) = data_sets(path)
        (first, _), (nobody, _), (_, mask) = read_data_set(found)
        assert first.image.shape == (40, 60, 3)
        np.testing.assert_allclose(first.boxes, [[24, 10, 36, 30], [12, 16, 18, 24]], atol=1e-4)
        assert nobody.boxes.shape == (0, 4)
        assert mask is not None
    stock = read_stock([archive], scenes=0, seed=0)
    assert [len(stock.photos), len(stock.portraits), len(stock.empty), len(stock.cutouts)] == [1, 1, 1, 1]
    assert stock.cutouts[0].shape == (30, 12, 4)


def test_a_cut_out_person_is_exactly_the_mask() -> None:
    image = np.arange(20 * 10 * 3, dtype=np.uint8).reshape(20, 10, 3)
    mask = np.zeros((20, 10), np.uint8)
    mask[4:18, 3:7] = 255
    mask[10, 5] = 0
    person = cut_out(image, mask)
    assert np.array_equal(person[:, :, :3], image[4:18, 3:7])
    assert np.array_equal(person[:, :, 3], mask[4:18, 3:7])


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.2", "person 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2 1.5", "0 0.5 0.5 0 0.5"])
def test_a_bad_line_of_labels_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(f"0 0.5 0.5 0.2 0.5\n{text}\n")
    with pytest.raises(InputError, match=r"a\.txt:2"):
        read_labels(file, 100, 100)


def test_bad_data_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a folder nor a readable zip file"):
        data_sets(tmp_path / "missing.zip")
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"neither a folder nor a readable zip file"):
        data_sets(tmp_path / "broken.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"images/ and labels/"):
        data_sets(tmp_path / "empty")
    root = write_data(tmp_path / "data") / "deep" / "set"
    (root / "images" / "c.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"c\.png: not a picture"):
        read_stock([root], 0, 0)
    (root / "labels" / "c.txt").unlink()
    (root / "images" / "c.png").write_bytes((root / "images" / "b.png").read_bytes())
    with pytest.raises(InputError, match=r"c\.txt is missing"):
        read_stock([root], 0, 0)
    for name in ("a", "c"):
        (root / "labels" / f"{name}.txt").write_text("")
    (root / "masks" / "c.png").unlink()
    with pytest.raises(InputError, match=r"no person"):
        read_stock([root], 0, 0)


def test_rendered_scenes_differ_and_hidden_people_have_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SimulateSettings] = []

    class TwoViews:
        """Stands in for the simulator, which needs seconds to set up a scene."""

        def __init__(self, settings: SimulateSettings) -> None:
            asked.append(settings)

        def views(self, seconds: float) -> Iterator[View]:
            boxes = np.array([[1, 2, 8, 30], [20, 2, 28, 30]], np.float32)
            visibility = np.array([1.0, 0.2], np.float32)
            for index in range(2):
                image = np.full((40, 60, 3), index, np.uint8)
                yield View(None, index, 0.0, image, np.arange(2), boxes, visibility, np.zeros((2, 2)))  # type: ignore[arg-type]

    monkeypatch.setattr(photos, "Scene", TwoViews)
    scenes = photos.render_scenes(3, seed=1)
    assert [scene.boxes.tolist() for scene in scenes] == [[[1, 2, 8, 30]]] * 3
    assert len({settings.seed for settings in asked}) == 2
    first = asked[0]
    photos.render_scenes(1, seed=1)
    photos.render_scenes(1, seed=2)
    assert asked[2] == first
    assert asked[3].seed != first.seed
