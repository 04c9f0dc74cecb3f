"""Detections made from the truth, with the faults of a real detector: for runs and tests that need no network.

What is drawn for a picture depends on the scene's seed, the camera and the picture's number only.
"""

from __future__ import annotations

import numpy as np

from app.boxes import clip
from app.config import SimulateSettings
from app.frames import Detections
from app.simulate.scene import View


def noisy_detections(view: View, settings: SimulateSettings) -> Detections:
    """Return boxes and scores for the people of a picture: hidden ones are missed, all jitter, some show nobody."""
    camera = view.camera
    rng = np.random.default_rng([settings.seed, 41, camera.seed, view.index])
    count = len(view.person_ids)
    sizes = view.boxes[:, 2:] - view.boxes[:, :2]
    clarity = np.clip(sizes[:, 1] / 60, 0.3, 1)
    found_share = 0.985 / (1 + np.exp(-(view.visibility - 0.27) * 16)) * np.clip(sizes[:, 1] / 24, 0, 1)
    found = rng.random(count) < found_share
    jitter = rng.normal(0, settings.box_jitter, (count, 4)).astype(np.float32)
    boxes = view.boxes + jitter * np.concatenate([sizes, sizes], axis=1)
    expected = 0.35 + 0.55 * np.clip(view.visibility, 0, 1) * clarity
    scores = np.clip(rng.normal(expected, 0.07), 0.1, 0.97).astype(np.float32)
    alarms = int(rng.poisson(settings.false_alarms_per_frame))
    height = rng.uniform(0.1, 0.45, alarms) * camera.height
    width = height * rng.uniform(0.3, 0.55, alarms)
    left = rng.uniform(0, 1, alarms) * (camera.width - width)
    top = rng.uniform(0.1, 1, alarms) * (camera.height - height)
    false = np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)
    false_scores = np.clip(rng.beta(1.6, 4.5, alarms), 0.1, 0.9).astype(np.float32)
    all_boxes = clip(np.concatenate([boxes[found], false]).astype(np.float32), camera.width, camera.height)
    all_scores = np.concatenate([scores[found], false_scores])
    valid = np.flatnonzero((all_boxes[:, 2:] - all_boxes[:, :2]).min(axis=1, initial=np.inf) >= 2)
    return Detections(all_boxes, all_scores)[valid]
