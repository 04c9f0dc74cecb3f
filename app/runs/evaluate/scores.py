"""How good the answer is: scores within each camera, across all cameras, and after absences.

HOTA (Luiten et al., IJCV 2021), CLEAR MOT (Bernardin and Stiefelhagen, 2008) and the identity scores (Ristani et al.,
2016) are computed by TrackEval, the reference implementation, on arrays in memory.

Across cameras, the frames of every camera are steps of one long sequence with ids that are valid everywhere: a person
who is called 3 on one camera and 5 on the next loses score. Two references stand beside that figure: the same boxes
with no linking at all, which is what a tracker per camera would get, and the same tracklets linked without an error,
which is what the best possible linker would get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from trackeval.metrics import CLEAR, HOTA, Identity

from app.errors import InputError
from app.frames import NO_ID
from app.runs.evaluate.alignment import Alignment, Step, align, groups
from app.runs.evaluate.trajectories import Trajectories, load_truth, run_times, run_trajectories
from app.runs.folder.run import Run

GAPS_S = (1, 3, 5, 10, 30)
"""Times out of sight for which recovery is reported."""

SIGHT_S = 1.0
"""How much of a stretch in sight decides which id a person had there: as long as the shortest gap, so that two gaps
never fall into one stretch."""

CAMERA_SCORES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")
ACROSS_SCORES = ("IDF1", "IDP", "IDR", "HOTA", "AssA", "people", "ids")

Scores = dict[str, Any]
Metrics = dict[str, dict[str, Any]]


def evaluate(
    truth: Mapping[str, Trajectories],
    result: Mapping[str, Trajectories],
    times: Mapping[str, NDArray[np.float64]] | None = None,
) -> Scores:
    """Score `result` against `truth`, camera by camera and over all cameras; percentages run from 0 to 100.

    truth, result: trajectories by camera. Ids of truth are shared by all cameras. Truth of further cameras is ignored.
    times: (F,) seconds of frames 1 … F by camera, for the gap recovery; without them it stays empty (None).

    Returns {"cameras": {camera: scores}, "tracks": the same for the tracks before linking, "combined": all cameras as
    separate sequences, "across": ids shared by all cameras, "no_linking", "perfect_linking", "gap_recovery",
    "gap_recovery_by_track": the same if nobody got an id back from linking, "gaps"}.
    Raises InputError when a camera has no truth, or when one id has two boxes in a frame.
    """
    aligned = align(truth, result)
    per_camera = _score_cameras(aligned, aligned.result_ids)
    linked = not _same_grouping(aligned.result_ids, aligned.result_tracks)
    per_track = _score_cameras(aligned, aligned.result_tracks) if linked else per_camera
    perfect = perfect_ids(aligned)
    recovered, counts = gap_recovery(aligned, aligned.result_ids, times) if times is not None else ({}, {})
    by_track, _ = gap_recovery(aligned, aligned.result_tracks, times) if times is not None else ({}, {})
    return {
        "cameras": {camera: _camera_summary(metrics) for camera, metrics in per_camera.items()},
        "tracks": {camera: _camera_summary(metrics) for camera, metrics in per_track.items()},
        "combined": _camera_summary(_combine(per_camera)),
        "across": _across_summary(aligned, aligned.result_ids, per_camera),
        "no_linking": _across_summary(aligned, aligned.result_tracks, per_track),
        "perfect_linking": _across_summary(aligned, perfect),
        "gap_recovery": {str(gap): recovered.get(gap) for gap in GAPS_S},
        "gap_recovery_by_track": {str(gap): by_track.get(gap) for gap in GAPS_S},
        "gaps": {str(gap): counts.get(gap, 0) for gap in GAPS_S},
    }


def evaluate_run(folder: str | Path, truth: str | Path) -> Scores:
    """Score the run in `folder` against the truth files in `truth` (see `load_truth`), as `evaluate` does.

    "left_out_boxes" counts boxes of people who have another one in the same frame; no export has them either.
    Raises InputError when the folder holds no run, or a camera has no usable truth.

    >>> scores = evaluate_run(folder, truth)
    >>> scores["cameras"]["yard"]["IDSW"]
    0
    """
    run = Run.open(folder)
    true_rows = load_truth(Path(truth), [camera.name for camera in run.cameras])
    rows = run_trajectories(run)
    recorded = sum(len(run.column(camera.name, "frame", refined=True)) for camera in run.cameras)
    scores = evaluate(true_rows, rows, run_times(run, true_rows))
    return scores | {"left_out_boxes": recorded - sum(map(len, rows.values()))}


def combine_cameras(truth: Mapping[str, Trajectories], result: Mapping[str, Trajectories]) -> Scores:
    """Return HOTA, DetA, AssA, MOTA, IDF1 and IDSW over several sequences that share no ids, as benchmarks do."""
    aligned = align(truth, result)
    return _camera_summary(_combine(_score_cameras(aligned, aligned.result_ids)))


def _same_grouping(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    """Return whether two labellings of the same rows differ in names only."""
    together = groups(a, b).max(initial=-1)
    return bool(together == groups(a).max(initial=-1) == groups(b).max(initial=-1))


def _score(steps: Sequence[Step], truth_ids: NDArray[np.int64], result_ids: NDArray[np.int64]) -> Metrics:
    """Let TrackEval score the steps as one sequence, with the given id for each row."""
    truth_labels, truth_count = _labels([step.truth for step in steps], truth_ids)
    result_labels, result_count = _labels([step.result for step in steps], result_ids)
    data = {
        "num_timesteps": len(steps),
        "num_gt_dets": sum(len(step.truth) for step in steps),
        "num_tracker_dets": sum(len(step.result) for step in steps),
        "num_gt_ids": truth_count,
        "num_tracker_ids": result_count,
        "gt_ids": truth_labels,
        "tracker_ids": result_labels,
        "similarity_scores": [step.overlap for step in steps],
    }
    return {name: metric.eval_sequence(data) for name, metric in _metrics().items()}


def _metrics() -> dict[str, Any]:
    return {"HOTA": HOTA(), "CLEAR": CLEAR({"PRINT_CONFIG": False}), "Identity": Identity({"PRINT_CONFIG": False})}


def _labels(rows: Sequence[NDArray[np.int64]], ids: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], int]:
    """Return the ids of the rows of each step, renumbered from 0 without holes, and how many there are."""
    used = ids[np.concatenate([np.zeros(0, np.int64), *rows])]
    names, numbers = np.unique(used, return_inverse=True)
    ends = np.cumsum([len(part) for part in rows])[:-1]
    return np.split(numbers.astype(np.int64), ends), len(names)


def _score_cameras(aligned: Alignment, result_ids: NDArray[np.int64]) -> dict[str, Metrics]:
    return {
        camera: _score(steps, aligned.truth_ids, result_ids)
        for camera, steps in zip(aligned.cameras, aligned.steps, strict=True)
    }


def _combine(per_camera: Mapping[str, Metrics]) -> Metrics:
    return {
        name: metric.combine_sequences({camera: metrics[name] for camera, metrics in per_camera.items()})
        for name, metric in _metrics().items()
    }


def _percent(value: Any) -> float:
    """Return the mean over localisation thresholds (HOTA has 19, other scores one) in percent."""
    return 100.0 * float(np.mean(value))


def _camera_summary(metrics: Metrics) -> Scores:
    return {
        **{name: _percent(metrics["HOTA"][name]) for name in ("HOTA", "DetA", "AssA")},
        "MOTA": _percent(metrics["CLEAR"]["MOTA"]),
        "IDF1": _percent(metrics["Identity"]["IDF1"]),
        "IDSW": int(metrics["CLEAR"]["IDSW"]),
    }


def _across_summary(
    aligned: Alignment, result_ids: NDArray[np.int64], per_camera: Mapping[str, Metrics] | None = None
) -> Scores:
    """Score all cameras as one sequence; `per_camera` may have the scores of each for the same ids."""
    steps = aligned.all_steps
    known = list((per_camera or {}).values())
    metrics = known[0] if len(known) == 1 else _score(steps, aligned.truth_ids, result_ids)
    return {
        **{name: _percent(metrics["Identity"][name]) for name in ("IDF1", "IDP", "IDR")},
        **{name: _percent(metrics["HOTA"][name]) for name in ("HOTA", "AssA")},
        "people": _labels([step.truth for step in steps], aligned.truth_ids)[1],
        "ids": _labels([step.result for step in steps], result_ids)[1],
    }


def perfect_ids(aligned: Alignment) -> NDArray[np.int64]:
    """Return (S,) int64 ids for the result rows if every tracklet went to the person whom it shows most often.

    A tracklet that shows nobody keeps an id of its own. Of two tracklets that share a frame of one camera only one can
    be that person: the longer match wins, and the other one goes to the person it shows next most often.
    """
    tracks = aligned.result_tracks
    shown = np.stack([tracks[aligned.matches[:, 1]], aligned.truth_ids[aligned.matches[:, 0]]])
    pairs, counts = np.unique(shown, axis=1, return_counts=True)
    places = groups(aligned.result_cameras, aligned.result_frames)
    order = np.argsort(tracks, kind="stable")
    count = int(tracks.max(initial=-1)) + 1
    places_of = np.split(places[order], np.searchsorted(tracks[order], np.arange(1, count)))
    people, person_of_pair = np.unique(pairs[1], return_inverse=True)
    occupied = np.zeros((len(people), int(places.max(initial=-1)) + 1), np.bool_)
    ids = np.arange(count, dtype=np.int64) + len(people)
    for pair in np.lexsort((pairs[1], pairs[0], -counts)):
        track, person = pairs[0, pair], person_of_pair[pair]
        if ids[track] >= len(people) and not occupied[person, places_of[track]].any():
            ids[track] = person
            occupied[person, places_of[track]] = True
    return ids[tracks]


def gap_recovery(
    aligned: Alignment, ids: NDArray[np.int64], times: Mapping[str, NDArray[np.float64]]
) -> tuple[dict[int, float | None], dict[int, int]]:
    """Return for each of `GAPS_S` the percentage of returns with the right id, and how many returns there were.

    ids: (S,) int64 of the rows of the result: those of people, or of tracks for what it would be without linking.
    A return: a person who is not visible (no counted box) on a camera for at least that long, and is then seen again on
    the same camera. It has the right id if the id matched most often in the first second back in sight is the one
    matched most often in the last second before. Absences of people who had no id before are not counted; one who is
    not found at all in the first second back did not get the id back. None where there was no such absence.
    """
    times_of_rows = np.zeros(len(aligned.truth_frames))
    for number, camera in enumerate(aligned.cameras):
        own = aligned.truth_cameras == number
        if aligned.truth_frames[own].max(initial=0) > len(times[camera]):
            raise InputError(
                f"camera {camera}: truth reaches frame {aligned.truth_frames[own].max()}, beyond its times"
            )
        times_of_rows[own] = times[camera][aligned.truth_frames[own] - 1]
    given = np.full(len(aligned.truth_ids), NO_ID)
    given[aligned.matches[:, 0]] = ids[aligned.matches[:, 1]]
    rows = np.concatenate([np.zeros(0, np.int64), *(step.truth for step in aligned.all_steps)])
    visits = groups(aligned.truth_cameras, aligned.truth_ids)[rows]
    rows = rows[np.lexsort((times_of_rows[rows], visits))]
    visits, seen, given = np.sort(visits), times_of_rows[rows], given[rows]
    away = np.where(visits[1:] == visits[:-1], seen[1:] - seen[:-1], 0.0)
    lengths: list[float] = []
    right: list[bool] = []
    for last in np.flatnonzero(away >= GAPS_S[0] - 1e-6):
        # Rows are sorted by person and time, so a search within the person's own rows finds both seconds in sight.
        start, end = np.searchsorted(visits, visits[last]), np.searchsorted(visits, visits[last], side="right")
        first = start + np.searchsorted(seen[start:end], seen[last] - SIGHT_S)
        stop = start + np.searchsorted(seen[start:end], seen[last + 1] + SIGHT_S, side="right")
        before = _commonest(given[first : last + 1])
        if before != NO_ID:
            lengths.append(float(away[last]) + 1e-6)
            right.append(before == _commonest(given[last + 1 : stop]))
    long_enough = {gap: np.array(lengths) >= gap for gap in GAPS_S}
    shares = {
        gap: 100.0 * float(np.mean(np.array(right)[mask])) if mask.any() else None for gap, mask in long_enough.items()
    }
    return shares, {gap: int(mask.sum()) for gap, mask in long_enough.items()}


def _commonest(ids: NDArray[np.int64]) -> int:
    """Return the id that occurs most often, the smallest of equals; `NO_ID` if there is none."""
    names, counts = np.unique(ids[ids != NO_ID], return_counts=True)
    return int(names[np.argmax(counts)]) if len(names) else NO_ID


def scores_table(scores: Scores) -> Group:
    """Return three tables for the terminal: scores within cameras, across cameras, and after absences."""
    within = Table(title="Within each camera (%)")
    within.add_column("camera")
    for column in CAMERA_SCORES:
        within.add_column(column, justify="right")
    rows = list(scores["cameras"].items())
    if len(rows) > 1:
        rows.append(("all, ids apart", scores["combined"]))
    for camera, values in rows:
        within.add_row(camera, *(_cell(values[column]) for column in CAMERA_SCORES))

    across = Table(title="Across all cameras (%)")
    across.add_column("ids")
    for column in ACROSS_SCORES:
        across.add_column(column, justify="right")
    for name, key in (
        ("linked", "across"),
        ("not linked (control)", "no_linking"),
        ("linked without error (ceiling)", "perfect_linking"),
    ):
        across.add_row(name, *(_cell(scores[key][column]) for column in ACROSS_SCORES))

    recovery = Table(title="Same id after an absence on one camera (%)")
    recovery.add_column("out of sight at least")
    for gap in scores["gap_recovery"]:
        recovery.add_column(f"{gap} s", justify="right")
    recovery.add_row("id recovered", *(_cell(value) for value in scores["gap_recovery"].values()))
    recovery.add_row("by track only (control)", *(_cell(value) for value in scores["gap_recovery_by_track"].values()))
    recovery.add_row("absences", *(_cell(value) for value in scores["gaps"].values()))
    return Group(within, across, recovery)


def _cell(value: float | int | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"
