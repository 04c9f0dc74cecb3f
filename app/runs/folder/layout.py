"""What a run folder may hold: the names of its files, and who writes, erases and purges each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

VIDEO_FOLDER = "video"

PICTURE_FILE = f"{VIDEO_FOLDER}/live.jpg"
PROGRESS_FILE = f"{VIDEO_FOLDER}/progress.json"

FORMAT_VERSION = 1
LEDGER_FILE = "identities.sqlite"

RUN_FILE = "run.json"

MANIFEST_FILE = "manifest.jsonl"
EARLIER_MANIFEST_FILE = "manifest.json"
FLUSHED_FILE = "flushed.json"

PartKind = Literal["observations", "untracked", "refined", "frames", "tracklets"]
PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)

STATES_FILE = "camera_states.jsonl"

INDEX_FILE = "index/tracklets.parquet"

TOPOLOGY_FILE = "topology.json"

COVERED_FILE = "covered.parquet"

COUNTERS_FILE = "counters.json"

AUDIT_FILE = "audit.sqlite"

WRITTEN_FILE = "written.jsonl"
EXPORT_FOLDER = "export"
RENDERED = (VIDEO_FOLDER, EXPORT_FOLDER)
"""Folders of a run in which everything is made from its rows, and can be made again."""

PUT_AWAY = ".purged"
"""Where files wait for their deletion, so that they are gone in one step each."""

LOCK_FILE = ".lock"
FOLLOW_FILE = ".following"
COPY_FILE = ".copying"
LIST_FILE = ".written.lock"

CAMERAS_FOLDER = ".cameras"


def crop_frame(reference: str) -> int:
    """Return the index of the frame that a crop was cut from; its reference ends in `<track id>_<frame index>.jpg`."""
    return int(Path(reference).stem.rsplit("_", 1)[1])


Erasing = Literal["stays", "cut", "deleted", "notes"]
"""What erasing a person does: `stays` as it is, for it says nothing of a person; `cut` to what is other people's;
`deleted`, since what shows the person cannot be cut out of it; `notes` what is gone, or where people are covered."""

DataKind = Literal["video", "crops", "vectors", "observations"]
"""The kinds of data that have a term of their own, see `app.runs.privacy.purge`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Files that a run folder may hold under one name.

    pattern: their paths in the run folder; * stands for what has no / in it, ** for anything.
    holds: what they are.  writer: the module that writes them.
    erase: what happens to them when a person is erased.  purge: with the terms of which kinds of data they are deleted,
    or lose what they hold of it.
    """

    pattern: str
    holds: str
    writer: str
    erase: Erasing = "stays"
    purge: tuple[DataKind, ...] = ()

    def matches(self, path: str) -> bool:
        """Return whether this is the place of a file; path: within the run folder, with / between its parts."""
        parts = re.split(r"(\*\*|\*)", self.pattern)
        signs = {"**": ".*", "*": "[^/]*"}
        return re.fullmatch("".join(signs.get(part, re.escape(part)) for part in parts), path) is not None


LAYOUT = (
    Place(RUN_FILE, "settings, versions, sha256 of weights and inputs, state, times, summary", "runs.folder.header"),
    Place(
        MANIFEST_FILE, "the finished part files; one that is not listed does not count", "runs.folder.manifest", "notes"
    ),
    Place(EARLIER_MANIFEST_FILE, "the same, in runs of earlier versions", "runs.folder.manifest", "notes"),
    Place(FLUSHED_FILE, "the part files that are good until the next commit", "runs.folder.manifest", "notes"),
    Place(
        WRITTEN_FILE,
        "every other file that the program wrote: only those are ever deleted",
        "runs.folder.written",
        "notes",
    ),
    Place("observations/*/*.parquet", "a row for each tracked box", "runs.folder.writer", "cut", ("observations",)),
    Place("untracked/*/*.parquet", "a row for each box of no track", "runs.folder.writer", "cut", ("observations",)),
    Place(
        "refined/*/*.parquet",
        "observations with gaps filled, smoothed",
        "runs.folder.refined",
        "cut",
        ("observations",),
    ),
    Place("frames/*/*.parquet", "a row for each frame, also when nobody was in it", "runs.folder.writer"),
    Place(
        "tracklets/*/*.parquet",
        "a row for each tracklet: crop references, vectors, qualities",
        "runs.folder.writer",
        "cut",
        ("vectors", "observations"),
    ),
    Place("crops/*/*.jpg", "the kept pictures of people", "runs.folder.writer", "cut", ("crops", "observations")),
    Place(INDEX_FILE, "all tracklets without vectors", "runs.folder.tracklet_index", "cut", ("observations",)),
    Place(
        LEDGER_FILE, "who is who: the events of humans and machines", "runs.ledger.ledger", "notes", ("observations",)
    ),
    Place(f"{LEDGER_FILE}-*", "what SQLite keeps beside it while it is open", "runs.ledger.ledger", "notes"),
    Place(COVERED_FILE, "where erased people are covered", "runs.folder.covered", "notes"),
    Place(TOPOLOGY_FILE, "clocks, zones, ways and floors of the cameras", "runs.folder.topology_file"),
    Place(COUNTERS_FILE, "zones and lines in which people are counted", "runs.places.counters"),
    Place(STATES_FILE, "when each live camera saw, when it was blind, and why", "runs.folder.camera_states"),
    Place(AUDIT_FILE, "who looked, searched, exported, purged", "runs.folder.audit_log"),
    Place(f"{AUDIT_FILE}-*", "what SQLite keeps beside it while it is open", "runs.folder.audit_log"),
    Place(f"{VIDEO_FOLDER}/**", "videos, sheet of people, preview", "runs.render.videos", "deleted", ("video",)),
    Place(
        "export/**", "what was exported into the run, and blurred videos", "runs.export.write", "deleted", ("video",)
    ),
    Place(f"{PUT_AWAY}/**", "what waits for its deletion", "runs.folder.written", "deleted"),
    Place(f"{CAMERAS_FOLDER}/**", "a run for each camera, while Ray follows them", "pipeline.on_ray"),
    Place(LOCK_FILE, "held while files are changed", "runs.folder.locks"),
    Place(FOLLOW_FILE, "held while cameras are followed", "runs.folder.locks"),
    Place(COPY_FILE, "held while data is copied out of the run, or taken away", "runs.folder.locks"),
    Place(f".{COUNTERS_FILE}.lock", "held while zones and lines are changed", "runs.folder.locks"),
    Place(LIST_FILE, "held while the list of written files is changed", "runs.folder.locks"),
)
"""All that a run folder may hold. While a file is written its name ends in .tmp, .part or .partial. Whatever else lies
there is the user's, and nothing deletes it."""
