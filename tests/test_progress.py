"""What the bar says of the time that is left."""

from __future__ import annotations

import io
import re
import time

import pytest

from fastkv_cli.output import console
from fastkv_cli.output.progress import ProgressBars, format_time_left, time_left_s


@pytest.mark.parametrize(
    ("done", "total", "elapsed_s", "expected"),
    [
        (25, 100, 10, 30),
        (100, 100, 10, 0),
        (120, 100, 10, 0),  # more than was foreseen
        (0, 100, 10, None),
        (5, 100, None, None),
        (0, 0, 1, None),
    ],
)
def test_time_left(
    done: float, total: float, elapsed_s: float | None, expected: float | None
) -> None:
    assert time_left_s(done, total, elapsed_s) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0:00 left"),
        (0.2, "0:01 left"),
        (59.5, "1:00 left"),
        (125, "2:05 left"),
        (3661, "1:01:01 left"),
    ],
)
def test_how_it_is_written(seconds: float | None, text: str) -> None:
    assert format_time_left(seconds) == text


def test_a_bar_tells_parts_tokens_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns; what an earlier run did does not count for the pace."""
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    with ProgressBars(console.stderr_console(), enabled=True) as bars:
        started = time.monotonic()
        bars.update("scoring part 74 of 84", 149_000, 150_740)
        time.sleep(1.2)
        bars.update("scoring part 75 of 84", 149_174, 150_740)
        time.sleep(0.6)
    lines = re.findall(
        r"scoring part 75[^\r\n]*", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    )
    assert lines
    assert all(len(line) <= 80 for line in lines)
    said = re.search(r"149,174 of 150,740 tokens (\d):(\d\d) left", lines[-1])
    assert said, lines[-1]
    # a tenth of what was left took a second or two: nine times as long is left
    left = 60 * int(said[1]) + int(said[2])
    assert 9 <= left <= 9 * (time.monotonic() - started) + 1
