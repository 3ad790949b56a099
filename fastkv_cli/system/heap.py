"""Settings of glibc's allocator for tensors of a few megabytes."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_SET_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
# The largest activations of a chunk of 1,024 rows have 64 MiB. glibc before 2.35 takes 32 MiB.
_REUSED_BYTES = (2**28, 2**25)


def reuse_freed_memory() -> bool:
    """Let glibc reuse the memory of freed tensors instead of returning it to the system.

    By default every tensor above 32 MiB, and at first above 128 KiB, is mapped anew, and the system
    clears each of its pages: 440,000 page faults in the prefill of 3,700 tokens on a model of 1.2
    billion weights, 7.1 s of which 0.9 in the system; 56,000 faults and 6.5 s with reuse, with a
    peak of memory that is 1% higher.

    Returns:
        Whether it was set: only with glibc, and only where the user set nothing of the kind.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SET_BY_USER):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    for size in _REUSED_BYTES:
        if mallopt(_M_MMAP_THRESHOLD, size) == 1:
            return bool(mallopt(_M_TRIM_THRESHOLD, 2 * size) == 1)
    return False
