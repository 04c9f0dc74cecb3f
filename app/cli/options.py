"""The words of a command as settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.config import Settings

Command = Callable[..., argparse.ArgumentParser]
"""Makes the parser of one command from its name, what runs it and a summary."""


def settings_of(options: argparse.Namespace, named: dict[str, tuple[str, Any]] | None = None) -> Settings:
    """Return the settings from `--config`, `--set` and the options in `named` that were given (value not None)."""
    from app.config import load_settings

    return load_settings(options.config, options.assignments, given_options(named or {}))


def given_options(named: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Return the options that were given."""
    return {name: (option, value) for name, (option, value) in named.items() if value is not None}
