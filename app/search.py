"""`main.py search RUN IMAGE`: which people of a run look like the one in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from app.config import ReidSettings
from app.errors import InputError
from app.frames import NO_ID
from app.linking import run_calibration
from app.runs import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.reid import Embedder
    from app.reid.calibrate import Calibration
    from app.runs import TrackletSummary

CROPS_COMPARED = 3
"""A tracklet is judged by this many of its crops, those most similar to the query: one lucky crop is not enough."""


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
    """Search for the (D,) float32 unit vector of a person, as `search_run` does for a picture."""
    calibration = _calibration(run)
    seen = [tracklet for tracklet in run.tracklet_summaries() if len(tracklet.crops)]
    probabilities = calibration.probability(np.array([_distance(query, tracklet) for tracklet in seen]))
    return _rank(run, seen, probabilities, query)[:top]


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


def _distance(query: NDArray[np.float32], tracklet: TrackletSummary) -> float:
    """Mean cosine distance from the query to the crops of a tracklet that are most similar to it."""
    similarity = np.sort(tracklet.vectors @ query)[::-1][:CROPS_COMPARED]
    return float(1 - similarity.mean())


def _rank(
    run: Run, seen: list[TrackletSummary], probabilities: NDArray[np.float32], query: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Return one entry for each person, from its most probable tracklet."""
    identities = run.identities()
    best: dict[int, dict[str, Any]] = {}
    for row in np.argsort(-probabilities, kind="stable").tolist():
        tracklet = seen[row]
        middle = np.array([(tracklet.start_time + tracklet.end_time) / 2])
        person = int(identities.person_of(tracklet.camera, np.array([tracklet.track_id]), middle)[0])
        if person == NO_ID or person in best:
            continue
        crop = tracklet.crops[int(np.argmax(tracklet.vectors @ query))]
        best[person] = {
            "person": person,
            "name": identities.names.get(person, ""),
            "p_same": float(probabilities[row]),
            "camera": tracklet.camera,
            "track_id": tracklet.track_id,
            "start_s": tracklet.start_time,
            "end_s": tracklet.end_time,
            "crop": str(run.crop_path(crop)),
        }
    return list(best.values())
