"""Memory of a long-lived worker."""

import ctypes
import os
import sys
from typing import Any, Final

import pyarrow as pa


def _find_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


_TRIM = _find_trim()


def release_free_memory() -> None:
    """Give memory that this process has freed back to the system: Arrow's, and the C library's where it can (glibc).

    Batches of ever other shapes leave holes in the heap. Without this a worker that annotates for hours holds a third
    more than after its first minute.
    """
    pa.default_memory_pool().release_unused()
    if _TRIM is not None:
        _TRIM(0)


MAX_KERNELS: Final = 32
"""A forward pass of an encoder and its heads uses fewer."""


def bound_kernel_caches() -> None:
    """Let oneDNN and torch's layer over it keep few compiled kernels. Call it before the first product.

    They keep one for each shape, half a megabyte each, and 1,024 of them unless told otherwise; but hardly two batches
    of a dump have the same shape. A user's own setting of these variables stays.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(MAX_KERNELS))
