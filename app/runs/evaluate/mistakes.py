"""Which identity mistakes cost most: a page with pictures of every wrong merge and split, worst first.

Every person of the truth owns at most one id of the result, and every id has at most one owner; the pairs are chosen
so that as many boxes as possible carry their person's own id, as in the identity score IDF1 (Ristani et al., 2016). A
box of a person under another id is a mistake: a *split* if that id belongs to nobody, a *merge* if it belongs to
somebody else. The boxes of one person under one wrong id are one entry of the list.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from app.errors import InputError, RunError
from app.frames import NO_ID
from app.runs.evaluate.alignment import align
from app.runs.evaluate.trajectories import Trajectories, load_truth, run_trajectories
from app.runs.folder.run import Run
from app.runs.folder.written import copying_into, note_copies

_PICTURES = 6


@dataclass(frozen=True, slots=True)
class TrackPart:
    """The boxes of one track that show one person.

    frames: (K,) int64 sorted, from 1, one for each box.
    other_boxes: boxes of the same track that show somebody else; linking whole tracks cannot mend that.
    """

    camera: str
    track_id: int
    frames: NDArray[np.int64]
    other_boxes: int


@dataclass(frozen=True, slots=True)
class IdentityMistake:
    """The boxes of one person that carry one wrong id.

    person: id in the truth.  given_id: id in the result; `NO_ID` for a track that belongs to no person.
    own_id: the id that this person has elsewhere, None if it has none.  owner: person of the truth to whom `given_id`
    belongs, None for a split.  idf1_points: what IDF1 across cameras would gain if these boxes carried `own_id`.
    parts: the boxes, by track.  reference: for a split boxes of this person under its own id, for a merge boxes of the
    owner under the same id.
    """

    kind: Literal["split", "merge"]
    person: int
    given_id: int
    own_id: int | None
    owner: int | None
    boxes: int
    idf1_points: float
    parts: tuple[TrackPart, ...]
    reference: tuple[TrackPart, ...]


def identity_mistakes(
    truth: Mapping[str, Trajectories], result: Mapping[str, Trajectories], limit: int = 30
) -> list[IdentityMistake]:
    """Return the mistakes that cost most boxes, worst first. Raises InputError as `evaluate` does."""
    aligned = align(truth, result)
    true_rows, given_rows = aligned.matches.T
    people, person_of = np.unique(aligned.truth_ids[true_rows], return_inverse=True)
    ids, id_of = np.unique(aligned.result_ids[given_rows], return_inverse=True)
    counts = np.zeros((len(people), len(ids)), np.int64)
    np.add.at(counts, (person_of, id_of), 1)
    owned, owning = linear_sum_assignment(counts, maximize=True)
    real = counts[owned, owning] > 0
    own_id_of = dict(zip(owned[real].tolist(), owning[real].tolist(), strict=True))
    owner_of = {number: person for person, number in own_id_of.items()}

    steps = aligned.all_steps
    scored = sum(len(step.truth) + len(step.result) for step in steps)
    raw_ids = np.concatenate([result[camera].ids for camera in aligned.cameras])[given_rows]
    tracks = np.concatenate([result[camera].track_ids for camera in aligned.cameras])[given_rows]
    cameras, frames = aligned.result_cameras[given_rows], aligned.result_frames[given_rows]

    def parts(person: int, number: int) -> tuple[TrackPart, ...]:
        rows = np.flatnonzero((person_of == person) & (id_of == number))
        keys, which = np.unique(np.stack([cameras[rows], tracks[rows]]), axis=1, return_inverse=True)
        found = []
        for key in range(keys.shape[1]):
            own = np.sort(frames[rows[which.reshape(-1) == key]])
            of_track = int(((cameras == keys[0, key]) & (tracks == keys[1, key])).sum())
            found.append(TrackPart(aligned.cameras[keys[0, key]], int(keys[1, key]), own, of_track - len(own)))
        return tuple(sorted(found, key=lambda part: -len(part.frames)))

    raw_id_of = raw_ids[np.unique(id_of, return_index=True)[1]]
    wrong = counts.copy()
    wrong[owned[real], owning[real]] = 0
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    mistakes = []
    for person, number in zip(*np.unravel_index(order, wrong.shape), strict=True):
        cost = int(wrong[person, number])
        if cost == 0:
            break
        owner, own = owner_of.get(int(number)), own_id_of.get(int(person))
        if owner is not None:
            reference = parts(owner, int(number))
        else:
            reference = parts(int(person), own) if own is not None else ()
        mistakes.append(
            IdentityMistake(
                kind="split" if owner is None else "merge",
                person=int(people[person]),
                given_id=int(raw_id_of[number]),
                own_id=int(raw_id_of[own]) if own is not None else None,
                owner=int(people[owner]) if owner is not None else None,
                boxes=cost,
                idf1_points=200.0 * cost / scored,
                parts=parts(int(person), int(number)),
                reference=reference,
            )
        )
    return mistakes


def report_run(folder: Path, truth: Path, output: Path, limit: int = 30) -> list[IdentityMistake]:
    """Write a page about the worst mistakes of a run to `output` (HTML, pictures inside) and return them.

    Raises InputError as `evaluate_run` does, RunError if the page cannot be written.
    """
    with copying_into(output.parent, "writing a report of mistakes"):
        return _report(Run.open(folder), truth, output, limit)


def _report(run: Run, truth: Path, output: Path, limit: int) -> list[IdentityMistake]:
    true_rows = load_truth(truth, [camera.name for camera in run.cameras])
    mistakes = identity_mistakes(true_rows, run_trajectories(run), limit)
    crops = {
        summary.key: [run.crop_path(crop) for crop in summary.crops]
        for summary in run.tracklet_summaries(vectors=False)
    }
    title = "Identity mistakes of"
    try:
        if output.exists() and f"<title>{title} ".encode() not in output.read_bytes()[:2000]:
            raise InputError(f"{output} is there already and no list of mistakes; give another --mistakes")
        note_copies([output])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(report_page(mistakes, crops, f"{title} {run.folder.name}"), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{output}: cannot write the list of mistakes ({error.strerror})") from error
    return mistakes


def report_page(
    mistakes: Sequence[IdentityMistake], crops: Mapping[tuple[str, int], Sequence[Path]], title: str
) -> str:
    """Return the page as HTML. crops: pictures of tracks, named `<track>_<frame index>.jpg` as in a run folder."""
    sections = "\n".join(_section(number, mistake, crops) for number, mistake in enumerate(mistakes, 1))
    total = sum(mistake.boxes for mistake in mistakes)
    summary = (
        f"{len(mistakes)} mistakes, {total} boxes, {sum(m.idf1_points for m in mistakes):.1f} points of IDF1 across "
        "cameras. A split is one person under two ids, a merge two people under one."
        if mistakes
        else "Every box that shows somebody carries that person's own id."
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1><p>{summary}</p>
{sections}
</body></html>
"""


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c1c1e;
  background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
