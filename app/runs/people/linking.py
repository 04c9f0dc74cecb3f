"""`main.py link RUN`: decide over a whole recording who is who, and write it into the run's ledger.

The linker (`app.track.linking.linker`) is a pure function; this page feeds it the tracklets and the corrections of
humans, and turns its answer into events. What a human decided stays decided. Last it has gaps filled
(`app.runs.folder.refined`). `app.pipeline.live_linking` does the same without the last step, again and again, while
live cameras run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.config import LinkSettings
from app.errors import InputError
from app.frames import Tracklet, TrackletKey
from app.reid.calibrate import Calibration
from app.runs.folder.layout import TOPOLOGY_FILE
from app.runs.folder.locks import lock_run
from app.runs.folder.refined import refine_run
from app.runs.folder.run import Run
from app.runs.folder.state import FOLLOWED, write_state
from app.runs.folder.topology_file import clocks_to_json, write_topology
from app.runs.ledger.identities import Identities
from app.runs.ledger.ledger import LINKER, Ledger
from app.track.linking.linker import LinkResult, link_tracklets
from app.track.linking.presence import Presence
from app.track.linking.splitting import Cut, cut_mixed

logger = logging.getLogger(__name__)

FIRST_PART_ID = 2**40
"""Later parts of cut tracklets are numbered from here: no track has such a number, or gets it while the run goes on."""


@dataclass(frozen=True, slots=True)
class Linking:
    """Who is who in the tracklets of a run.

    result: of the linker, aligned with `keys`.  keys: of tracklets and parts of tracklets.
    cuts: which keys are later parts of tracklets.  is_partial: there are others, whose vectors were purged.
    """

    result: LinkResult
    keys: Sequence[TrackletKey]
    cuts: Mapping[TrackletKey, Cut]
    is_partial: bool

    def write(self, ledger: Ledger, keep_others: bool = False) -> None:
        """Make it the machines' word in the ledger. keep_others: say nothing of tracklets that are not among these."""
        keep_others = keep_others or self.is_partial
        groups = dict(zip(self.keys, self.result.person_ids.tolist(), strict=True))
        places = {part: (cut.key, cut.at_s) for part, cut in self.cuts.items()}
        ledger.reassign(groups, LINKER, _evidence(self.result, self.cuts), places, keep_others)
        # A judgement is about whole tracklets: of a cut one it would be unclear which part is meant.
        cut = {cut.key for cut in self.cuts.values()} | self.cuts.keys()
        ledger.propose((p.a, p.b, p.p_same) for p in self.result.proposals if not {p.a, p.b} & cut)


def decide(run: Run, tracklets: Sequence[Tracklet], settings: LinkSettings) -> Linking:
    """Link the tracklets of a run under what humans have said so far. Changes nothing."""
    identities = run.identities()
    confirmed, rejected = identities.constraints()
    some_purged = "vectors" not in run.purged  # those of old tracklets, while live cameras are followed
    known = [tracklet for tracklet in tracklets if tracklet.vectors.size or not (tracklet.crops and some_purged)]
    parts, cuts = _cut_mixed(run, known, identities)
    held = _without_contradictions(confirmed, parts)
    result = link_tracklets(parts, run_calibration(run), settings, held, rejected)
    return Linking(result, [part.key for part in parts], cuts, len(known) < len(tracklets))


def link_run(folder: str | Path, settings: LinkSettings) -> dict[str, Any]:
    """Link the tracklets of a run, fill their gaps, and return what came out as JSON values: tracklets, people,
    people_on_several_cameras, links by what they passed, filled_boxes, and the clocks.

    A `Run` that was opened before is out of date then and says so: open it again.
    Nobody else changes the run meanwhile; humans may go on saying who is who. Raises InputError if the run is still
    being written, RunError while another process changes it.

    >>> link_run(folder, settings.link)["tracklets"]
    6
    """
    folder = Path(folder)
    Run.open(folder)  # before anything is written into a folder that holds no run
    with lock_run(folder, "linking this run"):
        return _link(Run.open(folder), settings)


