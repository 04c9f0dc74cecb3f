"""The file in which a run keeps what linking learned of the cameras' places."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import InputError
from app.runs.folder.topology_file import read_topology, topology_to_json, write_topology
from app.track.linking.topology import Clock, EntryExitZone, SharedFloor, Topology, Transit


def learned() -> Topology:
    door = EntryExitZone(np.array([12.5, 190.0]), np.array([[90.0, 3.0], [3.0, 40.0]]), 9)
    return Topology(
        clocks={"hall": Clock(0.0, 0.0, "reference"), "door": Clock(-1.25, 0.125, "estimated"), "yard": Clock()},
        entries={"hall": (door,), "door": (), "yard": ()},
        exits={"hall": (), "door": (door, door), "yard": ()},
        transits={
            ("hall", "door"): Transit.of(np.array([2.0, 3.0, 4.0])),
            ("door", "hall"): Transit.of(np.zeros(0), 1.5, 30.0),
        },
        floors={("door", "hall"): SharedFloor(np.diag([1.0, 2.0, 1.0]), 0.125, 31)},
        calibrations={"hall": np.diag([0.01, 0.02, 1.0])},
        links=3,
        rounds=2,
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert read_topology(tmp_path) is None
    write_topology(tmp_path, learned())
    again = read_topology(tmp_path)
    assert again is not None
    assert topology_to_json(again) == topology_to_json(learned())
    assert again.clocks == dict(sorted(learned().clocks.items()))
    assert again.transits["hall", "door"] == Transit(3, 3.0, 2.2, 3.8)
    assert again.transits["door", "hall"].locked


def test_the_file_holds_what_its_description_says(tmp_path: Path) -> None:
    write_topology(tmp_path, learned())
    values = json.loads((tmp_path / "topology.json").read_text())
    assert values["cameras"]["door"]["clock"] == {"offset_s": -1.25, "uncertainty_s": 0.125, "state": "estimated"}
    assert values["cameras"]["yard"]["clock"]["uncertainty_s"] is None
    assert values["cameras"]["hall"]["entries"][0]["center_px"] == [12.5, 190.0]
    assert [pair["from"] for pair in values["pairs"]] == ["door", "hall"]
    assert values["cameras"]["hall"]["image_to_floor"][1][1] == 0.02
    assert values["cameras"]["door"]["image_to_floor"] is None
    assert values["pairs"][0]["median_s"] is None
    assert values["pairs"][0]["longest_s"] == 30.0
    assert values["floors"][0]["a_to_b"][1][1] == 2.0


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1, "cameras": {}}'])
def test_a_broken_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "topology.json").write_text(text)
    with pytest.raises(InputError, match="link the run again"):
        read_topology(tmp_path)
