"""The reader goes before the answer ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from processes import start

from fastkv_cli.errors import ExitCode


class TestClosedPipes:
    """The reader goes before the answer ends."""

    def test_stdout(self, endless: list[str]) -> None:
        child = start(["ask", "a.txt", "Who met?", "--no-check", *endless])
        assert child.stdout is not None
        assert child.stderr is not None
        os.read(child.stdout.fileno(), 1)  # the answer has begun
        child.stdout.close()
        stderr = child.stderr.read()
        child.stderr.close()
        assert child.wait(timeout=120) == ExitCode.CLOSED_PIPE
        assert stderr == ""

    def test_stderr(self, options: list[str]) -> None:
        child = start(["summarize", "a.txt", *options])
        assert child.stdout is not None
        assert child.stderr is not None
        child.stderr.close()
        stdout = child.stdout.read()
        child.stdout.close()
        assert stdout.strip()
        assert child.wait(timeout=120) == 0

    def test_help(self) -> None:
        child = start(["--help"])
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        child.stderr.close()
        assert child.wait(timeout=60) == ExitCode.CLOSED_PIPE

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("command", ["summarize", "cache"])
    def test_a_full_disk_behind_stdout(self, options: list[str], command: str) -> None:
        rest = ["a.txt", *options, "-q"] if command == "summarize" else ["path"]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "fastkv_cli", command, *rest],
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=120,
            )
        assert done.returncode == ExitCode.OUTPUT
        # not every command has -o
        assert re.fullmatch(r"fastkv: cannot write to stdout \(.*\): send it \w+\n", done.stderr)
