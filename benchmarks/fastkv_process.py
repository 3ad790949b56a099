"""Run fastkv in a separate process, as a user does; for long_document.py and reuse.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]


def run_fastkv(arguments: Sequence[str], home: Path | None = None) -> str:
    """The JSON report of a run of this clone; with `--question`, one line for each.

    Args:
        arguments: the command and its options, without `--json` and `--quiet`.
        home: the folder for everything that fastkv stores; None for the default.
    """
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    if home is not None:
        environment["FASTKV_HOME"] = str(home)
    command = [sys.executable, "-m", "fastkv_cli", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"fastkv {arguments[0]} ended with {done.returncode}")
    return done.stdout.decode()
