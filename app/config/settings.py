"""The settings of everything else, and the whole tree."""

from __future__ import annotations

from pydantic import Field

from app.config.section import Section
from app.config.tracking import (
    DetectSettings,
    GallerySettings,
    LinkSettings,
    ReidSettings,
    RunSettings,
    SourceSettings,
    TrackSettings,
)
from app.config.training import DetectorTrainSettings, TrainSettings


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
