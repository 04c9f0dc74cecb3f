"""People who are never together: how many are found, and how many strangers become one person.

    python tests/bench/bench_strangers.py --data ../shared/data/reid/market1501.zip --cache /tmp/strangers
        [--weights osnet_x0_25 FILE.pth …] [--worlds 20]

Worlds of tracklets are made of pictures of Market-1501's test people, as an entrance camera sees them: one after
another, so that the footage offers no negative pairs. With `visits` above 1 everybody comes again, to the same
camera or, in the rows of several cameras, to another one. Printed for each network are the people found (there are as
many as the column people says), the share of negative pairs that became one person, and of pairs of one person.
Each network's pictures are embedded once, into the cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.config import LinkSettings
from app.frames import Tracklet
from app.reid.calibrate import Calibration, unit_rows
from app.reid.checkpoint import load_checkpoint
from app.reid.embedder import require_weights
from app.track.linking.linker import link_tracklets

PEOPLE = 200
CROPS = 6
COUNTS = 1, 2, 4, 8, 16

Sets = dict[tuple[int, int], np.ndarray]


def vectors_of(weights: str, data: Path, cache: Path) -> tuple[Sets, Calibration]:
    """Return the (K, D) vectors of each person on each camera, K up to `CROPS`, and how to read them."""
    file = require_weights(weights, "--weights")
    checkpoint = load_checkpoint(file)
    held = cache / f"{file.stem}_{checkpoint.sha256[:12]}.npz"
    if not held.exists():
        from app.config import ReidSettings
        from app.reid.datasets import open_people_data
        from app.reid.embedder import build_embedder

        embedder = build_embedder(ReidSettings(weights=str(file), device="cpu"))
        gallery = open_people_data(data).gallery
        people = np.unique(gallery.person_ids[gallery.person_ids > 0])
        chosen = np.random.default_rng(0).permutation(people)[:PEOPLE]
        rows: list[int] = []
        for person in chosen.tolist():
            for camera in np.unique(gallery.camera_ids[gallery.person_ids == person]).tolist():
                own = np.flatnonzero((gallery.person_ids == person) & (gallery.camera_ids == camera))
                rows += own[:CROPS].tolist()
        raw = embedder.raw_vectors([gallery.decode(row) for row in rows])  # type: ignore[union-attr]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(held, vectors=raw, person_ids=gallery.person_ids[rows], camera_ids=gallery.camera_ids[rows])
    read = np.load(held)
    vectors = checkpoint.calibration.centered(unit_rows(read["vectors"]))
    keys = np.stack([read["person_ids"], read["camera_ids"]], axis=1)
    sets = {(int(p), int(c)): vectors[np.all(keys == (p, c), axis=1)] for p, c in np.unique(keys, axis=0)}
    return {key: own for key, own in sets.items() if len(own) >= 2}, checkpoint.calibration


def world(sets: Sets, count: int, visits: int, cameras: int, seed: int) -> tuple[list[Tracklet], np.ndarray]:
    """Return the tracklets of `count` people, one after another, and (n,) whose each is."""
    rng = np.random.default_rng(seed)
    views = rng.permutation(np.unique([camera for _, camera in sets]))[:cameras].tolist()
    everywhere = [p for p in np.unique([p for p, _ in sets]).tolist() if all((p, view) in sets for view in views)]
    people = rng.permutation(everywhere)[:count].tolist()
    tracklets, owners, start_s = [], [], 0.0
    for visit in range(visits):
        for person in people:
            view = views[visit % cameras]
            own = sets[person, view]
            # Somebody who comes again to one camera shows other crops.
            crops = own[visit // cameras :: max(1, visits // cameras)]
            times = start_s + np.arange(8.0)
            start_s += 8.0 + rng.exponential(12.0)  # people do not come by the clock
            boxes, ones = np.tile(np.array([0, 0, 40, 100], np.float32), (8, 1)), np.ones(8, np.float32)
            names = tuple(str(number) for number in range(len(crops)))
            qualities = np.full(len(crops), 0.5, np.float32)
            tracklets.append(Tracklet(f"camera{view}", len(tracklets), times, boxes, ones, names, crops, qualities))
            owners.append(person)
    return tracklets, np.array(owners)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["osnet_x0_25", "osnet_x0_25_256x128", "osnet_x1_0"])
    parser.add_argument("--worlds", type=int, default=20)
    options = parser.parse_args()
    print("| network | cameras | visits | people | found | strangers joined | of one person joined |")
    print("|---|---|---|---|---|---|---|")
    for weights in options.weights:
        sets, calibration = vectors_of(weights, options.data, options.cache)
        for cameras, visits in ((1, 1), (1, 2), (2, 2), (3, 3)):
            for count in COUNTS:
                found, wrong, strangers, right, same = [], 0, 0, 0, 0
                for seed in range(options.worlds):
                    tracklets, owners = world(sets, count, visits, cameras, seed)
                    people = link_tracklets(tracklets, calibration, LinkSettings()).person_ids
                    found.append(int(people.max()))
                    upper = np.triu(np.ones((len(people), len(people)), np.bool_), 1)
                    joined, one = people[:, None] == people, owners[:, None] == owners
                    wrong, strangers = wrong + int((joined & ~one & upper).sum()), strangers + int((~one & upper).sum())
                    right, same = right + int((joined & one & upper).sum()), same + int((one & upper).sum())
                shares = (
                    f"{100 * wrong / max(strangers, 1):.2f} % | {100 * right / same:.0f} %"
                    if same
                    else (f"{100 * wrong / max(strangers, 1):.2f} % | ")
                )
                name = Path(weights).stem
                print(f"| {name} | {cameras} | {visits} | {count} | {np.mean(found):.1f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
