"""Terminals and Ctrl-C: bars that come late and go early, and nothing of them on stdout."""

from __future__ import annotations

import contextlib
import io
import re
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import finish, start, start_in_terminal

from fastkv_cli.errors import ExitCode
from fastkv_cli.output import console
from fastkv_cli.output.progress import ProgressBars

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("no_color", [False, True])
def test_under_a_terminal(options: list[str], no_color: bool) -> None:
    """Loading takes more than a second: the bar shows, on stderr alone, and then the table."""
    changes: dict[str, Any] = {"NO_COLOR": "1"} if no_color else {}
    child, terminal = start_in_terminal(["summarize", "a.txt", *options], **changes)
    shown = terminal.read_until()
    code, stdout = finish(child)
    assert code == 0
    assert stdout.strip()
    assert CONTROL.search(stdout) is None
    assert re.search("starting|loading", shown)
    assert "━" in shown
    assert "KV cache" in shown
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9]m", shown) is not None
    assert coloured is not no_color
    # the bar is erased before the table begins
    assert "━" not in shown[shown.rindex("\x1b[2K") :]


class TestInterrupt:
    """Ctrl-C: one line, exit code 130, and the answer so far on stdout."""

    def test_while_prefilling(self, options: list[str]) -> None:
        Path("long.txt").write_text("The committee met 14 times in 1999.\n\n" * 4000)
        child, terminal = start_in_terminal(["summarize", "long.txt", *options])
        shown = terminal.read_until("part 1 of")
        child.send_signal(signal.SIGINT)
        shown += terminal.read_until()
        assert finish(child) == (ExitCode.INTERRUPTED, "")
        # the bar is erased, and the cursor is back
        assert re.split(r"\x1b\[2K", shown)[-1] == "fastkv: interrupted\r\n"
        assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1

    def test_while_decoding(self, endless: list[str]) -> None:
        child = start(["ask", "a.txt", "Who met?", "--no-check", *endless])
        assert child.stdout is not None
        select.select([child.stdout], [], [], 120)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        assert child.returncode == ExitCode.INTERRUPTED
        assert stdout.strip()
        assert stdout.endswith("\n")
        assert stderr == "fastkv: interrupted\n"

    def test_while_decoding_for_a_file(self, endless: list[str]) -> None:
        before = set(Path().iterdir())
        # an answer that no limit of sentences ends, and that is shown whatever it says; unpacked
        # weights make it take longer, so that it is not over when the signal comes
        asked = ["ask", "a.txt", "Who met?", "--no-check", "--decode-weights", "full"]
        child, terminal = start_in_terminal([*asked, *endless, "-o", "out.txt"])
        terminal.read_until("answering")
        time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        code, stdout = finish(child)
        assert code == ExitCode.INTERRUPTED
        assert stdout.strip()
        assert stdout.endswith("\n")
        assert shown.endswith("fastkv: interrupted: out.txt was not written\r\n")
        assert set(Path().iterdir()) == before


class FakeTerminal(io.StringIO):
    """A terminal in memory."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def bars_on(screen: io.StringIO, *, enabled: bool = True) -> Iterator[ProgressBars]:
    """Bars as a run has them, with this as stderr."""
    with (
        contextlib.redirect_stderr(screen),
        ProgressBars(console.stderr_console(), enabled=enabled) as bars,
    ):
        yield bars


class TestProgressBars:
    """Bars that come late, go early, and take updates from any thread."""

    @pytest.fixture
    def screen(self, monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        return FakeTerminal()

    def test_quick_work_shows_nothing(self, screen: FakeTerminal) -> None:
        with bars_on(screen) as bars:
            bars.update("reading", 1, 4)
            bars.update("reading", 4, 4)
            bars.close()
            time.sleep(1.2)
        assert screen.getvalue() == ""

    def test_slow_work_shows_a_bar_that_fits_and_goes(self, screen: FakeTerminal) -> None:
        with bars_on(screen) as bars:
            bars.update(
                "a label much longer than any other label that [there] is", 1e9, 8e9, "bytes"
            )
            time.sleep(1.4)
            shown = screen.getvalue()
            bars.update("reading", 1024, 4012)
        last = re.split(r"\x1b\[2K", screen.getvalue())[-1]
        assert "1.0 of 8.0 GB" in shown
        for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines():
            assert len(line) <= 80
        assert "1,024 of 4,012 tokens" in screen.getvalue()
        assert last.strip() == ""

    def test_updates_race_with_closing(self, screen: FakeTerminal) -> None:
        done = threading.Event()
        failures: list[BaseException] = []

        def hammer(bars: ProgressBars) -> None:
            try:
                while not done.is_set():
                    bars.update("reading", 1, 4)
            except BaseException as error:  # noqa: BLE001 (nothing may go wrong)
                failures.append(error)

        with bars_on(screen) as bars:
            threads = [threading.Thread(target=hammer, args=[bars]) for _ in range(2)]
            for thread in threads:
                thread.start()
            for _ in range(50):
                bars.close()
                time.sleep(0.005)
            done.set()
            for thread in threads:
                thread.join()
        assert failures == []

    @pytest.mark.parametrize("reason", ["quiet", "dumb", "pipe"])
    def test_nobody_looks(
        self, reason: str, screen: FakeTerminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if reason == "dumb":
            monkeypatch.setenv("TERM", "dumb")
        stream = io.StringIO() if reason == "pipe" else screen
        with bars_on(stream, enabled=reason != "quiet") as bars:
            bars.update("reading", 1, 4)
            assert bars._timer is None
        assert stream.getvalue() == ""
