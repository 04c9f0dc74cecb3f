"""Freed memory is kept while asked to, and given back afterwards."""

import resource
import sys

import numpy as np
import pytest

from app.allocator import keep_freed_memory

MEGABYTES_8 = 2**20  # float64 values


def _page_faults_of_20_arrays() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(MEGABYTES_8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_arrays_reuse_pages_only_while_memory_is_kept() -> None:
    given_back = _page_faults_of_20_arrays()
    with keep_freed_memory():
        np.ones(MEGABYTES_8)  # the first one has to come from the kernel
        kept = _page_faults_of_20_arrays()
    assert kept < 100 < given_back
    assert _page_faults_of_20_arrays() > 100
