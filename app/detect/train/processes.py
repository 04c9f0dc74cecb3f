"""Work that has many independent parts, done by several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cv2

Part = TypeVar("Part")
Result = TypeVar("Result")

_work: Callable[[Any], Any]
"""What a forked process is there for; not set in the one that forks."""


def side_by_side(processes: int, work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield `work` of each part, in order, done in so many processes (0: in this one).

    The processes are forked, so that `work` may use gigabytes that this one has in memory; only parts and results are
    sent. Where a system can't fork, the work is done here.
    """
    if not processes or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, parts)
        return
    with multiprocessing.get_context("fork").Pool(processes, _begin, (work,)) as pool:
        yield from pool.imap(_do, parts)


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    cv2.setNumThreads(0)  # OpenCV's threads don't live on in a forked process, which would wait for them


def _do(part: Any) -> Any:
    return _work(part)
