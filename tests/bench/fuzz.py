"""Bad input of every kind: how often the program ends in a traceback, hangs, or goes on without a word.

    python tests/bench/fuzz.py [--cases 600] [--seed 0] [--only run.json]    exit status 1 if anything is amiss

Each case damages one input and gives it to a command, in a process of its own that may use 10 s of processor time and
1 GB of memory: a copy of this one, in which every module is loaded before. `said`: a sentence and a status other than
0, or a warning. `harmless`: the same answer, and the same in the files that were written, as without the damage, or
another text of numbers that is as valid as the first. `silent`: another answer, or one where there should be none, and
not a word. What the pixels of a damaged video show is not judged: they carry no checksum.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import io
import json
import logging
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch  # noqa: F401  loaded once, not by every case
import yaml

from app.cli.parser import main as command_line
from app.config import Settings
from app.errors import InputError, OmniTrackError
from app.footage.sources import open_sources
from app.reid.checkpoint import load_checkpoint, save_checkpoint
from app.reid.datasets import open_people_data
from app.runs.folder.manifest import Manifest
from app.runs.folder.run import Run
from app.system.checksum import CONTENT, file_sha256

ROOT = Path(__file__).resolve().parents[2]
CPU_S, WALL_S, MEMORY_BYTES = 10, 180, 1 << 30
OUTCOMES = ("said", "harmless", "silent", "traceback", "hang")
ODD: tuple[Any, ...] = (
    None, "", "x", "../x", -1, 0, 1.5, 1e308, 2**70, True, [], {}, [1], {"a": 1}, float("nan"), float("inf"),
)  # fmt: skip
SNIPPETS = (
    "a: !!python/name:int ''", "a: 2024-13-45", "a: &x [*x]", "a: !x 1", "? {a: 1}\n: 2", "- 1", "{", "a: .nan",
    "track: {max_lost_s: .nan}", "track: 1", "track: {max_lost_s: 1e400}", "retention: [1]", "a: \ud800", "\x00",
    "link: {ways: [{from: a, to: b}]}", "a: " + 40 * "[" + 40 * "]",
)  # fmt: skip
CHEAP = ["--set", "detect.weights=file:det/det.txt", "--set", "reid.weights=none", "--json"]


@dataclass(frozen=True)
class Case:
    """arguments: of the command, or a function to call.

    must_say: without a word is wrong whatever the answer.  may_differ: the damaged input is as good as the other one.
    """

    arguments: list[str] | Callable[[], object]
    must_say: bool = False
    may_differ: bool = False
    limit_file_bytes: int = 0
    as_nobody: bool = False


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "tests" / name)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def make_base(folder: Path) -> None:
    """Write one undamaged input of each kind."""
    module("bench/flip_bits.py").full_run(folder / "run")
    truth = "".join(f"{frame},{track},{10 * track},20,30,80,1,1,1\n" for frame in range(1, 11) for track in (1, 2))
    for name in ("left", "right"):
        (folder / "truth").mkdir(exist_ok=True)
        (folder / "truth" / f"{name}.txt").write_text(truth)
    (folder / "seq" / "det").mkdir(parents=True)
    (folder / "seq" / "det" / "det.txt").write_text(truth.replace(",1,10", ",-1,10").replace(",2,20", ",-1,20"))
    (folder / "seq" / "gmc.txt").write_text("".join(f"{frame} 1 0 0 0 1 0\n" for frame in range(1, 11)))
    (folder / "seq" / "seqinfo.ini").write_text(
        "[Sequence]\nname=seq\nimDir=img1\nframeRate=10\nseqLength=10\nimWidth=320\nimHeight=240\nimExt=.jpg\n"
    )
    module("small_videos.py").write(folder / "video.mp4", 10)
    (folder / "config.yaml").write_text("retention:\n  video_days: 30\ntrack:\n  max_lost_s: 3.0\nlink:\n  ways: []\n")
    (folder / "cameras.yaml").write_text(
        "cameras:\n- name: a\n  files: video.mp4\n  start: 2024-05-01 13:00:00\n  offset_s: 0.5\n- files: [video.mp4]\n"
    )
    image = np.random.default_rng(0).integers(0, 255, (64, 32, 3), np.uint8)
    (folder / "images").mkdir()
    with zipfile.ZipFile(folder / "people.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(1, 5):
            data = cv2.imencode(".jpg", image)[1].tobytes()
            archive.writestr(f"{number:04d}_c{number % 2 + 1}s1_000001_00.jpg", data)
            (folder / "images" / f"{number:06d}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    weights = ROOT / "app" / "reid" / "weights"
    smallest = min(weights.glob("*.safetensors"), key=lambda file: file.stat().st_size)
    save_checkpoint(folder / "reid.safetensors", load_checkpoint(smallest), half=True)  # as they are written now


def damage_bytes(path: Path, dice: random.Random) -> None:
    """Change a file somehow."""
    data = bytearray(path.read_bytes())
    how = dice.choice(["flip", "flip", "cut", "empty", "noise", "zeros", "text", "folder", "gone", "double"])
    if how == "flip" and data:
        for _ in range(dice.choice([1, 1, 20])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif how == "cut":
        data = data[: dice.randrange(len(data) + 1)]
    elif how in ("noise", "zeros") and data:
        start = dice.randrange(len(data))
        count = min(dice.choice([1, 16, 300]), len(data) - start)
        data[start : start + count] = dice.randbytes(count) if how == "noise" else bytes(count)
    elif how in ("empty", "text"):
        data = bytearray(b"" if how == "empty" else b"this is something else\n")
    elif how == "double":
        data = data + bytes(data)
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(data)


def put_odd(values: Any, dice: random.Random) -> Any:
    """Return JSON-like values with one of them replaced, taken away or doubled at some depth."""
    if isinstance(values, dict) and values and dice.random() < 0.85:
        key = dice.choice(list(values))
        if dice.random() < 0.1:
            return {other: value for other, value in values.items() if other != key}
        return {**values, key: put_odd(values[key], dice)}
    if isinstance(values, list) and values and dice.random() < 0.85:
        number = dice.randrange(len(values))
        return [*values[:number], put_odd(values[number], dice), *values[number + 1 :]]
    return dice.choice(ODD)


def run_command(dice: random.Random) -> list[str]:
    export = ["export", "run", "--format", dice.choice(["csv", "coco", "mot", "cvat", "aicity"]), "--output", "out"]
    scores = ["evaluate", "run", "--truth", "truth"]
    others = [["people", "run"], ["check", "run"], ["places", "run"], ["audit", "run"], ["route", "run", "1"]]
    changes = [["link", "run"], ["erase", "run", "1"], ["correct", "run", "merge", "2", "1"]]
    return [*dice.choice([export, scores, *others, *changes]), "--json"]


def of_json(name: str) -> Callable[[random.Random], Case]:
    def case(dice: random.Random) -> Case:
        path = Path("run", name)
        if dice.random() < 0.5:
            damage_bytes(path, dice)
        else:
            path.write_text(json.dumps(put_odd(json.loads(path.read_text()), dice)))
        return Case(run_command(dice))

    return case


def of_files(pattern: str) -> Callable[[random.Random], Case]:
    def case(dice: random.Random) -> Case:
        damage_bytes(dice.choice(sorted(Path().glob(pattern))), dice)
        return Case(run_command(dice))

    return case


def foreign_rows(dice: random.Random) -> Case:
    """Rows that no tracker wrote, in a file that fits its checksum: a run folder from elsewhere."""
    run = Run.open(Path("run"))
    file = dice.choice(run.manifest.files)
    table = pq.read_table(Path("run", file.path)).to_pydict()
    name = dice.choice([name for name in table if name != "camera"])
    row = dice.randrange(len(table[name]))
    old = table[name][row]
    new = dice.choice([None, float("nan"), float("inf"), 1e30, -1e30]) if isinstance(old, float) else dice.choice(
        [None, -1, 2**62] if isinstance(old, int) else [None, [], [None]])  # fmt: skip
    table[name][row] = new
    schema = pq.read_schema(Path("run", file.path))
    with contextlib.suppress(pa.ArrowInvalid, TypeError, OverflowError):
        pq.write_table(pa.table(table, schema=schema), Path("run", file.path))
    files = [replace(f, sha256=file_sha256(Path("run", f.path))) if f == file else f for f in run.manifest.files]
    Manifest(**{**{k: getattr(run.manifest, k) for k in run.manifest.__slots__}, "files": tuple(files)}).write(
        Path("run")
    )
    return Case(run_command(dice))


def of_yaml(name: str, arguments: list[str]) -> Callable[[random.Random], Case]:
    def case(dice: random.Random) -> Case:
        path = Path(name)
        how = dice.random()
        if how < 0.35:
            damage_bytes(path, dice)
        elif how < 0.7:
            path.write_text(yaml.safe_dump(put_odd(yaml.safe_load(path.read_text()), dice)))
        else:
            path.write_bytes(dice.choice(SNIPPETS).encode("utf-8", "surrogatepass"))
        return Case(arguments, may_differ=path.is_file() and is_yaml(path.read_bytes()))

    return case


def of_text(name: str, arguments: list[str]) -> Callable[[random.Random], Case]:
    """Text of numbers: a cell is replaced, a line taken away or doubled, or bytes are damaged."""

    def case(dice: random.Random) -> Case:
        path = Path(name)
        lines = path.read_text().splitlines()
        number = dice.randrange(len(lines))
        if dice.random() < 0.3:
            damage_bytes(path, dice)
            valid = path.is_file() and is_valid(path)
            return Case(arguments, must_say=not valid, may_differ=valid)
        mark = "=" if "=" in lines[number] else "," if "," in lines[number] else " "
        cells = lines[number].split(mark)
        odd = dice.choice(["nan", "inf", "-1e30", "1e300", "-5", "x", "", "0", "99999999999", "1.5"])
        cells[dice.randrange(1 if mark == "=" else 0, len(cells)) if len(cells) > 1 else 0] = odd
        lines[number] = mark.join(cells)
        path.write_text("\n".join(lines) + "\n")
        return Case(arguments, must_say=not is_valid(path), may_differ=is_valid(path))

    return case


def is_yaml(data: bytes) -> bool:
    """Whether a text can be read as YAML with something in it."""
    try:
        return bool(yaml.safe_load(data.decode()))
    except (ValueError, yaml.YAMLError, TypeError, RecursionError):
        return False


def is_valid(path: Path) -> bool:
    """Whether a text of numbers could be somebody's, judged without the code that is tested."""
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return False
    if path.suffix == ".ini":
        pairs = [line.partition("=")[::2] for line in lines[1:]]
        named = {key.strip().lower(): value for key, value in pairs}
        keys = ("framerate", "seqlength", "imwidth", "imheight")
        return lines[:1] == ["[Sequence]"] and len(named) == len(pairs) and all(
            0 < number(named.get(key)) < 1e5 for key in keys)  # fmt: skip
    rows = [[number(cell) for cell in line.replace(",", " ").split()] for line in lines]
    least = 7 if path.name == "gmc.txt" else 6
    return bool(rows) and all(
        len(row) >= least and all(abs(value) <= 2**53 for value in row) and row[0] >= 1 and row[0] % 1 == 0
        and (least == 7 or (row[1] % 1 == 0 and min(row[4:6]) >= 0 and max(map(abs, row[2:6])) <= 1e6))
        for row in rows
    )  # fmt: skip


