"""People known from earlier runs: the folder of `main.py track --gallery DIR`.

    DIR/people.safetensors    vectors (N, D) float32 unit rows, person_ids (N,) int64; and as metadata: format, sha256
                              of the network that made the vectors, the next free person number, the camera of each
                              row, name of each person and when a run last saw it, folders of the runs that added

The file changes in one step: at the end of a run, when its people have been linked, and when somebody is forgotten. A
run holds a lock on the folder from its start, so that two runs never give one number to two people; whoever changes the
file holds another one from reading to writing. Vectors of another network mean nothing, so such a run is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from app.config import GallerySettings
from app.errors import InputError, RunError
from app.runs.folder.locks import lock_copying, lock_following, lock_run
from app.runs.folder.run import Run
from app.runs.ledger.ledger import GALLERY
from app.system.checksum import check_content, with_content
from app.system.files import write_atomically
from app.track.likeness import weighted_direction

PEOPLE_FILE = "people.safetensors"
FORMAT = "1"
DAY_S = 86_400.0

Appearances = list[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """name: "" without. last_seen_s: when the last run that saw the person ended, seconds since 1970.

    looks: (camera, (D,) float32 unit vector), latest last.
    """

    name: str
    last_seen_s: float
    appearance: Appearances


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """The content of a gallery folder. weights_sha256: of the network; "" while it is empty.

    forgotten: numbers of erased people: a run that goes on may still know them, and must not bring them back.
    """

    weights_sha256: str = ""
    next_person_id: int = 1
    people: Mapping[int, KnownPerson] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    forgotten: frozenset[int] = frozenset()


@contextmanager
def locked_gallery(settings: GallerySettings) -> Iterator[Path | None]:
    """Keep other runs from the gallery folder, which is made if it does not exist; yield it, None if there is none.

    Raises InputError if it is no folder, RunError if another run uses it.
    """
    if not settings.folder:
        yield None
        return
    folder = Path(settings.folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give another --gallery")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = lock_following(folder)
    except RunError as error:
        raise RunError(f"{folder}: another run uses this gallery; wait for it, or give another --gallery") from error
    with lock:
        yield folder


def known_people(settings: GallerySettings, weights_sha256: str | None) -> KnownPeople:
    """Return who is known from earlier runs, without those whom no run saw for `keep_days`; nobody without a folder.

    weights_sha256: of the network of this run; None if it has none.
    Raises InputError if the folder holds people as seen by another network, or cannot be read.
    """
    if not settings.folder:
        return KnownPeople()
    folder = Path(settings.folder)
    if weights_sha256 is None:
        raise InputError(
            "--gallery recognises people by their appearance, so it needs pictures, and --reid other than none"
        )
    known = without_expired(with_corrections(read_people(folder)), settings.keep_days)
    if known.people and known.weights_sha256 != weights_sha256:
        raise InputError(
            f"{folder}: its people were seen by another network (sha256 {known.weights_sha256[:12]}…, this run has "
            f"{weights_sha256[:12]}…), whose vectors cannot be compared; give that --reid, or another --gallery"
        )
    return known


def read_people(folder: Path) -> KnownPeople:
    """Return what a gallery folder holds, nobody if it is new. Raises InputError if its file cannot be read."""
    path = folder / PEOPLE_FILE
    if not path.exists():
        return KnownPeople()
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
            vectors, person_ids = file.get_tensor("vectors"), file.get_tensor("person_ids")
        check_content(path, {"vectors": vectors, "person_ids": person_ids}, metadata)
        if metadata["format"] != FORMAT:
            raise InputError(f"{path}: format {metadata['format']}, this version reads {FORMAT}")
        cameras, people = json.loads(metadata["cameras"]), json.loads(metadata["people"])
        appearance: dict[int, Appearances] = {int(person): [] for person in people}
        for person, camera, vector in zip(person_ids.tolist(), cameras, vectors, strict=True):
            appearance[person].append((camera, vector))
        return KnownPeople(
            metadata["weights_sha256"],
            int(metadata["next_person_id"]),
            {
                person: KnownPerson(**people[str(person)], appearance=appearance[person])
                for person in sorted(appearance)
            },
            tuple(json.loads(metadata["runs"])),
            frozenset(json.loads(metadata.get("forgotten", "[]"))),
        )
    except (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot read the people of this gallery ({error})") from error


def write_people(folder: Path, known: KnownPeople) -> None:
    """Replace the file of a gallery folder in one step."""
    rows = [
        (person, camera, vector) for person, one in sorted(known.people.items()) for camera, vector in one.appearance
    ]
    dimension = len(rows[0][2]) if rows else 0
    tensors: dict[str, NDArray[Any]] = {
        "vectors": np.array([vector for _, _, vector in rows], np.float32).reshape(len(rows), dimension),
        "person_ids": np.array([person for person, _, _ in rows], np.int64),
    }
    people = {str(p): {"name": one.name, "last_seen_s": one.last_seen_s} for p, one in sorted(known.people.items())}
    metadata = {
        "format": FORMAT,
        "weights_sha256": known.weights_sha256,
        "next_person_id": str(known.next_person_id),
        "cameras": json.dumps([camera for _, camera, _ in rows]),
        "people": json.dumps(people),
        "runs": json.dumps(list(known.runs)),
        "forgotten": json.dumps(sorted(known.forgotten)),
    }
    write_atomically(folder / PEOPLE_FILE, save(tensors, with_content(tensors, metadata)))


def without_expired(known: KnownPeople, keep_days: float, now_s: float | None = None) -> KnownPeople:
    """Return the same without people whom no run saw for `keep_days`. now_s: seconds since 1970, by default now."""
    oldest = (time.time() if now_s is None else now_s) - keep_days * DAY_S
    return replace(known, people={p: one for p, one in known.people.items() if one.last_seen_s >= oldest})


def with_corrections(known: KnownPeople) -> KnownPeople:
    """Return the same with the names and merges that humans made since in the runs that contributed, latest run last.

    Runs that are gone by now are passed over: what they contributed stays.
    """
    people = dict(known.people)
    for folder in known.runs:
        try:
            identities = Run.open(Path(folder)).identities()
        except InputError:
            continue
        for person in sorted(people):
            root = identities.resolve(person) if person < identities.next_person_id else person
            if root != person and root in people:
                gone, kept = people.pop(person), people[root]
                last_seen_s = max(gone.last_seen_s, kept.last_seen_s)
                people[root] = KnownPerson(kept.name or gone.name, last_seen_s, gone.appearance + kept.appearance)
            elif identities.names.get(person):
                people[person] = replace(people[person], name=identities.names[person])
    return replace(known, people=people)


def remember_run(run: Run, settings: GallerySettings, is_resumed: bool = False) -> None:
    """Write the people of a finished run into its gallery folder, and the names of known people into its ledger.

    Of each person the latest `vectors_per_camera` tracklets of each camera are kept. The caller has opened the folder
    with `locked_gallery`; nobody else changes it, or takes data out of the run, meanwhile.
    is_resumed: the run may have got as far as this before; then nothing is added again.
    """
    folder, doing = Path(settings.folder), "adding the people of a run"
    with lock_run(folder, doing), lock_copying(run.folder, doing):
        if not (is_resumed and str(run.folder.resolve()) in read_people(folder).runs):
            _remember(Run.open(run.folder), settings)


def _remember(run: Run, settings: GallerySettings) -> None:
    weights_sha256 = str(run.header["provenance"]["weights"].get("reid", ""))
    known = known_people(settings, weights_sha256)
    with run.ledger() as ledger:
        identities = ledger.replay()
        seen = set(identities.people())
        for person, one in sorted(known.people.items()):
            if one.name and person in seen and not identities.names.get(person):
                ledger.name(person, one.name, GALLERY)
        identities = ledger.replay()
    people = dict(known.people)
    of_key = {summary.key: summary for summary in run.tracklet_summaries()}
    for person in sorted(seen - known.forgotten):
        own = [of_key[s.key] for s in identities.tracklets_of(person) if s.key in of_key and of_key[s.key].vectors.size]
        if not own:
            continue
        own.sort(key=lambda summary: (summary.end_time, summary.key))
        before = people.get(person, KnownPerson("", 0.0, []))
        people[person] = KnownPerson(
            identities.names.get(person, before.name),
            time.time(),
            _latest(
                [*before.appearance, *((s.camera, weighted_direction(s.vectors, s.qualities)) for s in own)],
                settings.vectors_per_camera,
            ),
        )
    own_folder = str(run.folder.resolve())
    runs = (*(folder for folder in known.runs if folder != own_folder), own_folder)
    next_person_id = max(known.next_person_id, identities.next_person_id)
    write_people(Path(settings.folder), KnownPeople(weights_sha256, next_person_id, people, runs, known.forgotten))


def forget_people(folder: Path, numbers: Collection[int]) -> tuple[str, ...] | None:
    """Remove people from a gallery folder for good; their numbers are not given again. The caller holds its lock.

    Returns the folders of the runs whose people are in the gallery, None if none of `numbers` was there.
    """
    known = read_people(folder)
    left = {person: one for person, one in known.people.items() if person not in numbers}
    if known.forgotten.issuperset(numbers):
        return None
    write_people(folder, replace(known, people=left, forgotten=known.forgotten | set(numbers)))
    return known.runs if len(left) < len(known.people) else None


def purge_people(folder: Path, keep_days: float, dry_run: bool, now_s: float) -> int:
    """Remove whom no run saw for `keep_days` from a gallery folder and return how many those are.

    Raises RunError while a run uses the folder.
    """
    if not (folder / PEOPLE_FILE).is_file():
        return 0
    with lock_run(folder):
        known = read_people(folder)
        left = without_expired(known, keep_days, now_s)
        if len(left.people) < len(known.people) and not dry_run:
            write_people(folder, left)
    return len(known.people) - len(left.people)


def gallery_of_run(run: Run) -> Path | None:
    """Return the gallery folder that a run used, None if it used none.

    A relative path counts from the working directory of that run; where the run's folder lies tells most of the time
    which one that was.
    """
    named = run.settings_dict.get("gallery", {}).get("folder", "")
    if not named:
        return None
    folder = Path(named)
    places = [folder, *(parent / folder for parent in run.folder.resolve().parents)]
    return next((place for place in places if (place / PEOPLE_FILE).is_file()), folder)


def _latest(appearance: Appearances, per_camera: int) -> Appearances:
    counts: dict[str, int] = {}
    kept: Appearances = []
    for camera, vector in reversed(appearance):
        counts[camera] = counts.get(camera, 0) + 1
        if counts[camera] <= per_camera:
            kept.append((camera, vector))
    return kept[::-1]
