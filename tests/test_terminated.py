"""SIGTERM and SIGHUP: the exit code is 128 + n, and no temporary file stays."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from processes import start, start_in_terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
SIGNALS = [signal.SIGTERM, signal.SIGHUP]
# Writes a state, and the output beside its place, with the signals handled as in a run.
WRITING = """
import sys
from pathlib import Path
from fastkv_cli.output import console
from fastkv_cli.store import StateStore
from fastkv_cli.system.termination import clean_up_at_signals
from states import TENSORS, make_data, make_spec
clean_up_at_signals()
spec = make_spec()
with StateStore(Path(sys.argv[1]) / "states", 10**9).record(spec) as writer:
    writer.add("hidden", make_data(spec)["hidden"])
    real = console.os.fdopen
    def fdopen(*arguments):
        print("writing", flush=True)
        sys.stdin.read()
        return real(*arguments)
    console.os.fdopen = fdopen
    console.write_file(Path(sys.argv[1]) / "out.txt", b"half of it")
"""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_temporary_files_go(tmp_path: Path, number: signal.Signals) -> None:
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path)],
        env=environment(PYTHONPATH=f"{here / 'store'}:{here}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    assert len([path for path in tmp_path.rglob(".*") if path.is_file()]) == 2
    child.send_signal(number)
    assert child.communicate(timeout=60) == ("", "")
    assert child.returncode == 128 + number
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_run_that_answers(endless: list[str], tmp_path: Path, number: signal.Signals) -> None:
    home = tmp_path / "home"
    child = start(["ask", "a.txt", "Who met?", "--no-check", *endless], FASTKV_HOME=home)
    assert child.stdout is not None
    select.select([child.stdout], [], [], 120)
    child.send_signal(number)
    stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert stdout.strip()
    assert "Traceback" not in stderr
    assert [path for path in home.rglob(".*") if path.is_file()] == []


def test_the_cursor_comes_back(endless: list[str]) -> None:
    child, terminal = start_in_terminal(
        ["ask", "a.txt", "Who met?", "--no-check", *endless, "-o", "out.txt"]
    )
    shown = terminal.read_until("answering")
    child.send_signal(signal.SIGTERM)
    shown += terminal.read_until()
    assert child.wait(timeout=60) == 128 + signal.SIGTERM
    assert child.stdout is not None
    child.stdout.close()
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") >= 1
    assert not Path("out.txt").exists()


def test_nohup_is_obeyed(options: list[str]) -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from fastkv_cli.system.termination import clean_up_at_signals\n"
        "clean_up_at_signals()\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "goes on\n")
