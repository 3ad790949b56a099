"""Read the value of --schema: fields in the concise form, JSON, or a file that holds either."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from .concise_schema import read_concise
from .field import Schema
from .json_schema import read_json_schema

OBJECT_TOKENS = 4096  # of the JSON that fills in a schema, by default
_MOST_BYTES = 2**20
_SUFFIXES = (".json", ".txt", ".schema")


def read_schema(given: str, *, multi: bool = False) -> Schema:
    """Read a schema.

    Args:
        given: fields as `vendor, total float, date: day of issue`, a JSON Schema, or the path of a
            file with one of them.
        multi: whether an array of objects is wanted.

    Raises:
        UsageError: when it cannot be read, or asks for what is not supported.
    """
    text = schema_text(given)
    is_json = text.lstrip()[:1] in {"{", "["}
    schema = read_json_schema(text) if is_json else read_concise(text)
    return replace(schema, is_multi=schema.is_multi or multi)


def schema_text(given: str) -> str:
    """The schema's text: the value itself, or what the file holds that it names.

    Raises:
        UsageError: when that file cannot be read.
    """
    if given.lstrip()[:1] in {"{", "["}:
        return given
    path = Path(given)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a null character
        is_file = False
    if not is_file:
        if given.strip().lower().endswith(_SUFFIXES):
            raise UsageError(f"--schema {given} is no file", "check the path")
        return given
    try:
        with path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--schema {given} cannot be read ({error.strerror or error})", "check the path"
        ) from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"--schema {given} is larger than {_MOST_BYTES:,} bytes", "shorten it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"--schema {given} is not UTF-8", "convert the file") from None


def as_schema(given: Schema | str) -> Schema:
    """A schema as it is, or read from its text or file; raises a UsageError as `read_schema`."""
    return given if isinstance(given, Schema) else read_schema(given)
