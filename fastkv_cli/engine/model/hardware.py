"""Choosing the device, number format and attention kernel, and describing the hardware."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

from ...config import Attention, DType
from ...errors import UsageError
from ..kernels.attention import Kernel
from ..kernels.int8_product import cpu_capabilities

_DTYPES = {
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT16: torch.float16,
    DType.FLOAT32: torch.float32,
}
_WITHOUT_FLASH = (
    "use --attention sdpa, or install the extra on a machine with CUDA: "
    "pip install 'fastkv-cli[flash]'"
)
# Instruction sets that speed up matrix products and attention on a CPU.
_INSTRUCTION_SETS = (
    *("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx10_1", "avx10_2"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("neon", "asimd", "fp16_arith", "dot", "i8mm", "bf16", "sve", "sve2", "sme", "sme2"),
)
_CPUINFO = Path("/proc/cpuinfo")
_MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_DEVICE = re.compile(r"cpu|mps|cuda(?::([0-9]{1,4}))?")
_CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16", "amx_tile", "bf16")


def set_threads(number: int) -> None:
    """Compute with so many threads of the CPU, in the thread that calls this."""
    torch.set_num_threads(number)


def choose_device(name: str) -> torch.device:
    """Choose the device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: when the name is none of these, or the machine has no such device.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda", 0) if num_gpus else torch.device("mps" if has_mps else "cpu")
    available = ["cpu", *(f"cuda:{n}" for n in range(num_gpus)), *(["mps"] if has_mps else [])]
    match = _DEVICE.fullmatch(name)
    if match is None:
        raise UsageError(
            f"unknown device {name!r}", f"give auto, or one that is there: {', '.join(available)}"
        )
    found = f"cuda:{int(match[1] or 0)}" if name.startswith("cuda") else name
    if found not in available:
        raise UsageError(f"there is no device {name}", f"this machine has {', '.join(available)}")
    return torch.device(found)


def choose_dtype(dtype: DType, device: torch.device) -> torch.dtype:
    """Choose the number format: AUTO is bfloat16 where the device multiplies it natively.

    Otherwise a CPU gets float32 and a GPU float16.
    """
    if dtype is not DType.AUTO:
        return _DTYPES[dtype]
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return torch.bfloat16
    return torch.float16


def choose_kernel(
    wanted: Attention, device: torch.device, dtype: torch.dtype, *, is_exact: bool = False
) -> Kernel:
    """Choose the attention kernel for prefill.

    AUTO is flash where it is installed, on CUDA, in 16 bits; blocked on a CPU; else torch's SDPA.

    Args:
        wanted: AUTO, or a kernel by name.
        device: the one to compute on.
        dtype: the number format of queries, keys and values.
        is_exact: float32 was requested by name: AUTO is SDPA then, as blocked may be sparse.

    Raises:
        UsageError: when flash is requested by name and cannot be used.
    """
    problem = _flash_problem(device, dtype)
    if wanted is Attention.FLASH and problem is not None:
        raise UsageError(f"--attention flash {problem}", _WITHOUT_FLASH)
    if wanted is not Attention.SDPA and problem is None:
        return Kernel.FLASH
    is_blocked = wanted is Attention.AUTO and device.type == "cpu" and not is_exact
    return Kernel.BLOCKED if is_blocked else Kernel.SDPA


def _flash_problem(device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why flash attention cannot be used here; None if it can."""
    if device.type != "cuda":
        return f"needs a CUDA device, and the device is {device}"
    if dtype is torch.float32:
        return "needs --dtype bfloat16 or float16, and the dtype is float32"
    try:
        importlib.import_module("flash_attn")
    except ImportError:
        return "needs the package flash-attn, which cannot be imported"
    return None


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Describe the machine, for figures that depend on it; unknown values are None.

    Args:
        device: the device that the model runs on; named if it is a GPU.
    """
    capabilities = cpu_capabilities()
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in _INSTRUCTION_SETS if capabilities.get(name)],
        "memory_bytes": _memory_bytes(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


def _cpu_name() -> str | None:
    """The system's name of the CPU: platform.processor() is of little use on Linux and macOS."""
    try:
        if _CPUINFO.exists():
            found = _MODEL_NAME.search(_CPUINFO.read_text())
            if found is not None:
                return found[1].strip()
        elif platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.check_output(command, text=True, timeout=5).strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return str(cpu_capabilities().get("cpu_name") or platform.processor()) or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = cpu_capabilities()
    return any(capabilities.get(feature, False) for feature in _CPU_BFLOAT16)
