"""Whether the server's memory grows with the pages that are loaded: its resident memory over 2,000 loads, no browser.

    python tests/bench/bench_ui_memory.py [--loads 2000] [--folder RUN]

A load is what a browser's first visit asks for: the page with its first content, Gradio's configuration, and the call
that fills the page, each as a new session. Pages take turns. Prints the memory along the way, and how much the second
half of the loads added: sessions beyond the number that the server keeps are forgotten, so that it ends flat.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

PAGES = ("", "people", "person", "review", "places", "privacy", "runs")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def fetch(address: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=2000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    clicks = load("bench_clicks")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or clicks.small_run(Path(scratch) / "run")
        with clicks.served(folder) as (address, process):
            calls = {
                page: [
                    one
                    for one in json.loads(fetch(f"{address}/config?page={page}"))["dependencies"]
                    if one["backend_fn"] and any(target[1] == "load" for target in one["targets"])
                ]
                for page in PAGES
            }
            memory = []
            for number in range(given.loads):
                page = PAGES[number % len(PAGES)]
                query = "?person=1" if page == "person" else ""
                fetch(f"{address}/{page}{query}")
                fetch(f"{address}/config?page={page}")
                for one in calls[page]:
                    body = {"data": [], "fn_index": one["id"], "session_hash": f"load{number}"}
                    fetch(f"{address}/gradio_api/run/{one['api_name']}{query}", body)
                if number == 0 or (number + 1) % max(1, given.loads // 10) == 0:
                    memory.append(resident_mb(process))
                    print(f"{number + 1:6d} loads  {memory[-1]:7.0f} MB", flush=True)
    print(f"second half: {memory[-1] - memory[len(memory) // 2]:+.0f} MB over {given.loads // 2} loads")


if __name__ == "__main__":
    main()
