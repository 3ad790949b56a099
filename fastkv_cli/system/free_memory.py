"""How much memory there is: of the machine, of a container, and under `ulimit -v`."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutOfMemoryError

# Addresses that torch, transformers and a tokenizer take: 693 MiB with torch for the CPU, and more
# with others, which tell in time. Libraries in C and Rust abort or crash where they get none.
_START_BYTES = 720 * 2**20

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """What this process could still take without swapping; None where the system does not tell."""
    known = (read_kibibytes(_MEMINFO, "MemAvailable:"), _left_of_addresses(), _left_of_group())
    return min((each for each in known if each is not None), default=None)


def check_memory_to_start() -> None:
    """See that `ulimit -v` leaves enough to import torch and load a tokenizer.

    Raises:
        OutOfMemoryError: when it does not.
    """
    free = _left_of_addresses()
    if free is not None and free < _START_BYTES:
        raise OutOfMemoryError(
            f"not enough memory to load a model: ulimit -v leaves {free / 2**20:,.0f} MiB of "
            f"the {_START_BYTES / 2**20:,.0f} MiB that it takes without weights",
            "raise it with ulimit -v, or give a smaller document",
        )


def read_kibibytes(path: Path, name: str) -> int | None:
    """A line of Linux's own tables, in bytes; None where there is none."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _left_of_addresses() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = read_kibibytes(_STATUS, "VmSize:")
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(limit - used, 0)


def _left_of_group() -> int | None:
    """What the limit of a control group (version 2), as of a container, leaves.

    The page cache counts as used there, and is given back when memory is short.
    """
    try:
        name = _OWN_GROUP.read_text().strip().rpartition("::")[2].lstrip("/")
        limit = int((_GROUPS / name / "memory.max").read_text())  # "max" is none
        used = int((_GROUPS / name / "memory.current").read_text())
        counts = (_GROUPS / name / "memory.stat").read_text().split()
        cached = int(counts[counts.index("file") + 1])
    except (OSError, ValueError):
        return None
    return max(limit - used + cached, 0)
