"""`main.py search RUN IMAGE`: which people of a run look like the one in a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from app.config import ReidSettings
from app.errors import InputError
from app.frames import NO_ID
from app.linking import run_calibration
from app.runs import Run
from app.track.appearance import MOST_PEOPLE, FootageLooks
from app.track.evidence import probability, weighted_direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.identities import Identities
    from app.reid import Embedder
    from app.reid.calibrate import Calibration
    from app.tracklet_parts import TrackletSummary

LEAST_BOX_PX = 8
CROPS_COMPARED = 3
"""A tracklet is judged by this many of its crops, those most similar to the query: one lucky crop is not enough."""

STRETCHES_TOGETHER = 256
"""Stretches of tracks whose crops are compared in one go."""


def search_run(folder: Path, image: Path, settings: ReidSettings, top: int) -> list[dict[str, Any]]:
    """Return the `top` most similar people, best first, each with its most similar tracklet.

    image: a picture of one person, cut out tightly. The ReID weights must be those of the run.
    Each entry: person, name, p_same (P(same person)), camera, track_id, start_s, end_s, crop (a file).
    Raises InputError for a picture that cannot be read, a run without vectors or other weights than the run's.
    """
    run = Run.open(folder)
    _calibration(run)
    picture = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{image}: not a picture that can be read")
    return search_picture(run, np.asarray(picture, np.uint8), embedder_of(run, settings), top)


def search_in_frame(
    folder: Path, camera: str, time_s: float, box: Sequence[float], settings: ReidSettings, top: int
) -> list[dict[str, Any]]:
    """Search, as `search_run` does, for the person in a box on a frame of the run itself; see `cut_out`."""
    run = Run.open(folder)
    _calibration(run)
    return search_picture(run, cut_out(run, camera, time_s, box), embedder_of(run, settings), top)


def cut_out(run: Run, camera: str, time_s: float, box: Sequence[float]) -> NDArray[np.uint8]:
    """Return what is in a box on the frame that a camera showed at a time, (H, W, 3) uint8 BGR, to search for it.

    time_s: seconds on the shared clock.  box: x1, y1, x2, y2 in pixels of the recording.
    Raises InputError for a camera or box that is not there, or if the recording cannot be read any more.
    """
    from app.stills import read_still

    record = run.camera(camera)
    indices, times = run.frames(camera)
    if not len(times):
        raise InputError(f"camera {camera} has no frames")
    if not np.isfinite([time_s, *box]).all():
        raise InputError("a time and a box are finite numbers")
    row = max(0, int(np.searchsorted(times, time_s, side="right")) - 1)
    picture = read_still(run, record, int(indices[row]), float(times[row]))
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, [width, height, width, height]).astype(int)
    if x2 - x1 < LEAST_BOX_PX or y2 - y1 < LEAST_BOX_PX:
        raise InputError(f"a box on {camera} needs x1 < x2 and y1 < y2, {LEAST_BOX_PX} pixels apart, in the picture")
    return picture[y1:y2, x1:x2]


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


def search_picture(run: Run, picture: NDArray[np.uint8], embedder: Embedder, top: int) -> list[dict[str, Any]]:
    """Search for the person in a picture, (H, W, 3) uint8 BGR, as `search_run` does."""
    height, width = picture.shape[:2]
    query = embedder.embed([picture], [np.array([[0, 0, width, height]], np.float32)])[0][0]
    return search_vector(run, query, top)


def search_vector(run: Run, query: NDArray[np.float32], top: int) -> list[dict[str, Any]]:
    """Search for the (D,) float32 unit vector of a person, as `search_run` does for a picture.

    The vectors are read part by part: however long the run, only what is compared is in memory.
    """
    identities = run.identities()
    looks = run_looks(run, identities, len(query))
    compared: dict[tuple[str, int], _Compared] = {}
    for camera in run.cameras:
        with_crops = (stretch for stretch in run.tracklet_stretches(camera.name) if len(stretch.crops))
        while together := list(islice(with_crops, STRETCHES_TOGETHER)):
            for stretch, found in zip(together, _compare(query, together, looks), strict=True):
                before = compared.get(stretch.key)
                compared[stretch.key] = found if before is None else before.joined(found)
    seen = list(compared.values())
    p_same = probability(np.array([np.mean(tracklet.likenesses) for tracklet in seen], np.float32))
    return _rank(run, identities, seen, p_same)[:top]


def run_looks(run: Run, identities: Identities, dimension: int) -> FootageLooks:
    """Return how to read a likeness in this run, of vectors of length `dimension`: its people, of all cameras, show
    what they have in common and how far the network's calibration can be believed.

    Raises InputError for a run without vectors.
    """
    looks = FootageLooks(_calibration(run), dimension)
    people: dict[int, NDArray[np.float32]] = {}
    for number, camera in enumerate(run.cameras, 1):
        for stretch in run.tracklet_stretches(camera.name):
            if len(people) >= MOST_PEOPLE * number // len(run.cameras):
                break
            if len(stretch.crops):
                person = _person_of(identities, stretch)
                if person != NO_ID and person not in people:
                    people[person] = weighted_direction(stretch.vectors, stretch.qualities)
    if people:
        looks.know(np.stack(list(people.values())))
    return looks


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


def search_table(found: list[dict[str, Any]]) -> Any:
    """Return a rich table of what `search_run` found."""
    from rich.table import Table

    table = Table("person", "P(same)", "camera", "from", "to", "crop")
    for entry in found:
        label = entry["name"] or str(entry["person"])
        span = (f"{entry['start_s']:.1f} s", f"{entry['end_s']:.1f} s")
        table.add_row(label, f"{entry['p_same']:.2f}", entry["camera"], *span, entry["crop"])
    return table


@dataclass(frozen=True, slots=True)
class _Compared:
    """What is left of a tracklet after it was compared with the query.

    likenesses: log-odds of its most similar crops, at most `CROPS_COMPARED`, the highest first.  crop: the most similar
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
    query: NDArray[np.float32], stretches: Sequence[TrackletSummary], looks: FootageLooks
) -> Iterator[_Compared]:
    """Yield what is left of each stretch of a track; all have crops."""
    vectors = np.concatenate([stretch.vectors for stretch in stretches])
    likenesses = looks.log_odds(vectors, query[None])[:, 0]
    ends = np.cumsum([len(stretch.vectors) for stretch in stretches])
    for stretch, own in zip(stretches, np.split(likenesses, ends[:-1]), strict=True):
        best = np.argsort(-own, kind="stable")[:CROPS_COMPARED]
        yield _Compared(
            stretch.camera,
            stretch.track_id,
            stretch.start_time,
            stretch.end_time,
            tuple(own[best].tolist()),
            stretch.crops[best[0]],
        )


def _person_of(identities: Identities, tracklet: TrackletSummary | _Compared) -> int:
    middle = np.array([(tracklet.start_time + tracklet.end_time) / 2])
    return int(identities.person_of(tracklet.camera, np.array([tracklet.track_id]), middle)[0])


def _rank(
    run: Run, identities: Identities, seen: list[_Compared], probabilities: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return one entry for each person, from its most probable tracklet."""
    best: dict[int, dict[str, Any]] = {}
    for row in np.argsort(-probabilities, kind="stable").tolist():
        tracklet = seen[row]
        person = _person_of(identities, tracklet)
        if person == NO_ID or person in best:
            continue
        best[person] = {
            "person": person,
            "name": identities.names.get(person, ""),
            "p_same": float(probabilities[row]),
            "camera": tracklet.camera,
            "track_id": tracklet.track_id,
            "start_s": tracklet.start_time,
            "end_s": tracklet.end_time,
            "crop": str(run.crop_path(tracklet.crop)),
        }
    return list(best.values())
