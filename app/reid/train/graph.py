"""A step recorded as a CUDA graph: its thousand small operations are then started as one.

An OSNet is many small layers. Measured on an H100 with 128 pictures of 256 × 128, x1.0: the GPU has 23 ms of work in a
step (compiled), and the processor, with other work beside it, took 74 ms to ask for it, operation by operation.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

log = logging.getLogger(__name__)

PLAIN_STEPS = 4
"""Steps that run as they are before one is recorded: libraries choose their algorithms and compilers work in these."""


class RecordedStep:
    """Runs `step`, and from the `PLAIN_STEPS`th time on replays a recording of it.

    step: computes a loss of some tensors, pictures first, leaves its gradients in the parameters and returns it. It may
    do nothing that waits for the GPU, and must drop old gradients itself: those of the recording are always the same
    tensors, into which every replay writes.
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self._step = step
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # PyTorch doesn't say what it takes
        self._kind: Hashable = None
        self._plain_left: float = PLAIN_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._loss = torch.empty(0)

    def __call__(self, inputs: tuple[Tensor, ...], frozen: bool) -> Tensor:
        """Return the loss. Sizes that were not seen before, and parameters that are no longer frozen, record anew."""
        kind = (tuple(given.shape for given in inputs), frozen)
        if kind != self._kind:
            self._kind, self._plain_left, self._graph = kind, PLAIN_STEPS, None
        if self._graph is None:
            if self._plain_left:
                self._plain_left -= 1
                return self._plain(inputs)
            try:
                self._graph = self._record(inputs)
            except RuntimeError as error:
                log.warning("a step could not be recorded, so training is slower than it could be: %s", error)
                self._plain_left = math.inf
                return self._plain(inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._loss.clone()

    def _plain(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run the step on the stream that will be recorded, as recording asks for."""
        usual = torch.cuda.current_stream()
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            loss = self._step(*inputs)
        usual.wait_stream(self._stream)
        return loss

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        self._inputs = tuple(given.clone() for given in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):  # nothing is computed yet
            self._loss = self._step(*self._inputs)
        count, _, height, width = inputs[0].shape
        log.info("recorded a step for %d pictures of %d × %d", count, height, width)
        return graph
