"""Numbers of lists and headings as a reader sees them: 3, c, III, iv, 03."""

from __future__ import annotations

_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_MAX_ROMAN = 3999
_MAX_LETTERS = 26 * 10  # Word repeats letters: aa is 27, bb is 28
_KINDS = {  # of HTML's `type`, of CSS and of Word → how a number is written
    "a": "letter", "lower-alpha": "letter", "lower-latin": "letter", "lowerLetter": "letter",
    "A": "LETTER", "upper-alpha": "LETTER", "upper-latin": "LETTER", "upperLetter": "LETTER",
    "i": "roman", "lower-roman": "roman", "lowerRoman": "roman",
    "I": "ROMAN", "upper-roman": "ROMAN", "upperRoman": "ROMAN",
    "decimal-leading-zero": "zero", "decimalZero": "zero",
    "none": "none", "bullet": "bullet", "disc": "bullet", "circle": "bullet", "square": "bullet",
    "ordinal": "ordinal", "lower-greek": "greek",
}  # fmt: skip
_GREEK = "αβγδεζηθικλμνξοπρστυφχψω"


def kind_of(name: str | None) -> str:
    """How numbers of a list are written, by the name that its format has for it."""
    return _KINDS.get(name or "", "decimal")


def write_number(number: int, kind: str, *, repeats: bool = False) -> str:
    """A number as it is shown.

    Args:
        number: The number.
        kind: From `kind_of`.
        repeats: Whether letters after z are repeated, as Word does (bb for 28), and not counted on,
            as web pages do (ab).
    """
    if kind.lower() == "letter" and 0 < number <= _MAX_LETTERS:
        written = _letters(number, repeats=repeats)
    elif kind.lower() == "roman" and 0 < number <= _MAX_ROMAN:
        written = _roman(number)
    elif kind == "greek" and 0 < number <= len(_GREEK):
        return _GREEK[number - 1]
    elif kind == "zero":
        return f"{number:02}"
    elif kind == "ordinal":
        return f"{number}{_ordinal(number)}"
    else:
        return "" if kind in {"none", "bullet"} else str(number)
    return written.upper() if kind.isupper() else written


def _letters(number: int, *, repeats: bool) -> str:
    if repeats:
        return chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _roman(number: int) -> str:
    written = ""
    for value, letters in _ROMAN:
        times, number = divmod(number, value)
        written += letters * times
    return written


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
