"""Available memory: of the machine, within a container's limit, and under `ulimit -v`."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutOfMemoryError

# Address space of torch, transformers and a tokenizer: 693 MiB with torch for the CPU. Other builds
# take more, and report it in time. Libraries in C and Rust abort or crash when they get none.
_START_BYTES = 720 * 2**20

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Memory that this process can still allocate without swapping; None where unknown."""
    known = (read_kibibytes(_MEMINFO, "MemAvailable:"), _free_addresses(), _free_in_cgroup())
    return min((each for each in known if each is not None), default=None)


def check_memory_to_start() -> None:
    """Check that `ulimit -v` leaves enough to import torch and load a tokenizer.

    Raises:
        OutOfMemoryError: when it does not.
    """
    free = _free_addresses()
    if free is not None and free < _START_BYTES:
        raise OutOfMemoryError(
            f"not enough memory to load a model: ulimit -v leaves {free / 2**20:,.0f} MiB of "
            f"the {_START_BYTES / 2**20:,.0f} MiB that it takes without weights",
            "raise it with ulimit -v, or give a smaller document",
        )


def read_kibibytes(path: Path, name: str) -> int | None:
    """A value from a /proc file such as meminfo, in bytes; None if it is not there."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _free_addresses() -> int | None:
    """Address space left under `ulimit -v`; None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = read_kibibytes(_STATUS, "VmSize:")
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(limit - used, 0)


def _free_in_cgroup() -> int | None:
    """Memory left under the limit of a control group (version 2), such as a container's.

    Linux counts the page cache as used there, but frees it when memory is short.
    """
    try:
        name = _OWN_GROUP.read_text().strip().rpartition("::")[2].lstrip("/")
        limit = int((_GROUPS / name / "memory.max").read_text())  # "max": no limit
        used = int((_GROUPS / name / "memory.current").read_text())
        counts = (_GROUPS / name / "memory.stat").read_text().split()
        cached = int(counts[counts.index("file") + 1])
    except (OSError, ValueError):
        return None
    return max(limit - used + cached, 0)
