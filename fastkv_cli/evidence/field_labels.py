"""How well the words around a value name a field: labels before it, above it and beside it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..fields.labeled import LabeledValue, find_labeled
from ..fields.spans import cells_of
from .segment_index import terms_of
from .words import COMMON, keys_of

# Parts of a score, which is 1 where the label is the field's name and nothing else.
_NAME, _DESCRIPTION, _EXACT = 0.5, 0.2, 0.3
_LINE_ABOVE, _BEHIND = 0.6, 0.5  # weights of labels that do not stand before a value
_LONGEST = 60  # characters of a line that is the label of the next one
_REACH = 160  # characters before and behind a value in the same cell
_LINE_END = re.compile("\n")
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)")
_MIN_ALIKE = 4  # letters that words must share
# Words that say of what kind a value is: they tell fields apart less than others.
_GENERAL = frozenset(
    keys_of(
        """address amount code count data date datum day fecha id line name nom nombre number numero
        nummer sum text time value wert jour tag día"""
    )
)


@dataclass(frozen=True, slots=True)
class FieldTerms:
    """The words by which a field is looked for.

    Attributes:
        name: the terms of its name, and of the objects that it is in.
        description: those of its description that the name does not have.
    """

    name: tuple[str, ...]
    description: tuple[str, ...]

    @classmethod
    def of(cls, name: str, description: str) -> FieldTerms:
        """The terms of a name in words, and of a description."""
        own = tuple(dict.fromkeys(terms_of(keys_of(name))))
        more = dict.fromkeys(terms_of(keys_of(description)))
        return cls(own, tuple(term for term in more if term not in own and term not in COMMON))

    def match(self, label: str) -> float:
        """How well a label names the field, 0 to 1."""
        return _match(self, label)


class LabelFinder:
    """The labels of values in one text."""

    def __init__(self, text: str) -> None:
        """Find the lines and the labeled values of a text."""
        self.text = text
        self.labeled = find_labeled(text)
        self._begins = [each.start for each in self.labeled]
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._cells: dict[int, list[tuple[int, int]]] = {}
        spans = sorted({(each.label_start, each.label_end) for each in self.labeled})
        self._labels = [span[0] for span in spans], [span[1] for span in spans]

    def score(self, field: FieldTerms, start: int, end: int) -> float:
        """How well the words around characters `start` to `end` name a field, 0 to 1."""
        return max(
            (weight * _match(field, label) for label, weight in self.labels_of(start, end)),
            default=0.0,
        )

    def label_of(self, start: int, end: int) -> LabeledValue | None:
        """The labeled value that some characters are in."""
        at = bisect_right(self._begins, start) - 1
        if at < 0 or end > self.labeled[at].end:
            return None
        return self.labeled[at]

    def is_label(self, start: int, end: int) -> bool:
        """Whether some characters are in a label, or hold one."""
        begins, ends = self._labels
        at = bisect_right(begins, end - 1) - 1
        return at >= 0 and ends[at] > start

    def labels_of(self, start: int, end: int) -> Iterator[tuple[str, float]]:
        """The texts that may be the label of a value, and their weights."""
        text = self.text
        if (labeled := self.label_of(start, end)) is not None:
            yield text[labeled.label_start : labeled.label_end], 1.0
            return
        number = bisect_right(self._starts, start) - 1
        cells = self._cells_of(number)
        cell_start, cell_end = cells[max(bisect_right(cells, (start, len(text))) - 1, 0)]
        before = text[max(cell_start, start - _REACH) : start]
        sentences = list(_SENTENCE_END.finditer(before))
        before = before[sentences[-1].end() if sentences else 0 :]
        behind = text[end : min(cell_end, end + _REACH)]
        ends = _SENTENCE_END.search(behind)
        behind = behind[: ends.start()] if ends else behind
        if any(c.isalpha() for c in before):
            yield before, 1.0
            yield f"{before} {behind}", _BEHIND
        elif behind.strip():
            yield behind, _BEHIND
        if start == cell_start and len(cells) == 1:
            yield from self._above(number)

    def _above(self, number: int) -> Iterator[tuple[str, float]]:
        """The line above, if it is a short one of one cell."""
        while number > 0:
            number -= 1
            first, last = self._line(number)
            if last > first:
                if last - first <= _LONGEST and len(self._cells_of(number)) == 1:
                    yield self.text[first:last], _LINE_ABOVE
                return

    def _cells_of(self, number: int) -> list[tuple[int, int]]:
        """The cells of a line; kept, as a line may be the whole text."""
        if number not in self._cells:
            line = self._line(number)
            self._cells[number] = list(cells_of(self.text, *line)) or [line]
        return self._cells[number]

    def _line(self, number: int) -> tuple[int, int]:
        first = self._starts[number]
        is_last = number + 1 == len(self._starts)
        return first, len(self.text) if is_last else self._starts[number + 1] - 1


@lru_cache(maxsize=4096)
def _terms(label: str) -> tuple[str, ...]:
    return tuple(terms_of(keys_of(label)))


def _match(field: FieldTerms, label: str) -> float:
    """How well a label names a field, 0 to 1."""
    terms = _terms(label)
    if not terms:
        return 0.0
    name = _share(field.name, terms)
    description = _share(field.description, terms)
    if not name and not description:
        return 0.0
    said = [term for term in terms if term not in COMMON] or list(terms)
    exact = _share(said, (*field.name, *field.description))
    return _NAME * name + _DESCRIPTION * description + _EXACT * exact


def _share(wanted: Sequence[str], held: Sequence[str]) -> float:
    """The share of terms that are among others, general ones counted less, 0 to 1."""
    total = found = 0.0
    for term in wanted:
        weight = 0.4 if term in _GENERAL else 1.0
        total += weight
        found += weight * max(_alike(term, other) for other in held) if held else 0.0
    return found / total if total else 0.0


@lru_cache(maxsize=1 << 16)
def _alike(one: str, other: str) -> float:
    """How alike two terms are, 0 to 1: by a common beginning, or as parts of a compound."""
    if one == other:
        return 1.0
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < _MIN_ALIKE:
        return 0.0
    if shorter in longer:
        return max(len(shorter) / len(longer), 0.6)
    common = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(shorter)
    )
    if common >= _MIN_ALIKE and common >= 0.6 * len(shorter):
        return common / len(longer)
    return 0.0
