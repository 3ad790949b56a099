"""Runs on a long text that are killed or interrupted, in processes of their own, and go on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from processes import Capture, start

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

COMMANDS = {
    "summarize": ["summarize", "long.txt", "--length", "short"],
    "ask": ["ask", "long.txt", "How often did the committee meet?"],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FASTKV_STORE", "off")  # only the journal of parts is looked at here
    return tmp_path / "home"


@pytest.fixture
def long_options(home: Path, options: list[str]) -> list[str]:
    """A text of many parts, and options for a quick run on it."""
    lines = (f"Entry {at:04}: the committee met and wrote it down.\n\n" for at in range(800))
    Path("long.txt").write_text("".join(lines))
    return [*options, "--json"]


def count_lines(home: Path) -> int:
    return sum(path.read_bytes().count(b"}\n") for path in home.glob("parts/*.jsonl"))


def stop(child: subprocess.Popen[str], sent: signal.Signals, home: Path, lines: int) -> str:
    """Send a signal once so many parts are kept; gives stderr."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and count_lines(home) < lines:
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)
    child.send_signal(sent)
    stdout, stderr = child.communicate(timeout=60)
    assert stdout == ""
    return stderr


def report_of(arguments: list[str], capfd: Capture) -> tuple[dict[str, Any], str]:
    capfd.readouterr()
    assert run(arguments) == 0
    stdout, stderr = capfd.readouterr()
    report: dict[str, Any] = json.loads(stdout)
    for timed in ("stats", "load_s"):
        report.pop(timed, None)
    report["reading"].pop("parts_s")
    return report, stderr


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_killed_and_interrupted_runs_go_on(
    command: list[str], long_options: list[str], home: Path, capfd: Capture
) -> None:
    arguments = [*command, *long_options]
    assert stop(start(arguments), signal.SIGKILL, home, 3) == ""
    killed_after = count_lines(home)

    child = start([*arguments, "--resume", "-o", "out.json"])
    stderr = stop(child, signal.SIGINT, home, killed_after + 3)
    assert child.returncode == ExitCode.INTERRUPTED
    said = re.fullmatch(
        r"fastkv: interrupted: out\.json was not written; (\d+) of (\d+) parts are kept, "
        r"run again with --resume\n",
        stderr,
    )
    assert said, stderr
    kept, parts = int(said[1]), int(said[2])
    assert killed_after + 2 <= kept < parts
    assert not Path("out.json").exists()

    resumed, stderr = report_of([*arguments, "--resume"], capfd)
    assert "kept" not in stderr
    assert resumed["reading"].pop("parts_resumed") == kept
    assert list(home.glob("parts/*")) == []
    whole, _ = report_of(arguments, capfd)
    assert whole["reading"].pop("parts_resumed") == 0
    assert resumed == whole


def test_resume_with_nothing_to_resume(long_options: list[str], home: Path, capfd: Capture) -> None:
    report, stderr = report_of([*COMMANDS["ask"], *long_options, "--resume"], capfd)
    assert report["reading"]["parts_resumed"] == 0
    assert stderr.startswith("no parts are kept from an earlier run")
    report, stderr = report_of(["summarize", "a.txt", *long_options, "--resume"], capfd)
    assert report["reading"]["parts"] == 1
    assert stderr.endswith("the text was read in one go: there was nothing to resume\n")


def test_a_home_that_is_a_file_costs_a_warning(
    long_options: list[str], home: Path, capfd: Capture
) -> None:
    home.write_text("I am a file.")
    report, stderr = report_of([*COMMANDS["ask"], *long_options], capfd)
    assert report["answer"]
    assert [text for text in report["warnings"] if "cannot be resumed" in text]
    assert stderr.count("cannot be resumed") == 1


def test_the_statistics_tell_of_it(long_options: list[str], home: Path, capfd: Capture) -> None:
    arguments = [*COMMANDS["ask"], *long_options]
    stop(start(arguments), signal.SIGINT, home, 2)
    kept = count_lines(home)
    capfd.readouterr()
    assert run([*arguments[:-1], "--resume", "--stats", "full"]) == 0
    assert re.search(rf"Parts +\d+ \({kept} from an interrupted run\)", capfd.readouterr().err)


def test_ctrl_c_while_modules_are_imported(tmp_path: Path) -> None:
    interrupts = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "typer.py").write_text(interrupts)  # it is imported first, and takes the longest
    with start(["ask", "a.txt", "Who?"], PYTHONPATH=tmp_path) as child:
        assert child.communicate(timeout=60) == ("", "fastkv: interrupted\n")
    assert child.returncode == ExitCode.INTERRUPTED
