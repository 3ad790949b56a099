"""The values of a type that a text holds."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from .dates import find_dates, writes_month_first
from .field import Field, FieldKind
from .found_value import FoundValue
from .numbers import find_numbers, writes_decimal_comma
from .spans import find_spans

_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_BULLET = re.compile(r"(?:\A|(?<=\n)|\n)\d{1,3}[.)]\s")
_PERCENT = frozenset(("percent", "percentage", "rate", "share", "%", "prozent", "anteil", "taux"))
_YEARS = frozenset(("year", "jahr", "année", "annee", "año", "ano", "anno", "jaar"))


class WrittenValues:
    """The dates, numbers and other values in one text, each with its place."""

    def __init__(self, text: str) -> None:
        """Look through a text; what is found of a type is kept."""
        self.text = text

    def of(self, field: Field, start: int, end: int) -> list[FoundValue]:
        """What can be the value of a field between two characters of the text, in order."""
        if field.kind is FieldKind.DATE:
            found: Iterator[FoundValue] | list[FoundValue] = self._dates
        elif field.kind in {FieldKind.NUMBER, FieldKind.INTEGER}:
            own = {*field.words.lower().split(), *field.description.lower().split()}
            is_year = not _YEARS.isdisjoint(own)
            found = self._years if is_year else self._numbers
            if own.isdisjoint(_PERCENT):
                found = [each for each in found if not self._is_percent(each.end)]
            if field.kind is FieldKind.INTEGER:
                found = (
                    each._replace(value=int(each.value or 0)) for each in found if _is_whole(each)
                )
        elif field.kind is FieldKind.ENUM:
            found = self._choices(field, start, end)
        elif field.kind is FieldKind.STRING:
            spans = find_spans(self.text, start, end)
            found = (
                FoundValue(a, b, " ".join(self.text[a:b].split()))
                for a, b in spans
                if not self._is_in_date(a, b)
            )
        else:
            found = []
        return [each for each in found if start <= each.start and each.end <= end]

    @cached_property
    def _dates(self) -> list[FoundValue]:
        return list(find_dates(self.text, month_first=writes_month_first(self.text)))

    @cached_property
    def _numbers(self) -> list[FoundValue]:
        """Numbers that are no part of a date."""
        taken = {at for each in self._dates for at in range(each.start, each.end)}
        comma = writes_decimal_comma(self.text)
        found = find_numbers(self.text, decimal_comma=comma)
        return [
            each
            for each in found
            if each.start not in taken
            and not _BULLET.match(self.text, each.start - 1, each.end + 2)
        ]

    @cached_property
    def _years(self) -> list[FoundValue]:
        """Numbers, and the years of dates."""
        found = (_YEAR.search(self.text, each.start, each.end) for each in self._dates)
        years = [FoundValue(year.start(), year.end(), int(year[0])) for year in found if year]
        return sorted([*self._numbers, *years])

    def _is_in_date(self, start: int, end: int) -> bool:
        """Whether a span is a part of a date."""
        at = bisect_right(self._dates, start, key=lambda each: each.start) - 1
        return at >= 0 and end <= self._dates[at].end and end - start < self._length(at)

    def _length(self, date: int) -> int:
        return self._dates[date].end - self._dates[date].start

    def _is_percent(self, end: int) -> bool:
        return self.text[end : end + 2].lstrip(" \u00a0\u202f")[:1] == "%"

    def _choices(self, field: Field, start: int, end: int) -> Iterator[FoundValue]:
        """Where the words of an enum's choices stand."""
        text = self.text[start:end].lower()
        for choice in field.choices:
            words = str(choice).replace("_", " ").lower()
            if isinstance(choice, bool) or not words or len(text) != end - start:
                continue
            at = text.find(words)
            while at >= 0:
                behind = at + len(words)
                if not text[at - 1 : at].isalnum() and not text[behind : behind + 1].isalnum():
                    yield FoundValue(start + at, start + behind, choice)
                at = text.find(words, behind)


def _is_whole(found: FoundValue) -> bool:
    return isinstance(found.value, int | float) and found.value == int(found.value)
