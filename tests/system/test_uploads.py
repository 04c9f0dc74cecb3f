"""Uploads belong to their server, are gone when it is, and nothing else passes for one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import InputError
from app.runs.folder.run import Run
from app.runs.privacy.erase import erase_person
from app.system.uploads import forget, forget_later, is_uploaded, scratch_folder, uploaded

SERVER = """
import sys, time
from app.system.uploads import scratch_folder
with scratch_folder() as folder:
    (folder / "abc").mkdir()
    (folder / "abc" / "picture.jpg").write_bytes(b"somebody")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)


def server() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def upload(folder: Path, name: str = "picture.jpg") -> Path:
    file = folder / "0123" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"somebody")
    return file


def test_the_folder_is_its_owners_and_goes_at_the_end() -> None:
    with scratch_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        upload(folder)
    assert not folder.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_an_upload_is_deleted_once_it_was_used() -> None:
    with scratch_folder() as folder:
        with uploaded(upload(folder)) as file:
            assert file.read_bytes() == b"somebody"
        assert not file.parent.exists()
        file = upload(folder)
        with pytest.raises(RuntimeError), uploaded(file):
            raise RuntimeError("it could not be read")
        assert not file.exists()


def test_an_upload_that_may_be_used_again_goes_after_a_while(tmp_path: Path) -> None:
    own = tmp_path / "harmless.txt"
    own.write_text("not uploaded")
    with scratch_folder() as folder:
        file = upload(folder)
        forget_later(file, 0.05)
        end = time.monotonic() + 20
        while file.exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert not file.exists()
        forget(own)
    assert own.exists()


def test_other_files_are_no_uploads(tmp_path: Path) -> None:
    own = tmp_path / "harmless.txt"
    own.write_text("not uploaded")
    with scratch_folder() as folder:
        inside = upload(folder)
        link = folder / "0123" / "link.txt"
        link.symlink_to(own)
        around = folder / ".." / ".." / ".." / own.name
        assert around.resolve() == own
        for file in (own, link, around, folder, Path("harmless.txt"), inside.parent / ".." / "0123" / inside.name):
            assert not is_uploaded(file)
            with pytest.raises(InputError, match="not uploaded here"), uploaded(file):
                pass
        assert is_uploaded(inside)
        assert own.read_text() == "not uploaded"
    assert not is_uploaded(own)


def test_what_a_killed_server_left_goes_when_the_next_one_starts() -> None:
    process, dead = server()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert (dead / "abc" / "picture.jpg").exists()
    living, other = server()
    try:
        assert not dead.exists()
        assert (other / "abc" / "picture.jpg").exists()
        with scratch_folder():
            assert (other / "abc" / "picture.jpg").exists(), "another server is at work there"
    finally:
        living.kill()
        living.wait(10)


def test_erasing_empties_the_folders_of_all_servers(make_run: Callable[..., Path]) -> None:
    run = make_run()
    with Run.open(run).ledger() as ledger:
        ledger.assign("left", 1, 1, "tester")
    process, folder = server()
    try:
        on_its_way = upload(folder, "new.jpg")
        old = folder / "abc" / "picture.jpg"
        os.utime(old, (time.time() - 3600, time.time() - 3600))
        erase_person(run, 1)
        assert not old.exists()
        assert on_its_way.exists()
    finally:
        process.kill()
        process.wait(10)
