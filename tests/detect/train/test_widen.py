"""A wider network begins with the answers of the narrow one, and can learn more than it."""

from __future__ import annotations

import pytest
import torch

from app.detect.bundled import BUNDLED_FOLDER
from app.detect.train.widen import widen, widened_description
from app.detect.yolo_weights import load_weights

PICTURES = torch.rand(2, 3, 96, 160, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", [1.25, 1.5, 2.0])
def test_it_answers_as_the_narrow_one(factor: float) -> None:
    narrow = load_weights(BUNDLED_FOLDER / "person_n.safetensors").eval()
    wide = widen(narrow, factor, 0.0, seed=0).eval()
    assert wide.yaml["backbone"][8][3][0] == -(-128 * factor // 8) * 8
    with torch.no_grad():
        torch.testing.assert_close(wide(PICTURES)[0], narrow(PICTURES)[0], rtol=1e-3, atol=1e-3)


def test_noise_parts_the_copies_and_keeps_what_was_learned() -> None:
    narrow = load_weights(BUNDLED_FOLDER / "person_n.safetensors").eval()
    wide = widen(narrow, 2.0, 0.05, seed=3).eval()
    first = wide.state_dict()["model.0.conv.weight"]
    assert not torch.equal(first[0], first[1]), "channel 1 is the copy of channel 0"
    again = widen(narrow, 2.0, 0.05, seed=3).state_dict()["model.0.conv.weight"]
    assert torch.equal(first, again)
    with torch.no_grad():
        apart = (wide(PICTURES)[0][:, 4:] - narrow(PICTURES)[0][:, 4:]).abs().max()
    assert 0 < apart < 0.2


def test_what_is_no_channel_number_stays() -> None:
    description = load_weights(BUNDLED_FOLDER / "person_n.safetensors").yaml
    wide = widened_description(description, 1.5)
    assert [row[:3] for row in wide["head"]] == [row[:3] for row in description["head"]]
    assert wide["head"][0][3] == description["head"][0][3]
    assert wide["backbone"][2][3] == [48, False, 0.25]
