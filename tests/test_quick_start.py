"""What a process of the command line leaves out at its start, and how it is made up for."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.system.quick_start import collector_paused, load_meta_kernels

RUN = """
import sys
from fastkv_cli.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("loaded" if "torch._prims" in sys.modules else "deferred", file=sys.stderr)
import torch
from torch import _meta_registrations
assert _meta_registrations is sys.modules["torch._meta_registrations"]
"""
LIGHT = "--dtype", "bfloat16", "--device", "cpu", "--no-store", "--offline", "--max-tokens", "3"


def run_cli(*arguments: object) -> tuple[str, str]:
    """Whether the meta kernels were loaded in a process of its own, and the answer."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments), *LIGHT],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()[-1], done.stdout


def test_meta_kernels_are_loaded_when_something_needs_them(
    plain_folder: Path, tmp_path: Path
) -> None:
    document = tmp_path / "doc.txt"
    document.write_text("The harbour of Wessel opens at six. " * 5)
    ask = "ask", document, "When does it open?", "--model", plain_folder
    state, answer = run_cli(*ask)
    assert state == "deferred"
    # a generator of random numbers needs them
    assert run_cli(*ask, "--temperature", 1e-6) == ("loaded", answer)


def test_deferred_kernels_can_be_imported_afterwards() -> None:
    code = (
        "from fastkv_cli.system.quick_start import defer_meta_kernels, load_meta_kernels\n"
        "defer_meta_kernels()\n"
        "import sys, torch\n"
        "assert 'torch._prims' not in sys.modules\n"
        "load_meta_kernels()\n"
        "load_meta_kernels()\n"
        "assert 'torch._prims' in sys.modules\n"
        "square = torch.empty(2, 2, device='meta')\n"
        "print(tuple(torch.linalg.eigh(square)[1].shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "(2, 2)\n", done.stderr


def test_meta_kernels_that_were_not_deferred_stay() -> None:
    import torch._meta_registrations as kernels

    load_meta_kernels()
    assert sys.modules["torch._meta_registrations"] is kernels


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_before_a_pause(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
