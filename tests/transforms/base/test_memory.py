"""Memory of a worker: what is freed within a chunk is kept, what is free at its end goes back."""

import os
import subprocess
import sys

import pytest

from klue_beam.transforms.base.memory import keep_free_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only glibc's allocator has these options")

PASSES = """
import ctypes, psutil, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: huge pages would hide how much is fresh
from klue_beam.transforms.base.memory import keep_free_memory, release_free_memory
if sys.argv[1] == "keep":
    keep_free_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    states = torch.ones(1 << 20)
    del states
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
held = psutil.Process().memory_info().rss
kept = [torch.ones(1 << 20) for _ in range(50)]
del kept
release_free_memory()
print(faults, psutil.Process().memory_info().rss - held)
"""


def run_passes(mode: str) -> tuple[int, int]:
    """Fresh pages that 100 tensors of 4 MB took, and bytes that 50 freed at once left behind."""
    # As Dask starts its workers.
    call = [sys.executable, "-c", PASSES, mode]
    said = subprocess.run(
        call, capture_output=True, text=True, check=True, env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    )
    faults, left = said.stdout.split()
    return int(faults), int(left)


def test_tensors_come_from_memory_that_was_freed_before() -> None:
    """Even where the environment says otherwise; and at a chunk's end nothing stays behind."""
    pages = 100 * (4 << 20) // 4096
    assert run_passes("leave")[0] > 0.9 * pages
    faults, left = run_passes("keep")
    assert faults < 0.1 * pages
    assert left < 20e6


def test_it_may_be_called_again() -> None:
    keep_free_memory()
    keep_free_memory()
