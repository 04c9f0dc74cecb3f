"""What the documents say exists: paths, names, commands, settings, files of a run, and one version everywhere."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app import __version__
from app.cli.parser import build_parser
from app.config import describe_settings, setting_names
from app.runs.folder.layout import LAYOUT

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
COMMANDS = build_parser()[1]


def paths_in(text: str) -> set[str]:
    """Return the paths within the repository that a text names in backticks, links or commands."""
    found = re.findall(r"(?<![\w./-])((?:app|tests|configs|docs|\.venv/bin|videos)/[\w./-]*[\w/])", text)
    return {path.rstrip("/") for path in found if not path.startswith((".venv", "videos"))}


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a Markdown text without blocks of code; a row of a table is one of them."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [part for part in re.split(r"\n\s*\n|\n(?=[|*] )", text) if part.strip()]


def defined_in(file: Path) -> Iterator[str]:
    """Yield every name that a module defines: functions, classes, members, variables, arguments."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def strangers(text: str, root: Path = ROOT) -> list[str]:
    """Return each name in backticks that is not defined in a module which its paragraph names, nor known to all.

    Known to all are commands, their options, settings and their parts, and what stands in a folder that is named.
    """
    settings = {part for name, _ in setting_names() for part in name.split(".")}
    options = {word for parser in COMMANDS.values() for action in parser._actions for word in action.option_strings}
    missing = []
    for paragraph in paragraphs(text):
        known = settings | options | set(COMMANDS)
        for path in paths_in(paragraph):
            file = root / path
            known |= set(defined_in(file)) if file.suffix == ".py" else {one.stem for one in file.glob("*")}
        for span in re.findall(r"`([^`]+)`", paragraph):
            name = re.sub(r"\(.*\)$", "", span)
            if (
                not re.fullmatch(r"(--)?[A-Za-z_][\w.-]*", name)
                or name.startswith("OMNITRACK_")
                or (root / name).exists()
            ):
                continue  # a path, a command, a variable of the environment
            if name not in known and not set(name.split(".")) <= known:
                missing.append(name)
    return missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    named = paths_in((ROOT / document).read_text(encoding="utf-8"))
    assert len(named) > 5
    assert not [path for path in sorted(named) if not (ROOT / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_repository_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    assert not [link for link in links if not (link[1:] in headings if link[0] == "#" else (ROOT / link).exists())]


def test_every_name_in_contributing_is_defined_where_it_says() -> None:
    assert not strangers((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def test_the_map_of_contributing_names_every_room() -> None:
    named = paths_in((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    rooms = {f"app/{path.name}" for path in (ROOT / "app").iterdir() if not path.name.startswith("_")} - {
        "app/py.typed"
    }
    assert rooms <= named


def test_the_rules_see_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("def here() -> None: ...\n")
    assert paths_in("see [it](app/no/b.py) and `app/a.py`, `python main.py --config configs/no.yaml`") == {
        "app/no/b.py",
        "app/a.py",
        "configs/no.yaml",
    }
    text = "`here` and `gone(x)` of `app/a.py`, `track`, `--json`, `--nothing`, `track.max_lost_s`.\n\n`here`"
    assert strangers(text, tmp_path) == ["gone", "--nothing", "here"]


def test_the_citation_is_valid_and_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"] == __version__
    assert citation["license"] == project["license"]
    assert (citation["cff-version"], citation["type"], citation["title"]) == ("1.2.0", "software", "OmniTrack")
    assert citation["message"]
    assert citation["authors"] == [{"name": "OmniTrack engineers"}]
    allowed = {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license", "keywords"}
    assert set(citation) <= allowed
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_each_of_its_options_has_words(name: str) -> None:
    assert COMMANDS[name].description
    assert not [action.dest for action in COMMANDS[name]._actions if not action.help]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"main\.py {re.escape(name)}(?![\w-])", readme), f"README.md does not say what {name} is for"


def test_help_of_the_whole_program_has_a_line_for_each_command() -> None:
    (subparsers,) = (a for a in build_parser()[0]._actions if isinstance(a, argparse._SubParsersAction))
    assert {choice.dest for choice in subparsers._choices_actions if choice.help} == set(COMMANDS)


def test_settings_says_of_every_setting_what_it_is_and_its_default() -> None:
    said = dict(re.findall(r"^([a-z_.0-9]+) = .*\n    (.+)$", describe_settings(), re.MULTILINE))
    assert set(said) == {name for name, _ in setting_names()}
    assert all(len(words.split()) > 1 for words in said.values())


def test_every_place_of_a_run_folder_has_words_and_a_writer_that_exists() -> None:
    assert len({place.pattern for place in LAYOUT}) == len(LAYOUT)
    for place in LAYOUT:
        assert len(place.holds.split()) > 2, place.pattern
        files = [ROOT / "app" / start / f"{place.writer.replace('.', '/')}.py" for start in ("", "runs")]
        assert any(file.is_file() for file in files), place.writer


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_leaves_an_environment_alone_that_was_made_by_hand(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    by_hand = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Without CUDA")[2].partition("\n## ")[0]
    assert "\ntouch .venv/.ready\n" in by_hand

    def recipe() -> str:
        command = ["make", "--dry-run", "demo"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "pip install" in recipe()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    assert "pip install" not in recipe()
    assert "main.py evaluate" in recipe()
