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
from processes import finish, start, start_at_terminal

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


LONG = "a\u200b".encode() * 10_000_000  # its reader computes for 5 s and more


def wait_until_it_computes(pid: int) -> None:
    deadline = time.monotonic() + 60
    ticks = 0
    while ticks < os.sysconf("SC_CLK_TCK"):  # 0.3 s are imports
        assert time.monotonic() < deadline
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        ticks = int(user) + int(system)
        time.sleep(0.02)


@needs_proc
@pytest.mark.parametrize("name", ["long.txt", "long.md"])
def test_ctrl_c_while_a_long_text_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(LONG)
    with start(["extract", str(path)]) as child:
        reader = reader_of(child.pid)
        wait_until_it_computes(reader)
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert child.communicate(timeout=60) == ("", "fastkv: interrupted\n")
    assert time.monotonic() - sent < 3
    assert child.returncode == ExitCode.INTERRUPTED
    assert not Path(f"/proc/{reader}").exists()


def test_the_limit_of_time_holds_for_long_texts(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(LONG)
    with start(["extract", str(path), "--extract-timeout", "1"]) as child:
        stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (ExitCode.INPUT, "")
    assert stderr == (
        f"fastkv: {path} gave no text (stopped after 1 s): allow more time with --extract-timeout\n"
    )
