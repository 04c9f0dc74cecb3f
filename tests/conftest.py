"""Fixtures for every test. Real data lies outside the repository and may be absent: tests that need it are skipped."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("omnitrack", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("omnitrack")

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
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # one cache for all workers
    os.environ.setdefault("OMNITRACK_CACHE", str(shared / "cache"))


@pytest.fixture(scope="session")
def small_run() -> ModuleType:
    """The module `tests/small_run.py`, which writes small run folders."""
    return _load("small_run")


@pytest.fixture
def make_run(tmp_path: Path, small_run: ModuleType) -> Callable[..., Path]:
    """Return a function that writes the run of `small_run.write` to `tmp_path / name` and returns that folder."""

    def make(name: str = "run", cameras: tuple[str, ...] = ("left", "right"), part_frames: int = 5) -> Path:
        return small_run.write(tmp_path / name, cameras, part_frames)

    return make


@pytest.fixture(scope="session")
def small_videos() -> ModuleType:
    """The module `tests/small_videos.py`, which writes small videos with numbered pictures."""
    return _load("small_videos")


@pytest.fixture(scope="session")
def camera_server() -> ModuleType:
    """The module `tests/camera_server.py`, with a network camera."""
    return _load("camera_server")


@pytest.fixture
def web_server() -> Iterator[Callable[[Path], str]]:
    """Return a function that puts a file behind an address."""
    servers = []

    def serve(file: Path) -> str:
        content = file.read_bytes()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append((server, threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)))
        servers[-1][1].start()
        return f"127.0.0.1:{server.server_address[1]}/{file.name}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def bench_blur() -> ModuleType:
    """The benchmark `tests/bench/bench_blur.py`, which measures how much of people is hidden."""
    return _load("bench/bench_blur")


def _load(name: str) -> ModuleType:
    """Import `tests/name.py`: a helper of tests is no module of the program."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
