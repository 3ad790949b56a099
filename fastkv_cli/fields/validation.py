"""Whether a value is what a field allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

from .field import Field, FieldKind, Schema


def problems(value: object, schema: Schema) -> list[str]:
    """What is wrong with an answer, one line each; empty if it is valid."""
    if not schema.is_multi:
        return list(_in_value(value, schema.root, "$"))
    if not isinstance(value, list):
        return ["$ is no array"]
    return [
        line for at, each in enumerate(value) for line in _in_value(each, schema.root, f"$[{at}]")
    ]


def _in_value(value: object, field: Field, where: str) -> Iterator[str]:
    if value is None:
        if not field.nullable:
            yield f"{where} is null"
    elif field.kind is FieldKind.OBJECT:
        yield from _in_object(value, field, where)
    elif field.kind is FieldKind.ARRAY:
        if not isinstance(value, list) or field.items is None:
            yield f"{where} is no array"
            return
        for at, each in enumerate(value):
            yield from _in_value(each, field.items, f"{where}[{at}]")
    elif not _is_of(value, field):
        yield f"{where} is no {field.kind}: {value!r}"


def _in_object(value: object, field: Field, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no object"
        return
    known = {each.name for each in field.fields}
    yield from (f"{where} has {name!r}, which was not asked for" for name in value.keys() - known)
    for each in field.fields:
        if each.name in value:
            yield from _in_value(value[each.name], each, f"{where}.{each.name}")
        elif each.required:
            yield f"{where} lacks {each.name!r}"


def _is_of(value: object, field: Field) -> bool:
    """Whether a value that is not null is of the field's type."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if field.kind is FieldKind.INTEGER:
        return is_number and isinstance(value, int)
    if field.kind is FieldKind.NUMBER:
        return is_number and isinstance(value, int | float) and math.isfinite(value)
    if field.kind is FieldKind.BOOLEAN:
        return isinstance(value, bool)
    if field.kind is FieldKind.ENUM:
        return any(value == each and type(value) is type(each) for each in field.choices)
    if not isinstance(value, str):
        return False
    return field.kind is not FieldKind.DATE or _is_date(value)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
