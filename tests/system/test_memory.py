"""Freed memory is kept while asked to, and given back afterwards."""

import resource
import sys

import numpy as np
import pytest

from app.system.memory import keep_freed_memory

MEGABYTES_40 = 5 * 2**20  # float64 values: more than glibc ever keeps of its own accord


def _page_faults_of_arrays() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(MEGABYTES_40)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_arrays_reuse_pages_only_while_memory_is_kept() -> None:
    given_back = _page_faults_of_arrays()
    with keep_freed_memory():
        np.ones(MEGABYTES_40)  # the first one has to come from the kernel
        kept = _page_faults_of_arrays()
    assert kept < given_back / 4
    assert kept < _page_faults_of_arrays() / 4
