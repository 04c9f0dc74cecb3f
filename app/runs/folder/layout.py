"""LAYOUT"""

from __future__ import annotations

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

Kind = Literal["observations", "untracked", "refined", "frames", "tracklets"]
KINDS: tuple[Kind, ...] = get_args(Kind)

STATES_FILE = "camera_states.jsonl"

INDEX_FILE = "index/tracklets.parquet"

TOPOLOGY_FILE = "topology.json"

COVERED_FILE = "covered.parquet"

COUNTERS_FILE = "counters.json"

AUDIT_FILE = "audit.sqlite"

WRITTEN_FILE = "written.jsonl"
RENDERED = ("video", "export")
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
