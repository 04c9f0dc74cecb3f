"""Several processes that train one network, and the processor they run on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn


def own_part(rows: NDArray[np.int64], pictures_per_person: int, rank: int, processes: int) -> NDArray[np.int64]:
    """Return the pictures of those people of a batch that fall to this process."""
    return rows.reshape(-1, pictures_per_person)[rank::processes].ravel()


def join_processes(device: torch.device) -> tuple[int, int]:
    """Return (rank, number of processes); more than one when started by `torchrun`."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return distributed.get_rank(), processes


def average_gradients(parameters: Sequence[nn.Parameter], processes: int) -> None:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = torch.cat([gradient.ravel() for gradient in gradients])
    distributed.all_reduce(together)
    together /= processes
    for gradient, averaged in zip(
        gradients, torch.split(together, [gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(averaged.view_as(gradient))


@contextmanager
def processor_settings(threads: int) -> Iterator[None]:
    """Compute with so many threads (0: one for each core) and round the smallest floats to zero while this is open.

    Both hold for the whole process and slow or change what runs after a training, so they are put back. PyTorch can't
    be asked whether it rounds: half of the smallest normal float tells.
    """
    threads_before, flushed_before = torch.get_num_threads(), sys.float_info.min / 2 == 0.0
    torch.set_num_threads(threads or os.cpu_count() or 1)
    benchmark_before = torch.backends.cudnn.benchmark
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True  # sizes repeat, so it pays to try which algorithm of a GPU is fastest
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark_before
        torch.set_num_threads(threads_before)
        torch.set_flush_denormal(flushed_before)
