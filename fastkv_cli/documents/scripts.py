"""Write superscripts and subscripts so that their meaning stays: 10⁶, x^{2k}, CO₂, a note [12]."""

from __future__ import annotations

import re

_PLAIN = "0123456789+-−=()ni"
_RAISED = dict(zip(_PLAIN, "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ", strict=True))
_LOWERED = dict(zip("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎", strict=True))
_LOWERED_LETTERS = dict(zip("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_ORDINALS = frozenset(  # they read the same on the line
    ("st", "nd", "rd", "th", "er", "re", "e", "ème", "eme", "o", "a", "º", "ª", "d", "ter", "os")
)
_SIGNS = {"TM": "™", "SM": "℠", "tm": "™"}
_UNITS = frozenset(("m", "km", "cm", "mm", "dm", "nm", "µm", "μm", "s", "ft", "in", "yd", "mi"))
_MARKS = re.compile(r"\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*")
_BRACKETED = re.compile(r"[\[(]\s*\w{1,4}\s*[\])]")
_NOTE_SIGNS = frozenset("*†‡§¶#®©™℠ªº'′″")


def raise_text(text: str, before: str, *, is_note: bool = False) -> str:
    """A superscript as text.

    Args:
        text: What is raised.
        before: The text before it. A number behind a word or a punctuation mark is that of a note;
            behind a number, a letter or a unit it is an exponent.
        is_note: Whether it is known to be the mark of a note.
    """
    bare = text.strip()
    if not bare or all(character in _NOTE_SIGNS for character in bare):
        return text
    if _BRACKETED.fullmatch(bare):
        return f"[{bare[1:-1].strip()}]" if is_note or bare[0] == "[" else f"^{{{bare}}}"
    if bare in _SIGNS:
        return _SIGNS[bare]
    if _MARKS.fullmatch(bare) and (is_note or _takes_note(before)):
        return text.replace(bare, f"[{bare}]")
    if bare.lower() in _ORDINALS and before[-1:].isdigit():
        return text
    return _written(text, bare, _RAISED, "^")


def lower_text(text: str) -> str:
    """A subscript as text."""
    bare = text.strip()
    table = _LOWERED | _LOWERED_LETTERS if len(bare) == 1 else _LOWERED
    return _written(text, bare, table, "_")


def _written(text: str, bare: str, table: dict[str, str], mark: str) -> str:
    if not bare:
        return text
    if all(character in table for character in bare):
        return text.replace(bare, "".join(table[character] for character in bare))
    return text.replace(bare, f"{mark}{{{bare}}}")


def _takes_note(before: str) -> bool:
    """Whether a raised number behind this text is the mark of a note."""
    before = before.rstrip("~")
    if not before.strip():
        return True
    if before[-1].isspace():
        return False
    word = _last_word(before[-40:])
    if word:
        return len(word) > 1 and word not in _UNITS
    return before[-1] in ".,;:!?\"'”’»…"


def _last_word(text: str) -> str:
    """The letters at the end of a text."""
    start = len(text)
    while start and text[start - 1].isalpha():
        start -= 1
    return text[start:]
