"""How long the pages of a big run take until something is to be seen, in a browser that has nothing in its cache.

    python tests/bench/bench_ui.py [--folder RUN] [--chromium /usr/bin/chromium]

Without --folder the run of `big_run.py` is made first (an hour, 4 cameras, 500 people; that takes minutes). For each
page: a fresh server process (nothing is open yet), a fresh browser profile; the time of the first contentful paint,
until the page's own content is there, and until Gradio has taken it over and every button works, the computing time
that the server spent, and its memory afterwards. Times of a busy machine say little: the same is measured for the page
of a tiny run, and both are printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import ModuleType

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "": ".ot-bar",
    "people": ".ot-card",
    "person?person=1": ".ot-visit",
    "review": ".ot-pair",
    "places": ".ot-graph",
    "privacy": "#audit table, #audit .ot-empty",
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def usage(process: int) -> tuple[float, float]:
    """Return the computing time in seconds and the memory in MB of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    memory = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(memory.split()[1]) / 1024


def measure(browser: object, folder: Path, path: str, sign: str) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "main.py", "ui", str(folder), "--port", str(port), "--json"]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/omnitrack/static/icon.svg").read()
                break
            except OSError:
                time.sleep(0.2)
        before = usage(server.pid)
        context = browser.new_context(viewport={"width": 1360, "height": 900})
        page = context.new_page()
        page.set_default_timeout(120_000)
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/{path}", wait_until="commit")
        page.wait_for_selector(sign)
        seen = time.perf_counter() - start
        page.wait_for_selector("#ot-boot", state="detached")
        usable = time.perf_counter() - start
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1") / 1000
        after = usage(server.pid)
        context.close()
        return f"{paint:8.2f} {seen:10.2f} {usable:9.2f} {after[0] - before[0]:14.2f} {before[1]:10.0f} {after[1]:8.0f}"
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--pages", nargs="*", default=list(PAGES))
    given = parser.parse_args()
    big_run = load("big_run")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = given.folder or big_run.write_big_run(Path(scratch) / "big")
        tiny = big_run.write_big_run(Path(scratch) / "tiny", 4, 60.0)
        browser = playwright.chromium.launch(executable_path=given.chromium, args=FLAGS)
        print(
            f"{'page':<18}{'run':<6}{'paint s':>8}{'content s':>11}{'usable s':>10}{'server CPU s':>15}"
            f"{'MB before':>11}{'after':>9}"
        )
        for path in given.pages:
            for name, run in (("tiny", tiny), ("big", folder)):
                print(f"{path or 'overview':<18}{name:<6}{measure(browser, run, path, PAGES[path])}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
