"""Ctrl-C and termination requests, taken between two steps and never in the middle of one; and the end within 2 s.

Whatever a run may be doing, it can be killed, and goes on from there when it is resumed. So a process that is asked to
end does what can be done at once, and is then ended (`ends_in_time`): nobody waits for a long linking, a drawing, the
reading of large inputs, or a call into a library that doesn't come back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

END_S = 1.5
"""So long after the request a process that has not ended by itself is ended."""

_AT_STAKE_S = 8.0
"""The same while there is something that no resuming brings back. Docker kills what has not ended after 10 s."""

at_stake = threading.Event()
"""Set while live cameras are followed and their videos closed, and while the last rows of recordings are written."""

_asked = threading.Event()


@contextmanager
def ends_in_time(why: Callable[[], str]) -> Iterator[None]:
    """See to it that the process ends within `END_S` of the first Ctrl-C or SIGTERM, with exit status 1, unless the
    block has been left by then. SIGTERM interrupts it as Ctrl-C does.

    why: returns what the user is told if it comes to that. Without effect outside the main thread and on Windows.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    left = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        with open(reader, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in (signal.SIGINT, signal.SIGTERM):
                    _end_unless(left, why)
                    return

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    # The number of a signal is written at once, also while the main thread is in a call that takes no notice of it.
    waker = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    terminate = signal.signal(signal.SIGTERM, interrupt)
    threading.Thread(target=watch, name="end in time", daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.signal(signal.SIGTERM, terminate)
        signal.set_wakeup_fd(waker)
        os.close(writer)


def leave(status: int) -> NoReturn:
    """End the program. After a request to end it waits for no thread and no library that puts itself away."""
    if _asked.is_set():
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _end_unless(left: threading.Event, why: Callable[[], str]) -> None:
    _asked.set()
    asked = time.monotonic()
    while not left.wait(END_S if time.monotonic() - asked < END_S else 0.05):
        if not at_stake.is_set() or time.monotonic() - asked > _AT_STAKE_S:
            with suppress(OSError, ValueError):  # nobody listens any more
                sys.stderr.write(f"{why()}\n")
                sys.stderr.flush()
            os._exit(1)


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
