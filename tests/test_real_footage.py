"""Footage of a real room with nothing but what is bundled. No truth comes with it; its README says who is in it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import cv2
import pytest

from app.cli.parser import main
from app.runs.folder.run import Run


def test_the_man_who_is_in_both_views_is_one_person(
    shared_data: Path, tmp_path: Path, small_videos: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("cam_a.mp4", "cam_b.mp4")
    # The beginning is enough, and takes half the time.
    videos = [str(small_videos.cut(shared_data / "mcam" / "lab_4p" / name, tmp_path / name, 100)) for name in names]
    # Two people together for once tell too little of how alike strangers are here, so how many there are is given.
    told = ["--set", "link.num_people=2"]
    assert main(["track", "--sources", *videos, "--output", str(tmp_path / "run"), "--json", *told]) == 0
    assert json.loads(capsys.readouterr().out)["people"] == 2
    identities = Run.open(tmp_path / "run").identities()
    tracks = {person: [segment.key for segment in identities.tracklets_of(person)] for person in identities.people()}
    assert sorted(sorted({camera for camera, _ in keys}) for keys in tracks.values()) == [["cam_a", "cam_b"], ["cam_b"]]


def test_six_people_who_come_one_by_one_are_six_people(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is ever in view together with somebody else, so nothing in the footage says how alike strangers are."""
    folder = shared_data / "mcam" / "one_by_one"
    visits = [tuple(map(float, line.split(",")[1:3])) for line in (folder / "visits.csv").read_text().splitlines()[1:]]
    pictures = tmp_path / "door"
    pictures.mkdir()
    video, number = cv2.VideoCapture(str(folder / "door.mp4")), 0
    while video.grab():
        if number % 3 == 0:
            cv2.imwrite(str(pictures / f"{number:06d}.jpg"), video.retrieve()[1])
        number += 1
    run = tmp_path / "run"
    command = ["track", "--sources", str(pictures), "--set", "sources.image_fps=3.3333", "--output", str(run), "--json"]
    assert main(command) == 0
    capsys.readouterr()
    opened = Run.open(run)
    identities = opened.identities()
    visits_of: dict[int, set[int]] = {}
    for tracklet in opened.tracklets():
        middle = (tracklet.start_time + tracklet.end_time) / 2
        shown = [number for number, (start, end) in enumerate(visits) if start <= middle <= end]
        visits_of.setdefault(identities.latest_person(*tracklet.key), set()).update(shown)
    assert all(len(own) <= 1 for own in visits_of.values()), visits_of
    assert set().union(*visits_of.values()) == set(range(6))