def _link(run: Run, settings: LinkSettings) -> dict[str, Any]:
    folder = run.folder
    if run.state == "running":
        raise InputError(f"{folder}: this run is still being written; link it when it is finished")
    settings.refuse_unknown_cameras([camera.name for camera in run.cameras])
    tracklets = run.tracklets()
    linking = decide(run, tracklets, settings)
    result = linking.result
    state = str(run.header["state"])
    if state in FOLLOWED:  # killed from here on, it is not linked
        write_state(run, "followed")
    with run.ledger(make=True) as ledger:
        linking.write(ledger)
        identities = ledger.replay()
    if result.topology is None:
        (folder / TOPOLOGY_FILE).unlink(missing_ok=True)  # what an earlier linking learned is no part of this answer
    else:
        write_topology(folder, result.topology)
    filled = refine_run(run, tracklets, settings.max_gap_s if settings.fill_gaps else None)
    if state in FOLLOWED:
        write_state(run, "linked" if state == "followed" else state)
    cameras_of = cameras_of_people(identities)
    return {
        "tracklets": len(tracklets),
        "people": len(cameras_of),
        "people_on_several_cameras": sum(len(cameras) > 1 for cameras in cameras_of.values()),
        "links": dict(Counter(gate for link in result.links for gate in link.gates)),
        "filled_boxes": filled,
        "clocks": None if result.topology is None else clocks_to_json(result.topology),
    }


def _without_contradictions(
    pairs: Sequence[tuple[TrackletKey, TrackletKey]], tracklets: Sequence[Tracklet]
) -> list[tuple[TrackletKey, TrackletKey]]:
    """Return the confirmed pairs less those that would join who was in view of one camera at the same time.

    A human may have said that these are one person all the same (one person with two boxes). They stay together, since
    machines change nothing there; the linker, which knows that nobody is in two places, need not hear of it.
    """
    named = {key for pair in pairs for key in pair}
    presence = {tracklet.key: Presence.of(tracklet) for tracklet in tracklets if tracklet.key in named}
    group = {key: key for key in presence}
    held = []
    for first, second in pairs:
        a, b = group.get(first), group.get(second)
        if a is not None and b is not None and a != b:
            if presence[a].conflicts(presence[b]):
                logger.info("%s and %s are one person by a human's word, and in view together", first, second)
                continue
            presence[a] = presence[a].joined(presence.pop(b))
            group = {key: a if own == b else own for key, own in group.items()}
        held.append((first, second))
    return held


def cameras_of_people(identities: Identities) -> dict[int, set[str]]:
    """Return for each person the cameras that saw it."""
    return {person: {segment.camera for segment in identities.tracklets_of(person)} for person in identities.people()}


def run_calibration(run: Run) -> Calibration | None:
    """Return how the vectors of a run are read, None if it has none (any more). They are centred already."""
    stored = run.header["provenance"].get("calibration")
    if stored is None or "vectors" in run.purged:
        return None
    return Calibration(
        np.zeros(stored["dimension"], np.float32),
        np.array(stored["distances"], np.float32),
        np.array(stored["probabilities"], np.float32),
    )


def _cut_mixed(
    run: Run, tracklets: Sequence[Tracklet], identities: Identities
) -> tuple[list[Tracklet], dict[TrackletKey, Cut]]:
    """Cut tracklets that show one person first and another one later, as `cut_mixed` does.

    Those about which a human said something stay whole: what was said is about all of them.
    """
    calibration = run_calibration(run)
    settled = identities.pinned() | {key for pair in (*identities.confirmed, *identities.rejected) for key in pair}
    loose = [tracklet for tracklet in tracklets if tracklet.key not in settled]
    if calibration is None:
        return list(tracklets), {}
    taken = [run.crop_times(tracklet.camera, tracklet.crops) for tracklet in loose]
    first_ids = {camera.name: FIRST_PART_ID for camera in run.cameras}
    parts, cuts = cut_mixed(loose, taken, calibration, first_ids)
    return [*parts, *(tracklet for tracklet in tracklets if tracklet.key in settled)], cuts


def _evidence(result: LinkResult, cuts: Mapping[TrackletKey, Cut]) -> dict[TrackletKey, dict[str, Any]]:
    """Return for each tracklet that takes part in a link the evidence of its strongest one.

    cuts: parts of tracklets; what a part was linked with is named by its tracklet.
    """
    evidence: dict[TrackletKey, dict[str, Any]] = {}
    for link in sorted(result.links, key=lambda link: link.p_same):
        for own, other in ((link.a, link.b), (link.b, link.a)):
            evidence[own] = {
                "with": list(cuts[other].key if other in cuts else other),
                "p_same": link.p_same,
                "runner_up": link.runner_up,
                "gates": list(link.gates),
                "doubtful": link.doubtful,
            }
    return evidence
