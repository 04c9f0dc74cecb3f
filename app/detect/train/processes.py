"""Work that has many independent parts, done by several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2


@contextmanager
def side_by_side(processes: int) -> Iterator[Callable[[Callable[..., Any], Iterable[Any]], Iterator[Any]]]:
    """Yield a `map` that runs in so many processes and answers in order; the plain one for 0.

    The processes are forked, so that what this one has in memory needs no copying; where a system can't fork, the work
    is done here.
    """
    if not processes or "fork" not in multiprocessing.get_all_start_methods():
        yield map
        return
    # OpenCV's threads don't live on in a forked process, which would wait for them.
    with multiprocessing.get_context("fork").Pool(processes, cv2.setNumThreads, (0,)) as pool:
        yield pool.imap
