"""The settings of a job: reading, finding, following and recognising people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.config.section import Section
from app.errors import InputError


class SourceSettings(Section):
    """How pictures are read."""

    queue_frames: int = Field(16, ge=1, le=1024, description="Pictures decoded ahead of inference, for each camera.")
    image_fps: float = Field(
        10.0, gt=0.0, le=1000.0, description="Frame rate of a folder of images, which does not say so itself, 1/s."
    )
    clock: Literal["auto", "zero", "metadata"] = Field(
        "auto",
        description="When recordings start: zero is all together at 0; metadata is the wall-clock time in their camera "
        "list, names or metadata (seconds since 1970, UTC); auto is metadata where it is plausible for all, else zero.",
    )
    name_pattern: str = Field(
        "",
        description="How a start time is written in file names, in strftime codes such as cam_%Y%m%d-%H%M%S; empty is "
        "the usual ways, such as 2024-05-01_13-00-00.",
    )
    stream_timeout_s: float = Field(
        10.0, ge=1.0, le=120.0, description="Longest wait for a picture of a stream before connecting again, seconds."
    )
    reconnect_s: float | None = Field(
        None,
        ge=0.0,
        le=1e9,
        description="How long a lost stream or camera is tried again before it is given up, seconds; default: never.",
    )
    frozen_after_s: float = Field(
        30.0,
        ge=0.0,
        le=3600.0,
        description="A live camera that sends one and the same picture for so long is frozen, which is as good as "
        "lost, seconds. Longer than encoders go without a key picture, which renews all; 0: never.",
    )
    frozen_changed_percent: float = Field(
        6.0,
        ge=0.0,
        le=25.0,
        description="What may change of a frozen picture: a clock written into its top or bottom sixth, percent.",
    )
    camera_motion: Literal["auto", "always", "none"] = Field(
        "auto",
        description="Compensation of camera motion: auto is gmc.txt where there is one, else optical flow that "
        "switches itself off for static cameras; always keeps the flow on; none is for cameras that stand still.",
    )


class DetectSettings(Section):
    """How people are found in a picture."""

    weights: str = Field(
        "auto",
        description="auto, a weight file (.pt, .safetensors, .onnx, .engine, an OpenVINO folder), the name of an "
        "official Ultralytics network such as yolo26n.pt, or file:PATH for detections made elsewhere.",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="What runs a .pt or .safetensors network; auto is torch on a GPU and OpenVINO on a CPU.",
    )
    image_size_px: int = Field(
        640,
        ge=64,
        le=4096,
        multiple_of=32,
        description="Longer side of the network's input; no effect on a network that was exported for a fixed size.",
    )
    close_up_size_px: int = Field(
        224,
        ge=0,
        le=4096,
        multiple_of=32,
        description="Longer side of a second, smaller input, in which people are found who are too large for the "
        "first; only where the weights say that they have not learned people as tall as the first input. The bundled "
        "ones have up to 640, and look twice beyond an image_size_px of 640 only. 0 is off.",
    )
    min_score: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Boxes below this confidence are dropped. Weak boxes carry tracks on, but start none.",
    )
    max_overlap_iou: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Of two boxes that overlap more, one is dropped. By default what the weights ask for, or 0.7.",
    )
    gate: bool = Field(
        True,
        description="Don't look for people in pictures in which nothing has changed since nobody was found; not for "
        "detections made elsewhere.",
    )
    gate_every_s: float = Field(
        2.0, ge=0.0, le=60.0, description="With gate, look after so long in any case, seconds; 0 looks always."
    )
    gate_hold_s: float = Field(
        2.0,
        ge=0.0,
        le=60.0,
        description="With gate, look on for so long after the last person was lost, seconds.",
    )
    half: bool = Field(True, description="Compute in half precision on a GPU.")
    person_names: list[str] = Field(
        [],
        description="Names of the network's classes that are people, such as [pedestrian, cyclist]; by default person, "
        "people, pedestrian and the like, whatever their numbers.",
    )
    trust_weights: bool = Field(
        False, description="Load a .pt file of unknown origin. Such a file can run any program on this machine."
    )


class ReidSettings(Section):
    """How the appearance of a person becomes a vector."""

    weights: str = Field(
        "auto",
        description="auto, a bundled name, a weight file (.safetensors, an OSNet's .pth, a network of any maker as "
        ".onnx, OpenVINO's .xml or TorchScript), or none for motion only.",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What runs the network; auto is torch on a GPU and OpenVINO on a CPU."
    )
    half: bool = Field(True, description="Compute in half precision on a GPU.")
    max_batch: int = Field(64, ge=1, le=1024, description="Crops embedded at once.")
    trust_weights: bool = Field(
        False, description="Load a TorchScript file. Such a file can run any program on this machine."
    )


class TrackSettings(Section):
    """How one person is followed within one camera."""

    confident_score: float = Field(
        0.5, ge=0.0, le=1.0, description="Boxes from this confidence on are associated first, and may be a new person."
    )
    walking_score: float = Field(
        0.4, ge=0.0, le=1.0, description="Boxes from this confidence on may be a new person if they walk; 1 for never."
    )
    weak_score: float = Field(
        0.1, ge=0.0, le=1.0, description="Boxes from this confidence on may continue a track, by motion only."
    )
    confirm_hits: int = Field(
        2, ge=1, le=100, description="Boxes, frame after frame, that a new person needs at least to get an id."
    )
    confirm_probability: float = Field(
        0.88,
        ge=0.5,
        lt=1.0,
        description="A new person gets an id when the confidences of its boxes together make it so probable.",
    )
    max_lost_s: float = Field(
        1.5, ge=0.0, le=60.0, description="An unseen person is looked for where motion predicts, for so long, seconds."
    )
    max_recovery_s: float = Field(
        3.0, ge=0.0, le=600.0, description="An unseen person is recognised by appearance for so long, seconds."
    )
    recovery_probability: float = Field(
        0.8, gt=0.0, le=1.0, description="P(same person) from which appearance alone recovers a lost person."
    )
    max_speed_heights_per_s: float = Field(
        2.0, gt=0.0, le=20.0, description="Fastest plausible way of an unseen person, in own heights per second."
    )
    min_similarity: float = Field(
        0.1, ge=0.0, le=1.0, description="Least overlap times confidence of a confident box with the expected one."
    )
    min_weak_similarity: float = Field(
        0.4, ge=0.0, le=1.0, description="Least overlap of a weak box with the expected one."
    )
    height_power: float = Field(
        0.5, ge=0.0, le=4.0, description="Weight of the agreement in height and standing point, as a power; 0 is off."
    )
    appearance_weight: float = Field(
        0.5, ge=0.0, le=4.0, description="Similarity added where P(same person) is 1, taken away where it is 0."
    )
    refresh_s: float = Field(
        2.0, gt=0.0, le=600.0, description="A visible person's appearance is renewed after so long, seconds."
    )


class GallerySettings(Section):
    """How people are recognised across cameras and absences while frames arrive."""

    min_age_s: float = Field(2.0, ge=0.0, le=60.0, description="A track gets no person before it is this old, seconds.")
    max_wait_s: float = Field(
        4.0, ge=0.0, le=600.0, description="After so long, undecided tracks are new people, seconds."
    )
    min_embeddings: int = Field(3, ge=1, le=100, description="Pictures of a track that are needed for a decision.")
    min_probability: float = Field(
        0.5, gt=0.0, lt=1.0, description="A track is a known person from this probability on."
    )
    min_margin: float = Field(
        0.1, ge=0.0, lt=1.0, description="Lead in probability that the best person needs over the next best."
    )
    new_below: float = Field(
        0.2,
        ge=0.0,
        lt=1.0,
        description="A track that is no known person with this probability is a new person at once.",
    )
    memory_s: float = Field(3600.0, ge=1.0, description="Somebody who was not seen for longer is forgotten, seconds.")
    max_people: int = Field(
        1000, ge=1, le=100_000, description="People remembered at once; the longest unseen go first."
    )
    vectors_per_camera: int = Field(4, ge=1, le=64, description="Appearance vectors remembered of a person per camera.")
    folder: str = Field("", description="Folder that keeps people from run to run; empty begins each run with nobody.")
    keep_days: float = Field(
        30.0, gt=0.0, le=36_500.0, description="People in that folder whom no run saw for longer are forgotten, days."
    )


class CameraPlace(Section):
    """What the user knows of one camera; an item of `link.cameras`."""

    clock_offset_s: float | None = Field(None, ge=-1e6, le=1e6, description="How far its clock is ahead, seconds.")
    floor_points: list[Annotated[list[float], Field(min_length=4, max_length=4)]] = Field(
        default_factory=list, description="Four or more points of the floor: [x_px, y_px, x_m, y_m] each."
    )
    image_to_floor: list[Annotated[list[float], Field(min_length=3, max_length=3)]] = Field(
        default_factory=list, description="Instead of points: 3 rows of the homography from pixels to metres."
    )

    @model_validator(mode="after")
    def _one_calibration(self) -> CameraPlace:
        if self.floor_points and self.image_to_floor:
            raise ValueError("give floor_points or image_to_floor, not both")
        if self.floor_points and len(self.floor_points) < 4:
            raise ValueError(f"floor_points needs 4 points or more, it has {len(self.floor_points)}")
        if self.image_to_floor and len(self.image_to_floor) != 3:
            raise ValueError(f"image_to_floor has 3 rows of 3 numbers, here are {len(self.image_to_floor)}")
        return self


class Way(Section):
    """How long the way from one camera's view to another's takes at least and at most; an item of `link.ways`."""

    from_camera: str = Field(description="The camera that people leave.")
    to_camera: str = Field(description="The camera that they enter next.")
    shortest_s: float = Field(0.0, ge=0.0, le=1e6, description="Nobody is faster, seconds.")
    longest_s: float = Field(1e6, gt=0.0, le=1e6, description="Who takes longer has been elsewhere, seconds.")

    @model_validator(mode="after")
    def _in_order(self) -> Way:
        if self.longest_s <= self.shortest_s:
            raise ValueError(f"longest_s ({self.longest_s:g}) must be more than shortest_s ({self.shortest_s:g})")
        return self


class LinkSettings(Section):
    """How the tracklets of a finished run are joined into people."""

    enabled: bool = Field(True, description="Join tracklets over the whole recording at the end of a run.")
    min_probability: float = Field(
        0.5, gt=0.0, lt=1.0, description="Tracklets are joined into one person from this probability on."
    )
    min_margin: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="Links whose next best person is less far behind in probability are marked as doubtful; where that "
        "person is so far ahead, the link is not made.",
    )
    neighbours: int = Field(
        32, ge=1, le=1024, description="How many similar tracklets are compared in detail with each tracklet."
    )
    num_people: int | None = Field(
        None, ge=1, description="How many people there are, if known; empty to let the evidence decide."
    )
    fill_gaps: bool = Field(
        True,
        description="Fill short gaps of tracks and smooth their boxes; recorded boxes stay beside them, and undo is "
        "exact.",
    )
    max_gap_s: float = Field(
        1.5,
        ge=0.0,
        le=2.0,
        description="Longest gap that is filled, seconds. After 2 s a person may as well have become another track.",
    )
    place_and_time: bool = Field(
        True,
        description="Learn from sure links where people come and go, how long they take from camera to camera, how far "
        "clocks are off and which cameras see the same floor, and link again with it.",
    )
    max_clock_offset_s: float = Field(
        10.0, ge=0.0, le=3600.0, description="A clock that seems to be further off is not believed to be, seconds."
    )
    cameras: dict[str, CameraPlace] = Field(
        default_factory=dict,
        description="What is known of cameras, by name, each with clock_offset_s and floor_points, [x_px, y_px, x_m, "
        "y_m] for four or more points of the floor, or image_to_floor, 3 rows of 3 numbers; empty to learn it.",
    )
    ways: list[Way] = Field(
        default_factory=list,
        description="Known ways between cameras, each with from_camera, to_camera, shortest_s, longest_s; faster links "
        "are impossible then.",
    )
    every_s: float = Field(
        60.0,
        ge=0.0,
        description="While live cameras run, everything so far is linked this often, seconds; 0 for only at the end.",
    )

    def refuse_unknown_cameras(self, cameras: Sequence[str]) -> None:
        """Raise InputError when these settings speak of others than these cameras: most likely a slip of the pen."""
        named = {name: f"link.cameras.{name}" for name in self.cameras}
        for number, way in enumerate(self.ways):
            named |= {
                way.from_camera: f"link.ways.{number}.from_camera",
                way.to_camera: f"link.ways.{number}.to_camera",
            }
        problems = [
            f"{setting}: there is no camera {name!r}, but {', '.join(cameras)}"
            for name, setting in sorted(named.items())
            if name not in cameras
        ]
        if problems:
            raise InputError("\n  ".join(problems))


class RunSettings(Section):
    """What is written, and when."""

    part_s: float = Field(30.0, ge=1.0, le=3600.0, description="Footage in one crash-safe part of the run, seconds.")
    chunk_s: float = Field(
        0.0,
        ge=0.0,
        le=1e6,
        description="With --engine ray: follow recordings in chunks of so many seconds side by side; 0: whole.",
    )
    flush_s: float = Field(
        5.0,
        ge=0.5,
        le=60.0,
        description="While live cameras run, what was seen is on disk after so many seconds: a crash loses no more.",
    )
    keep_free_gb: float = Field(
        1.0,
        ge=0.0,
        le=1e6,
        description="Room left on the disk, 10⁹ bytes: below it no pictures of people are written, below half of it no "
        "video of live cameras either, so that rows find room; 0: write everything.",
    )
    crops_per_tracklet: int = Field(8, ge=0, le=64, description="Pictures kept of each tracklet, the best ones.")
    crop_jpeg_quality: int = Field(92, ge=50, le=100, description="JPEG quality of the kept pictures.")
    save_video: bool = Field(False, description="Write annotated video of each camera, and of all side by side.")
    video_height_px: int = Field(720, ge=120, le=2160, description="Height of the video that shows all cameras.")
