"""Join tables that go on over a page break: one table, whose header stands once.

Pages are texts with tables as Markdown (`pdf_tables.render_table`), running lines dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .cell_numbers import is_number
from .running import mask_numbers

_MAX_BESIDE = 2  # lines between a table and the edge of its page: headers and footers left there
_MAX_LINE = 250


@dataclass(frozen=True, slots=True)
class _Open:
    """A table at the end of a page: its header's row, and which of its columns hold figures."""

    header: str
    figures: tuple[bool, ...]


def join_tables(pages: Mapping[int, str], whole: Mapping[int, str]) -> dict[int, str]:
    """Drop what marks the rest of a table as another one, on the page where it goes on.

    A table at the end of a page and one of as many columns at the top of the next are one. The
    header is dropped where it is repeated. So that nothing stands between the parts, a footer
    under the first part is put above it, and a header over the second, which is on the first
    page too, below it. Any other line between them, such as a caption, parts two tables, unless
    the second repeats the header.

    Args:
        pages: by page number.
        whole: the same with their running lines, which tell footers.
    """
    footers = _find_footers(whole)
    lines = {number: page.split("\n") for number, page in pages.items()}
    before: _Open | None = None
    for number, following in pairwise([*lines, -1]):
        before = _end_of(lines[number], before)
        if before is None or following != number + 1:
            before = None
            continue
        joined = _continue(before, lines[number], lines[following], footers)
        if joined is None:
            before = None
        else:
            lines[number], lines[following] = joined
    return {number: "\n".join(held) for number, held in lines.items()}


def page_break(page: str, following: str) -> str:
    """What stands between two pages: an empty line, unless a table goes on."""
    top = following.split("\n", 2)[:2]
    goes_on = _is_row(page.rpartition("\n")[2]) and _is_row(top[0]) and not _is_mark(top[-1])
    return "\n" if goes_on else "\n\n"


def _is_row(line: str) -> bool:
    """Whether a line is a row of a table."""
    return line.startswith("| ") and line.endswith(" |")


def _is_mark(line: str) -> bool:
    """Whether a line is that below the header."""
    return line.startswith("| --- |")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row[1:-1].split("|")]


def _filled(lines: Sequence[str]) -> list[int]:
    return [at for at, line in enumerate(lines) if line.strip()]


def _end_of(lines: Sequence[str], before: _Open | None) -> _Open | None:
    """The table at the end of a page; `before` is one that goes on from the page before."""
    last, first = _last_table(lines)
    if last < 0:
        return None
    rows = [_cells(line) for line in lines[first : last + 1] if not _is_mark(line)]
    if first + 1 <= last and _is_mark(lines[first + 1]):
        body = rows[1:]
        columns = zip(*body, strict=False)
        figures = tuple(_share_of_figures(column) >= 0.5 for column in columns)
        return _Open(lines[first], figures)
    return before if first == _filled(lines)[0] else None


def _last_table(lines: Sequence[str]) -> tuple[int, int]:
    """Last and first line of the table at the end of a page; -1 if there is none."""
    behind = reversed(_filled(lines)[-_MAX_BESIDE - 1 :])
    last = next((at for at in behind if _is_row(lines[at])), -1)
    first = last
    while first > 0 and _is_row(lines[first - 1]):
        first -= 1
        if first < last and _is_mark(lines[first + 1]):
            break
    return last, first


def _share_of_figures(cells: Sequence[str]) -> float:
    filled = [cell for cell in cells if cell]
    return sum(map(is_number, filled)) / max(len(filled), 1)


def _continue(
    table: _Open, lines: Sequence[str], following: Sequence[str], footers: Collection[str]
) -> tuple[list[str], list[str]] | None:
    """Both pages with the table as one; None if the following page does not go on with it."""
    last, first = _last_table(lines)
    over = _running_lines(lines, following)
    start = over[-1] + 1 if over else _filled(following)[0]
    if start >= len(following) or not _is_row(following[start]):
        return None
    end = start
    while end < len(following) and _is_row(following[end]):
        end += 1
    rest = list(following[start:end])
    under = [line for line in lines[last + 1 :] if line.strip()]
    has_header = len(rest) > 1 and _is_mark(rest[1])
    if len(_cells(rest[0])) != len(_cells(table.header)) or (under and not first):
        return None
    if over and end == len(following):
        return None  # it may go on once more: there is no place for what stands above it
    if rest[0] == table.header:
        second = lines[first + 2 : first + 3]
        rest = rest[2:] if has_header else rest[1:]
        if rest[:1] == second and _is_second_header(_cells(rest[0])):
            rest = rest[1:]
    elif has_header:
        is_parted = not all(mask_numbers(line) in footers for line in under)
        if is_parted or not _goes_on(table, _cells(rest[0])):
            return None
        del rest[1]
    if not rest:
        return None
    page = [*lines[:first], *under, *lines[first : last + 1]]
    behind = [following[at] for at in over]
    return page, [*rest, *behind, *following[end:]]


def _find_footers(pages: Mapping[int, str]) -> set[str]:
    """The lines that stand at the bottom of several pages, with `#` for numbers."""
    counts: Counter[str] = Counter()
    for page in pages.values():
        lines = page.split("\n")
        counts.update({mask_numbers(lines[at]) for at in _filled(lines)[-_MAX_BESIDE:]})
    return {line for line, number in counts.items() if number > 1}


def _is_second_header(cells: Sequence[str]) -> bool:
    """Whether a row below the header can belong to it: full ones and figures are content."""
    return not all(cells) and not any(map(is_number, cells))


def _goes_on(table: _Open, row: Sequence[str]) -> bool:
    """Whether a row can be one of a table's, by figures where its columns hold figures."""
    held = [
        is_number(cell)
        for cell, is_figure in zip(row, table.figures, strict=False)
        if is_figure and cell
    ]
    return sum(held) >= 0.5 * len(held) if held else not any(table.figures)


def _running_lines(lines: Sequence[str], following: Sequence[str]) -> list[int]:
    """The lines above the first row of a page that stand at the top of the page before, too."""
    top = {mask_numbers(lines[at]) for at in _filled(lines)[:_MAX_BESIDE]}
    over: list[int] = []
    for at in _filled(following)[:_MAX_BESIDE]:
        line = following[at]
        if _is_row(line) or len(line) > _MAX_LINE or mask_numbers(line) not in top:
            break
        over.append(at)
    return over
