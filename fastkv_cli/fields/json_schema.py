"""Read a JSON Schema into fields; what is not supported is an error that names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import UsageError
from .concise_schema import MAX_FIELDS
from .field import Field, FieldKind, Scalar, Schema, leaves

_DEEPEST = 8  # objects and arrays within each other
# Keywords that say nothing about what is valid, and those that every object has.
_IGNORED = frozenset(
    """$schema $id $comment $defs definitions title default examples example deprecated readOnly
    writeOnly description nullable additionalProperties type""".split()  # noqa: SIM905
)
_OWN = {
    FieldKind.OBJECT: {"properties", "required"},
    FieldKind.ARRAY: {"items"},
    FieldKind.STRING: {"format"},
    FieldKind.DATE: {"format"},
    FieldKind.ENUM: {"enum", "const"},
}
_SUPPORTED = (
    "supported are object, array, string, integer, number, boolean, enum, format date, required, "
    "nullable and description"
)
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def read_json_schema(text: str) -> Schema:
    """Read a JSON Schema of an object, or of an array of objects.

    Raises:
        UsageError: when it is no JSON, or holds what is not supported; the message names it.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise UsageError("--schema is nested too deeply", "make it flatter") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--schema is no JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            "correct it, or name fields as in 'vendor, total float'",
        ) from None
    if not isinstance(found, dict):
        raise UsageError("--schema is no JSON object", "give the schema of an object")
    root = _Reader(found).read("", found, "", required=True, depth=0)
    if root.kind is FieldKind.ARRAY and root.items and root.items.kind is FieldKind.OBJECT:
        return _checked(Schema(root.items, is_multi=True))
    if root.kind is not FieldKind.OBJECT:
        raise UsageError(
            f"--schema is of the type {root.kind}", "it must be an object, or an array of objects"
        )
    return _checked(Schema(replace(root, nullable=False)))


def _checked(schema: Schema) -> Schema:
    num_fields = sum(1 for _ in leaves(schema.root))
    if num_fields > MAX_FIELDS:
        raise UsageError(
            f"--schema has {num_fields:,} fields", f"ask for at most {MAX_FIELDS} at once"
        )
    return schema


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"--schema: {twice!r} stands twice in one object", "remove one of them")
    return found


