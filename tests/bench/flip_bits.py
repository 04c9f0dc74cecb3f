"""How many flipped bits in the files of a run go unnoticed.

    python tests/bench/flip_bits.py [--flips 300] [--seed 0]

Each time one bit of one file of a small, linked run with everything in it is changed, files in turn; then
`main.py check` has to say so. What may stay unnoticed is a bit that changes nothing that is read.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.errors import OmniTrackError
from app.footage.camera import StateChange
from app.runs.check import check_run
from app.runs.folder.audit_log import record
from app.runs.folder.camera_states import StateLog, blind_times
from app.runs.folder.covered import add_covered
from app.runs.folder.run import Run
from app.runs.folder.topology_file import write_topology
from app.runs.folder.written import written_files
from app.runs.places.counters import read_counters, with_zone, write_counters
from app.track.linking.topology import Topology

ROOT = Path(__file__).resolve().parents[2]


def full_run(folder: Path) -> Path:
    """Write a small run that has every kind of file."""
    spec = importlib.util.spec_from_file_location("small_run", ROOT / "tests" / "small_run.py")
    assert spec is not None
    assert spec.loader is not None
    small_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small_run)
    small_run.write(folder)
    run = Run.open(folder)
    with run.ledger() as ledger:
        for number, key in enumerate((camera.name, track) for camera in run.cameras for track in (1, 2, 3)):
            ledger.assign(*key, number % 4 + 1, "machine:linker", {"p_same": 0.9})
        ledger.name(1, "Ann", "tester")
        ledger.merge(4, 2, "tester")
    record(folder, "tester", "viewed", "nobody")
    add_covered(folder, [("left", [run.observations("left")[:5]])])
    write_counters(run, with_zone(run, read_counters(run), "door", "left", [[1, 1], [100, 1], [100, 100]]))
    write_topology(folder, Topology())
    states = StateLog(folder, ["left", "right"], 0.0, {})
    states.note([StateChange("left", "live", 1.0), StateChange("right", "lost", 1.0, "no answer")])
    return folder


def flipped(folder: Path, flips: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Yield file and bit, with that bit of that file changed meanwhile; other traces of a check are swept away."""
    source = random.Random(seed)
    original = folder.with_name(folder.name + "_original")
    shutil.copytree(folder, original)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    for number in range(flips):
        name = files[number % len(files)]
        data = bytearray((folder / name).read_bytes())
        bit = source.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(data)
        yield name, bit
        shutil.rmtree(folder)
        shutil.copytree(original, folder)


def noticed(folder: Path) -> bool:
    """Whether somebody is told that something is wrong."""
    try:
        return bool(check_run(folder)["damage"])
    except OmniTrackError:
        return True


def content(folder: Path) -> object:
    """Everything that commands read of a run, to tell whether a bit that nobody noticed changed anything."""
    run = Run.open(folder)
    with run.ledger() as ledger:
        events = [repr(event) for event in ledger.events()]
    rows = [run.column(camera.name, name).tolist() for camera in run.cameras for name in ("x1", "time_s", "track_id")]
    summaries = run.tracklet_summaries()
    return run.header, events, rows, summaries, run.identities().people(), written_files(folder), blind_times(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    table: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="omnitrack_") as parent:
        folder = full_run(Path(parent) / "run")
        assert check_run(folder)["damage"] == [], check_run(folder)
        before = repr(content(folder))
        for name, bit in flipped(folder, asked.flips, asked.seed):
            outcome = "noticed"
            if not noticed(folder):
                outcome = "harmless" if repr(content(folder)) == before else "SILENT"
                print(f"{outcome}: {name}, bit {bit} of {8 * (folder / name).stat().st_size}")
            table[name.parts[0], outcome] += 1
    print(f"{'file':<24}{'noticed':>9}{'harmless':>10}{'silent':>8}")
    for name in sorted({name for name, _ in table}):
        print(f"{name:<24}{table[name, 'noticed']:>9}{table[name, 'harmless']:>10}{table[name, 'SILENT']:>8}")
    print(f"{'all':<24}" + "".join(f"{sum(n for (_, o), n in table.items() if o == outcome):>9}" for outcome in
                                   ("noticed", "harmless", "SILENT")))  # fmt: skip


if __name__ == "__main__":
    main()
