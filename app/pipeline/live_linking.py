"""Linking while live cameras run: who is who is decided again every `link.every_s`, over everything so far.

The gallery decides at once and never again; linking has seen more, and is better. It works in a thread of its own on
what the run folder holds, while people are followed; then its answer goes into the ledger, and the gallery goes on
from there (`PersonGallery.adopt`), together with what humans corrected meanwhile.

Recordings are linked once, at their end: their results must not depend on how fast a thread was.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from app.config import LinkSettings
from app.errors import OmniTrackError
from app.runs.folder.run import Run
from app.runs.ledger.ledger import Ledger
from app.runs.people.linking import Linking, decide

logger = logging.getLogger(__name__)

LEAST_PAUSE = 20.0
"""The next linking begins no sooner than after so many times what the last one took: a long run isn't slowed down."""


class LiveLinking:
    """Links a run that is being written. Use it as a context manager."""

    def __init__(self, folder: Path, settings: LinkSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._work: Future[Linking] | None = None
        self._next = time.monotonic() + settings.every_s

    def __enter__(self) -> LiveLinking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what is not finished: the end of the run links everything anyway, and a program that was asked to end
        does not wait for it."""
        self._work = None

    @property
    def wants_commit(self) -> bool:
        """Whether it is time to begin, or an answer waits to be written: both need everything so far in the run."""
        return time.monotonic() >= self._next if self._work is None else self._work.done()

    def after_commit(self, ledger: Ledger) -> None:
        """Write an answer that has come into the ledger, or begin when it is time.

        What can't be linked is logged and tried again later: following people goes on.
        """
        if not self.wants_commit:
            return
        if self._work is None:
            self._work = Future()
            threading.Thread(target=self._work_on, args=(self._work,), name="link", daemon=True).start()
            return
        work, self._work = self._work, None
        try:
            work.result().write(ledger, keep_others=True)
        except OmniTrackError as error:
            logger.warning("linking while cameras run: %s", error)
        except Exception:
            logger.exception("linking while cameras run failed; it is tried again")

    def _work_on(self, work: Future[Linking]) -> None:
        try:
            work.set_result(self._decide())
        except BaseException as error:  # handed on to whoever asks for the result
            work.set_exception(error)

    def _decide(self) -> Linking:
        began = time.monotonic()
        try:
            for attempt in range(3):
                run = Run.open(self._folder)
                try:
                    return decide(run, run.tracklets(), self._settings)
                except FileNotFoundError:  # an erasure or a purge took parts away while they were read
                    if attempt == 2:
                        raise
            raise AssertionError
        finally:
            ended = time.monotonic()
            self._next = began + max(self._settings.every_s, LEAST_PAUSE * (ended - began))
