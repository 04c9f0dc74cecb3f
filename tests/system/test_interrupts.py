"""Whoever asks the program to end waits for 2 s at most, whatever it is doing; the rest is for `--resume`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from app.cli.parser import main
from app.runs.folder.run import Run
from app.system.interrupts import END_S, ends_in_time

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0  # for a busy machine; what never ends by itself is seen all the same

HANGS = """
import signal, sys, threading, time

# Whoever starts the tests in the background of a shell has SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

def hang(*_, **__):
    said = False
    while True:
        try:
            if not said:
                said = True
                print("here", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""
"""Stands for a call into a library that takes long and notices nothing."""


def ask_to_end(program: str, *arguments: str, how: signal.Signals) -> tuple[int, str]:
    """Run a program until it prints a line, ask it to end, and return its exit status and what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{HANGS}{program}", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n", process.communicate()[1]
            process.send_signal(how)
            return process.wait(LIMIT_S), process.communicate()[1]
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_does_not_end_by_itself_is_ended(how: signal.Signals) -> None:
    program = """
from app.system.interrupts import ends_in_time
with ends_in_time(lambda: "to go on: this way"):
    hang()
"""
    assert ask_to_end(program, how=how) == (1, "to go on: this way\n")


@pytest.mark.parametrize(("frees_it", "said"), [("at_stake.clear()", "written\n"), ("pass", "written\nstopped\n")])
def test_rows_that_would_be_lost_are_written_first(frees_it: str, said: str) -> None:
    """With something at stake the end waits for it, though not for ever."""
    program = f"""
import app.system.interrupts
from app.system.interrupts import END_S, at_stake, ends_in_time, interruptions
app.system.interrupts._AT_STAKE_S = END_S + 1.5
with ends_in_time(lambda: "stopped"), interruptions() as asked:
    at_stake.set()
    print("here", flush=True)
    asked.wait()
    time.sleep(END_S + 0.5)
    print("written", file=sys.stderr, flush=True)
    {frees_it}
    if at_stake.is_set():
        hang()
"""
    assert ask_to_end(program, how=signal.SIGTERM) == (1 if "stopped" in said else 0, said)


def test_nobody_waits_for_threads_that_go_on() -> None:
    """What is not ended by itself and is no daemon keeps a Python program from ending."""
    program = """
from app.system.interrupts import ends_in_time, leave
threading.Thread(target=time.sleep, args=(600,)).start()
try:
    with ends_in_time(lambda: ""):
        print("here", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
leave(7)
"""
    assert ask_to_end(program, how=signal.SIGTERM) == (7, "")


def test_who_is_through_in_time_ends_as_ever() -> None:
    with ends_in_time(lambda: "never said"):
        watchers = [thread for thread in threading.enumerate() if thread.name == "end in time"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    watchers[0].join(LIMIT_S)  # it has seen the signal, and that the block was left; else this process would be gone
    assert not watchers[0].is_alive()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert END_S < 2.0


@pytest.mark.parametrize(
    ("hanging", "reached"),
    [
        ("runs.folder.provenance.file_sha256", ""),  # reading large inputs
        ("pipeline.step.Pipeline.step", "interrupted"),
        ("runs.people.linking.link_run", "followed"),
        ("runs.render.videos.render_run", "linked"),
    ],
)
def test_a_run_ends_in_every_stage_and_goes_on(
    hanging: str, reached: str, tmp_path: Path, small_videos: ModuleType
) -> None:
    video, folder = small_videos.write(tmp_path / "door.mp4"), tmp_path / "run"
    (tmp_path / "door").mkdir()
    (tmp_path / "door" / "det.txt").write_text("".join(f"{n},-1,10,5,20,30,0.9\n" for n in range(1, 21)))
    words = ["--sources", str(video), "--detector", "file:det.txt", "--reid", "none", "--save-video", "--json"]
    module = ".".join(part for part in hanging.split(".")[:-1] if part.islower())
    program = f"import app.{module}, app.cli.parser\napp.{hanging} = hang\nsys.exit(app.cli.parser.main(sys.argv[1:]))"
    status, said = ask_to_end(program, *words, "--output", str(folder), how=signal.SIGINT)
    assert status == 1
    assert (f"to go on: main.py track --resume {folder}" if reached else "stopped") in said
    assert (Run.open(folder).state if reached else "") == reached
    again = ["--output", str(folder)]
    assert main(["track", *again, "--resume", "--json"] if reached else [*words, *again]) == 0
    run = Run.open(folder)
    assert run.state == "finished"
    assert run.frames("door")[0].tolist() == list(range(20))
    assert (folder / "video" / "door.mp4").is_file()
