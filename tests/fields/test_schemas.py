"""Schemas as users write them: the concise form, JSON Schema, and what is wrong with either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastkv_cli.errors import UsageError
from fastkv_cli.fields.field import Field, FieldKind, leaves
from fastkv_cli.fields.read_schema import read_schema
from fastkv_cli.fields.validation import problems

NESTED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": "Invoice",
    "required": ["vendor", "state"],
    "additionalProperties": False,
    "$defs": {"Firm": {"type": "object", "properties": {"name": {"type": "string"}}}},
    "properties": {
        "vendor": {"$ref": "#/$defs/Firm", "description": "who sends it"},
        "paidOn": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "state": {"enum": ["paid", "open", 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "total": {"type": ["number", "null"]},
        "pages": {"type": "integer", "nullable": True},
        "final": {"type": "boolean"},
    },
}


def kinds(given: str) -> dict[str, FieldKind]:
    return {field.name: field.kind for field in read_schema(given).root.fields}


def test_concise_form() -> None:
    schema = read_schema("vendor, total float, date: day of issue")
    assert [(field.name, field.kind, field.description) for field in schema.root.fields] == [
        ("vendor", FieldKind.STRING, ""),
        ("total", FieldKind.NUMBER, ""),
        ("date", FieldKind.DATE, "day of issue"),
    ]
    assert all(field.nullable and field.required for field in schema.root.fields)


def test_lines_may_hold_commas() -> None:
    schema = read_schema("name: family name, then given name\nage int\n\nactive bool\ndueDate\n")
    assert [field.kind for field in schema.root.fields] == [
        FieldKind.STRING,
        FieldKind.INTEGER,
        FieldKind.BOOLEAN,
        FieldKind.DATE,
    ]
    assert schema.root.fields[0].description == "family name, then given name"
    assert schema.root.fields[3].words == "due date"
    assert kinds("date str, updated date") == {"date": FieldKind.STRING, "updated": FieldKind.DATE}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "names no field"),
        (" , ,", "names no field"),
        ("total money", "'money' is no type of total"),
        ("total float euro", "'total float euro' is no field"),
        ("1st", "'1st' is no field"),
        ("a, b, a", "names 'a' twice"),
        ("missing.json", "is no file"),
        (",".join(f"a{number}" for number in range(201)), "has 201 fields"),
    ],
)
def test_bad_concise_forms(given: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_schema(given)
    assert caught.value.hint


def test_json_schema(tmp_path: Path) -> None:
    file = tmp_path / "fields.json"
    file.write_text("\ufeff" + json.dumps(NESTED), encoding="utf-8")
    schema = read_schema(str(file))
    assert schema == read_schema(json.dumps(NESTED))
    by_name = {field.name: field for field in schema.root.fields}
    assert by_name["vendor"].required
    assert by_name["vendor"].description == "who sends it"
    assert by_name["vendor"].fields[0].name == "name"
    assert by_name["paidOn"] == Field("paidOn", FieldKind.DATE, "", nullable=True, required=False)
    assert by_name["state"].choices == ("paid", "open", 3)
    assert not by_name["state"].may_be_absent
    assert by_name["tags"].items is not None
    assert by_name["total"].nullable
    assert by_name["pages"].nullable
    assert by_name["final"].may_be_absent
    assert not by_name["final"].nullable
    assert [each.name for each in next(leaves(schema.root))] == ["vendor", "name"]
    assert schema.num_fields == 7


def test_rows() -> None:
    one = json.dumps({"type": "object", "properties": {"item": {"type": "string"}}})
    many = json.dumps({"type": "array", "items": json.loads(one)})
    assert read_schema(many) == read_schema(one, multi=True)
    assert read_schema("item, price float", multi=True).is_multi


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ('{"type": "object"', "is no JSON: .* in line 1"),
        ("[1]", "is no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ({"type": "string"}, "of the type string"),
        ({"type": "object", "properties": {}}, "has no properties"),
        ({"properties": {"a": {"type": "string", "pattern": "x"}}}, "schema.a: pattern is not"),
        ({"properties": {"a": {"type": "string", "format": "email"}}}, "schema.a: format 'email'"),
        ({"properties": {"a": {"type": "number", "minimum": 0}}}, "schema.a: minimum is not"),
        ({"properties": {"a": {"type": ["string", "integer"]}}}, "schema.a: type .* is not"),
        ({"properties": {"a": {"type": "text"}}}, "schema.a: type 'text' is not"),
        ({"properties": {"a": {}}}, "schema.a: there is no type"),
        ({"properties": {"a": {"type": "array"}}}, "schema.a is an array without items"),
        (
            {"properties": {"a": {"oneOf": [{"type": "string"}, {"type": "number"}]}}},
            "oneOf is not",
        ),
        ({"properties": {"a": {"allOf": []}}}, "there is no type"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "'other.json' is not supported"),
        ({"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}, "refers to itself"),
        ({"properties": {"a": {"enum": [{}]}}}, "schema.a: enum holds {}"),
        ({"properties": {"a": {"type": "string", "enum": [1]}}}, "schema.a: enum holds 1"),
        ({"properties": {"a": {"type": "string"}}, "required": ["b"]}, "requires 'b'"),
        ('{"properties": {"a": {"type": "string"}, "a": {"type": "string"}}}', "'a' stands twice"),
        ({"properties": {"a": True}}, "schema.a is no JSON object"),
    ],
)
def test_what_is_not_supported_is_named(schema: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_schema(schema if isinstance(schema, str) else json.dumps(schema))


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"properties": {"\xe4": {"type": "string"}}}')
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_schema(str(tmp_path / "latin.json"))
    (tmp_path / "long.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(UsageError, match="larger than 1,048,576 bytes"):
        read_schema(str(tmp_path / "long.json"))


def test_validation() -> None:
    schema = read_schema(json.dumps(NESTED))
    good = {"vendor": {"name": "A"}, "state": 3, "tags": ["x"], "paidOn": None, "total": 1}
    assert problems(good, schema) == []
    bad = {"vendor": None, "state": "3", "tags": [1], "paidOn": "2026-02-30", "final": None, "x": 1}
    assert problems(bad, schema) == [
        "$ has 'x', which was not asked for",
        "$.vendor is null",
        "$.paidOn is no date: '2026-02-30'",
        "$.state is no enum: '3'",
        "$.tags[0] is no string: 1",
        "$.final is null",
    ]
    assert problems({"vendor": {}}, schema) == ["$ lacks 'state'"]
    assert problems({"pages": True, "vendor": {}, "state": 3}, schema) == [
        "$.pages is no integer: True"
    ]
    assert problems({}, read_schema("a", multi=True)) == ["$ is no array"]
    assert problems([{"a": None}], read_schema("a", multi=True)) == []
