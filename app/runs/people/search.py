"""`main.py search RUN IMAGE`: which people of a run look like the one in a picture, if anybody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.boxes import iou
from app.config import ReidSettings, Settings
from app.errors import InputError
from app.frames import NO_ID
from app.reid.calibrate import unit_rows
from app.runs.folder.audit_log import numbers_text, python_user, record
from app.runs.folder.run import Run
from app.runs.people.bands import band
from app.runs.people.linking import run_calibration
from app.runs.people.nobody import FEW_PEOPLE, Nobody, standing_out
from app.runs.people.query import Finder, Person, choose
from app.system.untrusted import decode_image, reading
from app.track.likeness import CENTER_SHRINKAGE, weighted_direction

if TYPE_CHECKING:
    from app.reid import Embedder
    from app.reid.calibrate import Calibration
    from app.runs.folder.tracklet_index import TrackletSummary
    from app.runs.ledger.identities import Identities

LEAST_BOX_PX = 8
CROPS_COMPARED = 3
"""A tracklet is judged by this many of its crops, those most similar to the query: one lucky crop is not enough."""

STRETCHES_TOGETHER = 256
"""Stretches of tracks whose crops are compared in one go."""

FOLLOWED_IOU = 0.5
"""A box that somebody draws on a frame means whom the run followed there, if they overlap by this."""

MOST_ASKED = 64
"""So many people of a run tell what they have in common, and how much an absent person resembles somebody of it."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answer:
    """Who looks like the person of a picture, or that nobody does.

    people: the most similar ones, best first, each with its most similar tracklet: person, name, p_same (P(this is the
    person), with nobody as an answer), band (p_same in words), accepted (whether it is shown as a match), camera,
    track_id, start_s, end_s, crop (a file).
    nobody: whether no one is accepted.  false_accept_rate: the share of people who are not in the run for whom somebody
    is accepted all the same.  learnt_from: how many people of the run that was learnt from, beside held-out data.
    compared: with how many people the picture was compared.  box: whom of the picture it is about, None for a picture
    of the run; in_picture: how many people are in the picture.
    """

    people: list[dict[str, Any]]
    nobody: bool
    false_accept_rate: float
    learnt_from: int
    compared: int
    box: list[int] | None = None
    in_picture: int = 1

    @property
    def said(self) -> str:
        """The answer in a sentence."""
        if not self.compared:
            return "There is nobody to compare with: this run kept no pictures of anybody."
        if self.nobody and self.people[0]["band"] == "unlikely":
            return "Nobody here looks like that."
        if self.nobody:
            return "Nobody here looks enough like that to be told from a stranger."
        best = self.people[0]
        return f"{best['name'] or 'Person ' + str(best['person'])}: {best['band']}."

    @property
    def rate_in_words(self) -> str:
        return (
            f"Of 100 people who are not in this run, about {100 * self.false_accept_rate:.2g} would be taken for "
            f"somebody (learnt from {self.learnt_from} people of this run and from others)."
        )


def search_run(
    folder: str | Path,
    image: str | Path,
    settings: Settings,
    top: int,
    number: int | None = None,
    box: Sequence[float] | None = None,
    actor: str = "",
) -> Answer:
    """Say who looks like the person in a picture; list the `top` most similar people.

    number: which of several people in it, from 1 at the left.  box: x1, y1, x2, y2 around the person instead.
    actor: who searches, for the audit log of the run; without one the user whose Python program this is.
    The ReID weights must be those of the run. Raises InputError for a picture that cannot be read, that shows nobody or
    several people of whom none is chosen, a run without vectors or other weights than the run's.

    >>> answer = search_run(folder, picture, settings, top=3)
    >>> len(answer.people)
    3
    """
    folder, image = Path(folder), Path(image)
    run = Run.open(folder)
    _calibration(run)
    with reading(image, "this picture"):
        data = image.read_bytes()
    picture = decode_image(data, str(image))
    embedder = embedder_of(run, settings.reid)
    crops = (folder / "crops").resolve()
    if image.resolve().is_relative_to(crops) and number is None and box is None:  # its vector is known
        found = search_vector(run, crop_vector(run, f"crops/{image.resolve().relative_to(crops).as_posix()}"), top)
    else:
        found = search_image(run, picture, embedder, Finder(settings.detect), top, number, box)
    return _noted(found, folder, "a picture from outside", actor)


