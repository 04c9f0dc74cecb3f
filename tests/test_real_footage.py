"""Footage of a real room with nothing but what is bundled. No truth comes with it; its README says who is in it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from app.cli import main
from app.runs import Run


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
