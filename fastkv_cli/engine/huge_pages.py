"""Memory in huge pages, for tensors that every decoded token reads whole.

A processor finds a page of 4 KiB through tables that it has to read, too. Weights and cache entries
are far more pages than it remembers, and every token reads all of them once: from pages of 2 MiB
they come up to twice as fast. Linux gives out such pages on request; elsewhere nothing changes.
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import torch
from torch import Tensor

_PAGE_BYTES = 2**21
_CHUNK_BYTES = 2**25  # of address space: memory is taken by the page, when it is written to
_LEAST_BYTES = 2**16  # smaller tensors stay in the cores' caches, or do not matter
_ALIGNMENT = 64


class HugePages:
    """Allocates tensors one behind the other; a chunk is freed with the last tensor in it."""

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


def _map(num_bytes: int) -> tuple[mmap.mmap, int]:
    """Address space for so many bytes, and where in it the first huge page begins."""
    # one page more, as the mapping may start anywhere
    space = mmap.mmap(-1, -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES)
    with suppress(OSError):  # a kernel without huge pages
        space.madvise(mmap.MADV_HUGEPAGE)
    address = torch.frombuffer(space, dtype=torch.uint8, count=1).data_ptr()
    return space, -address % _PAGE_BYTES
