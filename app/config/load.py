"""Settings: every default, unit, range and help text of the program.

Precedence: the defaults below < a YAML file (`--config`) < the command line (`--set section.key=value`). All problems
are collected and reported together, each with its file and line and the nearest valid name. Importing this module
loads nothing heavier than pydantic, so that a bad setting is answered before torch is imported.

A part of the program receives only its own section, for example `TrackSettings`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import InputError
from app.system.untrusted import LIMITS, compose_yaml, construct_yaml, read_text, yaml_value

_log = logging.getLogger(__name__)


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values are checked and cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


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


class TrainSettings(Section):
    """How ReID weights are made. The defaults are the recipe for OSNet x1.0 on a GPU."""

    architecture: Literal[
        "osnet_x1_0",
        "osnet_x0_75",
        "osnet_x0_5",
        "osnet_x0_25",
        "osnet_ibn_x1_0",
        "osnet_ain_x1_0",
        "osnet_ain_x0_75",
        "osnet_ain_x0_5",
        "osnet_ain_x0_25",
    ] = Field("osnet_x1_0", description="The network.")
    pooling: Literal["average", "gem"] = Field("average", description="How a map becomes a number: mean or GeM.")
    neck: Literal["relu", "bnneck"] = Field("bnneck", description="relu as in the OSNet paper, or BNNeck.")
    start_from: str = Field("", description="Weight file or bundled name to start from; empty starts from nothing.")
    start_share: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of the weights started from in the final ones: sturdier elsewhere."
    )
    height_px: int = Field(256, ge=32, le=1024, multiple_of=16, description="Height of the network's input.")
    width_px: int = Field(128, ge=16, le=1024, multiple_of=8, description="Width of the network's input.")
    start_size_share: float = Field(
        1.0, ge=0.25, le=1.0, description="Size of the first epochs' pictures, of the full."
    )
    grow_until_share: float = Field(0.5, ge=0.0, le=1.0, description="Share of the epochs after which size is full.")

    epochs: int = Field(250, ge=1, le=10_000, description="Passes over the training pictures.")
    hours: float = Field(
        0.0, ge=0.0, description="Train for so long instead, with the schedule of `epochs` stretched to it; 0 is off."
    )
    people_per_batch: int = Field(16, ge=2, le=512, description="People in a batch (P).")
    pictures_per_person: int = Field(4, ge=2, le=64, description="Pictures of each of them (K).")
    students: int = Field(1, ge=1, le=4, description="Networks that teach each other; the first one is kept.")
    held_out_people: int = Field(50, ge=0, description="People kept apart, for choosing weights and calibration.")
    pairs_per_batch: int = Field(
        4, ge=0, le=256, description="Judged pairs of pictures added to each batch, where data has a pairs.csv."
    )
    judged_share: float = Field(
        0.3, ge=0.0, lt=1.0, description="Judged pairs kept apart, to compare new weights with those started from."
    )

    mirror: bool = Field(True, description="Mirror every second picture.")
    shift_share: float = Field(0.04, ge=0.0, le=0.5, description="Largest shift, as a share of the height.")
    zoom_share: float = Field(
        0.0, ge=0.0, le=1.0, description="Every second picture is enlarged by up to this share and cut to size."
    )
    erase_probability: float = Field(0.5, ge=0.0, le=1.0, description="Pictures with a rectangle erased.")
    colour_jitter: float = Field(
        0.0, ge=0.0, le=1.0, description="Brightness, contrast, saturation vary by this share."
    )
    patch_probability: float = Field(0.0, ge=0.0, le=1.0, description="Pictures covered in part by another one.")
    policy_probability: float = Field(
        0.0, ge=0.0, le=1.0, description="Pictures changed by one random operation on light, sharpness or pose."
    )

    far_probability: float = Field(
        0.0, ge=0.0, le=1.0, description="Pictures scaled down and up again, as people far away look."
    )

    classification: Literal["cross_entropy", "am_softmax", "circle"] = Field(
        "cross_entropy", description="Loss over people: cross-entropy, or a margin on cosines."
    )
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0, description="For cross_entropy.")
    margin: float = Field(0.25, ge=0.0, le=1.0, description="For am_softmax and circle.")
    scale: float = Field(32.0, gt=0.0, le=512.0, description="For am_softmax and circle.")
    triplet_weight: float = Field(1.0, ge=0.0, description="Weight of the batch-hard triplet loss.")
    triplet_margin: float = Field(0.3, ge=0.0, description="Its margin; 0 for the soft margin.")
    center_weight: float = Field(0.0, ge=0.0, description="Weight of the centre loss.")
    teacher: str = Field("", description="Weight file or bundled name of a network to imitate; empty for none.")
    teacher_weight: float = Field(10.0, ge=0.0, description="Weight of being like the teacher.")
    likeness_teachers: list[str] = Field(
        default_factory=list,
        description="Weight files or bundled names whose likenesses between pictures are imitated, averaged.",
    )
    likeness_weight: float = Field(10.0, ge=0.0, description="Weight of finding pictures as alike as they do.")
    unlabelled: list[str] = Field(
        default_factory=list,
        description="Folders or zip files of more pictures of people, for the teachers only: crops, or images/ with "
        "boxes in labels/ (YOLO).",
    )
    unlabelled_per_batch: int = Field(0, ge=0, le=1024, description="So many of them are added to each batch.")

    optimiser: Literal["adam", "amsgrad", "adamw", "sgd"] = Field("adamw", description="The optimiser.")
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0, description="Highest learning rate.")
    weight_decay: float = Field(0.05, ge=0.0, le=1.0, description="Of matrices and filters.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="For sgd.")
    gradient_clip: float = Field(0.0, ge=0.0, description="Largest norm of the gradient; 0 does not clip.")
    warmup_epochs: float = Field(5.0, ge=0.0, description="Epochs in which the rate rises.")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="How the rate falls afterwards.")
    final_rate_share: float = Field(0.001, ge=0.0, le=1.0, description="Where the cosine ends.")
    restart_epochs: float = Field(0.0, ge=0.0, description="The cosine starts again after so many; 0 never.")
    step_epochs: list[int] = Field(default_factory=list, description="For steps: when the rate falls.")
    step_factor: float = Field(0.1, gt=0.0, lt=1.0, description="For steps: by how much.")
    frozen_epochs: int = Field(0, ge=0, description="First epochs in which only the head is trained.")
    base_rate_share: float = Field(1.0, ge=0.0, le=1.0, description="Learning rate of all but the head.")
    ema_decay: float = Field(0.0, ge=0.0, lt=1.0, description="Moving average of the weights; 0 for none.")

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 takes one for each core.")
    half: bool = Field(True, description="Mixed precision (bfloat16) on a GPU.")
    half_on_cpu: bool = Field(False, description="Mixed precision on a CPU: faster only where it has AMX.")
    compile: bool = Field(False, description="Use torch.compile where there is a compiler.")
    memory_map: bool = Field(False, description="Keep decoded pictures in a file of the output folder, not in memory.")
    checkpoint_minutes: float = Field(5.0, gt=0.0, description="Time between saved states.")
    evaluate_every_epochs: int = Field(10, ge=1, description="Epochs between evaluations on held-out people.")
    seed: int = Field(0, ge=0, description="Seed of everything random in training.")


class DetectorTrainSettings(Section):
    """How detector weights are made. The defaults are the recipe for a GPU."""

    name: str = Field("person_n", pattern=r"^[A-Za-z0-9_]+$", description="Name of the weight file.")
    start_from: str = Field(
        "",
        description="Bundled weights, by name, or a .safetensors file of ours: train it on, on real frames with boxes, "
        "instead of a new one on composed pictures.",
    )
    draw: dict[str, float] = Field(
        {},
        description="With start_from: how often a picture comes from each data set, by its name, or `composed`; 1 "
        "where nothing is said.",
    )
    size_px: int = Field(640, ge=64, le=2048, multiple_of=32, description="Side of the square training pictures.")
    pictures: int = Field(40_000, ge=1, description="Training pictures that are composed, once, before training.")
    held_out_pictures: int = Field(500, ge=1, description="Composed pictures on which the result is scored.")
    scenes: int = Field(3000, ge=0, description="Pictures of the simulator among the material.")
    largest_person_px: int = Field(
        250, ge=120, le=4096, description="Tallest people to learn; the detector looks a second time for taller ones."
    )
    score_shift: float = Field(
        0.0, ge=-5.0, le=5.0, description="Added in the end to the log-odds of every confidence; below 0: fewer boxes."
    )
    epochs: int = Field(100, ge=1, le=10_000, description="Passes over the training pictures.")
    hours: float = Field(
        0.0, ge=0.0, description="Train for so long instead, choosing the number of epochs by speed; 0 is off."
    )
    batch: int = Field(64, ge=1, le=1024, description="Pictures in a step.")
    learning_rate: float = Field(0.002, gt=0.0, le=1.0, description="Highest learning rate of AdamW.")
    weight_decay: float = Field(0.02, ge=0.0, le=1.0, description="Weight decay of AdamW.")
    warmup_epochs: float = Field(1.0, ge=0.0, description="Epochs in which the rate rises.")
    mosaic_probability: float = Field(0.5, ge=0.0, le=1.0, description="Pictures that are put together of four.")
    plain_epochs: int = Field(10, ge=0, description="Last epochs, in which there is no mosaic.")
    workers: int = Field(8, ge=0, le=64, description="Processes that compose and read pictures; 0 does it in this one.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 leaves it to Ultralytics.")
    half: bool = Field(True, description="Mixed precision (bfloat16) on a GPU.")
    seed: int = Field(0, ge=0, description="Seed of the pictures and of training.")


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


class RenderSettings(Section):
    """How annotated videos look."""

    video_crf: int = Field(23, ge=0, le=51, description="H.264 rate factor: larger is smaller and worse.")
    trail_s: float = Field(1.5, ge=0.0, le=60.0, description="Length of the line behind each person, seconds; 0: none.")
    blur: bool = Field(False, description="Make everybody unrecognisable.")
    blur_moving: bool = Field(
        False, description="With blur: blur whatever else moves, too; it may be somebody whom nobody found."
    )
    blur_except_person: int = Field(-1, ge=-1, description="With blur: number of the one person to leave as is.")


class SimulateSettings(Section):
    """Scenes that the program renders itself, with exact truth."""

    cameras: int = Field(2, ge=1, le=64, description="Number of cameras.")
    people: int = Field(6, ge=0, le=500, description="Number of people in the scene; they leave and come back.")
    seconds: float = Field(20.0, gt=0.0, le=1e7, description="Length of each recording.")
    seed: int = Field(0, ge=0, description="Seed of the scene: plan, cameras, people and what they do.")
    fps: float = Field(25.0, gt=0.0, le=120.0, description="Pictures per second of the first camera.")
    width_px: int = Field(640, ge=64, le=3840, multiple_of=2, description="Width of the first camera's picture.")
    height_px: int = Field(360, ge=64, le=2160, multiple_of=2, description="Height of the first camera's picture.")
    overlap: bool = Field(False, description="All cameras see the same square; otherwise each sees a place of its own.")
    mixed: bool = Field(
        False, description="Every second camera has 0.8 times the pictures per second and 0.8 times the size."
    )
    uniforms: bool = Field(False, description="Everybody wears the same clothes.")
    people_per_outfit: int = Field(
        1, ge=1, le=500, description="So many people at a time are dressed alike, as staff, classes and teams are."
    )
    gap_m: float = Field(4.0, ge=1.0, le=500.0, description="Unseen way from one camera's view to the next, metres.")
    mean_away_s: float = Field(8.0, ge=0.5, le=1e5, description="How long people stay away before they come back.")
    mean_stop_s: float = Field(3.0, ge=0.1, le=1e4, description="How long people stand at a place where they stop.")
    clock_offset_s: float = Field(
        0.0, ge=0.0, le=3600.0, description="The clocks of all cameras but the first are wrong by up to so much."
    )
    start_spread_s: float = Field(
        0.0, ge=0.0, le=600.0, description="All cameras but the first start recording up to so much later."
    )
    colour_shift: float = Field(
        1.0, ge=0.0, le=3.0, description="How much exposure, white balance and contrast differ between cameras."
    )
    noise_level: float = Field(2.5, ge=0.0, le=50.0, description="Noise of the sensor, grey levels of 255.")
    video_crf: int = Field(23, ge=0, le=51, description="H.264 rate factor: larger is smaller and worse.")
    false_alarms_per_frame: float = Field(
        0.05, ge=0.0, le=20.0, description="Boxes around nothing in the made-up detections, on average."
    )
    box_jitter: float = Field(
        0.025, ge=0.0, le=0.5, description="Error of the made-up detections as a share of the box's size."
    )


class RetentionSettings(Section):
    """How long data of a run are kept after its end; `main.py purge RUN` deletes what is older."""

    video_days: float = Field(0.0, ge=0.0, le=36500.0, description="Annotated videos and exports, days; 0: for ever.")
    crops_days: float = Field(0.0, ge=0.0, le=36500.0, description="Pictures of people, days; 0: for ever.")
    vectors_days: float = Field(
        0.0, ge=0.0, le=36500.0, description="Vectors of people's looks, needed to search and link, days; 0: for ever."
    )
    observations_days: float = Field(
        0.0,
        ge=0.0,
        le=36500.0,
        description="All rows, with everything that is made from them, identities too, days; 0: for ever.",
    )


class UiSettings(Section):
    """The user interface in the browser."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on; one that other machines reach needs --users or --auth as well."
    )
    port: int = Field(7860, ge=1, le=65535, description="Port to listen on.")
    source_folders: list[str] = Field(
        default_factory=lambda: ["videos"], description="Folders whose recordings the page Runs offers."
    )
    people_per_page: int = Field(24, ge=1, le=500, description="Cards on one page of People.")
    max_picture_mb: int = Field(20, ge=1, le=500, description="Largest picture that may be uploaded, megabytes.")
    max_video_mb: int = Field(4000, ge=1, le=1_000_000, description="Largest video that may be uploaded, megabytes.")
    frame_height_px: int = Field(540, ge=120, le=2160, description="Height of frames that are drawn on demand.")
    session_hours: float = Field(12.0, gt=0, le=720, description="How long somebody who logged in stays so, hours.")


