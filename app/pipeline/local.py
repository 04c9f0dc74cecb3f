"""Stage 1 for many cameras: decode, detect, embed, follow, and write it all into a run folder.

`follow` does it in this process, with all cameras in step and people recognised across them online.
`app.pipeline.on_ray.follow_on_ray` gives each camera to a task of its own on any machine of a cluster; people are then
recognised across cameras afterwards, by linking. Both leave the same run folder behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import Settings
from app.footage.addresses import redact
from app.footage.camera import LiveSource, Source, SourceInfo
from app.footage.ticks import ticks
from app.pipeline.job import Job, Outcome, open_job, refuse_used_folder
from app.runs.folder.progress import Progress, Report
from app.system.interrupts import at_stake, interruptions

if TYPE_CHECKING:
    from app.detect import Detector
    from app.detect.gate import GatedDetector
    from app.pipeline.step import Pipeline, Sink, Stopwatch
    from app.reid import Embedder
    from app.runs.folder.state import State
    from app.runs.folder.writer import RunWriter
    from app.runs.ledger.ledger import Ledger
    from app.runs.render.videos import AnnotatedVideos
    from app.track.gallery import PersonGallery


def follow(job: Job, folder: Path, report: Report) -> Outcome:
    """Run stage 1 in this process. Ctrl-C ends it early: what was processed is kept and can be resumed. Live cameras
    are followed until then, whatever becomes of them, unless `sources.reconnect_s` gives them up.

    Raises InputError before anything heavy is loaded or written, RunError or whatever broke while running; the rows up
    to there are in the run folder in either case.
    """
    sources = open_job(job)
    refuse_used_folder(folder, job.resume)
    if job.resume:
        _keep_recorded_sizes(sources, folder)
    infos = [source.info for source in sources]
    # What is slow to import comes after everything that can be refused at once.
    from app.detect import build_detector
    from app.detect.gate import counts_together
    from app.pipeline.housekeeping import Housekeeping
    from app.pipeline.sight import SightWatch, blind_spots, together
    from app.pipeline.step import Stopwatch, detect_ahead
    from app.runs.folder.run import Run
    from app.runs.people.known import known_people
    from app.runs.render.preview import Preview
    from app.runs.render.videos import open_videos
    from app.track.gallery import PersonGallery

    # The networks, and who is known from earlier runs.
    detector = build_detector(job.settings.detect, infos)
    gated = _gated(detector, job.settings, infos)
    embedder = None
    if job.settings.reid.weights != "none" and any(info.has_pixels for info in infos):
        from app.reid.embedder import build_embedder  # torch: several seconds that motion alone does without

        embedder = build_embedder(job.settings.reid)
    known = known_people(job.settings.gallery, embedder.weights_sha256 if embedder else None)
    live = all(info.live for info in infos)
    stopwatch = Stopwatch()
    lengths = [info.frame_count for info in infos]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    frames = 0
    state: State = "failed"
    provenance = {**describe_models(detector, embedder), "job": describe_job(job)}
    with (
        interruptions() as interrupted,
        _begin(job, folder, infos, provenance) as writer,
        ExitStack() as stack,
    ):
        stack.callback(at_stake.clear)  # the last thing, when everything that was opened is closed
        first_indices = dict(writer.next_frame_index)
        before = sum(first_indices.values())
        watch = SightWatch(job.settings.detect.image_size_px)
        # Who gets the results: the run folder, what is drawn at once, the preview.
        sinks: list[Sink] = [writer, watch]
        recorded = Run.open(folder).summary if job.resume else {}
        seen_before, before_looked = recorded.get("sight", {}), recorded.get("looked", {})
        videos = None
        if live and job.settings.run.save_video:  # a stream cannot be read again, so it is drawn as it comes
            height_px = job.settings.run.video_height_px
            videos = stack.enter_context(open_videos(infos, folder, job.settings.render, height_px))
            sinks.append(videos)
        preview = stack.enter_context(Preview(folder, infos, job.settings.render)) if job.preview else None
        if preview is not None:
            sinks.append(preview)
        # Who is who, and what follows everybody.
        ledger = stack.enter_context(Run.open(folder).ledger())
        ledger.reserve_people(known.next_person_id)
        gallery = PersonGallery(job.settings.gallery, embedder.calibration if embedder else None)
        gallery.know({person: one.appearance for person, one in known.people.items()}, known.next_person_id)
        pipeline = _build_pipeline(job.settings, infos, embedder, writer, gallery, sinks, stopwatch)
        linking = None
        if live and job.settings.link.enabled and job.settings.link.every_s:
            from app.pipeline.live_linking import LiveLinking

            linking = stack.enter_context(LiveLinking(folder, job.settings.link))
        keeper = Housekeeping(sources, writer, job.settings.run, videos)
        erasures = _Erasures(ledger, writer, pipeline, videos)
        # Tick after tick, with a commit whenever a part is due.
        all_ticks = ticks(sources, first_indices, job.settings.sources.queue_frames)
        start = time.perf_counter()
        if live:
            at_stake.set()
        try:
            with closing(detect_ahead(all_ticks, gated or detector, stopwatch, interrupted)) as detected:
                for tick, detections in detected:
                    if tick:
                        pipeline.step(tick, detections)
                    frames += len(tick)
                    keeper.look()
                    if writer.part_is_due or (linking is not None and linking.wants_commit):
                        _commit(writer, ledger, pipeline, erasures)
                        if linking is not None:
                            linking.after_commit(ledger)
                        if live or erasures.changed:
                            pipeline.adopt(ledger.hand_to_gallery())
                    elif live and writer.flush_is_due:
                        _commit(writer, ledger, pipeline, erasures, flush=True)
                        if erasures.changed:
                            pipeline.adopt(ledger.hand_to_gallery())
                    seconds = time.perf_counter() - start
                    progress = Progress(
                        before + frames, total, seconds, pipeline.people, len(infos), keeper.states, keeper.note
                    )
                    report(progress)
                    if preview is not None:
                        preview.report(progress)
            state = "cancelled" if interrupted.is_set() and not live else "followed"  # Ctrl-C is how a stream ends
        finally:
            # Even a failure keeps what was processed: the run can be read, and resumed from here.
            at_stake.set()
            _commit(writer, ledger, pipeline, erasures, is_last=True)
            states = keeper.stop()
            sight = together(seen_before, watch.seen())
            looked = counts_together(before_looked, gated.counts if gated else {})
            outcome = Outcome(
                detector=detector.name,
                reid=embedder.name if embedder else "none (motion only)",
                frames=frames,
                wall_s=time.perf_counter() - start,
                seconds=stopwatch.seconds,
                problems=_problems(sources),
                stopped=state == "cancelled",
                live=live,
                states=states,
                sight=sight,
                blind_spots=blind_spots(sight, job.settings.detect, job.settings.track),
                looked=looked,
            )
            writer.finish(state, asdict(outcome))
    return outcome


def _gated(detector: Detector, settings: Settings, infos: Sequence[SourceInfo]) -> GatedDetector | None:
    """Return the detector behind its motion gates, if it looks at pictures and the settings want them."""
    from app.detect import FILE_PREFIX
    from app.detect.gate import GatedDetector

    looks = any(info.has_pixels for info in infos) and not settings.detect.weights.startswith(FILE_PREFIX)
    if not settings.detect.gate or not looks:
        return None
    return GatedDetector(
        detector, settings.detect.gate_every_s, settings.detect.gate_hold_s, settings.track.walking_score
    )


def _begin(job: Job, folder: Path, infos: Sequence[SourceInfo], provenance: Mapping[str, Any]) -> RunWriter:
    from app.runs.folder.writer import RunWriter

    if job.resume:
        return RunWriter.resume(folder, job.settings, infos, provenance)
    return RunWriter.create(folder, job.settings, infos, provenance, job.chunk.number, job.chunk.first_index)


def _keep_recorded_sizes(sources: Sequence[Source], folder: Path) -> None:
    """Let live cameras that send pictures of another size now go on with that of the run."""
    from app.runs.folder.run import Run

    recorded = {camera.name: camera for camera in Run.open(folder).cameras}
    for source in sources:
        camera = recorded.get(source.info.camera)
        if isinstance(source, LiveSource) and source.info.live and camera is not None and camera.width:
            source.keep_size(camera.width, camera.height)


def _problems(sources: Sequence[Source]) -> dict[str, str]:
    """Return by camera what the user should know of how its pictures were read."""
    problems = {}
    for source in sources:
        dropped = f"{source.dropped} frames came too fast and were left out" if source.dropped else ""
        text = "; ".join(part for part in (source.problem, dropped) if part)
        if text:
            problems[source.info.camera] = text
    return problems


def describe_models(detector: Detector, embedder: Embedder | None) -> dict[str, Any]:
    """Return what `run.json` keeps of the networks: names, sha256 of the weights, how to read the vectors."""
    described: dict[str, Any] = {
        "detector": detector.name,
        "reid": embedder.name if embedder else None,
        "weights": {"detector": detector.weights_sha256, "reid": embedder.weights_sha256 if embedder else ""},
        "calibration": None,
    }
    if embedder is not None:
        described["calibration"] = {
            "dimension": embedder.dimension,
            "distances": embedder.calibration.distances.tolist(),
            "probabilities": embedder.calibration.probabilities.tolist(),
        }
    return described


def describe_job(job: Job) -> dict[str, Any]:
    """Return what `run.json` keeps of a job, besides its settings, so that it can be resumed without its options."""
    return {
        "sources": [str(Path(source).resolve()) if Path(source).exists() else source for source in job.sources],
        "names": list(job.names),
        "engine": "ray" if job.cameras else "local",
        "has_secrets": any(redact(source) != source for source in job.sources),
    }


def _build_pipeline(
    settings: Settings,
    infos: Sequence[SourceInfo],
    embedder: Embedder | None,
    writer: RunWriter,
    gallery: PersonGallery,
    sinks: Sequence[Sink],
    stopwatch: Stopwatch,
) -> Pipeline:
    from app.footage.camera_motion import build_camera_motion
    from app.pipeline.step import Lane, Pipeline
    from app.track.tracker import CameraTracker
    from app.track.tracklets import TrackletBuilder

    calibration = embedder.calibration if embedder else None
    dimension = embedder.dimension if embedder else 0
    # A tracklet must stay open for as long as its track can come back; one second more for slow frame rates.
    memory_s = max(settings.track.max_lost_s, settings.track.max_recovery_s) + 1.0
    lanes = {
        info.camera: Lane(
            tracker=CameraTracker(
                settings.track, info.camera, calibration, dimension, writer.next_track_id[info.camera]
            ),
            motion=build_camera_motion(info, settings.sources),
            tracklets=TrackletBuilder(info.camera, settings.run.crops_per_tracklet, memory_s),
        )
        for info in infos
    }
    if any(writer.next_frame_index.values()):
        _seed_gallery(gallery, writer.folder)
    return Pipeline(lanes, embedder, gallery, sinks, stopwatch)


def _seed_gallery(gallery: PersonGallery, folder: Path) -> None:
    """Let the gallery of a resumed run know the people of its first part."""
    from app.runs.folder.run import Run

    run = Run.open(folder)
    tracklets = run.tracklets()
    identities = run.identities()
    persons = [identities.person_at(*tracklet.key, tracklet.end_time) for tracklet in tracklets]
    gallery.seed_people(persons, tracklets, identities.next_person_id)


class _Erasures:
    """Lets what was collected of erased people go, before it gets into the run.

    changed: whether there were new erasures at the last commit.
    """

    def __init__(self, ledger: Ledger, writer: RunWriter, pipeline: Pipeline, videos: AnnotatedVideos | None) -> None:
        self._ledger, self._writer, self._pipeline, self._videos = ledger, writer, pipeline, videos
        self._known = len(ledger.erased())
        self.changed = False

    def take_part(self) -> None:
        """Drop what was erased since the last time. To be called while nobody else changes the run."""
        new = self._ledger.erased()[self._known :]
        self._known += len(new)
        self.changed = bool(new)
        if new:
            self._pipeline.forget(new)
            self._writer.forget(new)
            if self._videos is not None:
                self._videos.start_again()


def _commit(
    writer: RunWriter,
    ledger: Ledger,
    pipeline: Pipeline,
    erasures: _Erasures,
    flush: bool = False,
    is_last: bool = False,
) -> None:
    """Make everything so far durable: rows and tracklets first, then the decisions about them."""
    with pipeline.stopwatch.measure("write"), writer.changing():
        erasures.take_part()
        writer.add_tracklets(pipeline.close() if is_last else pipeline.finished_tracklets())
        write = writer.flush if flush else writer.commit
        write([] if is_last else pipeline.open_tracklets())
        ledger.append_decisions(pipeline.decisions())
