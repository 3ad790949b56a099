"""Grammars of answers, in llguidance's variant of Lark's syntax."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from .field import FieldKind

NONE = "none"
# Values that no document holds but a schema demands, as expressions.
FREE = {
    FieldKind.STRING: r"/[^\n\"\\\\]{1,60}/",
    FieldKind.INTEGER: r"/0|[1-9][0-9]{0,8}/",
    FieldKind.NUMBER: r"/(0|[1-9][0-9]{0,8})(\.[0-9]{1,2})?/",
    FieldKind.DATE: r"/(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])/",
}


def one_of(texts: Iterable[str]) -> str:
    """An expression for one of some texts."""
    return " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def form_grammar(fields: Sequence[tuple[str, str]]) -> str:
    """The grammar of a filled form: a line for each field, its name and its value.

    A form of one field is its value alone.

    Args:
        fields: the name of each, and an expression of what its value can be; at least one.
    """
    if len(fields) == 1:
        return f"start: {fields[0][1]}\n"
    parts, rules = [], []
    for number, (name, expression) in enumerate(fields):
        begin = f"{name}: " if number == 0 else f"\n{name}: "
        parts.append(f"{json.dumps(begin, ensure_ascii=False)} value{number}")
        rules.append(f"value{number}: {expression}")
    return "\n".join([f"start: {' '.join(parts)}", *rules, ""])


def read_form(text: str, names: Sequence[str]) -> list[str]:
    """The texts of a filled form, one for each field; those that are missing are left out."""
    if len(names) == 1:
        return [text]
    begins = [f"{name}: " for name in names]
    lines = text.split("\n")
    return [line.removeprefix(begin) for line, begin in zip(lines, begins, strict=False)]
