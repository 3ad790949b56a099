"""Read tables of values (CSV, TSV) as tables, and JSON as an outline."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..decode_text import decode_text
from ..omissions import Note
from .rows import write_table

_DELIMITERS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SAMPLE, _MAX_LINES = 2**16, 200  # characters and lines that tell the delimiter
_MAX_DEPTH = 100


def read_csv(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read comma-, semicolon- or tab-separated values as a table.

    Arguments, result and errors are those of `decode_text`.
    """
    text, warnings = decode_text(data, name, encoding)
    csv.field_size_limit(2**24)
    lines = text.splitlines(keepends=True)
    delimiter = _delimiter(text[:_SAMPLE].splitlines(keepends=True)[:_MAX_LINES])
    try:
        return write_table(csv.reader(lines, delimiter=delimiter)), warnings
    except csv.Error as error:
        return text, (*warnings, f"no table ({error}): read as plain text")


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter that gives most rows the same number of cells; of equal ones the finest.

    A comma between digits counts only where nothing else parts the cells.
    """
    whole = [_DECIMAL_COMMA.sub(".", line) for line in lines]
    return max(_DELIMITERS, key=lambda each: (_evenness(whole, each), _evenness(lines, each)))


def _evenness(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """The largest share of rows with the same number of cells, and this number; 0 if it is 1."""
    try:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
    except csv.Error:
        return 0.0, 0
    width, number = max(widths.items(), key=lambda each: each[1], default=(0, 0))
    return (number / widths.total(), width) if width > 1 else (0.0, 0)


def read_json(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read JSON, or one JSON value a line, as an outline: `name: value`, `- ` before items.

    Numbers stay as they are written. What is no JSON is read as plain text, with a warning.
    Arguments, result and errors are those of `decode_text`.
    """
    text, warnings = decode_text(data, name, encoding)
    try:
        values = [_parse(text)]
    except RecursionError:
        return text, (*warnings, "nested too deeply for an outline: read as plain text")
    except ValueError as error:
        try:
            values = [_parse(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return text, (*warnings, f"no valid JSON ({error}): read as plain text")
    outlines = ("\n".join(_outline(value, 0)) for value in values)
    return "\n\n".join(outlines), warnings


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


def _outline(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * min(depth, _MAX_DEPTH)
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                yield f"{indent}{key}:"
                yield from _outline(inner, depth + 1)
            else:
                yield f"{indent}{key}: {_scalar(inner)}"
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list) and inner:
                first, *others = _outline(inner, depth + 1)
                yield f"{indent}- {first.strip()}"
                yield from others
            else:
                yield f"{indent}- {_scalar(inner)}"
    else:
        yield f"{indent}{_scalar(value)}"


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value) if isinstance(value, str) else json.dumps(value)
