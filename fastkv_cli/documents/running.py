"""Drop running headers, footers and page numbers: lines repeated at the edges of most pages.

What a running line says stays where it stands first. Page numbers, which say nothing, all go.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .misread import right_forms

_MIN_PAGES = 4
_EDGE_LINES = 2
_MAX_LINE = 250  # longer lines are body text
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w++")
_OWN_NUMBER = re.compile(r"[^\W\d_]\.? \d+$")  # as in "Sample 12": what the number counts
_PAGE_WORDS = frozenset(
    (
        *("page", "pages", "p", "pg", "of", "seite", "s", "von", "página", "pagina", "pág", "pag"),
        *("de", "di", "sur", "av", "van", "из", "стр", "strona", "z", "sida", "side", "sayfa"),
        *("第", "页", "頁", "ページ", "共", "쪽", "no"),
    )
)
_PAGE_NUMBER = re.compile(r"^\d{1,4}\b|\b\d{1,4}$")


@dataclass(frozen=True, slots=True)
class _EdgeLine:
    """A line near the top or the bottom of a page.

    Attributes:
        words: the text without its numbers, so that "12  Title" and "Title  12", on left and right
            pages, are equal.
        has_own_number: whether it ends in a number that belongs to the word before it.
        numbers: all its numbers, in order.
        offsets: a number at either end, minus the page number.
        is_misread: whether OCR read other words here; `words` are the right ones.
    """

    page: int
    index: int
    words: str
    has_own_number: bool
    numbers: tuple[int, ...]
    offsets: frozenset[int]
    is_misread: bool = False


def mask_numbers(line: str) -> str:
    """A line with `#` for each number, as a running line's differ from page to page."""
    return _NUMBER.sub("#", line)


