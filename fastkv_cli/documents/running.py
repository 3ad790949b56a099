"""Running headers, footers and page numbers: lines that repeat at the edges of most pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_MIN_PAGES = 4
_EDGE_LINES = 2
_MAX_LINE = 250  # longer lines are text
_NUMBER = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"^\d{1,4}\b|\b\d{1,4}$")


@dataclass(frozen=True, slots=True)
class _EdgeLine:
    """A line near the top or the bottom of a page.

    Attributes:
        words: what it says beside its numbers; "12  Title" and "Title  12", of left and right
            pages, say the same.
        numbers: all of them, in order.
        offsets: how far a number at one of its ends is ahead of the page's own.
    """

    page: int
    index: int
    words: str
    numbers: tuple[int, ...]
    offsets: frozenset[int]


def drop_running_lines(pages: Mapping[int, str]) -> dict[int, str]:
    """Drop lines that stand at the same edge of more than half of the pages (at least four).

    The first two and last two lines of a page are looked at. Such a line says the same on most of
    them, or of the left or the right ones, beside its numbers: each of these must be the same
    everywhere or count up with the page numbers (the keys of `pages`). Rows of a table, which look
    alike too, stay. Where more than half of the pages have their number in such a line, what stands
    beside it, as the title of a chapter, need be the same on two pages only. A page of nothing else
    keeps its lines.
    """
    num_filled = Counter(number % 2 for number, page in pages.items() if page)
    if num_filled.total() < _MIN_PAGES:
        return dict(pages)
    needed = {side: max(_MIN_PAGES, count // 2 + 1) for side, count in num_filled.items()}
    needed_in_all = max(_MIN_PAGES, num_filled.total() // 2 + 1)
    lines = {number: page.split("\n") for number, page in pages.items()}
    dropped: dict[int, set[int]] = defaultdict(set)
    for edge in _edges(lines):
        running = list(_numbered(edge, needed_in_all))
        for group in _grouped(edge):
            running += _in_step(group, needed_in_all)
            for side, count in needed.items():
                running += _in_step([line for line in group if line.page % 2 == side], count)
        for line in running:
            dropped[line.page].add(line.index)
    return {number: _without(held, dropped[number]) for number, held in lines.items()}


def _edges(pages: Mapping[int, Sequence[str]]) -> tuple[list[_EdgeLine], list[_EdgeLine]]:
    """The lines at the tops, and those at the bottoms."""
    tops: list[_EdgeLine] = []
    bottoms: list[_EdgeLine] = []
    for page, lines in pages.items():
        filled = [index for index, line in enumerate(lines) if line.strip()]
        for edge, indices in ((tops, filled[:_EDGE_LINES]), (bottoms, filled[-_EDGE_LINES:])):
            short = [index for index in indices if len(lines[index]) <= _MAX_LINE]
            edge += [_edge_line(page, index, lines[index].strip()) for index in short]
    return tops, bottoms


def _edge_line(page: int, index: int, line: str) -> _EdgeLine:
    return _EdgeLine(
        page,
        index,
        words=" ".join(_NUMBER.sub("#", line).split()).strip("# ").casefold(),
        numbers=tuple(int(number[:18]) for number in _NUMBER.findall(line)),
        offsets=frozenset(int(number) - page for number in _PAGE_NUMBER.findall(line)),
    )


def _numbered(edge: Sequence[_EdgeLine], needed: int) -> Iterator[_EdgeLine]:
    """The lines that hold their page's number, if enough do, and words that another one holds."""
    found = {(line.page, offset) for line in edge for offset in line.offsets}
    counts = Counter(offset for _, offset in found)
    if not counts:
        return
    offset, num_pages = counts.most_common(1)[0]
    if num_pages < needed:
        return
    inside = [line for line in edge if offset in line.offsets]
    words = Counter(line.words for line in inside)
    yield from (line for line in inside if words[line.words] > 1)


def _grouped(edge: Sequence[_EdgeLine]) -> Iterable[list[_EdgeLine]]:
    """Lines that say the same, one of each page, and hold as many numbers."""
    groups: dict[tuple[str, int], dict[int, _EdgeLine]] = defaultdict(dict)
    for line in edge:
        groups[line.words, len(line.numbers)].setdefault(line.page, line)
    return [list(group.values()) for group in groups.values()]


def _in_step(group: Sequence[_EdgeLine], needed: int) -> Sequence[_EdgeLine]:
    """Those lines whose every number is as in a running line, if there are enough."""
    kept = group
    for column in range(len(group[0].numbers) if group else 0):
        numbers = [line.numbers[column] for line in kept]
        constant = _commonest(numbers)
        offset = _commonest([line.numbers[column] - line.page for line in kept])
        if constant[1] >= offset[1]:
            kept = [line for line in kept if line.numbers[column] == constant[0]]
        else:
            kept = [line for line in kept if line.numbers[column] - line.page == offset[0]]
    return kept if len(kept) >= needed else []


def _commonest(numbers: Sequence[int]) -> tuple[int, int]:
    return Counter(numbers).most_common(1)[0]


def _without(lines: Sequence[str], dropped: set[int]) -> str:
    kept = [line for index, line in enumerate(lines) if index not in dropped]
    return "\n".join(kept if any(line.strip() for line in kept) else lines)
