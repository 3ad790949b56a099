"""Find numbers in texts and read them, whether they are written 1,234.50 or 1.234,50."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .found_value import FoundValue

_NUMBER = re.compile(
    r"(?<![\w.,/+#'’-])(?:(?<!\d )[-−–])?"
    r"(?:\d{1,3}(?:[.,'’\u00a0\u202f]\d{3}(?!\d)){1,5}"
    r"|\d{1,3}(?: \d{3}){1,5}(?=,\d{2}(?!\d))|\d{1,15})"
    r"(?:[.,]\d{1,9})?(?![\w]|[.,/'’-]\d|-\w)"
)
_SCALE = re.compile(
    r"[ \u00a0](thousand|tausend|mille|mil|million(?:en|s|es)?|mio|millones|mill[oó]n"
    r"|milh(?:ão|ões)|billion|milliarden?|milliards?|mrd|bn)\b\.?",
    re.IGNORECASE,
)
_SCALES = {"t": 10**3, "mil": 10**3, "mille": 10**3, "b": 10**9, "milliard": 10**9, "mrd": 10**9}
_COMMA = re.compile(r"\d,\d{1,2}(?!\d)")
_POINT = re.compile(r"\d\.\d{1,2}(?![\d.])")
_SEPARATORS = "'’\u00a0\u202f "


def find_numbers(text: str, *, decimal_comma: bool | None = None) -> Iterator[FoundValue]:
    """Yield the numbers in a text, in order; not those within codes, versions and dates.

    A word of scale behind a number counts: 2.5 million is 2500000.

    Args:
        text: of a document, or a part of it.
        decimal_comma: whether 1.234 is a thousand and more; None finds out from the text.
    """
    if decimal_comma is None:
        decimal_comma = writes_decimal_comma(text)
    for match in _NUMBER.finditer(text):
        value = _value_of(match[0], decimal_comma=decimal_comma)
        end = match.end()
        if scale := _SCALE.match(text, end):
            value, end = _scaled(value, scale[1].casefold()), scale.end()
        yield FoundValue(match.start(), end, value)


def writes_decimal_comma(text: str) -> bool:
    """Whether a text writes 1,5 for one and a half."""
    return sum(1 for _ in _COMMA.finditer(text)) > sum(1 for _ in _POINT.finditer(text))


def read_number(text: str) -> float | int | None:
    """The number in a text, currency and unit aside; None if it holds none, or several."""
    found = [each.value for each in find_numbers(text)]
    return found[0] if len(found) == 1 and not isinstance(found[0], str) else None


def _value_of(text: str, *, decimal_comma: bool) -> float | int:
    sign = -1 if text[0] in "-−–" else 1
    digits = text.lstrip("-−–")
    for each in _SEPARATORS:
        digits = digits.replace(each, "")
    marks = [c for c in digits if c in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1]
    elif len(marks) == 1 and not _is_thousands(digits, marks[0], decimal_comma=decimal_comma):
        decimal = marks[0]
    else:
        decimal = ""
    whole, _, rest = digits.rpartition(decimal) if decimal else (digits, "", "")
    whole = whole.replace(".", "").replace(",", "")
    if not rest:
        return sign * int(whole or "0")
    return sign * float(f"{whole or '0'}.{rest}")


def _is_thousands(digits: str, mark: str, *, decimal_comma: bool) -> bool:
    """Whether the only mark of a number parts its thousands."""
    before, _, behind = digits.partition(mark)
    if len(behind) != 3 or before in {"", "0"}:
        return False
    return mark == "," if not decimal_comma else mark == "."


def _scaled(value: float | int, word: str) -> float | int:
    scale = 10**6
    for begin, found in _SCALES.items():
        if word == begin or (len(begin) != 3 and begin != "mille" and word.startswith(begin)):
            scale = found
    scaled = round(value * scale, 6)
    return int(scaled) if scaled == int(scaled) else scaled
