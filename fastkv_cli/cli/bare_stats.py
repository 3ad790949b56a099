"""Expands `--stats` without a value, and `--no-stats`, before Typer parses the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ..output.stats_level import StatsLevel

_BARE = {"chat": StatsLevel.FULL}  # brief for all other commands


def expand_stats(arguments: Sequence[str]) -> list[str]:
    """Turn `--stats` alone into `--stats=brief`, or full for a chat, and `--no-stats` into off.

    Typer has no options with an optional value: it would take the question after `--stats` for the
    value. Here only brief, full and off are values. As both spellings become one option, the last
    one wins.

    Args:
        arguments: the command line, with the command first.
    """
    bare = _BARE.get(next(iter(arguments), ""), StatsLevel.BRIEF)
    expanded: list[str] = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == "--":  # only documents and a question follow
            return [*expanded, *arguments[len(expanded) :]]
        if argument == "--no-stats":
            expanded.append(f"--stats={StatsLevel.OFF}")
        elif argument == "--stats" and following not in set(StatsLevel):
            expanded.append(f"--stats={bare}")
        else:
            expanded.append(argument)
    return expanded
