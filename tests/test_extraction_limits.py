"""The process that reads a document, as a user of the command line meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import environment
from pdf_maker import SLOW_PAGE, make_pdf
from processes import finish, start_at_terminal

from fastkv_cli.errors import ExitCode

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")


@pytest.fixture
def slow(options: list[str]) -> list[str]:
    """Arguments that summarize a PDF whose only page takes long to read."""
    Path("slow.pdf").write_bytes(make_pdf([SLOW_PAGE]))
    return ["summarize", "slow.pdf", *options]


def reader_of(pid: int) -> int:
    """The process that reads the document of a run, once it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for found in (task / "children").read_text().split():
                return int(found)
        time.sleep(0.02)
    raise AssertionError("no process was started")


@needs_proc
@pytest.mark.parametrize("reaches", ["both", "fastkv"])
def test_ctrl_c_ends_both_at_once_and_without_a_word(slow: list[str], reaches: str) -> None:
    """Whether a terminal sends it to the whole group, or somebody to fastkv alone."""
    child, terminal = start_at_terminal(slow)
    reader = reader_of(child.pid)
    time.sleep(1)
    if reaches == "both":
        os.write(terminal.ours, b"\x03")
    else:
        child.send_signal(signal.SIGINT)
    *_, last = terminal.read_until().split("\n")[:-1]
    assert finish(child) == (ExitCode.INTERRUPTED, "")
    assert last.rstrip().endswith("fastkv: interrupted")
    assert not Path(f"/proc/{reader}").exists()


@pytest.mark.parametrize("way", ["option", "environment", "stdin"])
def test_the_limit_of_time(slow: list[str], way: str) -> None:
    arguments = list(slow)
    changes = {"FASTKV_EXTRACT_TIMEOUT": "1.5"} if way == "environment" else {}
    if way != "environment":
        arguments += ["--extract-timeout", "1.5"]
    if way == "stdin":
        arguments[1] = "-"
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli", *arguments],
        env=environment(**changes),
        input=Path("slow.pdf").read_bytes() if way == "stdin" else b"",
        capture_output=True,
        check=False,
        timeout=120,
    )
    name = "standard input" if way == "stdin" else "slow.pdf"
    assert (done.returncode, done.stdout) == (ExitCode.INPUT, b"")
    assert done.stderr.decode() == (
        f"fastkv: {name} gave no text (stopped after 1.5 s): allow more time with --extract-timeout\n"
    )


def test_a_limit_out_of_range(slow: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli", *slow, "--extract-timeout", "0"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "--extract-timeout 0 is out of range" in done.stderr
