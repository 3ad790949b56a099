"""`--stats` without its value, and `--no-stats`: written out before Typer parses the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ..output.stats_level import StatsLevel

_BARE = {"chat": StatsLevel.FULL}  # elsewhere brief


def write_out_stats(arguments: Sequence[str]) -> list[str]:
    """Turn `--stats` alone into `--stats=brief`, or full for a chat, and `--no-stats` into off.

    Typer knows no option whose value may be missing: it would take the question behind `--stats`
    for its value. Here only brief, full and off are one. As both spellings become one option, the
    last one wins.

    Args:
        arguments: the command line, with the command first.
    """
    bare = _BARE.get(next(iter(arguments), ""), StatsLevel.BRIEF)
    written: list[str] = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == "--":  # what follows are documents and a question
            return [*written, *arguments[len(written) :]]
        if argument == "--no-stats":
            written.append(f"--stats={StatsLevel.OFF}")
        elif argument == "--stats" and following not in set(StatsLevel):
            written.append(f"--stats={bare}")
        else:
            written.append(argument)
    return written
