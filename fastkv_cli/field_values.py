"""`FieldValue`: what was found for a field of a schema, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A field's value, and the place that it was read from.

    Attributes:
        path: the keys to it, as `vendor.name` or `[0].price`.
        value: a JSON value: dates as YYYY-MM-DD, numbers as numbers; None if there is none.
        text: the value as the document writes it; None if it was not read from a place.
        document: the path of that document.
        page: 1-based; None if the document has no pages.
        line: 1-based; None if there are pages.
        quote: the sentence, row or item that it stands in.
        supported: whether it stands there under words of the field's name or description.
    """

    path: str
    value: Any
    text: str | None = None
    document: str | None = None
    page: int | None = None
    line: int | None = None
    quote: str | None = None
    supported: bool = False


@dataclass(frozen=True, slots=True)
class FilledSchema:
    """The answer to a schema.

    Attributes:
        value: an object, or a list of them; valid unless something is missing.
        fields: those of the schema in order, of each object.
        missing: paths that the token limit left no room for.
    """

    value: Any
    fields: tuple[FieldValue, ...]
    missing: tuple[str, ...] = ()
