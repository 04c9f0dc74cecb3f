"""The import rules of the design: who may import what, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "app"
HEAVY = {"torch", "torchvision", "ultralytics", "openvino", "cv2", "gradio", "av", "pyarrow", "scipy", "ray"}


def imported_packages(file: Path) -> set[str]:
    """Top-level names of everything that a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def importers(package: str) -> set[str]:
    return {str(f.relative_to(ROOT)) for f in APP.rglob("*.py") if package in imported_packages(f)}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        # device.py asks torch what there is; openvino_cache.py converts networks, which bring torch with them.
        ("torch", ("app/detect/", "app/reid/", "app/system/device.py", "app/system/openvino_cache.py")),
        ("torchvision", ("app/detect/", "app/reid/")),
        ("ultralytics", ("app/detect/yolo_weights.py", "app/detect/yolo.py", "app/detect/train/")),
        ("gradio", ("app/ui/",)),
        ("ray", ("app/pipeline/on_ray.py",)),
    ],
)
def test_a_package_is_imported_only_where_the_design_allows_it(package: str, allowed: tuple[str, ...]) -> None:
    strangers = {name for name in importers(package) if not name.startswith(allowed)}
    assert not strangers


def test_tracking_needs_only_numpy_scipy_and_lap() -> None:
    standard = set(sys.stdlib_module_names)
    for file in (APP / "track").rglob("*.py"):
        others = imported_packages(file) - standard - {"app", "numpy", "scipy", "lap"}
        assert not others, f"{file}: {others}"


def loaded_after(statement: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_tracking_modules_loads_no_torch_no_cv2_no_gradio() -> None:
    modules = [f"app.track.{file.stem}" for file in (APP / "track").glob("*.py") if file.stem != "__init__"]
    loaded = loaded_after("import app.track, " + ", ".join(modules))
    assert not loaded & {"torch", "cv2", "gradio", "openvino", "ultralytics"}


def test_help_and_settings_load_nothing_heavy() -> None:
    assert not loaded_after("import app.cli.parser; app.cli.parser.build_parser()") & (HEAVY | {"numpy", "pydantic"})
    assert not loaded_after("from app.config import load_settings; load_settings()") & (HEAVY | {"numpy"})


def test_no_file_without_a_stated_job() -> None:
    vague = {"utils", "core", "common", "helpers"}
    assert not [f for f in APP.rglob("*.py") if f.stem in vague or f.parent.name in vague]
    undocumented = [f for f in APP.rglob("*.py") if f.read_text() and not ast.get_docstring(ast.parse(f.read_text()))]
    assert not undocumented
