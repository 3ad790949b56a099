"""The concise form of a schema: `vendor, total float, date: day of issue`."""

from __future__ import annotations

from ..errors import UsageError
from .field import Field, FieldKind, Schema

MAX_FIELDS = 200
_TYPES = {
    "str": FieldKind.STRING,
    "string": FieldKind.STRING,
    "int": FieldKind.INTEGER,
    "integer": FieldKind.INTEGER,
    "float": FieldKind.NUMBER,
    "number": FieldKind.NUMBER,
    "bool": FieldKind.BOOLEAN,
    "boolean": FieldKind.BOOLEAN,
    "date": FieldKind.DATE,
}
_EXAMPLE = "as in: 'vendor, total float, date: day of issue'"


def read_concise(text: str) -> Schema:
    """Read fields that are parted by commas, or by line breaks if there are any.

    Each is `name`, `name type`, `name: description` or `name type: description`; the types are str,
    int, float, bool and date. Without a type it is a string, or a date if its name ends with
    "date". Every value may be null.

    Raises:
        UsageError: when a field cannot be read.
    """
    parts = text.strip().split("\n") if "\n" in text.strip() else text.split(",")
    fields = [_read_field(part.strip().rstrip(",")) for part in parts if part.strip(" \t\r,")]
    if not fields:
        raise UsageError("--schema names no field", f"give names, {_EXAMPLE}")
    if len(fields) > MAX_FIELDS:
        raise UsageError(
            f"--schema has {len(fields):,} fields", f"ask for at most {MAX_FIELDS} at once"
        )
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--schema names {name!r} twice", "give each field one name")
    return Schema(Field("", FieldKind.OBJECT, nullable=False, fields=tuple(fields)))


def _read_field(text: str) -> Field:
    head, _, description = text.partition(":")
    name, *types = head.split()[:3] or [""]
    if not name or len(types) > 1 or not name.replace("-", "_").isidentifier():
        raise UsageError(
            f"--schema: {text!r} is no field", f"a field is a name, a type if any, {_EXAMPLE}"
        )
    if types and types[0].lower() not in _TYPES:
        raise UsageError(
            f"--schema: {types[0]!r} is no type of {name}", "it is str, int, float, bool or date"
        )
    kind = _TYPES[types[0].lower()] if types else FieldKind.STRING
    field = Field(name, kind, " ".join(description.split()))
    if not types and field.words.lower().split()[-1] == "date":
        return Field(name, FieldKind.DATE, field.description)
    return field
