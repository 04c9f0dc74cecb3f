"""A small run folder with known content, for the tests of everything that reads runs.

Cameras `left` (10 frames/s from 0 s) and `right` (5 frames/s from 0.05 s), 2 s each. On each camera track 1 is seen in
the first three quarters, track 2 in the last three quarters, track 3 in the second half but for one picture; all have
two crops. Nobody has a person yet. Coordinates are multiples of 1/4, scores of 1/16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.config import Settings
from app.footage.camera import SourceInfo
from app.frames import NO_ID, Detections, Frame, FrameResult, Tracklet, blank_image
from app.runs.folder.audit_log import begin
from app.runs.folder.crop_files import crop_place, moved_crop
from app.runs.folder.header import RUN_ID, write_header
from app.runs.folder.layout import WRITTEN_FILE
from app.runs.folder.run import Run
from app.runs.folder.writer import RunWriter
from app.system.untrusted import line_content
from app.track.tracklets import TrackletDraft


def sources(cameras: Sequence[str] = ("left", "right")) -> list[SourceInfo]:
    return [source(camera, 10.0 / (row + 1), 0.05 * row) for row, camera in enumerate(cameras)]


def write(folder: Path, cameras: Sequence[str] = ("left", "right"), part_frames: int = 5) -> Path:
    """Write a finished run and return its folder."""
    infos = sources(cameras)
    with RunWriter.create(folder, Settings(), infos, {"weights": {"detector": "00ff"}}) as writer:
        write_rest(writer, infos, part_frames)
        writer.finish("finished", {"people": 0})
    return folder


def make_earlier(folder: Path) -> Path:
    """Take from a run what runs of earlier versions lack: its id, in all files, and checksums that later ones have."""
    run = Run.open(folder)
    with run.ledger() as ledger:
        ledger.give_to("")
    begin(folder, "")
    replace(run.manifest, run="").write(folder)
    lines = [line_content(line, run.manifest.run) for line in (folder / WRITTEN_FILE).read_bytes().splitlines()]
    (folder / WRITTEN_FILE).write_bytes(b"".join((line or b"") + b"\n" for line in lines))
    for path in (folder / "crops").rglob("*.jpg"):
        place = crop_place(run.manifest.run, path.relative_to(folder).as_posix())
        path.write_bytes(moved_crop(path.read_bytes(), place, ""))
    write_header(folder, {key: value for key, value in run.header.items() if key != RUN_ID})
    return folder


def source(camera: str, fps: float = 10.0, start_time: float = 0.0) -> SourceInfo:
    return SourceInfo(camera, 320, 240, fps, int(2 * fps), start_time, False, True, f"{camera}.mp4", None, ())


def result(info: SourceInfo, index: int, first_track_id: int = 1) -> FrameResult:
    """Return what is seen in one frame; the last row is a detection without a track."""
    count = info.frame_count or 0
    share = index / count
    visible = [share < 0.75, share >= 0.25, share >= 0.5 and index != count - 3]
    tracks = [track for track, seen in enumerate(visible, 1) if seen]
    boxes = [[40 * t + index, 20 + index / 4, 40 * t + index + 30.5, 100 + 10 * t] for t in (*tracks, 4)]
    detections = Detections(np.array(boxes, np.float32), np.array([t / 16 for t in (*tracks, 4)], np.float32))
    frame = Frame(info.camera, index, info.start_time + index / info.fps, blank_image(info.height, info.width))
    ids = np.array([*(track + first_track_id - 1 for track in tracks), NO_ID], np.int64)
    return FrameResult(frame, detections, ids, np.full(len(ids), NO_ID, np.int64))


def draft(camera: str, results: Sequence[FrameResult], track_id: int) -> TrackletDraft | None:
    """Return the tracklet of a track over these results, with its first and its last picture as crops."""
    rows = [(r.frame, r.detections[r.track_ids == track_id]) for r in results if track_id in r.track_ids]
    if not rows:
        return None
    shown = [rows[0][0].index, rows[-1][0].index] if len(rows) > 1 else [rows[0][0].index]
    vectors = np.random.default_rng([track_id, *camera.encode(), *shown]).normal(size=(len(shown), 8))
    tracklet = Tracklet(
        camera,
        track_id,
        np.array([frame.time for frame, _ in rows]),
        np.concatenate([found.boxes for _, found in rows]),
        np.concatenate([found.scores for _, found in rows]),
        tuple(f"crops/{camera}/{track_id}_{index}.jpg" for index in shown),
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        np.linspace(0.9, 0.5, len(shown), dtype=np.float32),
    )
    return TrackletDraft(
        tracklet, tuple(np.full((16, 8, 3), 10 * (track_id % 20) + i, np.uint8) for i in range(len(shown)))
    )


def write_rest(writer: RunWriter, infos: Sequence[SourceInfo], part_frames: int) -> None:
    """Write what is left of the run, camera after camera within each part; the caller finishes it."""
    first = dict(writer.next_track_id)
    seen: dict[str, list[FrameResult]] = {info.camera: [] for info in infos}
    for start in range(0, max(info.frame_count or 0 for info in infos), part_frames):
        drafts = []
        for info in infos:
            end = min(start + part_frames, info.frame_count or 0)
            for index in range(max(start, writer.next_frame_index[info.camera]), end):
                seen[info.camera].append(result(info, index, first[info.camera]))
                writer.write(seen[info.camera][-1])
            drafts += [draft(info.camera, seen[info.camera], first[info.camera] + track) for track in range(3)]
        writer.commit([d for d in drafts if d is not None])
