"""fastkv in a process of its own, as a user runs it: what long_document.py and reuse.py measure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]


def run_fastkv(arguments: Sequence[str], home: Path | None = None) -> str:
    """What a run of this clone reports: JSON; of `--question`, a line for each.

    Args:
        arguments: the command and its options, `--json` and `--quiet` left out.
        home: the folder for all that fastkv keeps; None for the usual one.
    """
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    if home is not None:
        environment["FASTKV_HOME"] = str(home)
    command = [sys.executable, "-m", "fastkv_cli", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"fastkv {arguments[0]} ended with {done.returncode}")
    return done.stdout.decode()