section { border: 1px solid #d5d5da; border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.sides { display: flex; flex-wrap: wrap; gap: 2rem; } .side { flex: 1 1 20rem; }
.crops { display: flex; flex-wrap: wrap; gap: 4px; } img { height: 128px; border-radius: 3px; }
.kind { border-radius: 4px; padding: 0 .45em; color: #fff; } .split { background: #2563ae; }
.merge { background: #b3341f; }
.cost { float: right; font-variant-numeric: tabular-nums; } small { color: #5c5c63; } p { margin: .2rem 0; }
@media (prefers-color-scheme: dark) { body { color: #ececf0; background: #18191b; } section { border-color: #3a3b40; }
  small { color: #a3a3ab; } }
"""


def _section(number: int, mistake: IdentityMistake, crops: Mapping[tuple[str, int], Sequence[Path]]) -> str:
    given = "no id" if mistake.given_id == NO_ID else f"id {mistake.given_id}"
    own = "no id" if mistake.own_id in (None, NO_ID) else f"id {mistake.own_id}"
    if mistake.kind == "split":
        heading = f"person {mistake.person} has {given} here and {own} elsewhere"
        other = f"person {mistake.person} as {own}"
    else:
        heading = f"person {mistake.person} has {given}, which belongs to person {mistake.owner}"
        other = f"person {mistake.owner} as {given}"
    return f"""<section><h2>{number}. <span class="kind {mistake.kind}">{mistake.kind}</span> {heading}
<span class="cost">{mistake.boxes} boxes, {mistake.idf1_points:.2f} IDF1</span></h2><div class="sides">
{_side(f"person {mistake.person} as {given}", mistake.parts, crops)}
{_side(other, mistake.reference, crops)}
</div></section>"""


def _side(title: str, parts: Sequence[TrackPart], crops: Mapping[tuple[str, int], Sequence[Path]]) -> str:
    tracks = ", ".join(_track(part) for part in parts[:8])
    more = f" and {len(parts) - 8} more" if len(parts) > 8 else ""
    images = "".join(
        f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        for path in _pictures(parts, crops)
    )
    return f"""<div class="side"><p>{title}</p><div class="crops">{images}</div>
<small>tracks {tracks or "–"}{more}</small></div>"""


def _track(part: TrackPart) -> str:
    mixed = f", other people in {part.other_boxes} boxes" if part.other_boxes else ""
    return f"{escape(part.camera)}/{part.track_id} (frames {part.frames[0]}–{part.frames[-1]}{mixed})"


def _pictures(parts: Sequence[TrackPart], crops: Mapping[tuple[str, int], Sequence[Path]]) -> list[Path]:
    """Return up to six existing pictures that were taken in these parts, the best of each track first."""
    fitting = [
        [
            path
            for path in crops.get((part.camera, part.track_id), ())
            if int(path.stem.rpartition("_")[2]) + 1 in part.frames and path.is_file()
        ]
        for part in parts
    ]
    longest = max(map(len, fitting), default=0)
    taken = [paths[place] for place in range(longest) for paths in fitting if place < len(paths)]
    return taken[:_PICTURES]