class Settings(Section):
    """The whole tree, one section for each part of the program."""

    sources: SourceSettings = Field(default_factory=SourceSettings)
    detect: DetectSettings = Field(default_factory=DetectSettings)
    reid: ReidSettings = Field(default_factory=ReidSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    train_detector: DetectorTrainSettings = Field(default_factory=DetectorTrainSettings)
    track: TrackSettings = Field(default_factory=TrackSettings)
    gallery: GallerySettings = Field(default_factory=GallerySettings)
    link: LinkSettings = Field(default_factory=LinkSettings)
    run: RunSettings = Field(default_factory=RunSettings)
    render: RenderSettings = Field(default_factory=RenderSettings)
    simulate: SimulateSettings = Field(default_factory=SimulateSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    ui: UiSettings = Field(default_factory=UiSettings)


Path_ = tuple[str, ...]


@dataclass
class _Collected:
    """Values on their way to validation, each with the place it came from, and the problems found so far."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path_, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: Path_, value: Any, place: str) -> None:
        """Store a leaf value; a later call for the same path wins."""
        branch = self.values
        for depth, key in enumerate(path[:-1]):
            child = branch.setdefault(key, {})
            if not isinstance(child, dict):
                self.problems.append(f"{place}: {'.'.join(path[: depth + 1])} is a value, not a section")
                return
            branch = child
        branch[path[-1]] = value
        self.places[path] = place

    def place_of(self, path: Path_) -> str:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "settings")


def load_settings(
    config: Path | None = None, assignments: Sequence[str] = (), options: Mapping[str, tuple[str, Any]] | None = None
) -> Settings:
    """Return the settings from the defaults and, in rising precedence, three places.

    config: a YAML file.
    assignments: texts `section.key=value`.
    options: dotted setting name -> (the command-line option it came from, value).

    Raises InputError that lists every problem at once.
    """
    collected = _collect(config, assignments, options)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(collected.values)
    except ValidationError as error:
        collected.problems.extend(_explain(problem, collected) for problem in error.errors())
    if collected.problems or settings is None:
        count = len(collected.problems)
        heading = "1 problem in the settings:" if count == 1 else f"{count} problems in the settings:"
        raise InputError("\n  ".join([heading, *collected.problems]))
    return settings


def given_settings(
    config: Path | None = None, assignments: Sequence[str] = (), options: Mapping[str, tuple[str, Any]] | None = None
) -> dict[str, str]:
    """Return where each setting is named that one of the three places names. They are as for `load_settings`."""
    collected = _collect(config, assignments, options)
    paths = {name: tuple(name.split(".")) for name, _ in setting_names()}
    return {
        name: collected.place_of(path)
        for name, path in paths.items()
        if any(path == given[: len(path)] for given in collected.places)
    }


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, pydantic FieldInfo) of every leaf setting."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from setting_names(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def describe_settings() -> str:
    """Return one line for each setting: name, default and meaning. The text of `main.py settings`."""
    lines = []
    for name, info in setting_names():
        default = info.get_default(call_default_factory=True)
        lines.append(f"{name} = {yaml.safe_dump(default).splitlines()[0]}\n    {info.description}")
    return "\n".join(lines)


def _collect(
    config: Path | None, assignments: Sequence[str], options: Mapping[str, tuple[str, Any]] | None
) -> _Collected:
    collected = _Collected()
    if config is not None:
        _read_yaml(config, collected)
    for assignment in assignments:
        _read_assignment(assignment, collected)
    for name, (option, value) in (options or {}).items():
        collected.put(tuple(name.split(".")), value, option)
    return collected


def _read_yaml(path: Path, collected: _Collected) -> None:
    root = compose_yaml(read_text(path, "the configuration file", LIMITS.yaml_bytes), path)
    if root is None:
        _log.warning("%s: says nothing, so every setting has its default", path)
        return
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}:1: a configuration file is a mapping such as 'track: {{…}}'")
    _read_mapping(root, (), path, collected)


def _read_mapping(node: yaml.MappingNode, prefix: Path_, file: Path, collected: _Collected) -> None:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        place = f"{file}:{key_node.start_mark.line + 1}"
        key = str(key_node.value)
        path = (*prefix, key)
        if key in seen:
            collected.problems.append(f"{place}: {'.'.join(path)} is given twice")
            continue
        seen.add(key)
        if isinstance(value_node, yaml.MappingNode) and _is_section(path):
            collected.put(path, {}, place)
            _read_mapping(value_node, path, file, collected)
        else:
            try:
                value = construct_yaml(value_node, file)
            except InputError as error:
                collected.problems.append(str(error))
                continue
            collected.put(path, value, place)
            _note_places(value_node, path, file, collected)


def _note_places(node: yaml.Node, path: Path_, file: Path, collected: _Collected) -> None:
    """Remember the lines of what lies inside a setting that is a mapping or a list, for messages about it."""
    if isinstance(node, yaml.MappingNode):
        inner = [(str(key.value), value, key.start_mark.line) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = [(str(number), value, value.start_mark.line) for number, value in enumerate(node.value)]
    else:
        return
    for step, value, line in inner:
        collected.places[*path, step] = f"{file}:{line + 1}"
        _note_places(value, (*path, step), file, collected)


def _is_section(path: Path_) -> bool:
    """Whether `path` names a section (or nothing that we know), as against a setting whose value is a mapping."""
    return ".".join(path) not in dict(setting_names())


def _read_assignment(text: str, collected: _Collected) -> None:
    name, equals, raw = text.partition("=")
    place = f"--set {text}"
    if not equals or not name:
        collected.problems.append(f"{place}: write it as section.key=value")
        return
    try:
        value = yaml_value(raw, place)
    except InputError:
        value = raw
    collected.put(tuple(name.strip().split(".")), value, place)


def _explain(problem: Mapping[str, Any], collected: _Collected) -> str:
    """Turn one pydantic error into a sentence with its place and, for an unknown name, the nearest known one."""
    path: Path_ = tuple(str(step) for step in problem["loc"])
    name = ".".join(path)
    place = collected.place_of(path)
    if problem["type"] == "extra_forbidden":
        known = [known_name for known_name, _ in setting_names()] + list(Settings.model_fields)
        known += [f"link.cameras.{camera}.{key}" for camera in path[2:3] for key in CameraPlace.model_fields]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if not close:
            same_key = [known_name for known_name in known if known_name.split(".")[-1] == path[-1]]
            close = same_key[:1] or difflib.get_close_matches(path[-1], known, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{place}: there is no setting {name}{hint}"
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    given = problem.get("input")
    return f"{place}: {name}: {message} (given: {repr(given)[:200]})"