def drop_running_lines(pages: Mapping[int, str]) -> dict[int, str]:
    """Drop lines that repeat at the same edge of more than half of the pages (at least four).

    The first two and last two lines of a page are examined. A running line has the same words on
    most pages, or on most left or right ones; where OCR misread it, nearly the same. Each of its
    numbers must be the same everywhere or increase with the page numbers (the keys of `pages`, of
    which some may be missing from the file), so rows of a table, which look alike too, are kept. If
    more than half of the pages have their number in such a line, the words beside it,
    such as a chapter title, need to be the same on two pages only.

    The first of the lines with the same words stays, and all of those whose number belongs to a
    word and changes ("Sample 3"), as one record a page has. A page with no other lines keeps them.
    """
    num_filled = Counter(number % 2 for number, page in pages.items() if page)
    if num_filled.total() < _MIN_PAGES:
        return dict(pages)
    needed = {side: max(_MIN_PAGES, count // 2 + 1) for side, count in num_filled.items()}
    needed_in_all = max(_MIN_PAGES, num_filled.total() // 2 + 1)
    lines = {number: page.split("\n") for number, page in pages.items()}
    dropped: dict[int, set[int]] = defaultdict(set)
    for found in _edges(lines):
        edge = _with_right_words(found, pages.values())
        running = list(_numbered(edge, needed_in_all))
        for group in _grouped(edge):
            running += _in_step(group, needed_in_all)
            for side, count in needed.items():
                running += _in_step([line for line in group if line.page % 2 == side], count)
        for line in _repeated(running):
            dropped[line.page].add(line.index)
    return {number: _without(held, dropped[number]) for number, held in lines.items()}


def _repeated(running: Sequence[_EdgeLine]) -> Iterator[_EdgeLine]:
    """The running lines that say nothing which does not stand elsewhere."""
    groups: dict[str, list[_EdgeLine]] = defaultdict(list)
    for line in running:
        groups[line.words].append(line)
    for words, group in groups.items():
        if not words or all(word.strip(".:") in _PAGE_WORDS for word in _WORD.findall(words)):
            yield from group
        elif not (
            len({line.numbers for line in group}) > 1 and all(line.has_own_number for line in group)
        ):
            first = min(group, key=lambda line: (line.is_misread, line.page))
            yield from (line for line in group if line.page != first.page)


def _edges(pages: Mapping[int, Sequence[str]]) -> tuple[list[_EdgeLine], list[_EdgeLine]]:
    """The lines at the top edges, and those at the bottom edges."""
    tops: list[_EdgeLine] = []
    bottoms: list[_EdgeLine] = []
    for page, lines in pages.items():
        filled = [index for index, line in enumerate(lines) if line.strip()]
        for edge, indices in ((tops, filled[:_EDGE_LINES]), (bottoms, filled[-_EDGE_LINES:])):
            short = [
                index
                for index in indices
                if len(lines[index]) <= _MAX_LINE and not lines[index].startswith("| ")
            ]  # a table over pages has the same header on each
            edge += [_edge_line(page, index, lines[index].strip()) for index in short]
    return tops, bottoms


def _edge_line(page: int, index: int, line: str) -> _EdgeLine:
    return _EdgeLine(
        page,
        index,
        words=" ".join(mask_numbers(line).split()).strip("# ").casefold(),
        has_own_number=_OWN_NUMBER.search(line) is not None and not _ends_in_page_word(line),
        numbers=tuple(int(number[:18]) for number in _NUMBER.findall(line)),
        offsets=frozenset(int(number) - page for number in _PAGE_NUMBER.findall(line)),
    )


def _with_right_words(edge: Sequence[_EdgeLine], pages: Iterable[str]) -> list[_EdgeLine]:
    """The lines, those that were misread with the words that they have on other pages."""
    found = {(line.page, line.words) for line in edge}
    forms = right_forms(Counter(words for _, words in found), pages)
    return [
        replace(line, words=forms[line.words], is_misread=True) if line.words in forms else line
        for line in edge
    ]


def _ends_in_page_word(line: str) -> bool:
    """Whether the word before the last number says that it is a page's."""
    words = _WORD.findall(line.casefold())
    return len(words) > 1 and words[-2] in _PAGE_WORDS


def _numbered(edge: Sequence[_EdgeLine], needed: int) -> Iterator[_EdgeLine]:
    """The lines with their page's number, if enough pages have it, whose words occur twice."""
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
    """Group lines with the same words and as many numbers, one line per page."""
    groups: dict[tuple[str, int], dict[int, _EdgeLine]] = defaultdict(dict)
    for line in edge:
        groups[line.words, len(line.numbers)].setdefault(line.page, line)
    return [list(group.values()) for group in groups.values()]


def _in_step(group: Sequence[_EdgeLine], needed: int) -> Sequence[_EdgeLine]:
    """The lines whose every number is constant or counts with the pages, if there are enough."""
    kept = group
    for column in range(len(group[0].numbers) if group else 0):
        numbers = [line.numbers[column] for line in kept]
        constant = _commonest(numbers)
        offset = _commonest([line.numbers[column] - line.page for line in kept])
        if constant[1] >= offset[1]:
            kept = [line for line in kept if line.numbers[column] == constant[0]]
        else:
            same = [line for line in kept if line.numbers[column] - line.page == offset[0]]
            kept = max(same, _with_missing_pages(kept, column), key=len)
    return kept if len(kept) >= needed else []


def _with_missing_pages(group: Sequence[_EdgeLine], column: int) -> list[_EdgeLine]:
    """The lines whose first or last number counts with the pages, but for missing pages."""
    ordered = sorted(
        (line for line in group if line.numbers[column] - line.page in line.offsets),
        key=lambda line: line.page,
    )
    offsets = [line.numbers[column] - line.page for line in ordered]
    kept = [
        (offset, line)
        for at, (offset, line) in enumerate(zip(offsets, ordered, strict=True))
        if offset in (*offsets[max(at - 1, 0) : at], *offsets[at + 1 : at + 2])
    ]
    is_rising = all(before <= after for (before, _), (after, _) in pairwise(kept))
    return [line for _, line in kept] if is_rising else []


def _commonest(numbers: Sequence[int]) -> tuple[int, int]:
    return Counter(numbers).most_common(1)[0]


def _without(lines: Sequence[str], dropped: set[int]) -> str:
    kept = [line for index, line in enumerate(lines) if index not in dropped]
    return "\n".join(kept if any(line.strip() for line in kept) else lines)
