"""Running headers, footers and page numbers: lines that repeat at the edges of most pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MIN_PAGES = 4
_EDGE_LINES = 2
_MAX_LINE = 250  # longer lines are text
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _EdgeLine:
    """A line near the top or the bottom of a page, and the numbers in it."""

    page: int
    index: int
    numbers: tuple[int, ...]


def drop_running_lines(pages: Mapping[int, str]) -> dict[int, str]:
    """Drop lines that stand at the same edge of more than half of the pages (at least four).

    The first two and last two lines of a page are looked at, with digits masked. A number in such
    a line must be the same everywhere or count up with the page numbers (the keys of `pages`):
    rows of a table, which look alike too, stay. A page of nothing else keeps its lines.
    """
    num_filled = sum(1 for page in pages.values() if page)
    if num_filled < _MIN_PAGES:
        return dict(pages)
    lines = {number: page.split("\n") for number, page in pages.items()}
    dropped: dict[int, set[int]] = defaultdict(set)
    for group in _edge_groups(lines).values():
        for line in _in_step(group, needed=max(_MIN_PAGES, num_filled // 2 + 1)):
            dropped[line.page].add(line.index)
    return {number: _without(held, dropped[number]) for number, held in lines.items()}


def _edge_groups(pages: Mapping[int, Sequence[str]]) -> dict[tuple[bool, str], list[_EdgeLine]]:
    """Lines at the edges, grouped by whether they stand at the top and by what they say."""
    groups: dict[tuple[bool, str], list[_EdgeLine]] = defaultdict(list)
    for page, lines in pages.items():
        filled = [index for index, line in enumerate(lines) if line.strip()]
        for at_top, edge in ((True, filled[:_EDGE_LINES]), (False, filled[-_EDGE_LINES:])):
            keys = set()
            for index in edge:
                line = lines[index]
                if len(line) > _MAX_LINE:
                    continue
                # "12  Title" and "Title  12", of left and right pages, are one header.
                key = " ".join(_NUMBER.sub("#", line).split()).strip("# ").casefold()
                if key not in keys:
                    keys.add(key)
                    numbers = tuple(int(number[:18]) for number in _NUMBER.findall(line))
                    groups[at_top, key].append(_EdgeLine(page, index, numbers))
    return groups


def _in_step(group: Sequence[_EdgeLine], needed: int) -> list[_EdgeLine]:
    """Those lines whose every number is constant or counts the pages, if there are enough."""
    by_count: dict[int, list[_EdgeLine]] = defaultdict(list)
    for line in group:
        by_count[len(line.numbers)].append(line)
    kept: list[_EdgeLine] = []
    for lines in by_count.values():
        matching = lines
        for column in range(len(lines[0].numbers)):
            constant = Counter(line.numbers[column] for line in lines).most_common(1)[0]
            offset = Counter(line.numbers[column] - line.page for line in lines).most_common(1)[0]
            if constant[1] >= offset[1]:
                matching = [x for x in matching if x.numbers[column] == constant[0]]
            else:
                matching = [x for x in matching if x.numbers[column] - x.page == offset[0]]
        kept += matching
    return kept if len(kept) >= needed else []


def _without(lines: Sequence[str], dropped: set[int]) -> str:
    kept = [line for index, line in enumerate(lines) if index not in dropped]
    return "\n".join(kept if any(line.strip() for line in kept) else lines)