def number(text: str | None) -> float:
    """Return the number that a text is, not a number for any other."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def of_zip(dice: random.Random) -> Case:
    if dice.random() < 0.3:
        with zipfile.ZipFile("people.zip", "a") as archive:
            archive.writestr(
                dice.choice(["x.jpg", "0009_c1.jpg", "../0008_c1s1_1.jpg", "0007_c1s1_1.jpg"]), b"no image"
            )
    else:
        damage_bytes(Path("people.zip"), dice)

    def read() -> None:
        data = open_people_data(Path("people.zip"))
        print(data.train.people, [data.train.decode(row).sum() for row in range(len(data.train))])

    return Case(read)


def of_weights(dice: random.Random) -> Case:
    path = Path("reid.safetensors")
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    del header["__metadata__"][CONTENT]  # a file from elsewhere, whose checksum does not tell
    text = json.dumps(header).encode()
    if dice.random() < 0.4:
        damage_bytes(path, dice)
    elif dice.random() < 0.5:  # numbers that are none, all over the tensors
        start = 8 + size + 4 * dice.randrange(max((len(data) - size - 8) // 8, 1))
        data[start : start + 400] = np.full(200, np.nan, np.float16).tobytes()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    else:
        header["__metadata__"] = put_odd(header["__metadata__"], dice)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])

    def read() -> None:
        found = load_checkpoint(path)
        sums = [float(value.double().sum()) for value in found.state.values()]
        print(found.architecture, asdict(found.preprocessing), found.calibration.center.sum(), found.facts, sums)

    return Case(read)


def of_storage(dice: random.Random) -> Case:
    return Case(dice.choice(STORAGE), limit_file_bytes=dice.choice([1, 500, 5000])) if dice.random() < 0.6 else Case(
        dice.choice(STORAGE), as_nobody=os.geteuid() == 0)  # fmt: skip


TRACK = ["track", "--sources", "seq", *CHEAP, "--no-link", "--output", "out"]
PURGE = ["purge", "run", "--config", "config.yaml", "--json"]
CHECK = ["check", "--sources", "cameras.yaml", *CHEAP]
STORAGE = [
    ["track", "--sources", "seq", "--names", "seq", *CHEAP, "--output", "out/new"],
    ["link", "run", "--json"],
    ["export", "run", "--format", "csv", "--output", "out/csv", "--json"],
    ["correct", "run", "name", "1", "Bob", "--json"],
    ["erase", "run", "2", "--json"],
]
CLASSES: dict[str, Callable[[random.Random], Case]] = {
    "run.json": of_json("run.json"),
    "topology, counters": lambda dice: of_json(dice.choice(["topology.json", "counters.json"]))(dice),
    "manifest": of_files("run/manifest.jsonl"),
    "parts": of_files("run/*/*/*.parquet"),
    "rows from elsewhere": foreign_rows,
    "ledger, audit": of_files("run/*.sqlite"),
    "covered, index, crops": lambda dice: of_files(
        dice.choice(["run/covered.parquet", "run/index/*", "run/crops/*/*"])
    )(dice),
    "configuration": of_yaml("config.yaml", PURGE),
    "camera list": of_yaml("cameras.yaml", CHECK),
    "seqinfo": of_text("seq/seqinfo.ini", TRACK),
    "detections": of_text("seq/det/det.txt", TRACK),
    "gmc": of_text("seq/gmc.txt", TRACK),
    "truth": of_text("truth/left.txt", ["evaluate", "run", "--truth", "truth", "--json"]),
    "weights": of_weights,
    "zip": of_zip,
    "images, videos": lambda dice: of_source(dice),
    "disk": of_storage,
}


def of_source(dice: random.Random) -> Case:
    path = dice.choice([Path("video.mp4"), *sorted(Path("images").iterdir())])
    damage_bytes(path, dice)
    if dice.random() < 0.5:
        return Case(["check", "--sources", "video.mp4", "images", *CHEAP])

    def read() -> None:
        for source in open_sources(["video.mp4", "images"], [], Settings().sources):
            pictures = [(f.index, f.time, f.image.sum() if source.info.kind == "images" else 0) for f in source]
            print(source.info.camera, pictures)
            if source.problem:
                raise InputError(source.problem)

    return Case(read)


def content(folder: Path) -> object:
    """Return what can be read of a run or an export that was written, but for times of day."""
    if not (folder / "run.json").exists():
        return [(str(file), file_sha256(file)) for file in sorted(folder.rglob("*")) if file.is_file()]
    run = Run.open(folder)
    with run.ledger() as ledger:
        events = [repr(replace(event, time=0.0)) for event in ledger.events()]
    names = ("frame", "time_s", "track_id", "x1", "y1", "x2", "y2")
    rows = [run.column(camera.name, name, refined).tolist() for camera in run.cameras for name in names
            for refined in (False, True)]  # fmt: skip
    return events, rows, [run.frames(c.name)[1].tolist() for c in run.cameras], repr(run.tracklet_summaries())


def written() -> str:
    """Return a checksum of all that a command wrote in this folder, and what cannot be read of it."""
    found = []
    for folder in (Path("run"), Path("out"), *Path("out").glob("*/")):
        if folder.is_dir():
            try:
                found.append(hashlib.sha256(repr(content(folder)).encode()).hexdigest())
            except OmniTrackError as error:
                found.append(f"WARNING: {error}")
    return "\n".join(found)


def child(case: Case, out: int) -> None:
    """Run a case in this process, a copy of the parent, and end it; what it prints goes to the pipe `out`."""
    status = 99
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C write there
    try:
        if case.as_nobody:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        if case.limit_file_bytes:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        text = io.StringIO()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        if case.limit_file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.limit_file_bytes, case.limit_file_bytes))
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=text)
            try:
                if callable(case.arguments):
                    try:
                        case.arguments()
                        status = 0
                    except OmniTrackError as error:
                        print(f"error: {error}")
                        status = error.exit_status
                else:
                    status = command_line(case.arguments)
                    if status == 0:
                        print(written())
            except BaseException:
                text.write(traceback.format_exc())
        os.write(out, text.getvalue().encode("utf-8", "replace"))
    finally:
        os._exit(status)


def attempt(case: Case) -> tuple[str, str]:
    """Return how a case ended and what it printed."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        child(case, writer)
    os.close(writer)
    pieces, deadline = [b""], time.monotonic() + WALL_S
    while time.monotonic() < deadline:
        if select.select([reader], [], [], 1.0)[0]:
            pieces.append(os.read(reader, 1 << 16))
            if not pieces[-1]:
                break
    else:
        os.kill(process, signal.SIGKILL)
    os.close(reader)
    status = os.waitpid(process, 0)[1]
    text = b"".join(pieces).decode(errors="replace")
    if time.monotonic() >= deadline:
        return "hang", text
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGXCPU else "traceback", f"signal {os.WTERMSIG(status)} {text}"
    code = os.WEXITSTATUS(status)
    if code == 99 or "Traceback (most recent call last)" in text:
        return "traceback", text
    if "not enough memory" in text:
        return "hang", text
    return ("said" if code or "WARNING" in text or '"no: ' in text else "quiet"), text


