"""The runs that the interface may show. A page names a run by its id; nothing that a browser sends becomes a path."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError, RunError
from app.frames import TrackletKey
from app.runs.folder.layout import FLUSHED_FILE, LEDGER_FILE, MANIFEST_FILE, RUN_FILE
from app.runs.folder.locks import lock_run
from app.runs.folder.run import Run
from app.runs.folder.state import FOLLOWED
from app.runs.ledger.identities import Event, Identities
from app.runs.ledger.ledger import Ledger
from app.runs.people.review import Link, doubtful_people, links_in_force, links_not_made, open_questions
from app.runs.people.visits import Person, people_of
from app.runs.places.counters import Counters
from app.runs.places.counting import Crossing, Stay, count
from app.runs.places.heat import heat
from app.ui.views import Views


class RunLibrary:
    """Finds runs and keeps those that were looked at open. May be used from several threads.

    folders: the runs to show; if empty, every run directly under `root`, also those that are made later.
    """

    def __init__(self, folders: Sequence[Path], root: Path) -> None:
        """Raises InputError if one of `folders` holds no run."""
        for folder in folders:
            Run.open(folder)
        self.root = root
        self._folders = tuple(folder.resolve() for folder in folders)
        self._added: list[Path] = []
        self._open: dict[str, OpenRun] = {}
        self._lock = threading.Lock()

    def folders(self) -> dict[str, Path]:
        """Return the run folders by id, the newest first."""
        folders = [*self._folders, *(folder for folder in self._added if (folder / RUN_FILE).is_file())]
        if not self._folders:
            folders = [file.parent.resolve() for file in self.root.glob(f"*/{RUN_FILE}")]
        newest = sorted(folders, key=lambda folder: -_changed(folder / RUN_FILE))
        return {run_id(folder): folder for folder in newest}

    def add(self, folder: Path) -> None:
        """Show a run that is about to be made, too."""
        self._added.append(folder.resolve())

    def get(self, wanted: str | None) -> OpenRun:
        """Return a run by its id, the newest without one. Raises InputError if there is none."""
        folders = self.folders()
        number = wanted or next(iter(folders), "")
        if number not in folders:
            raise InputError("There is no such run." if wanted else "There is no run yet.")
        with self._lock:
            if number not in self._open:
                self._open[number] = OpenRun(number, folders[number])
            return self._open[number]


def run_id(folder: Path) -> str:
    """Return what a page calls a run: short, and different for every folder."""
    return sha256(str(folder.resolve()).encode()).hexdigest()[:10]


@dataclass
class OpenRun:
    """One run with what the pages need of it, read again when the run or its ledger has changed."""

    id: str
    folder: Path
    views: Views = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _run: Run | None = None
    _indexed: Run | None = None
    _stamp: tuple[int, ...] = ()
    _ledger: Ledger | None = None
    _ledger_file: int = 0
    _people: tuple[Run, Identities, dict[int, Person]] | None = None
    _links: tuple[Identities, list[Link]] | None = None
    _doubtful: tuple[list[Link], dict[int, list[Link]]] | None = None
    _counts: tuple[Run, Identities, Counters, tuple[list[Stay], list[Crossing]]] | None = None
    _heat: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _frames: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = Views(self.folder)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def run(self) -> Run:
        with self._lock:
            stamp = tuple(_changed(self.folder / name) for name in (MANIFEST_FILE, FLUSHED_FILE, RUN_FILE))
            if self._run is None or stamp != self._stamp:
                self._run, self._stamp = Run.open(self.folder), stamp
                self._frames.clear()
                self._heat.clear()
            return self._run

    @property
    def ledger(self) -> Ledger:
        with self._lock:
            path = self.folder / LEDGER_FILE
            if self._ledger is None or self._ledger_file != _file_of(path):  # another file: the old one was purged
                self._ledger = self.run.ledger()
                self._ledger_file = _file_of(path)
            return self._ledger

    def identities(self) -> Identities:
        return self.ledger.replay()

    def people(self) -> dict[int, Person]:
        with self._lock:
            run, identities = self.run, self.identities()
            if self._people is None or self._people[0] is not run or self._people[1] is not identities:
                if run.state in FOLLOWED and run is not self._indexed:
                    # All parts are read each time where a folder may only be read, or somebody changes the run.
                    with suppress(OSError, RunError), lock_run(self.folder, "indexing this run", 0.0):
                        Run.open(self.folder).index_tracklets()
                    self._indexed = run
                self._people = run, identities, people_of(run, identities)
            return self._people[2]

    def person(self, number: int) -> Person:
        """Return a person, also by an id that was merged into another. Raises InputError if there is none."""
        person = self.people().get(self.identities().resolve(number))
        if person is None:
            raise InputError(f"There is no person {number} in this run.")
        return person

    def person_of(self, camera: str, track_id: int, frame: int) -> int:
        """Return who is in a frame as a track of a camera, `NO_ID` if that is not decided."""
        identities = self.identities()
        if len(identities.segments(camera, track_id)) < 2:  # the times of frames need not be read
            return identities.latest_person(camera, track_id)
        frames, times = self.frames(camera)
        row = min(int(np.searchsorted(frames, frame)), len(times) - 1)
        return identities.person_at(camera, track_id, float(times[row]))

    def evidence(self, person: Person) -> dict[TrackletKey, Event]:
        """Return why machines gave these visits to a person."""
        return self.ledger.latest_evidence([visit.key for visit in person.visits])

    def links(self) -> list[Link]:
        with self._lock:
            identities = self.identities()
            if self._links is None or self._links[0] is not identities:
                self._links = identities, links_in_force(self.people(), self.ledger.latest_evidence())
            return self._links[1]

    def questions(self) -> list[Link]:
        """Return the links, made and nearly made, that nobody has judged, the most doubtful first."""
        identities = self.identities()
        not_made = links_not_made(self.people(), self.ledger.proposals(), identities)
        return open_questions([*self.links(), *not_made], identities)

    def doubtful(self) -> dict[int, list[Link]]:
        """Return the people whom a doubtful link holds together that nobody has confirmed, with those links."""
        with self._lock:
            identities, links = self.identities(), self.links()
            if self._doubtful is None or self._doubtful[0] is not links:
                self._doubtful = links, doubtful_people(links, identities)
            return self._doubtful[1]

    def frames(self, camera: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (F,) indices and (F,) times of the processed frames of a camera."""
        with self._lock:
            run = self.run
            if camera not in self._frames:
                self._frames[camera] = run.frames(camera)
            return self._frames[camera]

    def heat(self, camera: str) -> NDArray[np.float64]:
        """Return how long people stood where in a camera's picture, as `app.runs.places.heat.heat` does."""
        with self._lock:
            run = self.run
            if camera not in self._heat:
                self._heat[camera] = heat(run, run.camera(camera))
            return self._heat[camera]

    def counts(self, counters: Counters) -> tuple[list[Stay], list[Crossing]]:
        """Return the stays in zones and the crossings of lines, as `app.runs.places.counting.count` does."""
        with self._lock:
            run, identities = self.run, self.identities()
            known = self._counts
            if known is None or known[0] is not run or known[1] is not identities or known[2] != counters:
                self._counts = known = run, identities, counters, count(run, identities, counters)
            return known[3]

    def camera_number(self, camera: str) -> int:
        return [record.name for record in self.run.cameras].index(camera)

    def camera_named(self, number: int) -> str:
        """Return the name of camera `number`, from 0. Raises InputError if there is none."""
        cameras = self.run.cameras
        if not 0 <= number < len(cameras):
            raise InputError(f"There is no camera number {number} in this run.")
        return cameras[number].name

    def span(self) -> tuple[float, float]:
        """Return the first and the last time of the footage, in seconds on the shared clock."""
        files = [file for file in self.run.manifest.files if file.kind == "frames"]
        if not files:
            return 0.0, 0.0
        return min(file.start_s for file in files), max(file.end_s for file in files)

    def video(self, camera: str) -> Path | None:
        """Return the annotated video of a camera, None if there is none."""
        path = self.folder / "video" / f"{self.run.camera(camera).name}.mp4"
        return path if path.is_file() else None


def _file_of(path: Path) -> int:
    return path.stat().st_ino if path.exists() else 0


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
