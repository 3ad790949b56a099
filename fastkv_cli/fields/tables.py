"""Find the lists of a text: tables with a header, repeated labels, and list items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .labeled import LabeledValue

Span = tuple[int, int]

_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*+•◦–]|\d{1,3}[.)])[ \t]{1,4}(\S[^\n]{0,400})$", re.MULTILINE)
_PARTS = re.compile(r"[,;] ?|\n| (?:and|und|et|y|e|&) ")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one list.

    Attributes:
        labels: the label of each column, as spans; empty for items without labels.
        rows: the cells of each row, as spans, by the start of their column's label; an item is one
            cell, of the column -1.
    """

    labels: tuple[Span, ...]
    rows: tuple[dict[int, Span], ...]


def find_tables(text: str, labeled: Sequence[LabeledValue]) -> list[Table]:
    """The lists of a text, in order.

    Args:
        text: of a document.
        labeled: its labeled values, from `find_labeled`.
    """
    return [*_find_headed(text, labeled), *_find_repeated(text, labeled), *_find_items(text)]


def split_list(text: str, start: int, end: int) -> Iterator[Span]:
    """The parts of an enumeration such as `a, b and c`, as spans."""
    at = start
    for match in _PARTS.finditer(text, start, end):
        if text[at : match.start()].strip(" ."):
            yield at, match.start()
        at = match.end()
    while end > at and text[end - 1] in " .":
        end -= 1
    if end > at:
        yield at, end


def _find_headed(text: str, labeled: Sequence[LabeledValue]) -> Iterator[Table]:
    """Tables of values that share a header with those of other rows."""
    rows: list[dict[int, Span]] = []
    labels: dict[int, Span] = {}
    last_line = -1
    for each in labeled:
        line = text.rfind("\n", 0, each.start)
        if line < each.label_start:  # the label is on the same line
            continue
        is_known = each.label_start in labels
        if not is_known and line != last_line:
            yield from _table(labels, rows)
            rows, labels = [], {}
        if line != last_line:
            rows.append({})
        labels[each.label_start] = each.label_start, each.label_end
        rows[-1][each.label_start] = each.start, each.end
        last_line = line
    yield from _table(labels, rows)


def _find_repeated(text: str, labeled: Sequence[LabeledValue]) -> Iterator[Table]:
    """Records whose labels come again: a row begins where the first label does."""
    labels: dict[str, Span] = {}
    rows: list[dict[int, Span]] = []
    for each in labeled:
        if text.rfind("\n", 0, each.start) >= each.label_start:
            continue
        name = text[each.label_start : each.label_end].casefold()
        own = labels.setdefault(name, (each.label_start, each.label_end))
        if not rows or own[0] in rows[-1]:
            rows.append({})
        rows[-1][own[0]] = each.start, each.end
    yield from _table(dict(enumerate(labels.values())), rows)


def _find_items(text: str) -> Iterator[Table]:
    """Runs of list items."""
    rows: list[dict[int, Span]] = []
    last = 0
    for match in _ITEM.finditer(text):
        if rows and text[last : match.start()].strip():
            yield from _table({}, rows)
            rows = []
        rows.append({-1: match.span(1)})
        last = match.end()
    yield from _table({}, rows)


def _table(labels: dict[int, Span], rows: Sequence[dict[int, Span]]) -> Iterator[Table]:
    if len(rows) > 1:
        yield Table(tuple(labels.values()), tuple(rows))
