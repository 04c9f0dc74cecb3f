"""What somebody is told who runs main.py with a Python in which nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return what a fresh clone holds of the program: no .venv, and whatever stands beside it."""
    shutil.copy(ROOT / "main.py", tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "weights", "static")
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=ignored)
    return tmp_path


def bare(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run main.py without site-packages."""
    command = [python, "-S", "-E", "main.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("arguments", [["--sources", "a.mp4"], ["ui"], ["settings", "--json"]])
def test_a_clone_without_its_environment_says_what_to_run(clone: Path, arguments: list[str]) -> None:
    done = bare(clone, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: the package ")
    assert "make demo" in done.stderr
    assert ".venv/bin/python main.py" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_environment_that_is_there_is_named(clone: Path) -> None:
    ready = clone / ".venv" / "bin" / "python"
    ready.parent.mkdir(parents=True)
    ready.symlink_to(sys.executable)
    assert f"run {ready} main.py … instead" in bare(clone, "check").stderr
    assert "run 'make clean demo'" in bare(clone, "check", python=str(ready)).stderr


def test_help_needs_no_package(clone: Path) -> None:
    done = bare(clone, "--help")
    assert done.returncode == 0
    assert "COMMAND" in done.stdout


def test_a_module_of_ours_that_is_missing_is_a_mistake_of_ours(clone: Path) -> None:
    (clone / "app" / "config" / "settings.py").unlink()
    (clone / "app" / "cli" / "check.py").write_text("import app.config.settings\n")
    done = bare(clone, "--help")
    assert "Traceback" in done.stderr
    assert "make demo" not in done.stderr
