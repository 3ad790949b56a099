"""Memory of freed tensors is reused, which saves the system's clearing of its pages."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from conftest import environment

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="glibc's allocator",
)

# Allocates, fills and frees 24 MiB twenty times: 6,144 pages each; prints what was set, and faults.
_SCRIPT = """
import ctypes, resource
from fastkv_cli.system.heap import reuse_freed_memory

is_set = reuse_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    memory = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(24 * 2**20)))
    ctypes.memset(memory, 1, 24 * 2**20)
    libc.free(memory)
print(is_set, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(**changes: object) -> tuple[bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=True,
    )
    is_set, faults = done.stdout.split()
    return is_set == "True", int(faults)


def test_freed_memory_is_reused() -> None:
    is_set, faults = _run()
    assert is_set
    assert faults < 2 * 6144


def test_settings_of_the_user_are_kept() -> None:
    is_set, faults = _run(MALLOC_MMAP_THRESHOLD_=1_000_000)
    assert not is_set
    assert faults > 10 * 6144