class _Reader:
    """Reads the parts of a schema; the document of it resolves references."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def read(self, name: str, own: Any, where: str, *, required: bool, depth: int) -> Field:
        """Read the schema of one field; `where` is its place, for messages."""
        if depth > _DEEPEST:
            raise UsageError(f"--schema{where} is nested deeper than {_DEEPEST}", "make it flatter")
        if not isinstance(own, dict):
            raise UsageError(f"--schema{where} is no JSON object", "give a type, as {...}")
        own, nullable = self._resolve(own, where)
        kind = _kind_of(own, where)
        _reject_others(own, kind, where)
        description = own.get("description", own.get("title", "") if not name else "")
        if not isinstance(description, str):
            raise UsageError(f"--schema{where}: description is no text", "put it in quotes")
        nullable = nullable or own.get("nullable") is True or _names_null(own)
        field = Field(name, kind, " ".join(description.split()), nullable, required)
        if kind is FieldKind.OBJECT:
            return replace(field, fields=self._read_properties(own, where, depth))
        if kind is FieldKind.ARRAY:
            if "items" not in own:
                raise UsageError(f"--schema{where} is an array without items", "say what it holds")
            item = self.read("", own["items"], f"{where}[]", required=True, depth=depth + 1)
            if item.kind is FieldKind.ARRAY:
                raise UsageError(f"--schema{where}[]: arrays of arrays are not supported", "")
            return replace(field, items=item)
        if kind is FieldKind.ENUM:
            return replace(field, choices=_choices(own, where))
        return field

    def _read_properties(self, own: Mapping[str, Any], where: str, depth: int) -> tuple[Field, ...]:
        properties, required = own.get("properties"), own.get("required", [])
        if not isinstance(properties, dict) or not properties:
            raise UsageError(f"--schema{where} has no properties", "name the fields in properties")
        if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
            raise UsageError(f"--schema{where}: required is no list of names", "")
        for each in required:
            if each not in properties:
                raise UsageError(
                    f"--schema{where} requires {each!r}, which is no property", "add it there"
                )
        return tuple(
            self.read(name, each, f"{where}.{name}", required=name in required, depth=depth + 1)
            for name, each in properties.items()
        )

    def _resolve(self, own: Mapping[str, Any], where: str) -> tuple[dict[str, Any], bool]:
        """Replace a reference, and an alternative to null; also whether null is allowed."""
        nullable = False
        for _ in range(_DEEPEST):
            if "$ref" in own:
                target = self._find(own["$ref"], where)
                own = {**target, **{key: own[key] for key in own if key != "$ref"}}
                continue
            keyword = next((each for each in ("anyOf", "oneOf") if each in own), None)
            if keyword is None:
                return dict(own), nullable
            options = own[keyword]
            if not isinstance(options, list):
                raise UsageError(f"--schema{where}: {keyword} is no list", "")
            others = [each for each in options if each != {"type": "null"}]
            if len(others) != 1 or not isinstance(others[0], dict):
                raise UsageError(
                    f"--schema{where}: {keyword} is not supported but for a type or null",
                    _SUPPORTED,
                )
            nullable = nullable or len(others) < len(options)
            own = {**others[0], **{key: own[key] for key in own if key != keyword}}
        raise UsageError(f"--schema{where}: $ref refers to itself", "make it flatter")

    def _find(self, reference: Any, where: str) -> Mapping[str, Any]:
        found: Any = self._document
        for part in str(reference).split("/"):
            if part == "#":
                continue
            found = found.get(part) if isinstance(found, dict) else None
        if not str(reference).startswith("#/") or not isinstance(found, dict):
            raise UsageError(
                f"--schema{where}: $ref {reference!r} is not supported", "refer to #/$defs/NAME"
            )
        return found


def _kind_of(own: Mapping[str, Any], where: str) -> FieldKind:
    types = own.get("type")
    names = [types] if isinstance(types, str) else types
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise UsageError(f"--schema{where}: type {types!r} is no type", _SUPPORTED)
    names = [name for name in names or [] if name != "null"]
    if "enum" in own or "const" in own:
        return FieldKind.ENUM
    if not names and "properties" in own:
        return FieldKind.OBJECT
    if len(names) != 1:
        what = f"type {types!r} is not supported" if types else "there is no type"
        raise UsageError(f"--schema{where}: {what}", "give one type, or one type and null")
    if names[0] not in {*_PYTHON_TYPES, "object", "array"}:
        raise UsageError(f"--schema{where}: type {names[0]!r} is not supported", _SUPPORTED)
    if names[0] == "string" and "format" in own:
        if own["format"] != "date":
            raise UsageError(
                f"--schema{where}: format {own['format']!r} is not supported",
                "the only one is date",
            )
        return FieldKind.DATE
    return FieldKind(names[0])


def _reject_others(own: Mapping[str, Any], kind: FieldKind, where: str) -> None:
    for keyword in own:
        if keyword not in _IGNORED and keyword not in _OWN.get(kind, ()):
            raise UsageError(f"--schema{where}: {keyword} is not supported", _SUPPORTED)
    more = own.get("additionalProperties", False)
    if not isinstance(more, bool):
        raise UsageError(f"--schema{where}: additionalProperties is not supported", _SUPPORTED)


def _names_null(own: Mapping[str, Any]) -> bool:
    types = own.get("type")
    in_enum = isinstance(own.get("enum"), list) and None in own["enum"]
    return in_enum or (isinstance(types, list) and "null" in types)


def _choices(own: Mapping[str, Any], where: str) -> tuple[Scalar, ...]:
    found = own.get("enum", [own.get("const")])
    if not isinstance(found, list) or not any(each is not None for each in found):
        raise UsageError(f"--schema{where}: enum is no list of values", 'as in ["paid", "open"]')
    types = own.get("type")
    names = [types] if isinstance(types, str) else types or []
    allowed = tuple(kind for name in names for kind in _PYTHON_TYPES.get(name, ()))
    for each in found:
        if each is not None and not isinstance(each, str | int | float | bool):
            raise UsageError(f"--schema{where}: enum holds {json.dumps(each)[:40]}", _SUPPORTED)
        if allowed and each is not None and not isinstance(each, allowed):
            raise UsageError(
                f"--schema{where}: enum holds {each!r}, which is no {types}", "correct one of them"
            )
    return tuple(each for each in found if each is not None)
