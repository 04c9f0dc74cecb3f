"""Searching for the person in a box on a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cli.parser import main
from app.config import DetectSettings
from app.errors import InputError
from app.frames import Detections
from app.reid.calibrate import Calibration
from app.runs.folder.run import Run
from app.runs.folder.tracklet_index import TrackletSummary
from app.runs.people import search
from app.runs.people.bands import band
from app.runs.people.nobody import Nobody
from app.runs.people.query import Finder, NobodyInImage, SeveralInImage, choose
from app.runs.people.search import MOST_ASKED, frame_and_box, is_followed, search_image, search_table, search_vector
from app.runs.render import stills


@pytest.fixture
def run(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose recordings show the column in red, the row in green and the index of the frame in blue."""

    def original(run: object, camera: object, index: int, time_s: float) -> np.ndarray:
        rows, columns = np.mgrid[:240, :255]
        return np.stack([np.full_like(rows, index), rows, columns], axis=2).astype(np.uint8)

    monkeypatch.setattr(stills, "_read_original", original)
    return Run.open(make_run())


def test_a_box_is_cut_out_of_the_frame_shown_at_a_time(run: Run) -> None:
    frame, box = frame_and_box(run, "left", 0.55, [20.4, 30, 60, 99.6])  # 10 frames/s: frame 5 is shown
    assert box.tolist() == [20, 30, 60, 100]
    assert frame[30, 20].tolist() == [5, 30, 20]
    assert frame_and_box(run, "left", 99.0, [-5, 200, 60, 999])[1].tolist() == [0, 200, 60, 240]  # the last frame


@pytest.mark.parametrize("box", [[60, 30, 20, 90], [20, 30, 22, 90], [400, 30, 500, 90], [20, 30, np.nan, 90]])
def test_a_box_that_holds_nobody_is_refused(run: Run, box: list[float]) -> None:
    with pytest.raises(InputError, match="box"):
        frame_and_box(run, "left", 0.5, box)


def test_whom_the_run_followed_is_somebody_without_a_second_look(run: Run) -> None:
    assert is_followed(run, "left", 0.55, np.array([46, 22, 74, 108]))  # track 1 in frame 5: 45 21.25 75.5 110
    assert not is_followed(run, "left", 0.55, np.array([200, 22, 230, 108]))
    assert not is_followed(run, "left", 1.95, np.array([46, 22, 74, 108]))  # gone by then


