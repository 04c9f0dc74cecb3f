"""Which processor a network runs on."""

from __future__ import annotations

import torch

from app.errors import InputError


def choose_device(wanted: str, setting: str) -> torch.device:
    """Return the device for a value of a `device` setting: auto, cpu, cuda or cuda:N.

    `setting` is its dotted name, for messages. Raises InputError if the device is unknown or not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device("cuda:0" if count else "cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise InputError(f"{setting}: {wanted!r} is not a device; write auto, cpu, cuda or cuda:N")
    if int(number or 0) >= count:
        have = f"only {count} can be used" if count else "PyTorch finds no CUDA device on this machine"
        raise InputError(f"{setting}: {wanted!r} is not there, {have}; use auto or cpu")
    return torch.device("cuda", int(number or 0))
