"""Memory of a long-lived worker."""

import ctypes
import os
import sys
from typing import Any, Final

import pyarrow as pa


def _find(name: str) -> Any:
    """Find a function of glibc's allocator; None where there is another C library."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


_TRIM = _find("malloc_trim")
_SET_OPTION = _find("mallopt")


def release_free_memory() -> None:
    """Give memory that this process has freed back to the system: Arrow's, and the C library's where it can (glibc).

    Batches of ever other shapes leave holes in the heap. Without this a worker that annotates for hours holds a third
    more than after its first minute.
    """
    pa.default_memory_pool().release_unused()
    if _TRIM is not None:
        _TRIM(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's names for its options, from malloc.h."""


def keep_free_memory() -> None:
    """Let the C library keep what is freed within a chunk, where it can (glibc), instead of asking the system anew.

    Every tensor of a pass is freed at once. glibc learns to keep such memory, but not where the variable
    MALLOC_TRIM_THRESHOLD_ is set, as Dask sets it for its workers: then each tensor was fresh pages of the system, and
    a worker took twice as long. What is free at a chunk's end goes back by `release_free_memory`.
    """
    if _SET_OPTION is not None:
        _SET_OPTION(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        _SET_OPTION(_TRIM_THRESHOLD, 1 << 30)


MAX_KERNELS: Final = 32
"""A forward pass of an encoder and its heads uses fewer."""


def bound_kernel_caches() -> None:
    """Let oneDNN and torch's layer over it keep few compiled kernels. Call it before the first product.

    They keep one for each shape, half a megabyte each, and 1,024 of them unless told otherwise; but hardly two batches
    of a dump have the same shape. A user's own setting of these variables stays.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(MAX_KERNELS))
