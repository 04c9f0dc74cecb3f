"""Ctrl-C and termination requests, taken between two steps and never in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C (or SIGTERM) sets, instead of raising an exception wherever the program happens to be.

    A second one acts as it would have without this. Outside the main thread signals are somebody else's business, and
    the event is never set.
    """
    requested = threading.Event()
    before: dict[int, Any] = {}

    def note(number: int, _frame: Any) -> None:
        requested.set()
        signal.signal(number, before[number])

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread
        before.clear()
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
