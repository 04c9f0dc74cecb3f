"""Whose pictures somebody got to see: for the audit log of a run, noted where pages are made and pictures are sent.

A page or a stream of pictures is many requests, so what an actor has seen counts as noted for ten minutes: within them
the same actor seeing the same person again adds no line. `app.runs.folder.audit_log` says what the lines mean.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.runs.folder.audit_log import Action, numbers_text, record

Seen = TypeVar("Seen", int, str)

AGAIN_S = 600.0
_WRITER = ThreadPoolExecutor(1, "audit")
"""Nobody waits for the disk to see a page. What is waiting is written before the program ends."""


class Views:
    """Notes what was seen of the run in `folder`. May be used from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, int | str], float] = {}

    def page(self, actor: str, what: str) -> None:
        """Note that somebody opened a page."""
        self.did(actor, "viewed", what)

    def did(self, actor: str, action: Action, what: str) -> None:
        """Note something else that somebody did."""
        _WRITER.submit(record, self._folder, actor, action, what)

    def people(self, actor: str, persons: Iterable[int], where: str) -> None:
        """Note that somebody gets to see pictures of these people, those whom they have not seen just now."""
        new = self._new(actor, persons)
        if new:
            self.page(actor, f"{where}: {numbers_text(new)}")

    def things(self, actor: str, what: str) -> None:
        """Note that somebody gets to see what shows whoever comes along: recordings, the live picture."""
        if self._new(actor, [what]):
            self.page(actor, what)

    def mark(self, actor: str, persons: Iterable[int]) -> None:
        """Take these people as noted: a line that was just written names them."""
        self._new(actor, persons)

    def _new(self, actor: str, seen: Iterable[Seen]) -> list[Seen]:
        now = time.monotonic()
        with self._lock:
            new = [one for one in seen if now - self._noted.get((actor, one), -AGAIN_S) >= AGAIN_S]
            self._noted.update(dict.fromkeys(((actor, one) for one in new), now))
        return new
