"""The import rules of the design: who may import what, and what stays light.

Every import counts: those within functions, those for types only, and `import_module` with a name in quotes.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

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


def imports(root: Path, package: str = "app") -> dict[str, set[str]]:
    """Return for each module under `root / package`, by dotted name, the modules of the package that it imports.

    `from a import b` is an import of the module a.b if there is one, else of a.
    """
    files = {_dotted(file.relative_to(root)): file for file in (root / package).rglob("*.py")}
    found: dict[str, set[str]] = {}
    for module, file in files.items():
        named = set()
        for name in _imported(ast.parse(file.read_text(encoding="utf-8")), module, file.stem == "__init__"):
            while name not in files and "." in name:  # a name within a module
                name = name.rpartition(".")[0]
            if name in files:
                named.add(name)
        found[module] = named - {module}
    return found


def breaks(graph: Mapping[str, Iterable[str]], order: Sequence[str], package: str = "app") -> list[str]:
    """Return each import in `graph` that points to the right of `order`, and each of a module that has no place there.

    order: groups of names within `package`, separated by spaces; a group may import itself and what comes before.
    The package's own `__init__` may be imported by all and imports nothing.
    """
    place = {name: number for number, group in enumerate(order) for name in group.split()}

    def level(module: str) -> int | None:
        return -1 if module == package else place.get(module.removeprefix(f"{package}.").partition(".")[0])

    found = []
    for module, named in sorted(graph.items()):
        if module != package and not module.startswith(f"{package}."):
            continue
        own = level(module)
        if own is None:
            found.append(f"{module} has no place in the order")
            continue
        for other in sorted(named):
            if other != package and not other.startswith(f"{package}."):
                continue
            theirs = level(other)
            if theirs is not None and theirs > own:
                found.append(f"{module} imports {other}")
    return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or round a corner (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph.get(module, ()):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            place = stack.index(module)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                found.append(sorted(group))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def _dotted(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """Yield the full dotted name of everything that a module imports, whether it is a module or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))


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


def test_a_run_by_motion_only_loads_no_torch(tmp_path: Path, small_videos: ModuleType) -> None:
    """Boxes from a file and no ReID: several seconds of importing that nobody needs."""
    video = small_videos.write(tmp_path / "door.mp4")
    (tmp_path / "door").mkdir()
    (tmp_path / "door" / "det.txt").write_text("".join(f"{n},-1,10,5,20,30,0.9\n" for n in range(1, 21)))
    words = ["--sources", str(video), "--detector", "file:det.txt", "--reid", "none", "--output", str(tmp_path / "run")]
    loaded = loaded_after(f"from app.cli.parser import main; assert main({words}) == 0")
    assert not loaded & {"torch", "ultralytics", "openvino"}


def test_help_and_settings_load_nothing_heavy() -> None:
    assert not loaded_after("import app.cli.parser; app.cli.parser.build_parser()") & (HEAVY | {"numpy", "pydantic"})
    assert not loaded_after("from app.config import load_settings; load_settings()") & (HEAVY | {"numpy"})


def test_no_file_without_a_stated_job() -> None:
    vague = {"utils", "core", "common", "helpers"}
    assert not [f for f in APP.rglob("*.py") if f.stem in vague or f.parent.name in vague]
    undocumented = [f for f in APP.rglob("*.py") if f.read_text() and not ast.get_docstring(ast.parse(f.read_text()))]
    assert not undocumented


ORDER = ("errors frames boxes", "system", "config", "footage", "simulate", "detect", "reid", "track", "runs",
         "pipeline", "ui", "cli")  # fmt: skip
"""The rooms of `app`: each imports itself and what stands to its left."""

RUN_ORDER = ("ledger", "folder", "render", "evaluate", "export", "people", "places", "privacy", "check")
"""The same within `app.runs`."""

TRACK_ORDER = ("appearance assignment carrying costs gallery kalman known_appearances likeness smoothing tracker "
               "tracklets tracks follower", "linking")  # fmt: skip
"""The same within `app.track`: one camera and the online gallery first, then linking over all cameras."""


def test_every_import_points_to_the_left() -> None:
    graph = imports(ROOT)
    assert not breaks(graph, ORDER)
    assert not breaks(graph, RUN_ORDER, "app.runs")
    assert not breaks(graph, TRACK_ORDER, "app.track")


def test_no_module_imports_itself_round_a_corner() -> None:
    assert not circles(imports(ROOT))


def test_the_house_has_few_doors() -> None:
    names = {path.name for path in APP.iterdir()} - {"__init__.py", "py.typed", "__pycache__"}
    files = {name for name in names if (APP / name).is_file()}
    assert len(files) <= 3
    assert len(names - files) <= 12


def test_people_of_a_run_need_no_pictures(make_run: Callable[..., Path]) -> None:
    loaded = loaded_after(f"from app.cli.parser import main; assert main(['people', {str(make_run())!r}]) == 0")
    assert not loaded & {"cv2", "PIL", "torch", "gradio", "scipy"}


GOOD = {
    "app/__init__.py": "",
    "app/errors.py": "",
    "app/footage/__init__.py": "",
    "app/footage/video.py": "from app import errors\nfrom app.errors import InputError\n",
    "app/cli/__init__.py": "",
    "app/cli/parser.py": "import app.footage.video\nfrom ..footage import video\n",
}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("app/footage/video.py", "from app.cli.parser import main"),
        ("app/footage/video.py", "from app.cli import parser"),
        ("app/footage/video.py", "import app.cli.parser as parser"),
        ("app/footage/video.py", "def late():\n    from app.cli import parser"),
        ("app/footage/video.py", "if TYPE_CHECKING:\n    from app.cli.parser import Command"),
        ("app/footage/video.py", "from ..cli import parser"),
        ("app/footage/video.py", "importlib.import_module('app.cli.parser')"),
        ("app/footage/__init__.py", "from app import cli"),
        ("app/errors.py", "from app.footage import video"),
    ],
)
def test_the_rule_sees_a_bad_import(tmp_path: Path, file: str, line: str) -> None:
    for name, text in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    order = ("errors", "footage", "cli")
    assert not breaks(imports(tmp_path), order)
    assert not circles(imports(tmp_path))
    (tmp_path / file).write_text(f"{GOOD[file]}\n{line}\n")
    found = breaks(imports(tmp_path), order)
    assert len(found) == 1, found
    assert found[0].startswith(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def test_the_rule_sees_a_module_without_a_place_and_a_circle(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("def late():\n    import app.b\n")
    (tmp_path / "app" / "b.py").write_text("if TYPE_CHECKING:\n    from app.c import C\n")
    (tmp_path / "app" / "c.py").write_text("from app.a import x\n")
    (tmp_path / "app" / "d.py").write_text("from app.a import x\n")
    graph = imports(tmp_path)
    assert breaks(graph, ("a b c",)) == ["app.d has no place in the order"]
    assert circles(graph) == [["app.a", "app.b", "app.c"]]
