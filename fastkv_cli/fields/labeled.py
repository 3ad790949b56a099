"""Find the labeled values of a text: `Total: 12.50`, columns of labels, headers of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .numbers import read_number
from .spans import LABEL, cells_of, sentences_of

_LINE = re.compile(r"[^\n]+")
_MOST_LABEL = 60  # characters
_BULLET = ("-", "*", "•", "–")

Cells = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LabeledValue:
    """A value, as a span in characters, and its label: another span."""

    start: int
    end: int
    label_start: int
    label_end: int


def find_labeled(text: str) -> list[LabeledValue]:
    """The labeled values of a text, in order.

    A label stands before a colon, in the left one of two columns, or in the row above where its
    cells begin at the same columns.
    """
    lines = [match.span() for match in _LINE.finditer(text) if not match[0].isspace()]
    rows = [list(cells_of(text, *line)) for line in lines]
    found: list[LabeledValue] = []
    header: list[tuple[int, int, int]] = []  # column, and span, of the cells of a header
    for number, ((start, _), cells) in enumerate(zip(lines, rows, strict=True)):
        columns = [cell[0] - start for cell in cells]
        own = [each for cell in cells for each in _split(text, *cell)]
        if own:
            found += own
            header = []
            continue
        below = _columns(rows[number + 1], lines[number + 1][0]) if number + 1 < len(rows) else []
        is_new = len(cells) < len(header) and len(below) == len(cells) and _fits(below, columns)
        if header and not is_new and _fits(columns, [column for column, *_ in header]):
            found += _under(cells, columns, header)
            header = header if len(header) > 1 else []
            continue
        header = []
        is_pair = _is_pair(text, cells) and _has_like(rows, lines, number)
        if is_pair and not _is_header(text, rows, lines, number):
            (first, last), (begin, end) = cells
            found.append(LabeledValue(begin, end, first, last))
        elif _fits(below, columns) and (len(cells) > 1 or _ends_table(text, cells, found)):
            header = [(column, *cell) for column, cell in zip(columns, cells, strict=True)]
    return found


def _split(text: str, start: int, end: int) -> Iterator[LabeledValue]:
    """`Label: value` in one cell, or in sentences of it."""
    for first, behind in sentences_of(text, start, end):
        match = LABEL.match(text, first, behind)
        if match is None or text.startswith(_BULLET, first):
            continue
        last = match.end()
        while last > first and not text[last - 1].isalnum() and text[last - 1] not in ".)%°º":
            last -= 1
        stops = first > start or behind < end
        ends = behind - 1 if stops and text[behind - 1] == "." else behind
        yield LabeledValue(match.end(), ends, first, last)


def _columns(cells: Cells, start: int) -> list[int]:
    return [cell[0] - start for cell in cells]


def _fits(columns: Sequence[int], header: Sequence[int]) -> bool:
    """Whether the cells of a row begin where those of a header do, give or take a character."""
    if not columns or len(columns) > len(header):
        return False
    near = sum(any(abs(column - other) <= 1 for other in header) for column in columns)
    return near == len(columns) and (len(columns) > 1 or len(header) == 1)


def _ends_table(text: str, cells: Cells, found: Sequence[LabeledValue]) -> bool:
    """Whether a cell may be the last label of a table: it is short, and follows a table's row."""
    start, end = cells[0]
    label = text[start:end]
    is_near = bool(found) and not text[found[-1].end : start].strip()
    if text.startswith(_BULLET, start):
        return False
    return is_near and len(label) <= _MOST_LABEL // 2 and not any(c.isdigit() for c in label)


def _under(
    cells: Cells, columns: Sequence[int], header: Sequence[tuple[int, int, int]]
) -> list[LabeledValue]:
    found = []
    for cell, column in zip(cells, columns, strict=True):
        _, first, last = min(header, key=lambda each: abs(each[0] - column))
        found.append(LabeledValue(*cell, first, last))
    return found


def _is_pair(text: str, cells: Cells) -> bool:
    """Whether a line may be a label and a value: its left cell is short, and has letters."""
    if len(cells) != 2:
        return False
    label = text[slice(*cells[0])]
    return len(label) <= _MOST_LABEL and any(c.isalpha() for c in label)


def _has_like(rows: Sequence[Cells], lines: Sequence[tuple[int, int]], number: int) -> bool:
    """Whether a line beside it has two cells that begin at the same columns."""
    own = _columns(rows[number], lines[number][0])
    for other in (number - 1, number + 1):
        if 0 <= other < len(rows) and len(rows[other]) == 2:
            theirs = _columns(rows[other], lines[other][0])
            if all(abs(one - two) <= 1 for one, two in zip(own, theirs, strict=True)):
                return other < number or _continues(rows, lines, number)
    return False


def _is_header(
    text: str, rows: Sequence[Cells], lines: Sequence[tuple[int, int]], number: int
) -> bool:
    """Whether a line of two cells heads those below: theirs end with a number, it with none."""
    own, at = _columns(rows[number], lines[number][0]), number + 1
    if any(c.isdigit() for c in text[slice(*rows[number][1])]):
        return False
    while at < len(rows) and len(rows[at]) == 2:
        theirs = _columns(rows[at], lines[at][0])
        if not all(abs(one - two) <= 1 for one, two in zip(own, theirs, strict=True)):
            break
        if read_number(text[slice(*rows[at][1])]) is None:
            return False
        at += 1
    before = rows[number - 1] if number else []
    return at > number + 1 and len(before) != 2


def _continues(rows: Sequence[Cells], lines: Sequence[tuple[int, int]], number: int) -> bool:
    """Whether more than two lines in a row have such cells: two alone are a header and its row."""
    own = _columns(rows[number], lines[number][0])
    for other in (number + 1, number + 2):
        if other >= len(rows) or len(rows[other]) != 2:
            return False
        theirs = _columns(rows[other], lines[other][0])
        if not all(abs(one - two) <= 1 for one, two in zip(own, theirs, strict=True)):
            return False
    return True
