"""torch.compile where it can work: it joins the many small operations of an OSNet into fewer passes over memory."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from typing import TypeVar, cast

import torch
from torch import nn

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


def compiled(network: Network, device: torch.device) -> Network:
    """Return a compiled network that shares its weights; itself, with a warning, where compiling can't work.

    Each size of pictures is compiled by itself, at its first batch: code for any size would be slower.
    """
    missing = [tool for tool in (os.environ.get("CXX", "c++"),) if shutil.which(tool) is None]
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        missing.append("the package triton")
    if missing:
        log.warning("train.compile: %s isn't there, so the network runs as it is", " and ".join(missing))
        return network
    return cast(Network, torch.compile(network, dynamic=False))  # it is declared to return any function
