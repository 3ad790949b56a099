"""How much memory is told to be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.errors import ExitCode
from fastkv_cli.system.free_memory import available_memory_bytes, read_kibibytes

MEMINFO = Path("/proc/meminfo")
needs_proc = pytest.mark.skipif(not MEMINFO.exists(), reason="no /proc")
TELL = """
import resource
from fastkv_cli.system.free_memory import available_memory_bytes
resource.setrlimit(resource.RLIMIT_AS, (300 * 2**20, resource.RLIM_INFINITY))
print(available_memory_bytes())
"""


@needs_proc
def test_it_is_no_more_than_the_machine_has() -> None:
    free, whole = available_memory_bytes(), read_kibibytes(MEMINFO, "MemTotal:")
    assert free is not None
    assert whole is not None
    assert 0 < free <= whole


@needs_proc
def test_a_limit_of_addresses_counts() -> None:
    done = subprocess.run([sys.executable, "-c", TELL], capture_output=True, check=True)
    assert 0 < int(done.stdout) < 300 * 2**20


@needs_proc
@pytest.mark.parametrize("command", [["extract", "a.txt"], ["ask", "a.txt", "Who met?"]])
def test_too_little_to_load_a_model_is_told(options: list[str], command: list[str]) -> None:
    """Under these limits torch, OpenBLAS or the tokenizer crashed, each in its own way."""
    for limit_kib in (550_000, 650_000):
        arguments = [*command, "--model", options[1]]
        shell = f'ulimit -v {limit_kib}; exec "$@"'
        done = subprocess.run(
            ["sh", "-c", shell, "sh", sys.executable, "-m", "fastkv_cli", *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (ExitCode.MEMORY, ""), done.stderr
        assert done.stderr.startswith("fastkv: not enough memory to load a model: ulimit -v leaves")
        assert done.stderr.count("\n") == 1


def test_a_table_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert read_kibibytes(tmp_path / "none", "MemTotal:") is None
