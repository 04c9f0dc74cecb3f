"""The page Places: what is drawn on a picture is counted, here and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli.parser import main
from app.runs.folder.run import Run
from app.runs.places.counters import read_counters

MakeRun = Callable[[str], tuple[Path, str]]


def test_zones_and_lines_are_drawn_counted_and_removed(
    page: Any, server: str, own_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = own_run("places")
    page.goto(f"{server}/places?run={run}")
    page.wait_for_selector("#places .ot-empty >> text=Nothing is counted yet")
    assert page.locator(".ot-graph .ot-node").count() == 2
    page.wait_for_function("[...document.querySelectorAll('ot-places img')].every((image) => image.naturalWidth > 0)")

    page.locator("ot-places .ot-canvas").evaluate("(canvas) => canvas.scrollIntoView({block: 'center'})")

    def at(x: float, y: float) -> None:
        box = page.locator("ot-places .ot-canvas").bounding_box()
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

    page.click("ot-places button:text-is('Zone')")
    for x, y in ((0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)):
        at(x, y)
    page.keyboard.press("Enter")
    page.keyboard.type("<i>yard</i>")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-counter='<i>yard</i>']")
    page.click("ot-places button:text-is('Line')")
    at(0.5, 0.99)
    at(0.5, 0.1)
    page.keyboard.type("middle")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-counter=middle]")

    counters = read_counters(Run.open(folder))
    camera = Run.open(folder).camera("cam1")
    assert counters.names == ["<i>yard</i>", "middle"]
    assert counters.lines[0].start == pytest.approx((camera.width / 2, camera.height * 0.99), abs=1.5)
    capsys.readouterr()
    assert main(["places", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = page.locator("[data-counter=middle] .ot-numbers b").all_inner_texts()
    assert shown == [str(told["lines"][0][key]) for key in ("in", "out", "people")]
    assert told["zones"][0]["people"] > 0
    assert page.locator(".ot-shape-name").all_text_contents() == ["<i>yard</i>", "middle"]

    page.click("[data-counter=middle] >> text=Remove")
    page.wait_for_function("document.querySelectorAll('.ot-counter').length === 1")
    assert read_counters(Run.open(folder)).names == ["<i>yard</i>"]
