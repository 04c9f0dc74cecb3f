"""What is looked after between two ticks: what each live camera is doing, and whether the disk has room."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.config import RunSettings
from app.footage.camera import CameraState, LiveSource, Source, StateChange
from app.footage.clock import format_time
from app.footage.live import arrival_time
from app.runs.folder.camera_states import StateLog
from app.runs.folder.writer import RunWriter
from app.runs.render.videos import AnnotatedVideos
from app.system.free_space import FreeSpace

logger = logging.getLogger(__name__)


class Housekeeping:
    """Keeps `camera_states.jsonl`, `run.json` and the log up to date, and leaves out what the disk has no room for.

    videos: what draws live cameras, if anything does.
    """

    def __init__(
        self, sources: Sequence[Source], writer: RunWriter, settings: RunSettings, videos: AnnotatedVideos | None
    ) -> None:
        self._sources = [source for source in sources if source.info.live and isinstance(source, LiveSource)]
        self._writer = writer
        self._videos = videos
        self._space = FreeSpace(writer.folder, settings.keep_free_gb)
        self._unseen = {source.info.camera for source in self._sources if not source.info.width}
        self._shown_left_out = 0
        self._log: StateLog | None = None
        if self._sources:
            cameras = [source.info.camera for source in self._sources]
            self._log = StateLog(writer.folder, cameras, arrival_time(), writer.last_frame_s())
            self._show()

    @property
    def states(self) -> dict[str, CameraState]:
        """What each live camera is doing; nothing for recordings."""
        return {} if self._log is None else {name: change.state for name, change in self._log.latest.items()}

    @property
    def note(self) -> str:
        """What is left out for want of room, in words."""
        return self._space.note

    def look(self) -> None:
        """Take note of whatever has changed since the last call."""
        if self._space.look():
            self._writer.crops.keep = self._space.crops
            if self._videos is not None:
                self._videos.paused = not self._space.video
            self._show()
        elif not self._shown_left_out and self._writer.left_out_count:  # so that a crash leaves it on record
            self._show()
        if self._log is None:
            return
        for source in self._sources:
            if source.info.camera in self._unseen and source.info.width:
                self._unseen.discard(source.info.camera)
                self._writer.know_camera(source.info)
        changes = [change for source in self._sources for change in source.changes()]
        if changes:
            before = dict(self._log.latest)
            self._log.note(changes)
            for change in changes:
                _say(before[change.camera], change)
                before[change.camera] = change
            self._show()

    def stop(self) -> dict[str, CameraState]:
        """Note that nobody looks any more, and return what each camera was doing last."""
        self.look()
        states = self.states
        if self._log is not None:
            self._log.stop(arrival_time())
        return states

    def _show(self) -> None:
        """Write into `run.json` what is going on."""
        self._shown_left_out = self._writer.left_out_count
        values: dict[str, Any] = {"left_out": {"crops": self._shown_left_out, "now": self._space.note}}
        if self._log is not None:
            values["camera_states"] = {name: asdict(change) for name, change in self._log.latest.items()}
        self._writer.show(values)


def _say(before: StateChange, change: StateChange) -> None:
    """Tell the user what has become of a camera."""
    if change.state != "live":
        why = f": {change.why}" if change.why else ""
        since = format_time(change.since_s)
        logger.warning("%s is %s since %s%s; it is blind until it is back", change.camera, change.state, since, why)
    elif before.state != "connecting" or before.why:
        logger.warning("%s is live again after %.0f s", change.camera, change.since_s - before.since_s)