def test_a_search_is_for_a_picture_or_for_a_box(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(run.folder)
    for words in ([], ["--camera", "left", "--at", "1"], ["a.jpg", "--at", "0"], ["--box", "1", "1", "99", "99"]):
        assert main(["search", folder, *words]) == 2
        assert "IMAGE, or all of --camera" in capsys.readouterr().err


class Town:
    """A run of two cameras in which everybody shares two thirds of their looks; person p is track p of each camera."""

    def __init__(self, people: int) -> None:
        self.folder = Path("town")
        self.cameras = [SimpleNamespace(name="left"), SimpleNamespace(name="right")]
        rng = np.random.default_rng(0)
        self.looks = 0.6 * np.eye(1, 256) + 0.8 * np.eye(people, 256, 1)
        self.read = 0
        noisy = self.looks[:, None] + rng.normal(size=(people, 8, 256)) / 40
        self.crops = (noisy / np.linalg.norm(noisy, axis=2, keepdims=True)).astype(np.float32)

    def tracklet_stretches(self, camera: str) -> Iterator[TrackletSummary]:
        shown = slice(0, 4) if camera == "left" else slice(4, 8)
        for person, vectors in enumerate(self.crops[:, shown], 1):
            self.read += 1
            crops = tuple(f"crops/{camera}/{person}_{number}.jpg" for number in range(4))
            yield TrackletSummary(camera, person, 10.0 * person, 10.0 * person + 5, 50, crops, vectors, np.ones(4, "f"))

    def identities(self) -> Any:
        return SimpleNamespace(person_at=lambda camera, track_id, time_s: track_id, names={2: "Ada"})

    def crop_path(self, reference: str) -> Path:
        return self.folder / reference


def test_people_who_share_the_light_of_a_place_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's calibration takes their cosine of 0.36 for one person, in 9 of 10 cases."""
    gullible = Calibration(
        np.zeros(256, np.float32), np.array([0.6, 1.0], np.float32), np.array([0.95, 0.01], np.float32)
    )
    monkeypatch.setattr(search, "run_calibration", lambda run: gullible)
    town: Any = Town(6)
    answer = search_vector(town, town.crops[1, 0], 10)
    found = answer.people
    assert (found[0]["person"], found[0]["name"]) == (2, "Ada")
    assert (found[0]["band"], found[0]["accepted"], answer.nobody) == ("very likely", True, False)
    assert len(found) == answer.compared == 6
    assert max(entry["p_same"] for entry in found[1:]) < 0.2
    nobody = np.eye(1, 256, 0)[0] * 0.6 + np.eye(1, 256, 200)[0] * 0.8
    answer = search_vector(town, nobody.astype(np.float32), 1)
    assert (answer.nobody, answer.people[0]["band"], answer.people[0]["accepted"]) == (True, "unlikely", False)
    assert answer.said == "Nobody here looks like that."
    assert answer.false_accept_rate <= 0.01 + 1e-9


def test_of_one_person_nothing_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody beside to compare with, a likeness that is good enough in a crowd is not."""
    monkeypatch.setattr(search, "run_calibration", lambda run: Calibration.default(256))
    alike = 0.6 * np.eye(1, 256)[0] + 0.55 * np.eye(1, 256, 1)[0] + 0.58 * np.eye(1, 256, 99)[0]
    crowd, alone = search_vector(Town(12), alike.astype("f"), 3), search_vector(Town(1), alike.astype("f"), 3)  # type: ignore[arg-type]
    assert crowd.people[0]["person"] == 1
    assert not crowd.nobody
    assert alone.people[0]["p_same"] < crowd.people[0]["p_same"]


def test_a_run_without_pictures_has_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "run_calibration", lambda run: Calibration.default(256))
    answer = search_vector(Town(0), np.eye(1, 256)[0].astype("f"), 3)  # type: ignore[arg-type]
    assert (answer.people, answer.nobody, answer.compared) == ([], True, 0)
    assert "nobody to compare with" in search_table(answer)


def test_few_people_are_enough_to_learn_the_looks_of_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "run_calibration", lambda run: Calibration.default(256))
    town: Any = Town(200)
    search._askers(town, town.identities(), 256)
    assert town.read <= 1.5 * MOST_ASKED + 2  # half of them on the first camera, then past those to the other half


class OneLook:
    """A detector that finds bright rectangles: each is a person, a dim one half a person."""

    name, weights_sha256 = "bright", ""

    def detect(self, frames: Any) -> list[Detections]:
        found = []
        for frame in frames:
            grey = frame.image.max(axis=2)
            values = [value for value in np.unique(grey).tolist() if value >= 150]
            places = [np.argwhere(grey == value) for value in values]
            boxes = [[*place.min(0)[::-1], *(place.max(0)[::-1] + 1)] for place in places]
            scores = np.array(values, np.float32) / 255
            found.append(Detections(np.array(boxes, np.float32).reshape(-1, 4), scores))
        return found


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> Finder:
    monkeypatch.setattr("app.runs.people.query.build_detector", lambda settings, sources: OneLook())
    return Finder(DetectSettings())


def picture(*people: tuple[int, int, int, int], size: tuple[int, int] = (200, 300)) -> np.ndarray:
    image = np.full((*size, 3), 30, np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(people):
        image[y1:y2, x1:x2] = 250 - number
    return image


def test_people_are_numbered_from_the_left_and_one_is_chosen(finder: Finder) -> None:
    found = finder.people(picture((200, 20, 240, 120), (20, 20, 60, 120)))
    assert [person.box.tolist() for person in found] == [[20, 20, 60, 120], [200, 20, 240, 120]]
    with pytest.raises(SeveralInImage, match=r"2 people .* 1: 20 20 60 120; 2: 200 20 240 120"):
        choose(found)
    assert choose(found, 2) is found[1]
    with pytest.raises(InputError, match="not 3"):
        choose(found, 3)
    # Somebody far behind does not make it a question.
    chief = finder.people(picture((100, 20, 180, 190), (20, 20, 40, 60)))
    assert choose(chief).box.tolist() == [100, 20, 180, 190]


def test_a_picture_without_people_is_refused_and_nothing_is_compared(finder: Finder) -> None:
    nothing: Any = None
    with pytest.raises(NobodyInImage, match="nobody in this picture"):
        search_image(nothing, picture(), nothing, finder, 3)
    with pytest.raises(NobodyInImage, match="nobody in this box"):
        search_image(nothing, picture((200, 20, 240, 120)), nothing, finder, 3, box=[10, 10, 60, 120])


def test_a_box_around_somebody_is_taken_as_drawn(finder: Finder) -> None:
    whole = picture((200, 20, 240, 120), (20, 20, 60, 120))
    assert finder.person_in_box(whole, np.array([195, 15, 245, 125])).box.tolist() == [195, 15, 245, 125]


def test_a_tight_crop_is_the_person(finder: Finder) -> None:
    (person,) = finder.people(picture((2, 2, 62, 126), size=(128, 64)))
    assert person.box.tolist() == [0, 0, 64, 128]


@pytest.mark.parametrize(
    ("p", "said"), [(0.95, "very likely"), (0.8, "likely"), (0.4, "can't say"), (0.39, "unlikely")]
)
def test_bands_are_those_of_the_help(p: float, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert band(p) == said
    assert main(["search", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert f"“{said}” " + (f"from {p:g}" if p != 0.39 else "below that") in words


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.lists(st.floats(0, 0.6), max_size=64))
def test_the_law_of_absent_people_holds_together(compared: int, absent: list[float]) -> None:
    law = Nobody.of(np.array(absent), compared)
    distances = np.linspace(-1, 2, 301)
    assert (np.diff(law.probability(distances)) >= -1e-12).all()
    rates = [law.false_accept_rate(distance) for distance in distances]
    assert (np.diff(rates) <= 1e-12).all()
    assert law.false_accept_rate(law.threshold()) <= 0.01 + 1e-9
    assert law.probability(np.array(-1.0)) < 0.01


def test_absent_people_of_a_crowd_are_refused_as_often_as_is_said() -> None:
    """Gumbel's law found again from draws of it, a fifth of them spoilt by people with a second number."""
    random = np.random.default_rng(1)
    absent = random.gumbel(0.14, 0.05, 4000)
    law = Nobody.of(np.where(random.random(4000) < 0.2, 0.6, absent), 31)
    assert (random.gumbel(0.14, 0.05, 100_000) >= law.threshold()).mean() < 0.01
    assert (random.gumbel(0.14, 0.05, 100_000) >= law.threshold()).mean() > 0.0005