def load_everything(folder: Path) -> None:
    """Import whatever the commands import: a case may not be allowed to, as another user or with little space."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.chdir(folder)
            commands = [TRACK, PURGE, CHECK, *STORAGE, *(run_command(random.Random(n)) for n in range(60))]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                for arguments in {" ".join(one): one for one in commands}.values():
                    command_line(arguments)
            os.write(writer, " ".join(sorted(sys.modules)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        for name in pipe.read().split():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    os.waitpid(process, 0)


def fuzz(
    cases: int, seed: int, only: str = "", shown: bool = True, chosen: Sequence[int] = (), keep: Path | None = None
) -> Counter[tuple[str, str]]:
    """Try `cases` cases, the classes in turn, and return how many of each class ended how.

    chosen: the only cases to try.  keep: where the damaged input of the last one is copied to.
    """
    table: Counter[tuple[str, str]] = Counter()
    names = [name for name in CLASSES if only in name]
    before = Path.cwd()
    whole: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="omnitrack_") as parent:
        base, work = Path(parent, "base"), Path(parent, "work")
        Path(parent).chmod(0o755)
        base.mkdir()
        make_base(base)
        shutil.copytree(base, work)
        load_everything(work)

        def begin_anew() -> None:
            os.chdir(parent)
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(base, work)
            os.chdir(work)

        for place in chosen or range(cases):
            name = names[place % len(names)]
            begin_anew()
            case = CLASSES[name](random.Random(f"{seed} {place}"))
            if keep is not None:
                shutil.rmtree(keep, ignore_errors=True)
                shutil.copytree(work, keep)
            outcome, text = attempt(case)
            if outcome == "quiet" and (case.must_say or case.may_differ):
                outcome = "silent" if case.must_say else "harmless"
            elif outcome == "quiet":
                key = name if callable(case.arguments) else " ".join(case.arguments)
                if key not in whole:
                    begin_anew()
                    whole[key] = attempt(replace(case, limit_file_bytes=0, as_nobody=False))[1]
                outcome = "harmless" if same(text, whole[key]) else "silent"
            table[name, outcome] += 1
            if shown and outcome not in ("said", "harmless"):
                print(f"-- {outcome}: case {place}, {name}, {case.arguments}\n{text[-1500:]}", flush=True)
        os.chdir(before)
    return table


def same(first: str, second: str) -> bool:
    """Whether two answers are the same but for times of day and durations."""
    drop = {"seconds", "created", "finished", "time", "wall_s", "frames_per_s"}

    def plain(values: Any) -> Any:
        if isinstance(values, dict):
            return {key: plain(value) for key, value in values.items() if key not in drop}
        return [plain(value) for value in values] if isinstance(values, list) else values

    def parsed(line: str) -> Any:
        try:
            return plain(json.loads(line))
        except ValueError:
            return line

    return list(map(parsed, first.splitlines())) == list(map(parsed, second.splitlines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="classes with this in their name")
    parser.add_argument("--case", type=int, nargs="+", default=(), help="these only")
    parser.add_argument("--keep", type=Path, help="copy its damaged input to this folder")
    asked = parser.parse_args()
    table = fuzz(asked.cases, asked.seed, asked.only, chosen=asked.case, keep=asked.keep)
    print(f"{'input':<24}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    for name in (name for name in CLASSES if asked.only in name):
        print(f"{name:<24}" + "".join(f"{table[name, outcome]:>11}" for outcome in OUTCOMES))
    totals = {outcome: sum(table[name, outcome] for name in CLASSES) for outcome in OUTCOMES}
    print(f"{'all':<24}" + "".join(f"{totals[outcome]:>11}" for outcome in OUTCOMES))
    sys.exit(1 if totals["silent"] or totals["traceback"] or totals["hang"] else 0)


if __name__ == "__main__":
    main()
