"""What an answer looks like, by the kind of the question: a date, a number, a name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_COUNTED = (
    "number|amount|sum|value|percentage|percent|share|rate|size|length|width|height|weight|price"
    "|cost|fee|age|distance|temperature|frequency|voltage|port|code"
)
_NAMED = (
    "town|city|village|state|country|place|region|person|man|woman|author|company|clinic"
    "|university|organization|organisation|institute|vendor|professor|general|king|queen"
)
# A question, and what answers it.
_KINDS = (
    (
        re.compile(
            r"\b(?:when|(?:what|which) (?:year|date|month|day))\b|\bwann\b|في أي (?:عام|سنة)|متى"
            r"|何年|いつ|什么时候|哪一?年",
            re.IGNORECASE,
        ),
        re.compile(rf"\b(?:1\d|20)\d\d\b|\b\d+(?:st|nd|rd|th)\b|\b(?:{_MONTHS})\b|\d[:.]\d\d"),
    ),
    (
        re.compile(
            r"\bhow (?:many|much|long|often|far|large|big|old|tall|high|wide|deep|fast)\b"
            rf"|\b(?:what|which)\b[^?]{{0,30}}\b(?:{_COUNTED})\b|\bat (?:most|least)\b"
            r"|\bwie ?viele?\b|\bكم\b|何文字|いくつ|多少|几",
            re.IGNORECASE,
        ),
        re.compile(
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty"
            r"|forty|fifty|sixty|hundred|thousand|million|half|once|twice|dozen)\b",
            re.IGNORECASE,
        ),
    ),
    (
        re.compile(
            rf"\b(?:who|whom|whose|where|(?:what|which)\b[^?]{{0,20}}\b(?:{_NAMED}))\b",
            re.IGNORECASE,
        ),
        re.compile(r"[a-z,;]\s[A-Z][a-z]"),
    ),
    (
        re.compile(
            r"\b(?:stands? for|abbreviation|acronym|short for|abbreviated)\b", re.IGNORECASE
        ),
        re.compile(r"\([A-Z][A-Za-z]*[A-Z]s?\)|\b[A-Z]{2,} \("),
    ),
)


_DEFINITION = re.compile(
    r"what (?:is|are|was|were) (?:an? |the )?([^?\s][^?]{2,60}+)\?*+\s*+", re.IGNORECASE
)
_DEFINES = ("is", "are", "was", "were", "means", "refers")


def shape_of_answer(question: str) -> Callable[[str], bool] | None:
    """A test of what can answer a question; None if that could be anything.

    "What is a widget?" is answered where "a widget is" stands.
    """
    for asks, shape in _KINDS:
        if asks.search(question):
            return partial(_holds, shape)
    defined = _DEFINITION.fullmatch(question.strip())
    return partial(_defines, " ".join(defined[1].casefold().split())) if defined else None


def _holds(shape: re.Pattern[str], text: str) -> bool:
    return shape.search(text) is not None


def _defines(subject: str, text: str) -> bool:
    """Whether a text says what a subject is."""
    _, *behind = " ".join(text.casefold().split()).split(f"{subject} ")
    return any(each.startswith(tuple(f"{verb} " for verb in _DEFINES)) for each in behind)
