"""LAYOUT"""

from __future__ import annotations

VIDEO_FOLDER = "video"

PICTURE_FILE = f"{VIDEO_FOLDER}/live.jpg"
PROGRESS_FILE = f"{VIDEO_FOLDER}/progress.json"