def search_in_frame(
    folder: Path, camera: str, time_s: float, box: Sequence[float], settings: Settings, top: int, actor: str = ""
) -> Answer:
    """Search, as `search_run` does, for the person in a box on a frame of the run itself; see `frame_and_box`."""
    run = Run.open(folder)
    _calibration(run)
    frame, inside = frame_and_box(run, camera, time_s, box)
    embedder = embedder_of(run, settings.reid)
    finder = None if is_followed(run, camera, time_s, inside) else Finder(settings.detect)
    return _noted(search_image(run, frame, embedder, finder, top, box=inside), folder, f"a box on {camera}", actor)


def _noted(found: Answer, folder: Path, source: str, actor: str) -> Answer:
    """Return an answer, once the audit log of the run says who was looked for, and who is listed."""
    listed = numbers_text(entry["person"] for entry in found.people)
    record(folder, actor or python_user(), "searched", f"with {source}; listed: {listed}")
    return found


def frame_and_box(
    run: Run, camera: str, time_s: float, box: Sequence[float]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the frame that a camera showed at a time, (H, W, 3) uint8 BGR, and the box cut off at its edges.

    time_s: seconds on the shared clock.  box: x1, y1, x2, y2 in pixels of the recording.
    Raises InputError for a camera or box that is not there, or if the recording cannot be read any more.
    """
    from app.runs.render.stills import read_still

    record = run.camera(camera)
    indices, times = run.frames(camera)
    if not len(times):
        raise InputError(f"camera {camera} has no frames")
    if not np.isfinite(time_s):
        raise InputError("a time and a box are finite numbers")
    row = max(0, int(np.searchsorted(times, time_s, side="right")) - 1)
    picture = read_still(run, record, int(indices[row]), float(times[row]))
    return picture, _box_within(picture, box, f"on {camera}")


def is_followed(run: Run, camera: str, time_s: float, box: NDArray[np.int64]) -> bool:
    """Say whether the run followed somebody in about this box (4,) of the frame that a camera showed at a time."""
    _, times = run.frames(camera)
    shown = float(times[max(0, int(np.searchsorted(times, time_s, side="right")) - 1)])
    rows = run.observations(camera, shown, shown)
    return len(rows) > 0 and float(iou(rows.boxes, box[None].astype(np.float32)).max()) >= FOLLOWED_IOU


def _box_within(picture: NDArray[np.uint8], box: Sequence[float] | NDArray[Any], where: str) -> NDArray[np.int64]:
    """Return a box in whole pixels, cut off at the edges of a picture. Raises InputError where too little is left."""
    if not np.isfinite(np.asarray(box, np.float64)).all():
        raise InputError("a time and a box are finite numbers")
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, [width, height, width, height]).astype(np.int64)
    if x2 - x1 < LEAST_BOX_PX or y2 - y1 < LEAST_BOX_PX:
        raise InputError(f"a box {where} needs x1 < x2 and y1 < y2, {LEAST_BOX_PX} pixels apart, in the picture")
    return np.array([x1, y1, x2, y2], np.int64)


def embedder_of(run: Run, settings: ReidSettings) -> Embedder:
    """Return the network of the settings. Raises InputError if it is not the one that made the vectors of the run."""
    from app.reid.embedder import build_embedder

    embedder = build_embedder(settings)
    recorded = run.header["provenance"]["weights"]["reid"]
    if embedder is None or embedder.weights_sha256 != recorded:
        raise InputError(
            f"{run.folder}: its vectors come from {run.header['provenance']['reid']} (weights sha256 "
            f"{recorded[:12]}…); search with the same weights: --set reid.weights=FILE"
        )
    return embedder


def search_image(
    run: Run,
    picture: NDArray[np.uint8],
    embedder: Embedder,
    finder: Finder | None,
    top: int,
    number: int | None = None,
    box: Sequence[float] | NDArray[Any] | None = None,
) -> Answer:
    """Search for a person in a picture, (H, W, 3) uint8 BGR, as `search_run` does.

    finder: None where it is known that there is somebody in the box.
    """
    if finder is None:
        if box is None:
            raise ValueError("without a finder it takes a box")
        whom, count = Person(_box_within(picture, box, "in the picture"), 1.0), 1
    elif box is not None:
        whom, count = finder.person_in_box(picture, _box_within(picture, box, "in the picture")), 1
    else:
        found = finder.people(picture)
        whom, count = choose(found, number), len(found)
    query = embedder.embed([picture], [whom.box[None].astype(np.float32)])[0][0]
    return replace(search_vector(run, query, top), box=whom.box.tolist(), in_picture=count)


def search_vector(run: Run, query: Vectors, top: int) -> Answer:
    """Search for the (D,) float32 unit vector of a person, as `search_run` does for a picture.

    The vectors are read part by part: however long the run, only what is compared is in memory. In the same pass some
    people of the run are looked for as if they were absent, which says how much that means (`app.runs.people.nobody`).
    """
    _calibration(run)
    identities = run.identities()
    center, asked, askers = _askers(run, identities, len(query))
    queries = _centered(np.concatenate([query[None], asked]), center)
    compared: dict[tuple[str, int], _Compared] = {}
    others: dict[int, Vectors] = {}
    for camera in run.cameras:
        with_crops = (stretch for stretch in run.tracklet_stretches(camera.name) if stretch.vectors.size)
        while together := list(islice(with_crops, STRETCHES_TOGETHER)):
            for stretch, found, likeness in _compare(queries, together, center):
                before = compared.get(stretch.key)
                compared[stretch.key] = found if before is None else before.joined(found)
                person = _person_of(identities, stretch)
                if person != NO_ID:
                    others[person] = np.maximum(others.get(person, likeness), likeness)
    return _rank(run, identities, list(compared.values()), _law(others, askers), top)


def _askers(run: Run, identities: Identities, dimension: int) -> tuple[Vectors, Vectors, list[int]]:
    """Return what the people of a run have in common, (D,); the best vectors of some of them, (n, D); and who they are.

    They are of all cameras. Raises InputError for a run without vectors.
    """
    typical: dict[int, Vectors] = {}
    best: dict[int, Vectors] = {}
    for number, camera in enumerate(run.cameras, 1):
        for stretch in run.tracklet_stretches(camera.name):
            if len(typical) >= MOST_ASKED * number // len(run.cameras):
                break
            if len(stretch.crops):
                person = _person_of(identities, stretch)
                if person != NO_ID and person not in typical:
                    typical[person] = weighted_direction(stretch.vectors, stretch.qualities)
                    best[person] = stretch.vectors[0]
    if not typical:
        return np.zeros(dimension, np.float32), np.zeros((0, dimension), np.float32), []
    center = np.sum(list(typical.values()), axis=0) / (len(typical) + CENTER_SHRINKAGE)
    return np.asarray(center, np.float32), np.stack(list(best.values())), list(best)


def _law(others: Mapping[int, Vectors], askers: Sequence[int]) -> Nobody:
    """Return how far the most similar person stands out for somebody who is absent.

    others: of each person the (1 + n,) similarities to the query and to n people, `askers`.
    """
    if not others:
        return Nobody.of(np.zeros(0), 0)
    table = np.stack([others[person] for person in sorted(others)])  # (people, 1 + n)
    row_of = {person: row for row, person in enumerate(sorted(others))}
    absent = []
    if len(table) > FEW_PEOPLE:
        for column, person in enumerate(askers, 1):
            absent.append(standing_out(np.delete(table[:, column], row_of[person])).max())
    return Nobody.of(np.array(absent), len(table))


def _centered(vectors: Vectors, center: Vectors) -> Vectors:
    return unit_rows(vectors - center)


def crop_vector(run: Run, reference: str) -> NDArray[np.float32]:
    """Return the stored (D,) vector of a crop, so that no network is needed to search for it.

    Raises InputError if the run does not have it (any more).
    """
    for stretch in run.tracklet_stretches(Path(reference).parent.name):
        if reference in stretch.crops and len(stretch.vectors):
            return np.array(stretch.vectors[stretch.crops.index(reference)])
    raise InputError(f"{reference}: this picture is not part of the run, or was never turned into a vector")


def _calibration(run: Run) -> Calibration:
    calibration = run_calibration(run)
    if calibration is None:
        raise InputError(f"{run.folder}: this run was made without ReID, there is nothing to compare a picture with")
    return calibration


def search_table(found: Answer) -> Any:
    """Return a rich table of what a search found, with the answer above it."""
    from rich.console import Group
    from rich.table import Table

    table = Table("person", "the same", "camera", "from", "to", "crop")
    if found.nobody and found.people:
        table.title = "The most similar, all the same"
    for entry in found.people:
        label = entry["name"] or str(entry["person"])
        span = (f"{entry['start_s']:.1f} s", f"{entry['end_s']:.1f} s")
        table.add_row(label, entry["band"], entry["camera"], *span, entry["crop"])
    return Group(found.said, table, found.rate_in_words) if found.people else found.said


@dataclass(frozen=True, slots=True)
class _Compared:
    """What is left of a tracklet after it was compared with the query.

    likenesses: cosines of its most similar crops, at most `CROPS_COMPARED`, the highest first.  crop: the most similar
    one.
    """

    camera: str
    track_id: int
    start_time: float
    end_time: float
    likenesses: tuple[float, ...]
    crop: str

    def joined(self, other: _Compared) -> _Compared:
        """Return the same for two stretches of one track."""
        return _Compared(
            self.camera,
            self.track_id,
            min(self.start_time, other.start_time),
            max(self.end_time, other.end_time),
            tuple(sorted((*self.likenesses, *other.likenesses), reverse=True)[:CROPS_COMPARED]),
            max(self, other, key=lambda compared: compared.likenesses[0]).crop,
        )


def _compare(
    queries: Vectors, stretches: Sequence[TrackletSummary], center: Vectors
) -> Iterator[tuple[TrackletSummary, _Compared, Vectors]]:
    """Yield of each stretch of a track, all of which have crops, what is left of it after it was compared with the
    first of the (Q, D) centred queries, and its (Q,) similarities to all of them."""
    vectors = np.concatenate([stretch.vectors for stretch in stretches])
    cosines = _centered(vectors, center) @ queries.T
    ends = np.cumsum([len(stretch.vectors) for stretch in stretches])
    for stretch, own in zip(stretches, np.split(cosines, ends[:-1]), strict=True):
        best = np.argsort(-own[:, 0], kind="stable")[:CROPS_COMPARED]
        compared = _Compared(
            stretch.camera,
            stretch.track_id,
            stretch.start_time,
            stretch.end_time,
            tuple(own[best, 0].tolist()),
            stretch.crops[best[0]],
        )
        yield stretch, compared, np.sort(own, axis=0)[-CROPS_COMPARED:].mean(axis=0)


def _person_of(identities: Identities, tracklet: TrackletSummary | _Compared) -> int:
    return identities.person_at(tracklet.camera, tracklet.track_id, (tracklet.start_time + tracklet.end_time) / 2)


def _rank(run: Run, identities: Identities, seen: Sequence[_Compared], law: Nobody, top: int) -> Answer:
    """Return the answer: one entry for each person, from its most similar tracklet."""
    likenesses = np.array([np.mean(tracklet.likenesses) for tracklet in seen], np.float64)
    best: dict[int, int] = {}
    for row in np.argsort(-likenesses, kind="stable").tolist():
        person = _person_of(identities, seen[row])
        if person != NO_ID:
            best.setdefault(person, row)
    distances = standing_out(likenesses[list(best.values())])
    probabilities, threshold = law.probability(distances), law.threshold()
    entries: list[dict[str, Any]] = []
    for (person, row), distance, p_same in zip(best.items(), distances.tolist(), probabilities.tolist(), strict=True):
        if len(entries) == top:
            break
        tracklet = seen[row]
        entries.append(
            {
                "person": person,
                "name": identities.names.get(person, ""),
                "p_same": p_same,
                "band": band(p_same),
                "accepted": distance >= threshold,
                "camera": tracklet.camera,
                "track_id": tracklet.track_id,
                "start_s": tracklet.start_time,
                "end_s": tracklet.end_time,
                "crop": str(run.crop_path(tracklet.crop)),
            }
        )
    nobody = not any(entry["accepted"] for entry in entries)
    return Answer(entries, nobody, law.false_accept_rate(threshold), law.people, len(best))
