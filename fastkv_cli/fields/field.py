"""`Field`: what a schema asks for, and `Schema`, the fields of one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

Scalar = str | int | float | bool | None
Value = Scalar | list["Value"] | dict[str, "Value"]
"""A JSON value."""


class FieldKind(StrEnum):
    """The type of a field's value; a date is a string in the form YYYY-MM-DD."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    ENUM = "enum"
    OBJECT = "object"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema.

    Attributes:
        name: its key; empty for the items of an array.
        kind: the type of its value.
        description: what it is, in the words of the user.
        nullable: whether its value may be null.
        required: whether its key must be there.
        choices: the values of an enum.
        fields: those of an object.
        items: of an array; None for others.
    """

    name: str
    kind: FieldKind
    description: str = ""
    nullable: bool = True
    required: bool = True
    choices: tuple[Scalar, ...] = ()
    fields: tuple[Field, ...] = ()
    items: Field | None = None

    @property
    def may_be_absent(self) -> bool:
        """Whether there can be no value: by null, or without the key."""
        return self.nullable or not self.required

    @property
    def words(self) -> str:
        """The name in words: `dueDate` and `due_date` are `due date`."""
        spaced = "".join(
            f" {c.lower()}" if c.isupper() and before.islower() else c
            for before, c in zip(" " + self.name, self.name, strict=False)
        )
        return " ".join(spaced.replace("_", " ").replace("-", " ").replace(".", " ").split())


@dataclass(frozen=True, slots=True)
class Schema:
    """What is asked for.

    Attributes:
        root: an object.
        is_multi: whether an array of such objects is wanted, one for each row of a list.
    """

    root: Field
    is_multi: bool = False

    @property
    def num_fields(self) -> int:
        """The number of fields, without the objects around them."""
        return sum(1 for _ in leaves(self.root))


def leaves(field: Field, path: tuple[Field, ...] = ()) -> Iterator[tuple[Field, ...]]:
    """The fields of an object that are no objects themselves, each with the fields above it."""
    for each in field.fields:
        if each.kind is FieldKind.OBJECT:
            yield from leaves(each, (*path, each))
        else:
            yield *path, each
