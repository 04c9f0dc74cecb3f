"""Settings: precedence, and errors that a user can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings, describe_settings, load_settings, setting_names
from app.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    file = folder / "settings.yaml"
    file.write_text(text)
    return file


def test_command_line_wins_over_file_wins_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "detect:\n  min_score: 0.2\n  max_overlap_iou: 0.6\n  image_size_px: 320\n")
    settings = load_settings(
        file, ["detect.max_overlap_iou=0.5", "detect.image_size_px=960"], {"detect.image_size_px": ("--size", 1280)}
    )
    assert settings.detect.min_score == 0.2
    assert settings.detect.max_overlap_iou == 0.5
    assert settings.detect.image_size_px == 1280
    assert settings.run == Settings().run


def test_all_problems_are_reported_together_with_line_and_nearest_name(tmp_path: Path) -> None:
    file = write(tmp_path, "detect:\n  min_scor: 3\n  image_size_px: 100\nlinks: {}\nreid:\n  half: perhaps\n")
    with pytest.raises(InputError) as caught:
        load_settings(file, ["detect.min_score=7", "nonsense"])
    message = str(caught.value)
    assert message.startswith("6 problems in the settings:")
    assert f"{file}:2: there is no setting detect.min_scor; did you mean detect.min_score?" in message
    assert f"{file}:3: detect.image_size_px: input should be a multiple of 32 (given: 100)" in message
    assert f"{file}:4: there is no setting links; did you mean link?" in message
    assert f"{file}:6: reid.half" in message
    assert "--set detect.min_score=7: detect.min_score: input should be less than or equal to 1" in message
    assert "--set nonsense: write it as section.key=value" in message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("detect: [1", r"settings.yaml:\d+: not valid YAML"),
        ("- detect", "settings.yaml:1: a configuration file is a mapping"),
        ("detect: 3", "settings.yaml:1: detect"),
        ("detect:\n  min_score: 0.1\n  min_score: 0.2", "settings.yaml:3: detect.min_score is given twice"),
    ],
)
def test_files_that_are_not_settings(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_settings(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: cannot read"):
        load_settings(tmp_path / "absent.yaml")


def test_an_empty_file_changes_nothing_and_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_settings(write(tmp_path, "# nothing\n")) == Settings()
    assert "says nothing, so every setting has its default" in caplog.text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().detect.min_score = 0.5  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    for name, info in setting_names():
        assert info.description, f"{name} has no help text"
        assert info.description.endswith("."), f"the help text of {name} is not a sentence"
        assert name in describe_settings()


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.name)
def test_every_config_file_is_valid_and_holds_only_overrides(file: Path) -> None:
    if file.name.startswith("cameras"):
        pytest.skip("a list of cameras, tested with the sources")
    settings = load_settings(file)
    assert settings != Settings(), "a configuration file that changes nothing"
