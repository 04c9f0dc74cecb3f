"""Whether every click of a correction arrives on a busy machine: rounds of corrections in a browser beside busy loops.

    python tests/bench/bench_clicks.py [--rounds 50] [--busy 4] [--seconds 300] [--chromium /usr/bin/chromium]

A server of its own (`main.py ui`) shows a small run. Each round opens a person's page and names, renames, merges and
undoes as fast as the page lets it, each click as soon as the effect of the one before is to be seen; then two clicks at
once. A click whose effect is not there after --patience seconds is lost, and the ledger says whether the server acted.
Prints the clicks, the lost ones, and how long the effects took. Ends after --seconds even if rounds are left.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import sync_playwright

from app.runs.folder.run import Run

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
BUSY = "while True: pass"


def small_run(folder: Path) -> Path:
    spec = importlib.util.spec_from_file_location("big_run", Path(__file__).with_name("big_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Path = module.write_big_run(folder, 6, 60.0)
    return made


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Give the address and the process of a server that shows a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "main.py", "ui", str(folder), "--port", str(port), "--json"]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/omnitrack/static/icon.svg").read()
                break
            except OSError:
                if server.poll() is not None:
                    raise RuntimeError("the server ended before it answered") from None
                time.sleep(0.2)
        yield address, server.pid
    finally:
        server.terminate()
        server.wait()


class Clicks:
    """Counts clicks and how long their effects took."""

    def __init__(self, page: Any, folder: Path, patience_s: float) -> None:
        self.page, self.folder, self.patience_s = page, folder, patience_s
        self.took: list[float] = []
        self.lost: list[str] = []

    def corrections(self) -> int:
        with Run.open(self.folder).ledger() as ledger:
            return len(ledger.corrections())

    def act(self, what: str, click: Callable[[], None], effect: str) -> bool:
        before, start = self.corrections(), time.perf_counter()
        try:
            click()
            self.page.wait_for_selector(effect, timeout=self.patience_s * 1000)
        except Late:
            acted = "the server acted" if self.corrections() > before else "the server did not act"
            self.lost.append(f"{what} ({acted})")
            return False
        self.took.append(time.perf_counter() - start)
        return True


def one_round(clicks: Clicks, address: str, number: int) -> None:
    page = clicks.page
    page.goto(f"{address}/person?person=1")
    page.wait_for_selector("#ot-boot", state="detached")
    page.wait_for_selector("#person-view .ot-visit")

    def name(text: str) -> None:
        page.fill("#name input, #name textarea", text)
        page.click("#save-name")

    def merge() -> None:
        page.click("#merge-with input")
        page.locator("[role=option]").filter(has_text=re.compile(r"^\s*(✓\s*)?Visitor 3$")).click()
        page.click("#merge")

    undo, anyway = "text=Undo last correction", "#merge-preview [data-action='merge-anyway']"
    first, second, third = (f"N{number} {letter}" for letter in "abc")
    ok = clicks.act("name", lambda: name(first), f"h1 >> text={first}")
    ok = ok and clicks.act("rename", lambda: name(second), f"h1 >> text={second}")
    ok = ok and clicks.act("undo", lambda: page.click(undo), f"h1 >> text={first}")
    ok = ok and clicks.act("merge", merge, anyway)  # the two were in view together, which is asked back
    merged = "#person-history tr:has-text('merged person 3 into person 1') >> nth=0"  # those before are undone
    ok = ok and clicks.act("merge anyway", lambda: page.click(anyway), f"{merged} >> [data-action='undo']")
    ok = ok and clicks.act("undo a merge", lambda: page.click(undo), f"{merged} >> text=undone")
    if ok:  # two at once: the second is pressed while the first is on its way
        name(second)
        clicks.act("name twice at once", lambda: name(third), f"h1 >> text={third}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--busy", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--patience", type=float, default=45)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    loops = []
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = small_run(Path(scratch) / "run")
        browser = playwright.chromium.launch(executable_path=given.chromium, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(given.patience * 1000)
        page.on("dialog", lambda dialog: dialog.accept())
        clicks = Clicks(page, folder, given.patience)
        rounds, failed = 0, []
        with served(folder) as (address, _):
            try:
                loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(given.busy)]
                end = time.monotonic() + given.seconds
                while rounds < given.rounds and time.monotonic() < end:
                    rounds += 1
                    try:
                        one_round(clicks, address, rounds)
                    except Late as error:
                        failed.append(str(error).splitlines()[0])
                    so_far = f"{len(clicks.took)} clicks arrived, {len(clicks.lost)} lost"
                    print(f"round {rounds}: {so_far}, load {os.getloadavg()[0]:.0f}", file=sys.stderr, flush=True)
            finally:
                for loop in loops:
                    loop.kill()
                    loop.wait()
        browser.close()
    took = np.array(clicks.took or [np.nan])
    print(f"{rounds} rounds beside {given.busy} busy loops, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores:")
    count, late = len(clicks.took) + len(clicks.lost), np.quantile(took, 0.95)
    print(f"{count} clicks, {len(clicks.lost)} lost, {len(failed)} pages that did not open")
    print(f"effect after {np.median(took):.1f} s (median), {late:.1f} s (95 %), {took.max():.1f} s (most)")
    for text in [*clicks.lost, *failed]:
        print("lost:", text)


if __name__ == "__main__":
    main()
