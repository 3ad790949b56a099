"""The rows of a list that a schema describes: an object for each, or a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..evidence.field_labels import LabelFinder
from ..fields.field import Field, FieldKind
from ..fields.tables import Span, Table, find_tables, split_list
from .field_search import Candidate, FieldSearch, Wanted

_NAMES = 0.25  # a label names a field if it matches as well as this
_MOST_ROWS = 10_000

Row = dict[str, Candidate]


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well a table fits some fields.

    Attributes:
        score: higher is better.
        document: its number.
        table: the table.
        columns: the column of each field that has one.
    """

    score: float
    document: int
    table: Table
    columns: dict[str, int]


def find_rows(search: FieldSearch, wanted: Sequence[Wanted]) -> list[Row]:
    """The rows of the list that fits some fields best; empty if there is no list.

    A column belongs to the field that its label names; fields that are left take those of their
    type in the order of the schema. An item without columns is searched for each field.

    Args:
        search: of the documents.
        wanted: the fields of a row.
    """
    fits = [
        _fit(search, number, table, wanted)
        for number, labels in enumerate(search.labels)
        for table in find_tables(labels.text, labels.labeled)
    ]
    best = max(fits, key=lambda fit: fit.score, default=None)
    if best is None or best.score <= 0:
        return []
    same = [fit for fit in fits if fit.columns.keys() == best.columns.keys()]
    alike = [fit for fit in same if _names(search, fit) == _names(search, best)]
    rows = (_read(search, fit, row, wanted) for fit in alike for row in fit.table.rows)
    return [row for row in rows if row][:_MOST_ROWS]


def find_values(search: FieldSearch, wanted: Wanted, item: Field) -> list[Candidate]:
    """The values of a list of strings, numbers or dates: an enumeration, or a list's items."""
    best: tuple[float, int, list[Span]] = (_NAMES, -1, [])
    for number, labels in enumerate(search.labels):
        for each in labels.labeled:
            score = wanted.terms.match(labels.text[each.label_start : each.label_end])
            if score > best[0]:
                best = score, number, list(split_list(labels.text, each.start, each.end))
        for table in find_tables(labels.text, labels.labeled):
            for column in table.rows[0]:
                score = wanted.terms.match(_label(labels, table, column))
                if score > best[0]:
                    best = score, number, [row[column] for row in table.rows if column in row]
    score, number, spans = best
    found = (_typed(search, number, span, item, score) for span in spans)
    return [each for each in found if each is not None]


def _label(labels: LabelFinder, table: Table, column: int) -> str:
    """The label of a column; of items, the line above them."""
    if column >= 0:
        return labels.text[slice(*next(span for span in table.labels if span[0] == column))]
    first = labels.text.rfind("\n", 0, table.rows[0][column][0])
    above = labels.text[:first].rstrip() if first >= 0 else ""
    return above[above.rfind("\n") + 1 :]


def _names(search: FieldSearch, fit: _Fit) -> list[str]:
    text = search.labels[fit.document].text
    return [text[start:end] for start, end in fit.table.labels]


def _fit(search: FieldSearch, number: int, table: Table, wanted: Sequence[Wanted]) -> _Fit:
    """Give each field a column."""
    labels = search.labels[number]
    columns: dict[str, int] = {}
    score = 0.0
    pairs = [
        (each.terms.match(labels.text[start:end]), -start, each.name)
        for each in wanted
        for start, end in table.labels
    ]
    for match, start, name in sorted(pairs, reverse=True):
        if match >= _NAMES and name not in columns and -start not in columns.values():
            columns[name], score = -start, score + 1 + match
    for each in wanted:
        if each.name in columns:
            continue
        for start, _ in table.labels:
            typed = sum(
                _typed(search, number, row[start], each.field, 0.0) is not None
                for row in table.rows
                if start in row
            )
            if start not in columns.values() and 2 * typed > len(table.rows):
                columns[each.name], score = start, score + 0.3
                break
    if not table.labels:
        found = [_read_item(search, number, row[-1], wanted) for row in table.rows]
        score = sum(len(row) for row in found) / len(found) / max(len(wanted), 1) / 2
    return _Fit(score, number, table, columns)


def _read(search: FieldSearch, fit: _Fit, row: dict[int, Span], wanted: Sequence[Wanted]) -> Row:
    if not fit.table.labels:
        return _read_item(search, fit.document, row[-1], wanted)
    found: Row = {}
    for each in wanted:
        column = fit.columns.get(each.name)
        if column is not None and column in row:
            labels = search.labels[fit.document]
            score = each.terms.match(_label(labels, fit.table, column))
            value = _typed(search, fit.document, row[column], each.field, score)
            if value is not None:
                found[each.name] = value
    return found


def _read_item(search: FieldSearch, number: int, item: Span, wanted: Sequence[Wanted]) -> Row:
    """The fields in a list item: numbers and dates first, then strings in what is left."""
    found: Row = {}
    terms = [each.terms for each in wanted]
    is_string = FieldKind.STRING
    for each in sorted(wanted, key=lambda each: each.field.kind is is_string):
        candidates = search.candidates(each, [(number, *item)], terms)
        free = [one for one in candidates if not any(one.overlaps(two) for two in found.values())]
        if free:
            found[each.name] = free[0]
        elif each.field.kind is is_string:
            end = min((two.start for two in found.values()), default=item[1])
            value = _typed(search, number, (item[0], end), each.field, 0.0)
            if value is not None and end > item[0]:
                found[each.name] = value
    return {each.name: found[each.name] for each in wanted if each.name in found}


def _typed(
    search: FieldSearch, number: int, span: Span, field: Field, score: float
) -> Candidate | None:
    """The value of a cell, if it is of a field's type; a string is the whole cell."""
    start, end = span
    if field.kind is FieldKind.STRING:
        text = search.labels[number].text
        while end > start and text[end - 1] in " \t,;:(–-":
            end -= 1
        text = " ".join(text[start:end].split())
        return Candidate(number, start, end, text, score) if text else None
    values = search.written[number].of(field, start, end)
    if len(values) != 1 and field.kind is not FieldKind.ENUM:
        return None
    return Candidate(number, *values[0], score) if values else None


def rows_of(rows: Sequence[Row], wanted: Sequence[Wanted]) -> Iterator[Row]:
    """Those rows that hold every field that must be there."""
    needed = {each.name for each in wanted if not each.field.may_be_absent}
    return (row for row in rows if needed <= row.keys())
