"""The figures of a finished run."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from app.pipeline.job import Outcome
from app.runs.folder.camera_states import blind_seconds, blind_times

if TYPE_CHECKING:
    from app.runs.folder.run import Run


def summarize(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Return the figures of a finished run as JSON values."""
    from app.runs.people.linking import cameras_of_people

    cameras_of = cameras_of_people(run.identities())
    blind = blind_times(run.folder)
    cameras = {
        camera.name: {
            "frames": len(run.frames(camera.name)[0]),
            "tracks": len({int(track_id) for track_id in run.column(camera.name, "track_id")}),
            "people": sum(camera.name in cameras for cameras in cameras_of.values()),
            "problem": outcome.problems.get(camera.name, ""),
            "state": outcome.states.get(camera.name, ""),
            "blind_s": round(blind_seconds(blind, camera.name, -math.inf, math.inf), 3),
        }
        for camera in run.cameras
    }
    return {
        **asdict(outcome),
        "run": str(run.folder),
        "state": run.state,
        "cameras": cameras,
        "people": len(cameras_of),
        "people_on_several_cameras": sum(len(cameras) > 1 for cameras in cameras_of.values()),
        "frames_per_s": outcome.frames / outcome.wall_s if outcome.wall_s > 0 else 0.0,
    }
