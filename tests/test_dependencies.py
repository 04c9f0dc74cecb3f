"""What is imported is declared, what leans on inner parts is bounded, and the lock fits what is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = {"tensorrt", "boxmot", "supervision"}
"""Only where the user has the hardware, a peer that a bench compares with, and what users may work with anyhow."""


def declared(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"], *(line for e in extras for line in PROJECT["optional-dependencies"][e])]
    found = [Requirement(line) for line in lines if not line.startswith("omnitrack")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def undeclared(folder: str, requirements: dict[str, Requirement]) -> set[str]:
    """Top-level packages that files import and no requirement brings by name."""
    distributions = packages_distributions()
    own = {
        "app",
        "omnitrack",
        "tests",
        *(file.stem for file in (ROOT / "tests").rglob("*.py")),
        *sys.stdlib_module_names,
    }
    missing = set()
    for file in [
        *(ROOT / folder).rglob("*.py"),
        *([ROOT / "main.py", ROOT / "omnitrack.py"] if folder == "app" else []),
    ]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - own - OPTIONAL:
                if not {canonicalize_name(name) for name in distributions.get(top, [top])} & requirements.keys():
                    missing.add(f"{file.relative_to(ROOT)}: {top}")
    return missing


def test_every_package_that_is_imported_is_declared() -> None:
    assert not undeclared("app", declared("ray", "export"))
    assert not undeclared("tests", declared("ray", "export", "dev"))


def test_every_package_has_a_bound_on_both_sides() -> None:
    """Lower ones are tried by tests/bench/try_bounds.py; a new major version may do anything."""
    bounds = {name: str(requirement.specifier) for name, requirement in declared("ray", "export").items()}
    assert {name: both for name, both in bounds.items() if "<" not in both or ">=" not in both} == {}


def test_the_lock_has_a_version_that_fits_for_each_requirement_with_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
    locked = {canonicalize_name(name): version for name, version in pins.items()}
    for name, requirement in declared("ray", "export", "dev").items():
        assert name in locked, f"{name} is not in requirements.lock; run `make lock`"
        assert requirement.specifier.contains(locked[name]), f"{name} {locked[name]}: run `make lock`"
    assert "://" not in text
    assert len(re.findall(r"==[^\n]* \\\n    --hash=sha256:", text)) == len(pins)
