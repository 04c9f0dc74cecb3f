"""The settings: `from app.config import …` is their face, whatever file they stand in."""

from app.config.load import describe_settings, given_settings, load_settings, setting_names
from app.config.section import Section
from app.config.settings import RenderSettings, RetentionSettings, Settings, SimulateSettings, UiSettings
from app.config.tracking import (
    CameraPlace,
    DetectSettings,
    GallerySettings,
    LinkSettings,
    ReidSettings,
    RunSettings,
    SourceSettings,
    TrackSettings,
)
from app.config.training import DetectorTrainSettings, TrainSettings

__all__ = [
    "CameraPlace",
    "DetectSettings",
    "DetectorTrainSettings",
    "GallerySettings",
    "LinkSettings",
    "ReidSettings",
    "RenderSettings",
    "RetentionSettings",
    "RunSettings",
    "Section",
    "Settings",
    "SimulateSettings",
    "SourceSettings",
    "TrackSettings",
    "TrainSettings",
    "UiSettings",
    "describe_settings",
    "given_settings",
    "load_settings",
    "setting_names",
]
