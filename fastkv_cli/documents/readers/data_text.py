"""Read tables of values (CSV, TSV) as tables, and JSON as an outline."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from ..decode_text import decode_text
from ..omissions import Note
from .rows import write_table

_DELIMITERS = ",;\t|"
_SAMPLE = 2**16
_MAX_DEPTH = 100


def read_csv(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read comma-, semicolon- or tab-separated values as a table.

    Arguments, result and errors are those of `decode_text`.
    """
    text, warnings = decode_text(data, name, encoding)
    csv.field_size_limit(2**24)
    start = text[:_SAMPLE]
    try:
        delimiter = csv.Sniffer().sniff(start[:4096], _DELIMITERS).delimiter
    except csv.Error:
        delimiter = max(_DELIMITERS, key=start.count)
    try:
        return write_table(
            csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
        ), warnings
    except csv.Error as error:
        return text, (*warnings, f"no table ({error}): read as plain text")


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
