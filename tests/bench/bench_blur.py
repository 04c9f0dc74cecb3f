"""How much of people is hidden: share of their pixels that a blurred video blurs, on rendered scenes with exact truth.

    python tests/bench/bench_blur.py [--seeds 1 2 3] [--seconds 20] [--set detect.weights=…] [--keep DIR]

The simulator says of every pixel whose it is. Counted are all visible pixels of all people in all frames: half in the
picture, far away, behind others. Each scene is followed and linked with everything bundled (no ReID) and the settings
as they are, then three things are measured: the share of people's pixels that `render --blur-everybody` blurs, the same
with `render.blur_moving`, and the share that would be covered if everybody were erased. `blurred` is the share
of all pixels that is blurred: everything could be blurred at a recall of 100 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import Settings, SimulateSettings, load_settings
from app.footage.video_writer import VideoWriter
from app.pipeline.job import Job
from app.pipeline.stages import track
from app.runs.folder.covered import covered_by
from app.runs.folder.run import Run
from app.runs.render.again import reopen
from app.runs.render.blur import NOWHERE, Movement, Whereabouts
from app.runs.render.draw import grown_for_blur
from app.simulate.scene import Scene

FPS = 12.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    parser.add_argument("--keep", type=Path, help="keep scenes and runs here, and use those that are there")
    options = parser.parse_args()
    settings = load_settings(assignments=["reid.weights=none", *options.overrides])
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            scene = SimulateSettings(
                seed=seed,
                seconds=options.seconds,
                people=options.people,
                fps=FPS,
                mean_away_s=3.0,
                overlap=seed % 2 == 0,
            )
            folder = (options.keep or Path(scratch)) / f"seed{seed}"
            found = measure(folder, scene, settings)
            total.update(found)
            say(f"seed {seed}", found)
    say("all", total)


def say(name: str, found: Counter[str]) -> None:
    shares = {
        "recall": found["hidden"] / found["people"],
        "recall of the recorded boxes alone": found["boxed"] / found["people"],
        "recall, moving too": found["hidden_moving"] / found["people"],
        "blurred": found["blurred"] / found["pixels"],
        "blurred, moving too": found["blurred_moving"] / found["pixels"],
        "covered if everybody were erased": found["covered"] / found["people"],
        "frames with movement outside": found["frames_outside"] / found["frames"],
        "frames with somebody unhidden (20 px)": found["frames_leaking"] / found["frames"],
        "of those with movement outside": found["frames_leaking_seen"] / max(found["frames_leaking"], 1),
    }
    percent = {what: round(100 * share, 2) for what, share in shares.items()}
    sys.stdout.write(json.dumps({"scene": name} | percent) + "\n")
    sys.stdout.flush()


def measure(folder: Path, scene_settings: SimulateSettings, settings: Settings) -> Counter[str]:
    """Return counts of pixels and frames of one scene."""
    owners = render_scene(folder, scene_settings)
    if not (folder / "run" / "run.json").is_file():
        videos = tuple(str(path) for path in sorted(folder.glob("*.mp4")))
        track(Job(videos, (), settings), folder / "run")
    run = Run.open(folder / "run")
    identities = run.identities()
    found: Counter[str] = Counter()
    for source in reopen(run):
        camera = source.info.camera
        places, movement = Whereabouts(run, identities, camera), Movement()
        rows = [run.observations(camera), run.refined(camera)]
        owner = [identities.person_of(camera, own.track_ids, own.times) for own in rows]
        erased = [
            covered_by([own[who == person] for own, who in zip(rows, owner, strict=True)])
            for person in np.unique(np.concatenate(owner)).tolist()
        ]
        for frame in source:
            truth = np.unpackbits(owners[camera][frame.index], axis=1)[:, : frame.width].astype(bool)
            grown = grown_for_blur(places.at(frame.index, frame.time)[0], frame.width, frame.height)
            moving = movement.step(frame.image, frame.time, grown)
            mask = mask_of(grown, truth.shape)
            own = rows[0].boxes[rows[0].frames == frame.index]
            boxed = mask_of(grown_for_blur(own, frame.width, frame.height), truth.shape)
            both = mask | mask_of(grown_for_blur(moving.boxes, frame.width, frame.height), truth.shape)
            grey = mask_of(np.concatenate([NOWHERE, *(one.boxes_at(frame.time) for one in erased)]), truth.shape)
            leaks = np.count_nonzero(truth & ~mask) >= 20
            found.update(
                people=np.count_nonzero(truth),
                boxed=np.count_nonzero(truth & boxed),
                hidden=np.count_nonzero(truth & mask),
                hidden_moving=np.count_nonzero(truth & both),
                covered=np.count_nonzero(truth & grey),
                pixels=truth.size,
                blurred=np.count_nonzero(mask),
                blurred_moving=np.count_nonzero(both),
                frames=1,
                frames_outside=int(len(moving.outside) > 0),
                frames_leaking=int(leaks),
                frames_leaking_seen=int(leaks and len(moving.outside) > 0),
            )
    return found


def mask_of(boxes: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    for left, top, right, bottom in np.maximum(boxes, 0).astype(int).tolist():
        mask[top:bottom, left:right] = True
    return mask


def render_scene(folder: Path, settings: SimulateSettings) -> dict[str, NDArray[Any]]:
    """Render a scene into `folder` and return for each camera (F, H, W / 8) uint8: bits, where people are."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = folder / "truth.npz"
    if not truth.exists():
        scene = Scene(settings)
        cameras = {camera.name: number for number, camera in enumerate(scene.cameras)}
        writers = {c.name: VideoWriter(folder / f"{c.name}.mp4", c.width, c.height, c.fps) for c in scene.cameras}
        bits: dict[str, list[NDArray[Any]]] = {camera: [] for camera in cameras}
        for view in scene.views(settings.seconds):
            name = view.camera.name
            writers[name].write(view.image, view.index / view.camera.fps)
            bits[name].append(np.packbits(scene._studios[cameras[name]].owner >= 0, axis=1))
        for writer in writers.values():
            writer.close()
        np.savez_compressed(truth, **{camera: np.stack(rows) for camera, rows in bits.items()})
    return dict(np.load(truth))


if __name__ == "__main__":
    main()
