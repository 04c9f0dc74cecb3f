"""How often a search takes somebody who is not there, or a picture without people, for somebody.

    python tests/bench/bench_open_search.py RUN [--more reid_more_train.zip] [--market market1501.zip] [--pictures 200]

RUN: a run of `campus_people` with its given detections (DESIGN.md), made with the weights that are to be measured:
`main.py --sources campus_people/*.mp4 --detector file:det/det.txt --output RUN`. Three tables:

1. Pictures without people (`no_people.py`): how many the detector refuses, and of the rest how many are accepted.
2. Absent people, one picture each, on RUN: those of the five places of `--more`, and Market-1501's test people. 21 of
   the latter are in RUN, painted in, so that what is said of them is an upper bound.
3. Runs put together of 4 to 100 of Market-1501's test people, each camera of a person a tracklet but for one, which is
   held out: its pictures are of people who are there, those of all others of people who are absent. Twelve runs each.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from no_people import pictures_without_people

from app.config import load_settings
from app.reid.datasets import CropFiles
from app.reid.embedder import build_embedder
from app.runs.folder.run import Run
from app.runs.folder.tracklet_index import TrackletSummary
from app.runs.people import search
from app.runs.people.nobody import standing_out
from app.runs.people.query import Finder

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PEOPLE = (4, 8, 16, 31, 100)
RUNS_EACH = 12
QUERIES = 200
PER_CAMERA = 2
SPARE = 20

Vectors = NDArray[np.float32]
Pictures = Mapping[str, Mapping[int, Sequence[str]]]
"""Names of pictures by person and camera."""


def names_of(files: CropFiles, pattern: str) -> Pictures:
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in files.names:
        match = re.search(pattern, name)
        if match and int(match["person"]) > 0:
            place = name.rpartition("/")[0] if "bounding" not in name and "query" not in name else ""
            found[f"{place}/{match['person']}"][int(match["camera"])].append(name)
    return found


def embed(embedder: Any, files: CropFiles, names: Sequence[str]) -> Vectors:
    vectors = []
    for start in range(0, len(names), 64):
        images = [
            cv2.imdecode(np.frombuffer(files.read(name), np.uint8), cv2.IMREAD_COLOR)
            for name in names[start : start + 64]
        ]
        boxes = [np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in images]
        vectors += [rows[0] for rows in embedder.embed(images, boxes)]
    return np.stack(vectors)


class Asked:
    """A run of which many vectors are searched for at once, by the functions of `app.runs.people.search`."""

    def __init__(self, run: Any) -> None:
        identities = run.identities()
        self.center, asked, askers = search._askers(run, identities, 512)
        self._stretches = [s for camera in run.cameras for s in run.tracklet_stretches(camera.name) if len(s.crops)]
        self._people = [search._person_of(identities, stretch) for stretch in self._stretches]
        self.law = search._law(self.similarities(asked, spare=True), askers)

    def similarities(self, queries: Vectors, spare: bool = False) -> dict[int, Vectors]:
        """Return each person's similarity to all queries; spare: with a first column that is nobody's."""
        rows = np.concatenate([queries[:1], queries]) if spare else queries
        found: dict[int, Vectors] = {}
        compared = search._compare(search._centered(rows, self.center), self._stretches, self.center)
        for person, (_, _, own) in zip(self._people, compared, strict=True):
            if person > 0:
                found[person] = np.maximum(found.get(person, own), own)
        return found

    def accepted(self, queries: Vectors) -> NDArray[np.int64]:
        """Return (Q,) the person who is shown for each query, -1 for nobody."""
        table = self.similarities(queries)
        people = np.array(sorted(table))
        likeness = np.stack([table[person] for person in people.tolist()])  # (people, Q)
        best = people[likeness.argmax(axis=0)]
        distances = np.array([standing_out(column).max() for column in likeness.T])
        return np.where(distances >= self.law.threshold(), best, -1)


class MadeUp:
    """A run of people whose vectors are given: camera c's track p is person p."""

    def __init__(self, tracklets: Sequence[tuple[int, int, Vectors]]) -> None:
        self._tracklets = tracklets
        self.cameras = [SimpleNamespace(name=str(number)) for number in sorted({camera for _, camera, _ in tracklets})]

    def identities(self) -> Any:
        return SimpleNamespace(person_at=lambda camera, track_id, time_s: track_id)

    def tracklet_stretches(self, camera: str) -> Iterator[TrackletSummary]:
        for person, number, vectors in self._tracklets:
            if str(number) == camera:
                crops = tuple(f"crops/{camera}/{person}_{row}.jpg" for row in range(len(vectors)))
                yield TrackletSummary(camera, person, 0.0, 1.0, 9, crops, vectors, np.ones(len(vectors), np.float32))


