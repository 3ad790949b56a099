"""How an option is declared: the field of a dataclass with its help, group and variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..errors import UsageError


class Group(StrEnum):
    """The panels of the help text, in order."""

    DOCUMENT = "Document"
    MODEL = "Model"
    METHOD = "Method"
    OUTPUT = "Output"


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of an option beside its name, type and default, which its field has.

    Attributes:
        group: the panel of the help text.
        help: begins with a verb; one or two sentences.
        flags: as users type it, where that is not `--name-of-the-field`.
        metavar: what stands for its value in the help text.
        env: the environment variable that sets it.
        shown_default: the default in words, where the value says little.
        completes: what TAB offers: "models", or nothing.
    """

    group: Group
    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    env: str | None = None
    shown_default: str | bool = True
    completes: str = ""


def option(default: Any, group: Group, text: str, *flags: str, **others: Any) -> Any:
    """Declare an option: the field of a dataclass, with its default and `Option`."""
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
                f"{name} {value!r} is unknown", f"it is one of {', '.join(kind)}"
            ) from None
