"""What the CPU can multiply natively, without asking torch."""

from __future__ import annotations

import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)  # x86, ARM
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "amx_tile", "bf16"}


def multiplies_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; assumed where the system does not say."""
    try:
        found = _FLAGS.search(_CPUINFO.read_text())
    except OSError:
        return True
    return found is None or not _BFLOAT16.isdisjoint(found[1].split())