def empty_pictures(run: Run, settings: Any, count: int, footage: Path) -> Table:
    finder, embedder = Finder(settings.detect), search.embedder_of(run, settings.reid)
    table = Table("kind", "pictures", "refused: nobody in it", "searched", "taken for somebody", title="No people")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, picture in pictures_without_people(footage if footage.is_dir() else None, count):
        found = finder.people(picture)
        taken = False
        for person in found:  # whichever is chosen
            query = embedder.embed([picture], [person.box[None].astype(np.float32)])[0][0]
            taken = taken or not search.search_vector(run, query, 1).nobody
        for name in (kind, "all"):
            counts[name].update(pictures=1, refused=not found, taken=taken)
    for kind, own in sorted(counts.items(), key=lambda item: item[0] == "all"):
        searched = own["pictures"] - own["refused"]
        table.add_row(kind, str(own["pictures"]), str(own["refused"]), str(searched), str(own["taken"]))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--market", type=Path, default=SHARED / "reid" / "market1501.zip")
    parser.add_argument("--more", type=Path, default=SHARED / "reid" / "reid_more_train.zip")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    options = parser.parse_args()
    settings = load_settings(assignments=options.assignments)
    run, random, console = Run.open(options.run), np.random.default_rng(0), Console(width=110)
    console.print(empty_pictures(run, settings, options.pictures, options.market.parents[1]))

    embedder = build_embedder(settings.reid)
    market, more = CropFiles(options.market), CropFiles(options.more)
    tested = names_of(market, r"(bounding_box_test|query)/(?P<person>\d{4})_c(?P<camera>\d)")
    others = names_of(more, r"(?P<person>\d{4})_c(?P<camera>\d+)")
    others = {person: cameras for person, cameras in others.items() if not person.startswith("mit")}
    asked = Asked(run)
    table = Table("absent people of", "people", "taken for somebody", "%", title=f"Absent from {options.run.name}")
    for name, files, people in (("five other places", more, others), ("Market-1501 (test)", market, tested)):
        all_of = [[name for own in cameras.values() for name in own] for cameras in people.values()]
        picked = [str(random.choice(names)) for names in all_of]
        taken = int((asked.accepted(embed(embedder, files, picked)) > 0).sum())
        table.add_row(name, str(len(picked)), str(taken), f"{100 * taken / len(picked):.2f}")
    console.print(table)

    several = [person for person, cameras in tested.items() if len(cameras) > 1]
    chosen = {
        person: {
            camera: [str(name) for name in random.permutation(names)[:PER_CAMERA]]
            for camera, names in tested[person].items()
        }
        for person in random.permutation(several)[: max(PEOPLE) + QUERIES + SPARE].tolist()
    }
    names = [name for cameras in chosen.values() for own in cameras.values() for name in own]
    vectors = dict(zip(names, embed(embedder, market, names), strict=True))
    table = Table("people", "absent taken for somebody, %", "present found, %", "taken for another, %",
                  title="Runs of Market-1501's test people")  # fmt: skip
    for count in PEOPLE:
        rates = np.mean([made_up(chosen, vectors, count, random) for _ in range(RUNS_EACH)], axis=0)
        table.add_row(str(count), *(f"{100 * rate:.1f}" for rate in rates))
    console.print(table)


def made_up(
    pictures: Mapping[str, Mapping[int, Sequence[str]]], vectors: Mapping[str, Vectors], count: int, random: Any
) -> tuple[float, float, float]:
    """Return which shares of absent people are taken for somebody, and of those present found or taken for another."""
    order = random.permutation(sorted(pictures)).tolist()
    tracklets, present = [], []
    for number, person in enumerate(order[:count], 1):
        held_out = random.choice(sorted(pictures[person]))
        for camera, names in pictures[person].items():
            if camera == held_out:
                present.append((number, vectors[names[0]]))
            else:
                tracklets.append((number, camera, np.stack([vectors[name] for name in names])))
    asked = Asked(MadeUp(tracklets))
    absent = [vectors[next(iter(pictures[person].values()))[0]] for person in order[count : count + QUERIES]]
    who, shown = np.array([number for number, _ in present]), asked.accepted(np.stack([v for _, v in present]))
    wrong = ((shown != who) & (shown > 0)).mean()
    return float((asked.accepted(np.stack(absent)) > 0).mean()), float((shown == who).mean()), float(wrong)


if __name__ == "__main__":
    main()
