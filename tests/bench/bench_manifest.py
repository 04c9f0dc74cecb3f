"""What a commit of a live run costs after a week: seconds and bytes written for the manifest.

    python tests/bench/bench_manifest.py [--days 7] [--cameras 4] [--part-s 30]

The part files themselves are left out: they are as many after a week as in the first minute.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from app.runs.folder.layout import MANIFEST_FILE, PartKind
from app.runs.folder.manifest import Manifest, PartFile

PART_KINDS: tuple[PartKind, ...] = ("frames", "observations", "tracklets")
COMMITS = 50


def files_of(number: int, cameras: int, part_s: float) -> list[PartFile]:
    """The part files of one commit."""
    return [
        PartFile(
            kind,
            f"cam{camera}",
            f"{kind}/cam{camera}/{number:06d}.parquet",
            750,
            number * part_s,
            (number + 1) * part_s - 0.04,
            f"{number:064x}",
        )
        for camera in range(cameras)
        for kind in PART_KINDS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--part-s", type=float, default=30.0)
    asked = parser.parse_args()
    names = [f"cam{camera}" for camera in range(asked.cameras)]
    print(f"{'after':>12}{'files':>10}{'commit, ms':>14}{'slowest':>10}{'bytes':>8}{'all, MB':>9}{'open, s':>9}")
    for days in (0.0, asked.days / 7, asked.days):
        commits = int(days * 86_400 / asked.part_s)
        files = tuple(file for number in range(commits) for file in files_of(number, asked.cameras, asked.part_s))
        manifest = Manifest(commits, dict.fromkeys(names, 0), dict.fromkeys(names, 1), files)
        with tempfile.TemporaryDirectory(prefix="omnitrack_") as folder:
            path = Path(folder)
            replace(manifest, files=()).write(path)
            for start in range(0, len(files), 12_000):
                own = files[start : start + 12_000]
                replace(manifest, files=own).add_to(path)
            before, took = (path / MANIFEST_FILE).stat().st_size, []
            for number in range(commits, commits + COMMITS):
                free = dict.fromkeys(names, 25 * number)
                added = Manifest(number + 1, free, free, tuple(files_of(number, asked.cameras, asked.part_s)))
                begin = time.perf_counter()
                added.add_to(path)
                took.append(time.perf_counter() - begin)
            size = (path / MANIFEST_FILE).stat().st_size
            begin = time.perf_counter()
            assert len(Manifest.read(path).files) == len(files) + COMMITS * len(added.files)
            opened = time.perf_counter() - begin
        print(
            f"{days:>9.1f} d {len(files):>10,}{1000 * statistics.median(took):>14.2f}{1000 * max(took):>10.2f}"
            f"{(size - before) // COMMITS:>8,}{size / 1e6:>9.1f}{opened:>9.2f}"
        )


if __name__ == "__main__":
    main()
