"""Which processor a setting asks for."""

from __future__ import annotations

import pytest
import torch

from app.errors import InputError
from app.system.device import choose_device


def test_auto_is_a_device_that_is_there() -> None:
    assert torch.zeros(1, device=choose_device("auto", "detect.device")).sum() == 0
    assert choose_device("cpu", "detect.device") == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["cuda:99", "tpu", "cuda:x", ""])
def test_what_is_not_there_is_named_with_its_setting(wanted: str) -> None:
    with pytest.raises(InputError, match=r"reid\.device"):
        choose_device(wanted, "reid.device")
