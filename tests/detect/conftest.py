"""Fixtures of the detector tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def small_networks() -> ModuleType:
    """The module `small_networks.py` beside this file: a helper of tests is no module of the program."""
    spec = importlib.util.spec_from_file_location("small_networks", Path(__file__).with_name("small_networks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_weights(small_networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Returns the path of a small network in our own format, with or without an end-to-end head."""
    from app.detect.yolo_weights import save_weights

    folder = tmp_path_factory.mktemp("weights")

    def path(end2end: bool) -> Path:
        file = folder / f"small_{'end2end' if end2end else 'overlapping'}.safetensors"
        if not file.exists():
            save_weights(small_networks.small_yolo(end2end), file)
        return file

    return path
