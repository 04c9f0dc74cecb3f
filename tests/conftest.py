"""Fixtures for every test. Real data lies outside the repository and may be absent: tests that need it are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(os.environ.get("OMNITRACK_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real footage, truth and weights (never part of the repository)."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not at {SHARED_DATA}; set OMNITRACK_SHARED_DATA")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep converted networks of the test session together: made once, and never in the user's cache folder."""
    os.environ.setdefault("OMNITRACK_CACHE", str(tmp_path_factory.mktemp("cache")))
