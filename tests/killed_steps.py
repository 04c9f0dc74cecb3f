"""A process that dies at a given operation on the disk, played in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


@dataclass
class Process:
    """survived: whether it came to its end."""

    survived: bool = False


@contextmanager
def killed_after(steps: int, operations: Iterable[tuple[Any, str]]) -> Iterator[Process]:
    """Let the block die at the operation after `steps` others, or come to its end.

    operations: what counts: functions, by their owner and name.
    """
    process, left = Process(), steps

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return operation(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in operations:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            yield process
            process.survived = True
        except Killed:
            pass
