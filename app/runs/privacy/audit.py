"""The audit log as people read it, with the corrections of the ledger among its lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.runs.folder.audit_log import Entry, entries
from app.runs.people.review import describe

if TYPE_CHECKING:
    from app.runs.ledger.ledger import Ledger


def log_of(folder: Path, ledger: Ledger, limit: int = 1000) -> list[Entry]:
    """Return the latest lines of the audit log and of the corrections in the ledger together, the newest first."""
    corrections = [event for event in ledger.corrections() if event.kind != "erase"]  # which has a line of its own
    lines = [Entry(event.time, event.actor, "corrected", describe(event)) for event in corrections[-limit:]]
    return sorted([*lines, *entries(folder, limit)], key=lambda entry: -entry.time)[:limit]


def audit_table(found: list[Entry]) -> object:
    """Return a rich table of the log."""
    from rich.table import Table

    from app.footage.clock import format_time

    table = Table("when (UTC)", "who", "did", "what")
    for entry in found:
        table.add_row(format_time(round(entry.time)).removesuffix(" UTC"), entry.actor, entry.action, entry.what)
    return table
