"""How long a ledger of a million events takes to write, open, replay, ask and change.

    python tests/bench/bench_ledger.py [--events 1000000]

The events are those of a long run that was linked several times and corrected by hand: 98 % assignments by machines
(five link stages over the same tracklets), the rest assignments, splits, merges, names, pairs and undos by a human.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from app.runs.ledger.identities import WHOLE, Event
from app.runs.ledger.ledger import LINKER, Ledger


@contextmanager
def timed(what: str) -> Iterator[None]:
    start, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{what:<44}{time.perf_counter() - start:9.3f} s, of which computing {time.process_time() - cpu:9.3f} s")


def history(count: int) -> list[Event]:
    random = np.random.default_rng(0)
    tracklets = count // 5
    people = max(tracklets // 20, 10)
    events = []
    kinds = random.random(count)
    tracks, persons, others = (random.integers(1, high, count).tolist() for high in (tracklets, people, people))
    for number, kind in enumerate(kinds.tolist(), 1):
        camera, track, person = f"camera {tracks[number - 1] % 10}", tracks[number - 1], persons[number - 1]
        if kind < 0.98:
            events.append(Event("assign", LINKER, camera, track, person, evidence={"p_same": 0.93, "runner_up": 0.41}))
        elif kind < 0.985:
            events.append(Event("assign", "human", camera, track, person))
        elif kind < 0.99:
            events.append(Event("split", "human", camera, track, person, at_s=WHOLE if track % 2 else 30.0))
        elif kind < 0.995:
            events.append(Event("confirm", "human", camera, track, other_camera=camera, other_track_id=track + 10))
        elif kind < 0.998:
            events.append(Event("name", "human", person=person, text=f"Person {person}"))
        elif kind < 0.999 and person != others[number - 1]:
            events.append(Event("merge", "human", person=person, other_person=others[number - 1]))
        else:
            events.append(Event("undo", "human", target=max(1, number - 100_000 - int(kind * 1e9) % 50_000)))
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identities.sqlite"
        events = history(count)
        seen: set[int] = set()
        events = [e for e in events if e.kind != "undo" or (e.target not in seen and not seen.add(e.target))]  # type: ignore[func-returns-value]
        with Ledger(path) as ledger, timed(f"write {len(events):,} events in batches of 10,000"):
            written = 0
            for start in range(0, len(events), 10_000):
                batch = [e for e in events[start : start + 10_000] if e.kind != "undo" or e.target <= written]
                written += len(ledger.append(batch))
        print(f"file size {path.stat().st_size / 1e6:.0f} MB")
        with timed("open and replay all, and write a checkpoint"):
            Ledger(path).close()
        with timed("open again, from the checkpoint"):
            ledger = Ledger(path)
        with ledger:
            identities = ledger.replay()
            rows = np.random.default_rng(1)
            tracks = rows.integers(1, count // 5, 1_000_000)
            with timed("who is in 1,000,000 rows of one camera"):
                identities.person_of("camera 3", tracks, rows.uniform(0, 60, len(tracks)))
            with timed("all people"):
                people = identities.people()
            with timed("tracklets of one person"):
                identities.tracklets_of(people[0])
            camera, track = identities.known_tracklets()[0]
            with timed("one event, and who is who after it"):
                number = ledger.assign(camera, track, people[0], "human")
                ledger.replay()
            with timed("undo, and who is who after it"):
                ledger.undo(number, "human")
                ledger.replay()
            undone = ledger.undone()
            half = next(e for e in ledger.events(camera, track) if e.kind == "assign" and e.id not in undone)
            with timed("undo of an early event, and who is who"):
                ledger.undo(half.id, "human")
                ledger.replay()


if __name__ == "__main__":
    main()
