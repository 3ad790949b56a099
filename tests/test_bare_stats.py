"""`--stats` without a value, before Typer sees it."""

from __future__ import annotations

import re

import pytest

from fastkv_cli.cli.app import run
from fastkv_cli.cli.bare_stats import expand_stats
from fastkv_cli.errors import ExitCode


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("", ""),
        ("ask a.txt When?", "ask a.txt When?"),
        ("ask a.txt When? --stats", "ask a.txt When? --stats=brief"),
        ("ask a.txt --stats When?", "ask a.txt --stats=brief When?"),
        ("ask --stats --json a.txt When?", "ask --stats=brief --json a.txt When?"),
        ("ask a.txt --stats full When?", "ask a.txt --stats full When?"),
        ("ask a.txt --stats=full When?", "ask a.txt --stats=full When?"),
        ("ask a.txt --no-stats When?", "ask a.txt --stats=off When?"),
        ("summarize --no-stats --stats a.txt", "summarize --stats=off --stats=brief a.txt"),
        ("chat --stats a.txt", "chat --stats=full a.txt"),
        ("chat --stats brief a.txt", "chat --stats brief a.txt"),
        ("ask --stats -- --stats --no-stats", "ask --stats=brief -- --stats --no-stats"),
    ],
)
def test_it_is_written_out(arguments: str, written: str) -> None:
    assert expand_stats(arguments.split()) == written.split()


def test_a_level_that_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summarize", "a.txt", "--stats=all"]) == ExitCode.USAGE
    stderr = capfd.readouterr().err
    assert re.search(r"'--stats'.*brief.*full.*off.*see fastkv summarize --help", stderr), stderr
