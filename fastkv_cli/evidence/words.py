"""Normalize words for comparison: one key for all spellings that readers take as equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# Han and kana are written without spaces between words: each character counts as a word.
_HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"[{_HAN}]"
    r"|(?:[^\W\d_]\.){2,}"  # U.S.
    rf"|\d+(?:[.,'’\u00a0\u202f]\d+)*[^\W_{_HAN}]*"  # 65,535 and 3.3.3 and 32K
    rf"|[^\W_{_HAN}]+(?:(?<=\d)\.\d+|['’][^\W\d_]+)*"  # LZ77, V3.4.2, Traveller’s
)
_THOUSANDS = re.compile(r"(\d{1,3}(?:[,'’\u00a0\u202f ]\d{3})+)(?!\d)")
_NOT_DIGIT = re.compile(r"\D")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)|(\d{4})s")
_VERSION = re.compile(r"v(?=\d)")
_POSSESSIVE = re.compile(r"['’]s?$")

_CARDINALS = """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
# "second" is left out: it is a unit of time as well.
_ORDINALS = """first - third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
    thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"""
_NUMBER_WORDS = (
    {word: str(value) for value, word in enumerate(_CARDINALS.split())}
    | {word: str(10 * value) for value, word in enumerate(_TENS.split(), start=2)}
    | {word: str(value) for value, word in enumerate(_ORDINALS.split(), start=1)}
)
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: its key, and its span in characters."""

    key: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Whether it contains a digit, or is the name of a number."""
        return is_number(self.key)


def find_words(text: str) -> Iterator[Word]:
    """Yield the words of a text in order."""
    for match in _WORD.finditer(text):
        yield Word(key_of(match[0]), match.start(), match.end())


def keys_of(text: str) -> list[str]:
    """The keys of the words of a text, in order."""
    return [key_of(match[0]) for match in _WORD.finditer(text)]


def is_number(key: str) -> bool:
    """Whether a key is a number or contains a digit, like 32k and lz77."""
    return any(c.isdigit() for c in key)


@lru_cache(maxsize=1 << 18)
def key_of(word: str) -> str:
    """The normalized form by which a word is compared.

    It ignores case, compatibility forms, thousands separators, possessives and plurals, the script
    of digits, and whether a small number is written as a word (one, third).
    """
    # Some letters are phrases in NFKC (ﷺ is four words); a space would split the key.
    plain = "".join(unicodedata.normalize("NFKC", word).casefold().split())
    if any(c.isdigit() for c in plain):
        plain = "".join(str(unicodedata.decimal(c, c)) for c in plain)  # in any script
        plain = _THOUSANDS.sub(lambda match: _NOT_DIGIT.sub("", match[1]), plain)
        plain = _VERSION.sub("", plain, count=1) if plain.startswith("v") else plain
        ordinal = _ORDINAL.fullmatch(plain)
        plain = (ordinal[1] or ordinal[2]) if ordinal else plain.replace(",", ".")
        return plain.lstrip("0") or "0" if plain.isdecimal() else plain
    plain = _POSSESSIVE.sub("", plain).replace(".", "").replace("'", "").replace("’", "")
    return _NUMBER_WORDS.get(plain) or _singular(plain)


def spellings(number: str) -> Iterator[str]:
    """Other ways to write a number, as keys separated by spaces: 200 is `2 hundred` in words."""
    if not number.isascii() or not number.isdigit() or len(number) > 12:
        return
    value = int(number)
    if value:
        yield " ".join(_in_words(value))
    for scale, name in _SCALES:
        if value >= scale:
            yield f"{value / scale:g} {name}"


def _in_words(value: int) -> Iterator[str]:
    """A number in English words, as keys, in which small numbers are digits."""
    for scale, name in (*_SCALES, (100, "hundred")):
        if value >= scale:
            yield from _in_words(value // scale)
            yield name
            value %= scale
    if value > 20 and value % 10:
        yield from (str(value - value % 10), str(value % 10))
    elif value:
        yield str(value)


def _singular(word: str) -> str:
    """Strip an English plural ending; both sides of a comparison are treated the same."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


# Function words of questions and answers, and words about answers themselves.
COMMON = frozenset(
    keys_of(
        """a about according also an and answer are as at based be been between by called can could
        describe detail did do document does explain finding following for from give had has have he
        her his how i idea if important in into is it its key long main many may me mention much
        must my no not of on only or our over overview part please point question say shall she
        should so specifically state story such suggest summarize summary tell text than that the
        their them then there therefore these they thing this those to topic under us was we were
        what when where which who whom whose why will with would you your"""
    )
)
