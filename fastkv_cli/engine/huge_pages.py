"""Memory in huge pages, for tensors that every decoded token reads whole.

A processor finds a page of 4 KiB through tables that it has to read, too. Weights and cache entries
are far more pages than it remembers, and every token reads all of them once: from pages of 2 MiB
they come up to twice as fast. Linux gives out such pages on request; elsewhere nothing changes.
"""

from __future__ import annotations

import math
import mmap
import threading
from contextlib import suppress

import torch
from torch import Tensor

_PAGE_BYTES = 2**21
# Address space: memory is taken by the page, when it is written to. But a limit on a process's data
# (RLIMIT_DATA) counts all of it, for each cache.
_CHUNK_BYTES = 2**24
_LEAST_BYTES = 2**16  # smaller tensors stay in the cores' caches, or do not matter
_ALIGNMENT = 64


class HugePages:
    """Allocates tensors one behind the other; a chunk is freed with the last tensor in it.

    Only one thread may use it.
    """

    def __init__(self) -> None:
        """Start without memory."""
        self._chunk: mmap.mmap | None = None
        self._used = self._end = 0  # bytes of the chunk

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialized, contiguous tensor on the CPU."""
        count = math.prod(shape)
        num_bytes = count * dtype.itemsize
        if num_bytes < _LEAST_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
            return torch.empty(shape, dtype=dtype)
        if self._chunk is None or self._used + num_bytes > self._end:
            self._chunk, self._used = _map(max(num_bytes, _CHUNK_BYTES))
            self._end = len(self._chunk)
        # the tensor keeps the chunk
        taken = torch.frombuffer(self._chunk, dtype=dtype, count=count, offset=self._used)
        self._used += -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
        return taken.view(shape)


class _PagesOfThread(threading.local):
    def __init__(self) -> None:
        self.pages = HugePages()


_own = _PagesOfThread()


def pages_of_thread() -> HugePages:
    """Memory of this thread, for packed weights: many small tensors that live equally long."""
    return _own.pages


def _map(num_bytes: int) -> tuple[mmap.mmap, int]:
    """Address space for so many bytes, and where in it the first huge page begins."""
    # One page more, as the mapping may start anywhere. Shared memory, Python's default, has no huge
    # pages on most systems, and RLIMIT_DATA does not count it.
    size = -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        space.madvise(mmap.MADV_HUGEPAGE)
    address = torch.frombuffer(space, dtype=torch.uint8, count=1).data_ptr()
    return space, -address % _PAGE_BYTES
