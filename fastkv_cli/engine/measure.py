"""Clock, peak memory and out-of-memory errors, measured as each device requires."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import OutOfMemoryError, is_memory_error
from ..system.free_memory import read_kibibytes

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def now(device: torch.device) -> float:
    """Seconds on a monotonic clock, after waiting for the device's queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def reset_peak_memory(device: torch.device) -> None:
    """Restart the peak measurement, where the system supports it, and return freed memory first."""
    if sys.platform == "linux":
        # glibc keeps freed memory, which would count towards the peak; musl has no malloc_trim
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR_REFS.exists():
        try:
            _CLEAR_REFS.write_text("5")  # Linux: resets the peak of the resident set
        except OSError:
            return


def peak_memory_bytes(device: torch.device) -> int | None:
    """Peak memory since the reset, of the GPU, else of the process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = read_kibibytes(_STATUS, "VmHWM:")
    return _peak_by_getrusage() if peak is None else peak


def resident_memory_bytes() -> int | None:
    """Memory that this process holds now; its peak where the system reports only that."""
    held = read_kibibytes(_STATUS, "VmRSS:")
    return _peak_by_getrusage() if held is None else held


def _peak_by_getrusage() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU or a GPU."""
    return isinstance(error, torch.OutOfMemoryError) or is_memory_error(error)


@contextmanager
def explained_out_of_memory(num_tokens: int) -> Iterator[None]:
    """Raise an `OutOfMemoryError` for every kind of out-of-memory error."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:  # OSError: of a mapping
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"memory ran out on a prompt of {num_tokens:,} tokens",
            "try a smaller --budget or --tsp-rate, fewer --pages, or a smaller --model",
        ) from error
