"""Whether each lower bound in pyproject.toml is true: the lowest version that it allows passes the tests that need it.

    python tests/bench/try_bounds.py [--only av pyarrow] [--skip torch torchvision ray]

Each package is installed in its lowest version into a temporary folder before the environment that this runs in, which
stays as it is; the others are those of the environment. Prints a line for each, and exits with 1 if one fails. Needs a
package index, and for torch gigabytes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "torch": "tests/reid/test_osnet.py tests/detect/test_network.py",
    "torchvision": "tests/detect/test_network.py",
    "ultralytics": "tests/detect/test_yolo.py",
    "opencv-python": "tests/footage tests/runs/render/test_draw.py",
    "numpy": "tests/footage/test_video.py tests/track tests/runs/export",
    "scipy": "tests/track tests/runs/evaluate",
    "lap": "tests/track/test_assignment.py tests/track/test_tracker.py",
    "pyyaml": "tests/config tests/footage/test_camera_list.py",
    "gradio": "tests/ui/test_pages.py",
    "fastapi": "tests/ui/test_guard.py tests/ui/test_media.py",
    "pydantic": "tests/config tests/footage/test_camera_list.py",
    "av": "tests/footage tests/runs/render tests/ui/test_media.py",
    "pyarrow": "tests/runs/folder tests/runs/export tests/test_python_interface.py",
    "trackeval": "tests/runs/evaluate",
    "safetensors": "tests/reid/test_checkpoint.py tests/detect/test_yolo.py",
    "openvino": "tests/detect/test_network.py tests/reid/test_network_files.py",
    "pillow": "tests/runs/render/test_draw.py tests/footage/test_recordings.py",
    "rich": "tests/cli",
    "platformdirs": "tests/config tests/detect/test_yolo.py",
    "argon2-cffi": "tests/ui/test_guard.py",
    "psutil": "tests/ui/test_jobs.py",
    "tensorboard": "tests/reid/train/test_loop.py",
    "matplotlib": "tests/reid/test_calibrate.py",
    "ray": "tests/pipeline",
    "onnx": "tests/reid/test_export.py",
}

WITH_THEIR_OWN = {"gradio", "fastapi", "pydantic", "matplotlib", "tensorboard", "onnx", "argon2-cffi"}
"""Packages that allow few versions of those that they need; the others work with what the environment has."""

TOGETHER = ("fastapi", "starlette", "anyio", "uvicorn")
"""A web server's parts fit each other in few versions only: they are tried in their lowest at once, as `fastapi`."""


def lowest_installed(requirement: Requirement, others: list[Requirement], folder: Path) -> str:
    """Install the lowest version that is allowed into a folder and return it, "" if there is none to be had."""
    both = [requirement, *(one for one in others if requirement.name in TOGETHER and one.name in TOGETHER[1:])]
    wanted = [f"{one.name}{one.specifier}" for one in both]
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv) if uv.exists() else "uv", "pip", "install", "--quiet", "--only-binary", ":all:"]
    command += ["--resolution", "lowest-direct", "--python", sys.executable, "--target", str(folder), *wanted]
    if requirement.name not in WITH_THEIR_OWN:
        command.append("--no-deps")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{requirement.name}: cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
        return ""
    own = re.sub(r"[-_.]+", "_", requirement.name).lower()
    names = [path.name.removesuffix(".dist-info").lower().split("-") for path in folder.glob("*.dist-info")]
    return next((found for name, found in names if re.sub(r"[-_.]+", "_", name) == own), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--skip", nargs="*", default=("torch", "torchvision"))
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["ray"], *extras["export"]]
    failed = []
    requirements = [Requirement(line) for line in lines]
    for requirement in requirements:
        name = requirement.name
        if (options.only and name not in options.only) or name in (*options.skip, *TOGETHER[1:]):
            continue
        with tempfile.TemporaryDirectory(prefix=f"bound-{name}-") as folder:
            lowest = lowest_installed(requirement, requirements, Path(folder))
            if not lowest:
                failed.append(name)
                continue
            tests = [test for test in TESTS[name].split() if (ROOT / test).exists()]
            environment = os.environ | {
                "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            }
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
                env=environment, cwd=ROOT, capture_output=True, text=True,
            )  # fmt: skip
            end = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")
            errors = re.findall(r"^E  +(.*)", done.stdout, re.MULTILINE)
            why = "" if done.returncode == 0 else f"  {errors[-1] if errors else done.stderr.strip()[-200:]}"
            print(f"{name} {lowest} (here {version(name)}): {end}{why}", flush=True)
            failed += [name] if done.returncode else []
    print("all bounds hold" if not failed else f"not true: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
