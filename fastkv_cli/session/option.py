"""Declaring an option: a dataclass field with its help, group and environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..errors import UsageError


class Group(StrEnum):
    """The panels of the help text, in order."""

    MEASUREMENT = "Options"  # of one measuring command alone; the panel that --help is in
    BATCH = "Batch"
    DOCUMENT = "Document"
    MODEL = "Model"
    METHOD = "Method"
    OUTPUT = "Output"


@dataclass(frozen=True, slots=True)
class Option:
    """Metadata of an option; its name, type and default are those of the field.

    Attributes:
        group: the panel of the help text.
        help: begins with a verb; one or two sentences.
        flags: the spellings on the command line; empty for `--name-of-the-field`.
        metavar: placeholder of the value in the help text.
        env: the environment variable that sets it.
        shown_default: the default in words, if the value alone is unclear; False hides it.
        completes: what TAB completes: "models", or nothing.
    """

    group: Group
    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    env: str | None = None
    shown_default: str | bool = True
    completes: str = ""


def option(default: Any, group: Group, text: str, *flags: str, **others: Any) -> Any:
    """A dataclass field with this default, and an `Option` as its metadata."""
    return field(default=default, metadata={"option": Option(group, text, flags, **others)})


def parse_choices(options: object, choices: Mapping[str, type[StrEnum]]) -> None:
    """Replace the words among the fields of a frozen dataclass by their choices.

    Raises:
        UsageError: when there is no such choice.
    """
    for name, kind in choices.items():
        value = getattr(options, name)
        if value is None or isinstance(value, kind):
            continue
        try:
            object.__setattr__(options, name, kind(value))
        except ValueError:
            raise UsageError(
                f"{name} {value!r} is unknown", f"choose one of {', '.join(kind)}"
            ) from None
