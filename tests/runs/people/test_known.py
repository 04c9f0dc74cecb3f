"""People that are known from run to run: kept, recognised, named, expired, refused and erased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.config import GallerySettings
from app.errors import InputError, RunError
from app.runs.folder.run import Run
from app.runs.ledger.ledger import GALLERY, Ledger
from app.runs.people.known import (
    PEOPLE_FILE,
    KnownPeople,
    KnownPerson,
    forget_people,
    known_people,
    locked_gallery,
    read_people,
    remember_run,
    with_corrections,
    without_expired,
    write_people,
)

DAY_S = 86_400.0


def appearance(count: int, camera: str = "left") -> list[tuple[str, np.ndarray]]:
    return [(camera, np.eye(8, dtype=np.float32)[number]) for number in range(count)]


def known() -> KnownPeople:
    people = {3: KnownPerson("Ann", 100 * DAY_S, appearance(2)), 7: KnownPerson("", 50 * DAY_S, appearance(1, "right"))}
    return KnownPeople("abc", 9, people, ("/runs/one",))


def same(a: KnownPeople, b: KnownPeople) -> bool:
    def plain(known: KnownPeople) -> object:
        return {p: (o.name, o.last_seen_s, [(c, v.tolist()) for c, v in o.appearance]) for p, o in known.people.items()}

    return (plain(a), a.weights_sha256, a.next_person_id, a.runs) == (
        plain(b),
        b.weights_sha256,
        b.next_person_id,
        b.runs,
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert read_people(tmp_path) == KnownPeople()
    write_people(tmp_path, known())
    assert same(read_people(tmp_path), known())
    write_people(tmp_path, KnownPeople("abc", 9))
    assert read_people(tmp_path).people == {}
    assert read_people(tmp_path).next_person_id == 9
    assert [path.name for path in tmp_path.iterdir()] == [PEOPLE_FILE]


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_a_broken_file_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PEOPLE_FILE).write_bytes(content)
    with pytest.raises(InputError, match="cannot read the people of this gallery"):
        read_people(tmp_path)


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    write_people(tmp_path, known())
    data = bytearray((tmp_path / PEOPLE_FILE).read_bytes())
    data[-3] ^= 1
    (tmp_path / PEOPLE_FILE).write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_people(tmp_path)


def test_people_expire() -> None:
    assert sorted(without_expired(known(), 30, now_s=110 * DAY_S).people) == [3]
    assert sorted(without_expired(known(), 90, now_s=110 * DAY_S).people) == [3, 7]


def test_another_network_is_refused(tmp_path: Path) -> None:
    settings = GallerySettings(folder=str(tmp_path), keep_days=36_000)
    write_people(tmp_path, known())
    assert sorted(known_people(settings, "abc").people) == [3, 7]
    with pytest.raises(InputError, match=r"seen by another network.*give that --reid, or another --gallery"):
        known_people(settings, "def")
    with pytest.raises(InputError, match="needs pictures"):
        known_people(settings, None)
    assert known_people(GallerySettings(), None) == KnownPeople()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    settings = GallerySettings(folder=str(tmp_path / "gallery"))
    with locked_gallery(settings) as folder:
        assert folder == tmp_path / "gallery"
        with pytest.raises(RunError, match="another run uses this gallery"), locked_gallery(settings):
            pass
    with locked_gallery(GallerySettings()) as none:
        assert none is None
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="not a folder"),
        locked_gallery(GallerySettings(folder=str(tmp_path / "file"))),
    ):
        pass


def assign(folder: Path, persons: dict[tuple[str, int], int]) -> None:
    with Run.open(folder).ledger() as ledger:
        for (camera, track), person in persons.items():
            ledger.assign(camera, track, person, GALLERY)


def test_a_run_is_remembered_and_gets_the_names_of_known_people(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    settings = GallerySettings(folder=str(gallery), keep_days=36_000)
    run = Run.open(make_run())
    sha = str(run.header["provenance"]["weights"].get("reid", ""))
    write_people(gallery, replace(known(), weights_sha256=sha))
    assign(run.folder, {("left", 1): 3, ("right", 1): 3, ("left", 2): 9})
    remember_run(run, settings)
    after = read_people(gallery)
    assert sorted(after.people) == [3, 7, 9]
    assert run.identities().names == {3: "Ann"}
    assert [camera for camera, _ in after.people[3].appearance] == ["left", "left", "left", "right"]
    assert after.people[3].last_seen_s > 1e9
    assert after.people[7].last_seen_s == 50 * DAY_S
    assert after.next_person_id == 10
    assert after.runs[-1] == str(run.folder.resolve())
    with run.ledger() as ledger:
        ledger.name(9, "Bob", "human")
        ledger.merge(9, 3, "human")
    corrected = with_corrections(after)
    assert sorted(corrected.people) == [3, 7]
    assert len(corrected.people[3].appearance) == 5


def test_only_the_latest_looks_of_a_camera_are_kept(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    settings = GallerySettings(folder=str(tmp_path), vectors_per_camera=2, keep_days=36_000)
    run = Run.open(make_run())
    sha = str(run.header["provenance"]["weights"].get("reid", ""))
    write_people(tmp_path, replace(known(), weights_sha256=sha))
    assign(run.folder, {("left", 1): 3})
    remember_run(run, settings)
    kept = read_people(tmp_path).people[3].appearance
    assert len(kept) == 2
    np.testing.assert_array_equal(kept[0][1], appearance(2)[1][1])


def test_the_forgotten_are_gone_for_good_and_their_number_too(tmp_path: Path) -> None:
    write_people(tmp_path, replace(known(), runs=("runs/monday",)))
    assert forget_people(tmp_path, {3, 4}) == ("runs/monday",)
    assert forget_people(tmp_path, {3}) is None
    assert sorted(read_people(tmp_path).people) == [7]
    assert read_people(tmp_path).next_person_id == 9
    assert b"Ann" not in (tmp_path / PEOPLE_FILE).read_bytes()


def test_reserved_numbers_are_given_to_nobody_new(tmp_path: Path) -> None:
    with Ledger(tmp_path / "identities.sqlite") as ledger:
        ledger.reserve_people(9)
        assert ledger.replay().next_person_id == 9
        ledger.assign("left", 1, 3, GALLERY)
        ledger.reassign({("left", 1): 1, ("left", 2): 2}, GALLERY, {})
        assert sorted(ledger.replay().people()) == [3, 9]
        ledger.reserve_people(5)
    with Ledger(tmp_path / "identities.sqlite") as again:
        assert again.replay().next_person_id == 10
