"""The settings of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.config.section import Section


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
    widen: float = Field(
        1.0,
        ge=1.0,
        le=4.0,
        description="With start_from: so many times the channels, in steps of eight; copies to begin with.",
    )
    teacher: str = Field(
        "",
        description="With start_from: a stronger detector whose features are learned from, besides the boxes; its own "
        "numbers stay out of the weights.",
    )
    teacher_weight: float = Field(4.0, ge=0.0, le=100.0, description="What the teacher's features count in the loss.")
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
    half: bool = Field(True, description="Mixed precision (bfloat16) on a GPU, or with start_from on a CPU with AMX.")
    seed: int = Field(0, ge=0, description="Seed of the pictures and of training.")
