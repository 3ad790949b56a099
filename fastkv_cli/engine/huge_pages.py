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
        self._chunk = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialized, contiguous tensor on the CPU."""
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes < _LEAST_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
            return torch.empty(shape, dtype=dtype)
        if self._used + num_bytes > self._chunk.numel():
            self._chunk, self._used = _map(max(num_bytes, _CHUNK_BYTES)), 0
        taken = self._chunk[self._used : self._used + num_bytes]
        self._used += -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
        return taken.view(dtype).view(shape)


def _map(num_bytes: int) -> Tensor:
    """Address space in whole huge pages, (bytes,) uint8."""
    # one page more, as the mapping may start anywhere
    space = mmap.mmap(-1, -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES)
    with suppress(OSError):  # a kernel without huge pages
        space.madvise(mmap.MADV_HUGEPAGE)
    mapped = torch.frombuffer(space, dtype=torch.uint8)
    return mapped[-mapped.data_ptr() % _PAGE_BYTES :]
