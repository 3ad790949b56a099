"""What the value of a string field looks like, by the words of its name and description."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from .dates import read_date
from .field import Field
from .numbers import read_number

Shape = Callable[[str], bool]

_WORD = re.compile(r"[^\W\d_]{1,30}")
_PHONE = frozenset(
    """phone telephone telefon telefonnummer téléphone teléfono telefono tel fax mobile
    handy""".split()  # noqa: SIM905
)
_MAIL = frozenset(("email", "mail", "correo", "courriel"))
_LINK = frozenset(("url", "website", "webseite", "web", "link"))
_CODE = frozenset(
    """number no nr nummer numéro numero número num id code reference zeichen referenz référence
    referencia iban""".split()  # noqa: SIM905
)
_CODE_ENDS = ("nummer", "zeichen")
_LEAST_CODE = 2  # characters of a number or reference
_MOST_LETTERS = 4  # in a phone number, as of "ext.", and in a word of a code


def shape_of(field: Field) -> Shape:
    """Whether a text can be the value of a string field.

    A phone number has digits, an address for mail an @, a number or a reference some digit. A
    field of which no word says so is no date, no amount and no number.
    """
    for words in (_words(field.words), _words(field.description)):
        if not words.isdisjoint(_PHONE):
            return _is_phone
        if not words.isdisjoint(_MAIL):
            return _has_at
        if not words.isdisjoint(_LINK):
            return _is_link
        if not words.isdisjoint(_CODE) or any(word.endswith(_CODE_ENDS) for word in words):
            return _has_digit
    return _is_words


def has_words(field: Field) -> bool:
    """Whether no word of a field says that it is a number, an address or a code."""
    return shape_of(field) is _is_words


def _words(text: str) -> set[str]:
    return {match[0] for match in _WORD.finditer(text.lower())}


def _is_phone(text: str) -> bool:
    letters = sum(c.isalpha() for c in text)
    return sum(c.isdigit() for c in text) >= 6 and letters <= _MOST_LETTERS and not read_date(text)


def _has_at(text: str) -> bool:
    return "@" in text and " " not in text.strip()


def _is_link(text: str) -> bool:
    return "." in text and " " not in text.strip()


def _has_digit(text: str) -> bool:
    if not any(c.isdigit() for c in text) or len(text) < _LEAST_CODE:
        return False
    words = (word for word in text.split() if not any(c.isdigit() for c in word))
    if any(len(word) > _MOST_LETTERS for word in words):
        return False
    return not read_date(text) and not _is_amount(text)


def _is_amount(text: str) -> bool:
    """Whether a text is a number with decimals, or with a sign of currency."""
    has_sign = any(unicodedata.category(c) == "Sc" or c == "%" for c in text)
    return read_number(text) is not None and (has_sign or isinstance(read_number(text), float))


def _is_words(text: str) -> bool:
    digits, letters = sum(c.isdigit() for c in text), sum(c.isalpha() for c in text)
    return letters > digits and "@" not in text and not read_date(text)
