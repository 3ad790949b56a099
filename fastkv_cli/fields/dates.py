"""Find dates in texts, in numbers or in words of seven languages, and write them as YYYY-MM-DD."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date

from .found_value import FoundValue

_NAMES = (
    "january february march april may june july august september october november december",
    "januar februar marz april mai juni juli august september oktober november dezember",
    "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
)
_OTHERS = {"sept": 9, "juil": 7, "maerz": 3, "janner": 1, "mrz": 3, "setiembre": 9}
_SHORT = 3  # letters of an abbreviation
_MONTH = r"([^\W\d_]{3,10})"
_AFTER_DAY = r"(?:\.|st|nd|rd|th|er|º|ª)?"
_LINK = r"(?:[ \u00a0]{1,3}(?:de|of|del))?"
_FORMS = re.compile(
    r"(?<![\w.,/+-])(?:"
    r"(?P<y>\d{4})(?P<s>[./-])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})(?![\w-]|[./]\d)"
    r"|(?P<a>\d{1,2})(?P<t>[./-]) ?(?P<b>\d{1,2})(?P=t) ?(?P<z>\d{4}|\d{2})(?![\w-]|[./]\d)"
    rf"|(?P<d2>\d{{1,2}}){_AFTER_DAY}{_LINK}[ \u00a0.-]{{1,3}}(?P<m2>{_MONTH})\.?,?"
    rf"{_LINK}[ \u00a0.-]{{1,3}}(?P<y2>\d{{4}})(?!\w)"
    rf"|(?P<m3>{_MONTH})\.?[ \u00a0]{{1,3}}(?P<d3>\d{{1,2}}){_AFTER_DAY},?"
    rf"{_LINK}[ \u00a0]{{1,3}}(?P<y3>\d{{4}})(?!\w)"
    r"|(?P<y4>\d{4}) ?年 ?(?P<m4>\d{1,2}) ?月 ?(?P<d4>\d{1,2}) ?日"
    r")"
)
_CENTURY, _PIVOT = 2000, 70  # 70 is 1970, 69 is 2069


def _month_names() -> dict[str, int]:
    names = dict(_OTHERS)
    for language in _NAMES:
        for number, name in enumerate(language.split(), start=1):
            names[name] = number
            names.setdefault(name[:_SHORT], number)
    names["jui"] = 0  # juin or juillet
    return names


_MONTHS = _month_names()


def find_dates(text: str, *, month_first: bool | None = None) -> Iterator[FoundValue]:
    """Yield the dates in a text, in order; only those with a day, a month and a year.

    Args:
        text: of a document, or a part of it.
        month_first: whether 03/04/2026 is the fourth of March; None finds out from the text.
    """
    if month_first is None:
        month_first = writes_month_first(text)
    for match in _FORMS.finditer(text):
        read = _read(match, month_first=month_first)
        if read is not None:
            yield FoundValue(match.start(), match.end(), read)


def writes_month_first(text: str) -> bool:
    """Whether a text writes dates like 12/31/2026, with the month before the day.

    By a date that can be read in one way only; without one, by names of months before the day.
    """
    votes = 0
    for match in _FORMS.finditer(text):
        if match["t"] == "/":
            votes += (int(match["b"]) > 12) - (int(match["a"]) > 12)
        elif match["m3"] and _month_of(match["m3"]):
            votes += 1
        elif match["m2"] and _month_of(match["m2"]):
            votes -= 1
    return votes > 0


def read_date(text: str) -> str | None:
    """The date that a text consists of, as YYYY-MM-DD; None if it is none."""
    found = next(find_dates(text.strip()), None)
    whole = found is not None and found.start == 0 and found.end == len(text.strip())
    return str(found.value) if found is not None and whole else None


def _read(match: re.Match[str], *, month_first: bool) -> str | None:
    if match["y"]:
        parts = int(match["y"]), int(match["m"]), int(match["d"])
    elif match["z"]:
        year = int(match["z"])
        if len(match["z"]) == 2:
            year += _CENTURY - (100 if year >= _PIVOT else 0)
        day, month = int(match["a"]), int(match["b"])
        swaps = match["t"] == "/" and (month > 12 or (month_first and day <= 12))
        parts = (year, day, month) if swaps else (year, month, day)
    elif match["y4"]:
        parts = int(match["y4"]), int(match["m4"]), int(match["d4"])
    else:
        form = "2" if match["y2"] else "3"
        parts = int(match["y" + form]), _month_of(match["m" + form]), int(match["d" + form])
    try:
        return date(*parts).isoformat()
    except ValueError:
        return None


def _month_of(word: str) -> int:
    """The number of a month's name or abbreviation; 0 if it is none."""
    parts = unicodedata.normalize("NFD", word.casefold())
    return _MONTHS.get("".join(c for c in parts if not unicodedata.combining(c)), 0)
